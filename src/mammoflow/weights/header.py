"""What a weights file says about itself in its header: architecture, additions, base, what the model sees."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from mammoflow.errors import WeightsError

HEADER = "mammoflow"
"""Key of a safetensors file's header under which mammoflow keeps what it says about the weights, as JSON."""

EARLIER_CLAHE_BINS = 65536
"""Bins of CLAHE in trainings whose weights do not name them."""


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
    clahe_bins
        Bins of its histograms; a file that does not say it was trained with EARLIER_CLAHE_BINS.
    colour
        `rgb` where the network sees the colours of pictures that have some, otherwise `grey`.
    """

    side_px: int
    spacing_mm: float | None
    threshold: float
    stretched: bool = False
    clahe_clip: float | None = None
    clahe_tiles: int = 8
    clahe_bins: int = 256
    colour: str = "grey"


@dataclass(frozen=True)
class BaseWeights:
    """The weights that a tuning started from, where a file holds only what was tuned.

    Attributes
    ----------
    name
        Name of that model.
    file
        Its weights file as the training was told it; "" for weights that an installed package brings.
    sha256
        Digest of that file.
    """

    name: str
    file: str
    sha256: str


@dataclass(frozen=True)
class LoraSetup:
    """Low-rank updates among the weights.

    Attributes
    ----------
    layers
        Layers of the attention that have one.
    rank, alpha
        Rank of the updates, and their factor times the rank.
    """

    layers: tuple[str, ...]
    rank: int
    alpha: float


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
    base
        The weights that these belong on top of; None for a file that has all weights of its network.
    lora
        Low-rank updates of the base; None without.
    colour
        `rgb` for a promptable model that was tuned on the colours of pictures, otherwise `grey`.
    """

    architecture: str = ""
    adapter_width: int | None = None
    automatic: AutomaticSetup | None = None
    base: BaseWeights | None = None
    lora: LoraSetup | None = None
    colour: str = "grey"

    def text(self) -> dict[str, str]:
        """Return the header as safetensors takes it."""
        adapters = {} if self.adapter_width is None else {"adapters": {"width": self.adapter_width}}
        parts = {"automatic": self.automatic, "base": self.base, "lora": self.lora}
        said: dict[str, Any] = {name: asdict(part) for name, part in parts.items() if part is not None}
        said |= {"colour": self.colour} if self.colour != "grey" else {}
        return {HEADER: json.dumps({"architecture": self.architecture, **adapters, **said}, sort_keys=True)}


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
        raise WeightsError(
            f"weights file {path} cannot be read: {error}; expected a whole file; fetch or make it again"
        ) from error
    if text is None:
        return WeightsHeader()
    try:
        content: dict[str, Any] = json.loads(text)
        adapters = content.get("adapters")
        width = None if adapters is None else int(adapters["width"])
        header = WeightsHeader(
            str(content["architecture"]),
            width,
            _automatic_setup(content.get("automatic")),
            _base(content.get("base")),
            _lora_setup(content.get("lora")),
            str(content.get("colour", "grey")),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"weights file {path} has a header of mammoflow that cannot be read: {text[:100]!r}; expected the "
            "architecture and, with adapters, their width; train the model again"
        ) from error
    if width is not None and width < 1:
        raise WeightsError(f"weights file {path} has adapters of width {width}; expected at least 1")
    return header


def why_colours(path: Path) -> str:
    """Say that the promptable model of a weights file was tuned on colours and must see them; else ""."""
    if read_header(path).colour != "rgb":
        return ""
    return (
        f"the weights {path} were tuned on colours; expected segmentation.colour: rgb, and images that the image stage "
        "made with images.colour: keep"
    )


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
        int(content.get("clahe_bins", EARLIER_CLAHE_BINS)),
        str(content.get("colour", "grey")),
    )


def _base(content: dict[str, Any] | None) -> BaseWeights | None:
    """Read which weights a file belongs on top of."""
    return None if content is None else BaseWeights(*(str(content[name]) for name in ("name", "file", "sha256")))


def _lora_setup(content: dict[str, Any] | None) -> LoraSetup | None:
    """Read which low-rank updates a file has."""
    if content is None:
        return None
    return LoraSetup(tuple(map(str, content["layers"])), int(content["rank"]), float(content["alpha"]))
