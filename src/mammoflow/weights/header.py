"""What a weights file says about itself in its header: architecture, adapters, what an automatic model sees."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from mammoflow.errors import WeightsError

HEADER = "mammoflow"
"""Key of a safetensors file's header under which mammoflow keeps what it says about the weights, as JSON."""


@dataclass(frozen=True)
class AutomaticSetup:
    """How the weights of an automatic model are used, as their training chose it.

    Attributes
    ----------
    side_px
        Side of the network's input in pixels.
    spacing_mm
        Millimetres from pixel to pixel of the input; None where the side decides.
    threshold
        Probability above which a pixel is lesion, chosen on validation images.
    stretched
        Whether height and width of an image both become `side_px`.
    clahe_clip
        Clip limit of CLAHE; None without it.
    clahe_tiles
        Its tiles along each side of the image.
    """

    side_px: int
    spacing_mm: float | None
    threshold: float
    stretched: bool = False
    clahe_clip: float | None = None
    clahe_tiles: int = 8


@dataclass(frozen=True)
class WeightsHeader:
    """What a weights file says about itself.

    Attributes
    ----------
    architecture
        The architecture that the weights are for; "" where it is not said.
    adapter_width
        Width of the adapters' bottlenecks; None without adapters.
    automatic
        How an automatic model is used; None for a promptable model, and where it is not said.
    """

    architecture: str = ""
    adapter_width: int | None = None
    automatic: AutomaticSetup | None = None

    def text(self) -> dict[str, str]:
        """Return the header as safetensors takes it."""
        adapters = {} if self.adapter_width is None else {"adapters": {"width": self.adapter_width}}
        automatic = {} if self.automatic is None else {"automatic": asdict(self.automatic)}
        return {HEADER: json.dumps({"architecture": self.architecture, **adapters, **automatic}, sort_keys=True)}


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
        header = WeightsHeader(str(content["architecture"]), width, _automatic_setup(content.get("automatic")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"weights file {path} has a header of mammoflow that cannot be read: {text[:100]!r}; expected the "
            "architecture and, with adapters, their width; train the model again"
        ) from error
    if width is not None and width < 1:
        raise WeightsError(f"weights file {path} has adapters of width {width}; expected at least 1")
    return header


def _automatic_setup(content: dict[str, Any] | None) -> AutomaticSetup | None:
    """Read how an automatic model is used."""
    if content is None:
        return None
    spacing, clip = content["spacing_mm"], content.get("clahe_clip")
    return AutomaticSetup(
        int(content["side_px"]),
        None if spacing is None else float(spacing),
        float(content["threshold"]),
        bool(content.get("stretched", False)),
        None if clip is None else float(clip),
        int(content.get("clahe_tiles", 8)),
    )
