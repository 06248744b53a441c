"""Which model segments: its name, its weights, and whether it understands the prompts."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from mammoflow.config.architectures import architecture, architecture_names, published_names
from mammoflow.config.inference import Colour
from mammoflow.errors import ConfigError
from mammoflow.weights.header import read_header
from mammoflow.weights.registry import ModelSpec

WEIGHTS_FOLDER = Path("weights")
"""Where fetched weights are looked for: the default of `prefetch.folder`."""


def choose_model(name: str, weights: Path | None = None, architecture_name: str = "") -> ModelSpec:
    """Return the model of a name.

    Parameters
    ----------
    name
        A published model, or any name for weights of your own.
    weights
        Weights file; None takes the one that a package brings or that `prefetch` fetched into `weights/`.
    architecture_name
        Architecture of weights of your own; "" takes the name.

    Raises
    ------
    ConfigError
        If no architecture has this name, or it takes no prompts.
    """
    wanted = architecture_name or name
    names = architecture_names()
    if wanted not in names:
        prompted = [one for one in published_names() if architecture(one).prompted]
        close = get_close_matches(wanted, names, n=2, cutoff=0.5)
        meant = f"did you mean {' or '.join(close)}? " if close else ""
        raise ConfigError(
            f"model {wanted!r} is not known; {meant}expected one of {', '.join(prompted)}, or weights of your own with "
            "their architecture"
        )
    known = architecture(wanted)
    if not known.prompted:
        raise ConfigError(f"model {wanted} takes no prompts; expected a promptable model, such as small")
    if weights is None and name == wanted and known.source is not None and known.source.url:
        weights = WEIGHTS_FOLDER / known.source.file
    return ModelSpec(name, wanted, weights)


def tuned_colour(model: ModelSpec) -> Colour:
    """Return what the tuning of a model's weights saw of pictures in colour; `grey` where the file does not say."""
    file = model.file
    return "rgb" if file is not None and file.is_file() and read_header(file).colour == "rgb" else "grey"


def check_prompts(model: ModelSpec, kinds: Iterable[str]) -> None:
    """Refuse points for a model that was trained on boxes alone.

    Parameters
    ----------
    model
        The model.
    kinds
        `box`, `point` or `box_point` of each lesion.

    Raises
    ------
    ConfigError
        If it was not trained on points and a lesion has some.
    """
    if not architecture(model.architecture).points and any("point" in kind for kind in kinds):
        taking = [name for name in published_names() if architecture(name).prompted and architecture(name).points]
        raise ConfigError(
            f"model {model.name} was trained on boxes alone; expected a box without points, or one of the models "
            f"{', '.join(taking)}"
        )
