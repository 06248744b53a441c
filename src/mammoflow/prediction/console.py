"""What `mammoflow predict` does with its arguments, and the lines that it prints."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mammoflow.errors import ConfigError
from mammoflow.prediction.api import predict, predict_table
from mammoflow.prediction.output import OVERLAY, RESULT
from mammoflow.prediction.requests import BOX_FORM, POINT_FORM, parse_numbers
from mammoflow.prediction.results import NOTICE
from mammoflow.prediction.table import is_table
from mammoflow.storage.files import read_json


def run_predict(
    image: Path, boxes: Sequence[str], points: Sequence[str], out: Path, options: dict[str, Any], show: bool
) -> None:
    """Answer a film, or the films of a table, and print what was found.

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
    if is_table(image):
        if boxes or points:
            raise ConfigError(f"--box and --point are given beside the table {image}; expected boxes in its columns")
        table = predict_table(image, out, **options)
        print(f"{len(table)} lesions of {table['id'].nunique()} films: {out}/")
        print(NOTICE, file=sys.stderr)
        return
    given = [parse_numbers(text, 4, f"--box {BOX_FORM}") for text in boxes]
    places = [parse_numbers(text, 2, f"--point {POINT_FORM}") for text in points]
    predict(image, given, places, out=out, **options)
    content = read_json(out / RESULT)
    for lesion in content["lesions"]:
        print(_line(lesion))
    flags = ", ".join(content["image"]["flags"])
    for note in filter(None, (f"flags of the film: {flags}" if flags else "", content["dicom_note"])):
        print(note, file=sys.stderr)
    print(f"written: {out}/")
    print(NOTICE, file=sys.stderr)
    if show and not webbrowser.open((out / OVERLAY).resolve().as_uri()):
        print(f"this machine has no viewer; open {out / OVERLAY}", file=sys.stderr)


def _line(lesion: dict[str, Any]) -> str:
    """Describe a lesion of `result.json` in a line."""
    diameter, estimate = lesion["longest_diameter_mm"], lesion["predicted_iou"]
    parts = [
        f"area {lesion['area_mm2']:.1f} mm²",
        "longest diameter " + ("not defined" if diameter is None else f"{diameter:.1f} mm"),
        "predicted IoU " + ("not defined" if estimate is None else f"{estimate:.2f}"),
    ]
    for name, said in lesion["malignancy"].items():
        probability = "no input" if said["probability"] is None else f"{said['probability']:.2f}"
        parts.append(f"malignancy by {name} {probability} (threshold {said['threshold']:.2f})")
    return f"lesion {lesion['number']}: {'; '.join([*parts, *lesion['notes']])}"
