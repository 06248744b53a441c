"""Architectures of segmentation models: which there are, and what is known of each without loading it.

A module of `segmentation/models` is a member of the family. Its top level holds `ARCHITECTURES`, which maps the name of
each architecture that the module can build to an `Architecture`, and its function

    build(architecture: str, state: dict[str, Tensor] | None, digest: str, device: torch.device) -> Segmenter

makes the model: `state` holds the weights by name, or is None for random weights from torch's generator; `digest` is
the digest of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass

from mammoflow.config.inference import Precision
from mammoflow.config.members import Family
from mammoflow.config.weights import WeightsSource

ARCHITECTURE_MODULES = Family("mammoflow.segmentation.models", "module of segmentation models")


@dataclass(frozen=True)
class Architecture:
    """What is known of an architecture without loading it.

    Attributes
    ----------
    source
        Its published weights; None where there are none, so that a configuration names or trains them.
    memory_mb
        Megabytes of a job that segments one image at a time, the process and the weights included.
    precision
        What `auto` means for it: `auto` takes bf16 where the device has it; `fp32` for an architecture whose masks
        bf16 would change.
    attention
        Whether its image encoder has attention blocks, which LoRA, adapters and visual prompts need.
    global_attention
        Whether some of these blocks attend over the whole image.
    prompted
        Whether it needs prompts; False for an automatic model.
    points
        Whether it was trained on points beside boxes.
    image_mb
        Further megabytes for each further image that is segmented together with the first.
    training_image_mb
        Further megabytes for each image of a training batch, whose activations are kept for the gradient.
    channels
        Channels of a picture that the network tells apart: 3, or 1 for one that sees grey levels only.
    segments
        Whether it makes masks; what its module builds is otherwise no `Segmenter`, and no model of a run.
    """

    source: WeightsSource | None
    memory_mb: int
    precision: Precision = "auto"
    attention: bool = False
    global_attention: bool = True
    prompted: bool = True
    points: bool = True
    image_mb: int = 500
    training_image_mb: int = 1000
    channels: int = 3
    segments: bool = True


def architecture_names() -> list[str]:
    """Return the names of all architectures, sorted."""
    return sorted(name for module in ARCHITECTURE_MODULES.names() for name in _table(module))


def published_names() -> list[str]:
    """Return the names of the architectures that have published weights; a model of that name needs no entry."""
    return [name for name in architecture_names() if architecture(name).source is not None]


def module_of(name: str) -> str:
    """Return the member of `ARCHITECTURE_MODULES` that builds an architecture.

    Raises
    ------
    ValueError
        If no member builds it; the message lists the architectures.
    """
    for module in ARCHITECTURE_MODULES.names():
        if name in _table(module):
            return module
    raise ValueError(f"{name!r} is no architecture; expected one of {', '.join(architecture_names())}")


def architecture(name: str) -> Architecture:
    """Return what is known of an architecture.

    Raises
    ------
    ValueError
        If there is none of this name; the message lists them.
    """
    return _table(module_of(name))[name]


def why_grey_only(name: str) -> str:
    """Say that a promptable architecture sees grey levels only, and what is expected in its place; else ""."""
    if architecture(name).channels > 1:
        return ""
    return (
        f"{name} sees grey levels only; expected promptable models with three input channels, such as lite_medsam, or "
        "segmentation.colour: grey"
    )


def _table(module: str) -> dict[str, Architecture]:
    """Return the architectures of a member."""
    table: dict[str, Architecture] = ARCHITECTURE_MODULES.load(module).ARCHITECTURES
    return table
