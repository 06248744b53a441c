"""What tuned weights carry and have beside them: their architecture, and the patients that they have seen."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from mammoflow.errors import WeightsError
from mammoflow.segmentation.small.record import real_patients, trained_patients
from mammoflow.storage.files import file_digest

HEADER = "mammoflow"
"""Key of a safetensors file's header under which mammoflow keeps what it says about the weights, as JSON."""

RECORD_FILE = "record.json"


@dataclass(frozen=True)
class WeightsHeader:
    """What a weights file says about itself.

    Attributes
    ----------
    architecture
        The published model whose network and preprocessing the weights are for; "" where it is not said.
    adapter_width
        Width of the adapters' bottlenecks; None without adapters.
    """

    architecture: str = ""
    adapter_width: int | None = None

    def text(self) -> dict[str, str]:
        """Return the header as safetensors takes it."""
        adapters = {} if self.adapter_width is None else {"adapters": {"width": self.adapter_width}}
        return {HEADER: json.dumps({"architecture": self.architecture, **adapters}, sort_keys=True)}


def read_header(path: Path) -> WeightsHeader:
    """Read what a weights file says about itself; nothing where it is no safetensors file or says nothing.

    Raises
    ------
    WeightsError
        If what it says cannot be read.
    """
    if path.suffix != ".safetensors":
        return WeightsHeader()
    try:
        with safe_open(str(path), framework="numpy") as file:
            text = (file.metadata() or {}).get(HEADER)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"weights file {path} cannot be read: {error}; expected a whole file") from error
    if text is None:
        return WeightsHeader()
    try:
        content: dict[str, Any] = json.loads(text)
        adapters = content.get("adapters")
        width = None if adapters is None else int(adapters["width"])
        header = WeightsHeader(str(content["architecture"]), width)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"weights file {path} has a header of mammoflow that cannot be read: {text[:100]!r}; expected the "
            "architecture and, with adapters, their width; tune the model again"
        ) from error
    if width is not None and width < 1:
        raise WeightsError(f"weights file {path} has adapters of width {width}; expected at least 1")
    return header


def seen_patients(model: str, weights: Path | None) -> frozenset[str]:
    """Return the ids of the real patients that a model was trained or chosen on, as far as a record says.

    Parameters
    ----------
    model
        Name of the model, with its architecture where it is one of the user's own.
    weights
        Its weights file; None for the shipped ones of `small`. A `record.json` beside it counts where it names the
        digest of this file.

    Raises
    ------
    WeightsError
        If the record is not JSON.
    """
    if weights is None:
        return trained_patients() if model == "small" else frozenset()
    record = weights.parent / RECORD_FILE
    if not record.is_file() or not weights.is_file():
        return frozenset()
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsError(f"{record} is not JSON: {error}; remove it, or make the weights again") from error
    if not isinstance(content, dict) or content.get("weights_sha256") != file_digest(weights):
        return frozenset()
    return real_patients([*content.get("patients", []), *content.get("validation_patients", [])])


def recorded_patients(model: str, weights: Path | None) -> list[str]:
    """Return the ids that a model has seen, in the form `source/patient` of a record, for the record of its tuning."""
    # the model may be called after phantoms, whose ids a record leaves out; the patients that it has seen are real
    name = model.partition("=")[0]
    return sorted(f"seen by {name}/{patient}" for patient in seen_patients(model, weights))
