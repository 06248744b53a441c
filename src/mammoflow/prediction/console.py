"""What `mammoflow predict` does with its arguments, and the lines that it prints."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.cohort.table_files import read_text_table
from mammoflow.errors import ConfigError
from mammoflow.prediction.api import available_threads, predict, predict_table
from mammoflow.prediction.output import OVERLAY, RESULT
from mammoflow.prediction.requests import BOX_FORM, POINT_FORM, parse_numbers
from mammoflow.prediction.results import NOTICE, flags_note
from mammoflow.prediction.table import BOX, is_table
from mammoflow.storage.files import read_json

OF_MASKS = ("model", "weights", "architecture", "margin_mm", "field_of_view", "store", "finding")
"""Options of `predict` that are about boxes and masks."""


def run_predict(
    image: Path, boxes: Sequence[str], points: Sequence[str], out: Path, options: dict[str, Any], show: bool
) -> None:
    """Answer a film, or the films of a table, and print what was found.

    With a run and neither boxes nor points, its classifiers of whole pictures answer.

    Parameters
    ----------
    image
        Film or table.
    boxes, points
        As the command line has them.
    out
        Folder of the answer.
    options
        Further arguments of `predict` or `predict_table`.
    show
        Open the overlay in the viewer of this machine.

    Raises
    ------
    ConfigError
        If boxes or points cannot be read, or are given beside a table.
    """
    if options["classify"] is not None and not (boxes or points) and not _has_boxes(image):
        _run_classes(image, out, options, show)
        return
    if is_table(image):
        if boxes or points:
            raise ConfigError(f"--box and --point are given beside the table {image}; expected boxes in its columns")
        table = predict_table(image, out, **options)
        print(f"{len(table)} lesions of {table['folder'].nunique()} films: {out}/")
        print(NOTICE, file=sys.stderr)
        return
    given = [parse_numbers(text, 4, f"--box {BOX_FORM}") for text in boxes]
    places = [parse_numbers(text, 2, f"--point {POINT_FORM}") for text in points]
    predict(image, given, places, out=out, **options)
    content = read_json(out / RESULT)
    for lesion in content["lesions"]:
        print(_line(lesion))
    for note in filter(None, (flags_note(content["image"]["flags"]), content["dicom_note"])):
        print(note, file=sys.stderr)
    print(f"written: {out}/")
    print(NOTICE, file=sys.stderr)
    if show and not webbrowser.open((out / OVERLAY).resolve().as_uri()):
        print(f"this machine has no viewer; open {out / OVERLAY}", file=sys.stderr)


def _has_boxes(image: Path) -> bool:
    """Tell whether a file is a table with columns of boxes."""
    return is_table(image) and BOX[0] in read_text_table(image).columns


def _run_classes(image: Path, out: Path, options: dict[str, Any], show: bool) -> None:
    """Answer which class a picture, or each picture of a table, belongs to.

    Raises
    ------
    ConfigError
        If an option is given that is about boxes or masks.
    """
    from mammoflow.prediction.classes import PROBABILITY, predict_classes  # loads torch

    needless = [name for name in OF_MASKS if options[name] not in (None, "", "unknown")] + ["show"] * show
    if needless:
        option = {"field_of_view": "window"}.get(needless[0], needless[0].replace("_", "-"))
        raise ConfigError(
            f"--{option} is given without a box or a point, and classifiers of whole pictures do not use it; expected "
            "--classify alone, or --box too"
        )
    table = predict_classes(
        image if is_table(image) else [image],
        options["classify"],
        out=out,
        classifiers=options["classifiers"],
        spacing_mm=options["spacing_mm"],
        device=options["device"],
        threads=options["threads"] or available_threads(),
    )
    if is_table(image):
        answers = table["predicted_class"] + " by " + table["classifier"]
        for words, count in answers.value_counts(sort=False).items():
            print(f"{words}: {count}")
    else:
        for _, row in table.iterrows():
            print(_class_line(row, PROBABILITY))
    print(f"written: {out}/")
    print(NOTICE, file=sys.stderr)


def _class_line(row: pd.Series[Any], prefix: str) -> str:
    """Describe the answer of a classifier in a line."""
    shares = [f"{str(key).removeprefix(prefix)} {row[key]:.2f}" for key in row.index if str(key).startswith(prefix)]
    return f"{row['predicted_class']} by {row['classifier']} ({', '.join(shares)})"


def _line(lesion: dict[str, Any]) -> str:
    """Describe a lesion of `result.json` in a line."""
    area, diameter, estimate = (lesion[key] for key in ("area_mm2", "longest_diameter_mm", "predicted_iou"))
    if area is None:
        return f"lesion {lesion['number']}: {'; '.join(['not measured', *lesion['notes']])}"
    parts = [
        f"area {area:.1f} mm²",
        "longest diameter " + ("not defined" if diameter is None else f"{diameter:.1f} mm"),
        "predicted IoU " + ("not defined" if estimate is None else f"{estimate:.2f}"),
    ]
    for name, said in lesion["malignancy"].items():
        probability = "no input" if said["probability"] is None else f"{said['probability']:.2f}"
        parts.append(f"malignancy by {name} {probability} (threshold {said['threshold']:.2f})")
    return f"lesion {lesion['number']}: {'; '.join([*parts, *lesion['notes']])}"
