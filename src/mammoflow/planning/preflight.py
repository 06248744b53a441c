"""Checks before the first job of a run: its files, the settings that a study requires, and a GPU."""

from __future__ import annotations

import ast
from pathlib import Path

from mammoflow.config.cohort import READERS, DatasetSettings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError, WeightsError
from mammoflow.planning.foreign import check_foreign
from mammoflow.planning.from_run import check_run
from mammoflow.planning.models import missing_label_weights, missing_weights, needed_models
from mammoflow.planning.network_weights import missing_network_weights
from mammoflow.storage.outputs import holds_files, is_within
from mammoflow.weights.header import why_colours


def gpu_present() -> bool:
    """Tell whether this machine has an NVIDIA GPU and its driver, without loading torch."""
    return Path("/dev/nvidiactl").exists()


def check_study(key: str, dataset: DatasetSettings) -> None:
    """Check that the folder and the tables of one study exist, and that its lesions can get labels.

    Raises
    ------
    ConfigError
        Naming the key below `key`, the path, and what to do.
    """
    folder = Path(dataset.folder)
    if not dataset.folder or not folder.is_dir():
        otherwise = (
            ", or set cohort.dataset.reader to phantom for the embedded study" if key == "cohort.dataset" else ""
        )
        raise ConfigError(
            f"{key}.folder: found {dataset.folder!r}, which is no folder; expected the folder of the "
            f"study; correct the path{otherwise}"
        )
    if dataset.anonymous_ids and not Path(dataset.anonymous_ids).is_file():
        raise ConfigError(
            f"{key}.anonymous_ids: found {dataset.anonymous_ids!r}, which is no file; expected a secret key; "
            f"correct the path, or make the key once: head -c 32 /dev/urandom >{dataset.anonymous_ids}"
        )
    for table in dataset.every_table():
        if not (folder / table).is_file():
            raise ConfigError(
                f"{key}.{'tables' if table in dataset.tables else 'options'}: found {table!r}, which does not exist in "
                f"{folder}; expected a table, relative to {key}.folder; correct the name"
            )
    if dataset.malignant_from_birads is None and not has_pathology(dataset.reader):
        raise ConfigError(
            f"{key}.malignant_from_birads: found null, but the reader {dataset.reader!r} is for a data set without "
            "biopsy results; expected the BI-RADS assessment, 2 to 6, from which a lesion counts as malignant; set it, "
            "usually to 4"
        )


def has_pathology(reader: str) -> bool:
    """Tell whether the data set of a reader has biopsy results. The reader's module is parsed and not run.

    Parameters
    ----------
    reader
        Its name, as in the settings.

    Returns
    -------
    bool
        The constant `has_pathology` of the module's class `StudyReader`; True where it has none.
    """
    module = ast.parse(READERS.file(reader).read_text(encoding="utf-8"))
    classes = [part for part in module.body if isinstance(part, ast.ClassDef) and part.name == "StudyReader"]
    for statement in (statement for part in classes for statement in part.body):
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        is_assigned = any(isinstance(target, ast.Name) and target.id == "has_pathology" for target in targets)
        if (
            is_assigned
            and isinstance(statement, ast.Assign | ast.AnnAssign)
            and isinstance(statement.value, ast.Constant)
        ):
            return bool(statement.value.value)
    return True


def check_places(config: StudyConfig) -> None:
    """Check that the run and the store write nowhere where they could replace files of a person.

    Raises
    ------
    ConfigError
        If the folder of the run or the store is a study folder, lies in one or contains one, or the folder of the run
        holds something else than a run.
    """
    run = Path(config.results) / config.run
    for index, dataset in enumerate(config.cohort.datasets):
        study = run / "study" if dataset.reader == "phantom" else Path(dataset.folder)
        for key, place in (("results", run), ("store", Path(config.store))):
            if key == "results" and dataset.reader == "phantom":
                continue
            if is_within(place, study) or is_within(study, place):
                of_study = f"cohort.more_datasets.{index - 1}.folder" if index else "cohort.dataset.folder"
                raise ConfigError(
                    f"{key}: the run would write to {place}, which is, contains or lies in the study folder {study} "
                    f"({of_study}); expected a folder apart from every study; set {key} to another one"
                )
    if run.exists() and not any(run.glob("settings/*.yaml")) and (not run.is_dir() or holds_files(run)):
        raise ConfigError(
            f"run: found {run}, which holds files and no run of mammoflow; expected a new or an empty folder, or that "
            "of an earlier run; nothing was changed: name another run, or set results to another folder"
        )


def _check_colour(config: StudyConfig, model: str) -> None:
    """Refuse weights that were tuned on colours where promptable models see grey levels.

    Raises
    ------
    ConfigError
        Naming the file.
    """
    file = Path(config.segmentation.models[model].weights) if model in config.segmentation.models else None
    if config.segmentation.colour != "grey" or file is None or not file.is_file():
        return
    try:
        problem = why_colours(file)
    except WeightsError:
        return  # the job that loads a damaged file says what is wrong with it
    if problem:
        raise ConfigError(f"segmentation.models.{model}.weights with segmentation.colour: grey: {problem}")


def check_files(config: StudyConfig) -> None:
    """Check that every study, its tables, tables of other tools' scores and all weights files exist.

    Raises
    ------
    ConfigError
        If a study, a table or a weights file of labels or classifiers does not exist, weights were tuned on colours
        that the run does not show, or the run whose classifiers are applied does not fit; the message names the key,
        the path, and what to do.
    WeightsError
        If a weights file does not exist; the message names the file, its checksum, and the command that fetches it.
    """
    for index, dataset in enumerate(config.cohort.datasets):
        if dataset.reader != "phantom":
            check_study(f"cohort.more_datasets.{index - 1}" if index else "cohort.dataset", dataset)
    check_foreign(config)
    for model in needed_models(config):
        missing = missing_weights(config, model)
        if missing:
            raise WeightsError(missing)
        _check_colour(config, model)
    for model in config.segmentation.trained_models():
        missing = missing_label_weights(config, model)
        if missing:
            raise ConfigError(missing)
    for name in config.classification.needed():
        missing = missing_network_weights(config, name)
        if missing:
            raise ConfigError(missing)
    if config.classification.from_run:
        check_run(config)
