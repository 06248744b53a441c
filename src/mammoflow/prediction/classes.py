"""The classes of whole pictures, such as normal, benign and malignant, by the classifiers of a finished run."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammoflow import __version__
from mammoflow.classification.classes.applied import TrainedClassClassifier, apply_class_classifier
from mammoflow.cohort.numbers import parse_number
from mammoflow.cohort.table_files import ORIGIN, PROBLEM, read_text_table, records, require_columns
from mammoflow.config.base import Device, read_settings
from mammoflow.config.images import ImagesSettings
from mammoflow.errors import ConfigError, StudyError
from mammoflow.prediction.films import image_id, prepare_films
from mammoflow.prediction.output import LEFT_OUT, RESULT, TABLE, building, check_folder, left_out_row
from mammoflow.prediction.requests import BOX_FORM, FilmRequest, check_spacing
from mammoflow.prediction.results import NOTICE, PROGRAM
from mammoflow.prediction.runs import run_of, trained_classifiers
from mammoflow.prediction.table import TableRow
from mammoflow.storage.files import write_text
from mammoflow.storage.intermediate import temporary_folder
from mammoflow.storage.names import shown_name
from mammoflow.tables.files import write_csv

AT_ONCE = 256
"""Pictures that are prepared together; their canonical images lie on the disk meanwhile."""

PROBABILITY = "probability_"
"""Prefix of the columns of the classes."""

AskedPicture = tuple[FilmRequest, TableRow]
"""A picture, and its row in the table of the request; the row has no origin where there is no table."""


@dataclass(frozen=True)
class ClassRun:
    """What is taken from a run: settings of its image stage, and its classifiers of classes.

    Attributes
    ----------
    folder
        Folder of the run, or of one of its folds.
    images
        Settings of the image stage. A picture without a pixel spacing is used all the same.
    classifiers
        Those that see whole pictures alone.
    left_out
        Name of each other classifier, and why it cannot be applied.
    """

    folder: Path
    images: ImagesSettings
    classifiers: tuple[TrainedClassClassifier, ...]
    left_out: dict[str, str]


def read_class_run(folder: Path, names: Sequence[str] = (), device: Device = "auto") -> ClassRun:
    """Read the classifiers of classes of a run.

    Parameters
    ----------
    folder
        Folder of the run, such as `results/busi/fold-0`.
    names
        Classifiers to apply; empty takes all that can be applied.
    device
        Where they compute; `auto` takes the device of their training.

    Raises
    ------
    ConfigError
        If the run lacks a named classifier, or has none that sees whole pictures alone.
    StudyError
        If the folder is that of no finished run.
    """
    classifiers, left_out = trained_classifiers(folder, names, TrainedClassClassifier.read, device)
    if not classifiers:
        raise ConfigError(
            f"there is neither a box nor a point, and no classifier of {folder} tells classes of whole pictures apart "
            f"({'; '.join(left_out.values())}); expected --box {BOX_FORM}, or a run with such a classifier"
        )
    file = run_of(folder) / "settings" / "images.yaml"
    images = read_settings(ImagesSettings, file).model_copy(update={"without_spacing": "pixels"})
    return ClassRun(folder, images, tuple(classifiers), left_out)


def predict_classes(
    images: Sequence[str | Path] | str | Path,
    run: str | Path,
    *,
    out: str | Path | None = None,
    classifiers: Sequence[str] = (),
    spacing_mm: float | None = None,
    device: Device = "auto",
    threads: int = 1,
) -> pd.DataFrame:
    """Predict the class of whole pictures with the classifiers of a finished run.

    Each picture goes through the functions of a study, so its probabilities are those that the run would give it.
    Research only: not a medical device.

    Parameters
    ----------
    images
        DICOM, PNG, TIFF or JPEG files; or one table (CSV, Parquet or xlsx) with the column image and, where it has it,
        spacing. Paths of a table are relative to its folder.
    run
        Folder of the run, or of one of its folds, such as `results/busi/fold-0`.
    out
        Folder for `results.csv`, `left_out.csv` and `result.json`; None writes nothing. It must be new, empty, or an
        earlier output.
    classifiers
        Names of classifiers; empty takes all that see whole pictures alone.
    spacing_mm
        Millimetres per pixel of pictures for which the table names none; None takes the header's. The classes do not
        depend on it, unless the image stage finds the breast by it.
    device
        Where the classifiers compute: `cpu` or `cuda`; `auto` takes the device of their training.
    threads
        Processors to use.

    Returns
    -------
    DataFrame
        A row for each picture and classifier: image, classifier, predicted_class, and the calibrated probability of
        each class, as the mean over the seeds. Pictures that cannot be used are listed on the console. For a table,
        the column row says where the picture is in it, and image is as the table names it.

    Raises
    ------
    ConfigError
        If no classifier can be applied, or the spacing is impossible.
    StudyError
        If no picture can be used, the run is not finished, or `out` holds something else.
    WeightsError
        If the weights do not fit, or are not those that the training recorded.
    """
    check_spacing(spacing_mm)
    chosen = read_class_run(Path(run), classifiers, device)
    if out is not None:
        check_folder(Path(out))
    films, left_out = _requests(images, spacing_mm)
    tables = []
    for start in range(0, len(films), AT_ONCE):
        table, unusable = _predict(films[start : start + AT_ONCE], chosen, threads)
        tables.append(table)
        left_out += unusable
    result = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    if not isinstance(images, str | Path):
        result = result.drop(columns="row", errors="ignore")
    if result.empty:
        raise StudyError(f"no picture can be used; the first one: {left_out[0]['image']}: {left_out[0]['reason']}")
    if out is not None:
        with building(Path(out)) as folder:
            _write(folder, result, left_out, chosen)
    for row in left_out:
        print(f"left out: {' '.join(filter(None, (row['row'], row['image'])))}: {row['reason']}", file=sys.stderr)
    return result


def _requests(
    images: Sequence[str | Path] | str | Path, spacing_mm: float | None
) -> tuple[list[AskedPicture], list[dict[str, str]]]:
    """Return the pictures that are asked about, and the rows of a table that name none."""
    if not isinstance(images, str | Path):
        paths = [Path(path) for path in images]
        return [
            (FilmRequest(path, path.stem, (), spacing_mm), TableRow("", shown_name(path), path.stem)) for path in paths
        ], []
    path = Path(images)
    table = read_text_table(path)
    require_columns(table, ["image"], f"table {path}")
    films: list[AskedPicture] = []
    left_out: list[dict[str, str]] = []
    for row in records(table):
        image = path.parent / str(row["image"])
        try:
            if row[PROBLEM] or not row["image"]:
                raise ValueError(str(row[PROBLEM]) or "the column image is blank; expected the file of a picture")
            spacing = parse_number(str(row.get("spacing", "")), above=0)
            check_spacing(spacing)
        except (ConfigError, ValueError) as problem:
            left_out.append(left_out_row(str(row["image"]), str(problem), str(row[ORIGIN])))
            continue
        film = FilmRequest(image, image.stem, (), spacing_mm if spacing is None else spacing)
        films.append((film, TableRow(str(row[ORIGIN]), str(row["image"]), image.stem)))
    if not films and not left_out:
        raise StudyError(f"table {path} has no row; expected a row for each picture")
    return films, left_out


def _predict(asked: Sequence[AskedPicture], run: ClassRun, threads: int) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Return the rows of some pictures, in their order, and those that cannot be used."""
    with temporary_folder("mammoflow-predict-") as work:
        prepared = prepare_films([film for film, _ in asked], run.images, work / "images", threads, None)
        said = (
            {one.folder.name: apply_class_classifier(one, prepared.folder, threads) for one in run.classifiers}
            if len(prepared.images)
            else {}
        )
    rows: list[dict[str, Any]] = []
    left_out: list[dict[str, str]] = []
    for number, (_, row) in enumerate(asked):
        if number in prepared.left_out:
            left_out.append(left_out_row(row.image, prepared.left_out[number], row.origin))
            continue
        for name, table in said.items():
            found = table.loc[[image_id(number)]].to_numpy(dtype=np.float64)[0]
            shares = {f"{PROBABILITY}{key}": float(value) for key, value in zip(table.columns, found, strict=True)}
            most = str(table.columns[int(found.argmax())])
            named = {"row": row.origin, "image": row.image, "classifier": name}
            rows.append({**named, "predicted_class": most, **shares})
    return pd.DataFrame(rows), left_out


def _write(folder: Path, result: pd.DataFrame, left_out: list[dict[str, str]], run: ClassRun) -> None:
    """Write the tables and, last, `result.json`."""
    write_csv(folder / TABLE, result)
    write_csv(folder / LEFT_OUT, pd.DataFrame(left_out, columns=["row", "image", "reason"]))
    record = {
        "program": PROGRAM,
        "version": __version__,
        "notice": NOTICE,
        "run": run.folder.name,
        "classifiers": {one.folder.name: one.facts() for one in run.classifiers},
        "classifiers_left_out": run.left_out,
        "files": {"table": TABLE, "left_out": LEFT_OUT},
    }
    write_text(folder / RESULT, json.dumps(record, indent=2) + "\n")
