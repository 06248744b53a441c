"""What a weights file says about itself in its header: the architecture and its adapters."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from mammoflow.errors import WeightsError

HEADER = "mammoflow"
"""Key of a safetensors file's header under which mammoflow keeps what it says about the weights, as JSON."""


@dataclass(frozen=True)
class WeightsHeader:
    """What a weights file says about itself.

    Attributes
    ----------
    architecture
        The architecture that the weights are for; "" where it is not said.
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
