"""Classifiers that a finished run trained: the files that their jobs read, and whether that run fits this one."""

from __future__ import annotations

from pathlib import Path

from mammoflow.config.base import Settings, read_settings
from mammoflow.config.images import ImagesSettings
from mammoflow.config.prompts import PromptSettings
from mammoflow.config.study import StudyConfig
from mammoflow.config.yaml_text import load_yaml
from mammoflow.errors import ConfigError
from mammoflow.planning.models import classifier_model, run_folder
from mammoflow.storage.outputs import is_same

SHAPING = (
    "longest_side_px",
    "breast_region",
    "voi",
    "window_center",
    "window_width",
    "patch_mm",
    "patch_spacing_mm",
)
"""Settings of the image stage that decide what a classifier sees of a film, whatever its files are like."""


def trained_folder(config: StudyConfig, name: str) -> Path:
    """Return the folder of a classifier in the run that trained it."""
    return Path(config.classification.from_run) / "classification" / name


def trained_files(config: StudyConfig, name: str) -> list[str]:
    """Return what a finished run trained as the inputs of a rule: record, weights and record of each seed."""
    if not config.classification.from_run:
        return []
    folder = trained_folder(config, name)
    of_seeds = [
        folder / "seeds" / str(seed) / file
        for seed in config.classification.classifiers[name].seeds
        for file in ("model.safetensors", "record.json")
    ]
    return [str(file) for file in (folder / "training.json", *of_seeds)]


def trained_option(config: StudyConfig, name: str) -> list[str]:
    """Return the words of the command about the run that trained a classifier; none where this run trains it."""
    return ["--trained", str(trained_folder(config, name))] if config.classification.from_run else []


def check_run(config: StudyConfig) -> None:
    """Check that the run whose classifiers are applied is another one, is complete, and made its inputs as this one.

    Raises
    ------
    ConfigError
        Naming the key, both values, and what to do.
    """
    folder = Path(config.classification.from_run)
    own = run_folder(config)
    if own.is_dir() and is_same(folder, own):
        raise ConfigError(
            f"classification.from_run: found {str(folder)!r}, which is the folder of this run; expected that of a "
            "finished run; set run to another name"
        )
    for name in config.classification.run:
        lost = [file for file in trained_files(config, name) if not Path(file).is_file()]
        if lost:
            raise ConfigError(
                f"classification.from_run: found {str(folder)!r}, but {lost[0]} does not exist; expected a finished "
                "run with the weights of its classifiers; run it again, or copy its folder whole"
            )
    settings = next((each for each in (folder / "settings", folder.parent / "settings") if each.is_dir()), None)
    if settings is None:
        raise ConfigError(
            f"classification.from_run: found {str(folder)!r}, which has no folder settings; expected a finished run "
            "with the settings of its stages; copy its folder whole"
        )
    _check_same("images", SHAPING, config.images, read_settings(ImagesSettings, settings / "images.yaml"), folder)
    prompted = [name for name in config.classification.run if {"masks", "prompts"} & set(_needs(config, name))]
    if prompted and (settings / "prompts.yaml").is_file():
        trained = read_settings(PromptSettings, settings / "prompts.yaml")
        _check_same("prompts", ("default_margin_mm",), config.prompts, trained, folder)
    for name in config.classification.run:
        if {"masks", "model"} & set(_needs(config, name)):
            _check_colour(config, classifier_model(config, name), settings / "segmentation", folder)


def _needs(config: StudyConfig, name: str) -> tuple[str, ...]:
    return config.classification.classifiers[name].needs()


def _check_colour(config: StudyConfig, model: str, settings: Path, folder: Path) -> None:
    """Refuse a promptable model that sees colours where those of the trained classifiers saw none, or the reverse.

    The setting is that of all promptable models of a run, so it is read where a model has another name there.
    """
    if not config.segmentation.is_prompted(model):
        return
    own = settings / f"{model}.yaml"
    files = [own] if own.is_file() else sorted(settings.glob("*.yaml"))
    contents = [load_yaml(file.read_text(encoding="utf-8"), f"settings file {file}") for file in files]
    colours = [each.get("colour", "grey") for each in contents if isinstance(each, dict) and "iterations" in each]
    here = config.segmentation.colour
    if colours and here not in colours:
        raise ConfigError(
            f"segmentation.colour: found {here!r}, but the classifiers of {folder} were trained on masks or embeddings "
            f"of models with {colours[0]!r}; expected the same; set segmentation.colour to {colours[0]}"
        )


def _check_same(key: str, names: tuple[str, ...], here: Settings, there: Settings, folder: Path) -> None:
    """Refuse settings that would show a classifier other pictures than it was trained on."""
    for name in names:
        found, expected = getattr(here, name), getattr(there, name)
        if found != expected:
            raise ConfigError(
                f"{key}.{name}: found {found!r}, but the classifiers of {folder} were trained with {expected!r}; "
                f"expected the same, since they would see other pictures than in their training; set {key}.{name} to "
                f"{'null' if expected is None else expected}"
            )
