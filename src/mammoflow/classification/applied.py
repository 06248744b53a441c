"""The stage that applies a classifier of a finished run to every lesion of a study, instead of training one."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.classification.application import Applied, TrainedClassifier, applied
from mammoflow.classification.results import (
    RECORD_FILE,
    SEEDS_FOLDER,
    WEIGHTS_FILE,
    counts_by_split,
    seen_test_patients,
)
from mammoflow.classification.samples import Files
from mammoflow.config.classification import ClassifierSettings
from mammoflow.config.from_run import ELSEWHERE, RECORD
from mammoflow.errors import MammoflowError, StudyError
from mammoflow.run.runtime import set_threads
from mammoflow.storage.files import read_json, write_text, writing
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES
from mammoflow.tables.predictions import PREDICTIONS
from mammoflow.training.record import HISTORY_FILE
from mammoflow.weights.origin import OTHER_MASKS, are_of_other_weights
from mammoflow.weights.seen_patients import is_seen, real_patients, recorded_digest


def apply_trained(
    settings: ClassifierSettings, name: str, files: Files, trained: Path, output: Path, threads: int
) -> None:
    """Predict every lesion with each seed of a classifier that a finished run trained.

    Calibration and thresholds are those of the training. Weights and records are copied, so that the folder has all
    that later stages read of a classifier.

    Parameters
    ----------
    settings
        Settings of the classifier, as its training recorded them; the device is that of this run.
    name
        The classifier's name in the tables.
    files
        What earlier stages wrote: what the input needs.
    trained
        Folder of the classifier in the run that trained it.
    output
        Folder for predictions.parquet, history.csv, training.json and `seeds/`.
    threads
        Processors that this job may use.

    Raises
    ------
    ConfigError
        If the classifier cannot be applied to other lesions than those of its run.
    StudyError
        If the settings are not those of the training, or a record is missing or damaged.
    WeightsError
        If weights are missing, are not those of their record, or do not fit.
    """
    set_threads(threads)
    source = TrainedClassifier.read(trained)
    _check_settings(settings, source)
    digests = {seed: recorded_digest(source.weights(seed)) for seed in source.seeds}
    said = applied(replace(source, settings=settings), files, threads)
    for seed in source.seeds:
        for file in (WEIGHTS_FILE, RECORD_FILE):
            _copy(source.weights(seed).with_name(file), output / SEEDS_FOLDER / str(seed) / file)
    if (trained / HISTORY_FILE).is_file():
        _copy(trained / HISTORY_FILE, output / HISTORY_FILE)
    else:
        write_text(output / HISTORY_FILE, "epoch,seed,phase\n")
    record = _record(settings, name, source, said, files, digests)
    write_text(output / RECORD, json.dumps(record, indent=2, sort_keys=True) + "\n")
    write_table(_predictions(name, said), PREDICTIONS, output / "predictions.parquet")


def _check_settings(settings: ClassifierSettings, source: TrainedClassifier) -> None:
    """Refuse settings that are not those of the training; where it computes does not count."""
    here, there = (each.model_dump(mode="json", exclude={"device"}) for each in (settings, source.settings))
    differing = [key for key, value in here.items() if there.get(key) != value]
    if differing:
        raise StudyError(
            f"the settings of {source.folder.name} differ from those of its training in {', '.join(differing)}, such "
            f"as {differing[0]}: {here[differing[0]]!r} here, {there.get(differing[0])!r} there; expected those that "
            f"{source.folder / RECORD} records; start the run again, which takes them from there"
        )


def _copy(source: Path, target: Path) -> None:
    with writing(target) as temporary:
        shutil.copyfile(source, temporary)


def _predictions(name: str, said: Applied) -> pd.DataFrame:
    """Return table PREDICTIONS; lesions and threshold are those of the training run where it is the same study."""
    columns = said.cases.lesions[["lesion_id", "image_id", "patient_id", "split", "malignant"]]
    table = said.table.merge(columns, on="lesion_id", how="left", validate="many_to_one", sort=False)
    probability = table["probability"].to_numpy(dtype=np.float64)
    predicted = pd.array((probability >= table["threshold"].to_numpy()).astype(int), dtype="Int64")
    predicted[~np.isfinite(probability)] = pd.NA
    return table.assign(model=name, predicted=predicted)[list(PREDICTIONS.columns)]


def _record(
    settings: ClassifierSettings,
    name: str,
    source: TrainedClassifier,
    said: Applied,
    files: Files,
    digests: dict[int, str],
) -> dict[str, Any]:
    """Return what training.json says: the choices of the training, this study's counts, and where it was trained."""
    there, run = source.record, source.folder.parents[1]
    run_name = f"{run.parent.name}/{run.name}" if run.name.startswith("fold-") else run.name
    facts: dict[str, Any] = dict(said.notes)
    if said.rests_on_model:
        facts |= {
            "seen_test_patients": seen_test_patients(said.cases, files.scores),
            OTHER_MASKS: are_of_other_weights(files.masks, run.glob("segmentation/*/*")),
        }
    return {
        "model": name,
        "settings": settings.model_dump(mode="json"),
        "title": there.get("title", name),
        "n": counts_by_split(said.cases),
        "note": there.get("note", ""),
        **({"first_weights": there["first_weights"]} if "first_weights" in there else {}),
        **facts,
        "constant": bool(there.get("constant", False)),
        "threshold_origin": f"{there['threshold_origin']}, in the run {run_name}",
        "seeds": there["seeds"],
        ELSEWHERE: {
            "run": run_name,
            "folder": str(run),
            "weights_sha256": {str(seed): digest for seed, digest in digests.items()},
            "n": there["n"],
            **_training_patients(source, said, run),
        },
    }


def _training_patients(source: TrainedClassifier, said: Applied, run: Path) -> dict[str, Any]:
    """Return the patients of the training, and those of this study among them: by id, and by films of equal pixels."""
    records = [read_json(source.weights(seed).with_name(RECORD_FILE)) for seed in source.seeds]
    trained = sorted({entry for record in records for entry in record.get("patients", [])})
    validated = sorted({entry for record in records for entry in record.get("validation_patients", [])})
    known = real_patients([*trained, *validated])
    patients = sorted(set(said.cases.images["patient_id"].astype(str)))
    by_id = {patient for patient in patients if is_seen(patient, known)}
    digests = _trained_films(run)
    films = said.cases.images
    by_film = set() if digests is None else set(films.loc[films["digest"].isin(digests), "patient_id"].astype(str))
    return {
        "patients": trained,
        "validation_patients": validated,
        "phantom": any(bool(record.get("phantom", False)) for record in records),
        "seen_patients": sorted(by_id | by_film),
        "seen_by_id": len(by_id),
        "seen_by_film": None if digests is None else len(by_film),
    }


def _trained_films(run: Path) -> set[str] | None:
    """Return the digests of the canonical images that a run trained or chose on; None where its tables are not there.

    Films are compared as canonical images, which both runs make with the same settings.
    """
    digests: set[str] = set()
    tables = sorted(run.glob("images/*/images.parquet"))
    try:
        for path in tables:
            table = read_table(path, CANONICAL_IMAGES)
            digests |= set(table.loc[table["split"] != "test", "digest"])
    except MammoflowError:
        return None
    return digests if tables else None
