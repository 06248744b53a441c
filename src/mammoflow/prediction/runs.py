"""The classifiers of a finished run, and the settings with which their inputs were made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from mammoflow.classification.application import TrainedClassifier
from mammoflow.config.base import Device, read_settings
from mammoflow.config.classification import ClassifierSettings
from mammoflow.config.dicom import DicomSettings
from mammoflow.config.images import ImagesSettings
from mammoflow.config.prompted import SegmentSettings
from mammoflow.config.prompts import PromptSettings
from mammoflow.errors import ConfigError, MammoflowError, StudyError
from mammoflow.prediction.models import choose_model
from mammoflow.storage.files import read_json
from mammoflow.weights.origin import ORIGIN_FILE
from mammoflow.weights.registry import ModelSpec

Trained = TypeVar("Trained", bound=TrainedClassifier)


@dataclass(frozen=True)
class FinishedRun:
    """What a prediction takes from a run.

    Attributes
    ----------
    folder
        Folder of the run.
    images, segment
        Settings of its image stage, and of its segmentation with `model`.
    margin_mm
        Margin of the prompts whose masks its classifiers saw.
    model
        The promptable model of these masks.
    masks
        Folders of its segmentation stage with these masks, one for each shard; none where the run has no longer any.
    classifiers
        Its classifiers that can be applied to single films.
    left_out
        Name of each other classifier, and why it cannot.
    reported
        The classifier whose probability joins the Structured Report, which has room for one: the first that the user
        named, the run's `dicom.classifier`, or the only one. "" where none of these is known.
    """

    folder: Path
    images: ImagesSettings
    segment: SegmentSettings
    margin_mm: float
    model: ModelSpec
    masks: tuple[Path, ...]
    classifiers: tuple[TrainedClassifier, ...]
    left_out: dict[str, str]
    reported: str = ""


def read_run(
    folder: Path, names: Sequence[str] = (), model: str = "", weights: Path | None = None, device: Device = "auto"
) -> FinishedRun:
    """Read the trained classifiers of a run, with the settings of the stages before them.

    Parameters
    ----------
    folder
        Folder of the run, such as `results/phantom`.
    names
        Classifiers to apply; empty takes all that can be applied.
    model
        Model whose masks the classifiers see; "" takes the run's where it has one.
    weights
        Weights file of the model, where it is neither the run's own nor brought by a package.
    device
        Where its segmentation and its classifiers compute; `auto` takes the devices in the settings of the run.

    Raises
    ------
    ConfigError
        If the run lacks a named classifier or the model.
    StudyError
        If the folder is that of no finished run.
    """
    classifiers, left_out = trained_classifiers(folder, names, TrainedClassifier.read, device)
    if not classifiers:
        raise StudyError(
            f"no classifier of the run {folder} can be applied: {'; '.join(left_out.values())}; expected another run"
        )
    chosen, settings = _model(folder, model), run_of(folder) / "settings"
    masks = _masks(folder, chosen)
    segment = read_settings(SegmentSettings, settings / "segmentation" / f"{chosen}.yaml")
    return FinishedRun(
        folder,
        read_settings(ImagesSettings, settings / "images.yaml"),
        segment if device == "auto" else segment.model_copy(update={"device": device}),
        read_settings(PromptSettings, settings / "prompts.yaml").default_margin_mm,
        _spec(folder, chosen, weights, masks),
        masks,
        tuple(classifiers),
        left_out,
        _reported(folder, names, [one.folder.name for one in classifiers]),
    )


def run_of(folder: Path) -> Path:
    """Return the run that a fold belongs to, which has the settings of its folds; a run itself is returned."""
    return folder if (folder / "settings").is_dir() else folder.resolve().parent


def trained_classifiers(
    folder: Path, names: Sequence[str], read: Callable[[Path], Trained], device: Device
) -> tuple[list[Trained], dict[str, str]]:
    """Return the classifiers of a run that can be applied, and why each other one cannot.

    Parameters
    ----------
    folder
        Folder of the run, or of one of its folds.
    names
        Classifiers to apply, in this order, each of which must be fit; empty takes all that can be applied.
    read
        Reads the folder of one classifier, and refuses those that cannot be applied.
    device
        Where they compute; `auto` takes the device of their training.

    Raises
    ------
    ConfigError
        If the run lacks a named classifier.
    StudyError
        If the folder is that of no finished run.
    """
    trained = {path.parent.name: path.parent for path in sorted(folder.glob("classification/*/training.json"))}
    if not trained:
        example = folder / "fold-0" if any(folder.glob("fold-*")) else "results/phantom"
        raise StudyError(
            f"--classify {folder} has no trained classifier; expected the folder of a finished run, such as {example}, "
            "with classification/NAME/training.json"
        )
    unknown = [name for name in names if name not in trained]
    if unknown:
        raise ConfigError(f"classifier {unknown[0]!r} is not in {folder}; expected some of {', '.join(trained)}")
    classifiers: list[Trained] = []
    left_out: dict[str, str] = {}
    record = run_of(folder) / "run.json"
    configured = read_json(record).get("values", {}).get("classification", {}).get("run") if record.is_file() else None
    for name in names or trained:
        try:
            if configured is not None and name not in configured:
                raise ConfigError(
                    f"classifier {name!r} is no longer in classification.run of {folder}, whose settings may have "
                    f"changed since its training; expected some of {', '.join(configured)}"
                )
            classifier = read(trained[name])
        except MammoflowError as problem:
            if names:
                raise
            left_out[name] = str(problem)
            continue
        if device != "auto":
            classifier = replace(classifier, settings=classifier.settings.model_copy(update={"device": device}))
        classifiers.append(classifier)
    return classifiers, left_out


def _reported(folder: Path, named: Sequence[str], applied: list[str]) -> str:
    """Return the classifier whose probability joins the Structured Report; "" where several could be meant."""
    settings = run_of(folder) / "settings" / "dicom.yaml"
    wanted = named[0] if named else read_settings(DicomSettings, settings).classifier if settings.is_file() else ""
    if wanted in applied:
        return wanted
    return applied[0] if len(applied) == 1 else ""


def model_named(settings: ClassifierSettings) -> str:
    """Return the promptable model that the input of a classifier names; "" for the run's default."""
    return str(getattr(settings.input_options, "model", "") or "")


def _model(folder: Path, wanted: str) -> str:
    """Return the segmentation model of a run whose masks its classifiers see."""
    models = sorted(path.stem for path in (run_of(folder) / "settings" / "segmentation").glob("*.yaml"))
    if wanted and wanted not in models:
        raise ConfigError(
            f"model {wanted!r} did not segment the run {folder}, so its classifiers never saw its masks; expected one "
            f"of {', '.join(models)}"
        )
    if not wanted and len(models) != 1:
        raise ConfigError(f"the run {folder} has the models {', '.join(models)}; expected --model with its default one")
    return wanted or models[0]


def _places(folder: Path) -> tuple[Path, Path]:
    """Return where the models of a run are: a fold has some of its own only where they were trained in it."""
    return folder, run_of(folder)


def _masks(folder: Path, model: str) -> tuple[Path, ...]:
    """Return the folders of the segmentation stage with the masks of a model that the classifiers of a run saw."""
    for place in _places(folder):
        if found := sorted((place / "segmentation" / model).glob(f"*/{ORIGIN_FILE}")):
            return tuple(path.parent for path in found)
    return ()


def _spec(folder: Path, model: str, weights: Path | None, masks: Sequence[Path]) -> ModelSpec:
    """Return a model of a run, with the weights that the run trained where it did."""
    trained = [place / "segmentation_models" / model / "model.safetensors" for place in _places(folder)]
    name = str(read_json(masks[0] / ORIGIN_FILE)["architecture"]) if masks else model
    file = weights or next((path for path in trained if path.is_file()), None)
    return choose_model(model, file, "" if name == model else name)
