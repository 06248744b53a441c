"""The answers for a table of films, each in a folder of its own, and the table of all of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow import __version__
from mammoflow.errors import StudyError
from mammoflow.prediction.answers import Plan, answer
from mammoflow.prediction.output import LEFT_OUT, RESULT, TABLE, building, check_folder, check_store, left_out_row
from mammoflow.prediction.results import NOTICE, PROGRAM, LesionResult, Prediction, flags_note, mask_file
from mammoflow.prediction.table import TableRow, read_requests
from mammoflow.prediction.writing import write_prediction
from mammoflow.reasons.imaging import ImagingReason
from mammoflow.storage.files import write_text
from mammoflow.tables.files import write_csv

AT_ONCE = 16
"""Films that are prepared and segmented together; their images and embeddings lie on the disk meanwhile."""


def answer_table(table: Path, out: Path, plan: Plan, spacing_mm: float | None, finding: str) -> pd.DataFrame:
    """Answer every film of a table.

    Parameters
    ----------
    table
        See `mammoflow.prediction.table.read_requests`.
    out
        Folder for one folder of each film, `results.csv` and `left_out.csv`.
    plan
        How films are answered.
    spacing_mm, finding
        Of rows that name none.

    Returns
    -------
    DataFrame
        One row for each lesion.

    Raises
    ------
    ConfigError
        If the store of embeddings is inside `out`.
    StudyError
        If the table cannot be read, no film can be used, or `out` holds something else.
    """
    check_folder(out)
    check_store(plan.store, out)
    request = read_requests(table, spacing_mm, finding)
    left_out, rows = request.left_out, []
    with building(out) as folder:
        for start in range(0, len(request.films), AT_ONCE):
            for answered in answer(request.films[start : start + AT_ONCE], plan):
                if isinstance(answered, Prediction):
                    asked = request.rows[answered.name]
                    content = write_prediction(answered, folder / answered.name, plan.images)
                    rows += [_row(answered, *pair) for pair in zip(content["lesions"], asked, strict=True)]
                    left_out += [
                        _left_out(answered, lesion, row)
                        for lesion, row in zip(answered.lesions, asked, strict=True)
                        if not lesion.is_measured
                    ]
                else:
                    film, problem = answered
                    reason = unusable(film.image, problem)
                    left_out += [left_out_row(row.image, reason, row.origin) for row in request.rows[film.name]]
        if not rows:
            raise StudyError(f"table {table}: no film can be used; the first one: {left_out[0]['reason']}")
        result = pd.DataFrame(rows)
        write_csv(folder / TABLE, result)
        write_csv(folder / LEFT_OUT, pd.DataFrame(left_out, columns=["row", "image", "reason"]))
        names = {"table": TABLE, "left_out": LEFT_OUT}
        record = {"program": PROGRAM, "version": __version__, "notice": NOTICE, "files": names}
        write_text(folder / RESULT, json.dumps(record, indent=2) + "\n")
    for row in left_out:
        print(f"left out: {' '.join(filter(None, (row['row'], row['reason'])))}", file=sys.stderr)
    return result


def _row(answered: Prediction, lesion: dict[str, Any], asked: TableRow) -> dict[str, Any]:
    """Return the row of a lesion in `results.csv`."""
    box = lesion["box"] or {}
    of_film = flags_note(answered.facts["image"]["flags"])
    said = {
        f"{name}_{key}": value[key]
        for name, value in lesion["malignancy"].items()
        for key in ("probability", "malignant")
    }
    return {
        "row": asked.origin,
        "id": asked.identity,
        "image": asked.image,
        "folder": answered.name,
        "lesion": lesion["number"],
        "finding": lesion["finding"],
        **{name: box.get(name) for name in ("x0", "y0", "x1", "y1")},
        **{name: lesion[name] for name in ("area_mm2", "longest_diameter_mm", "predicted_iou")},
        **said,
        "mask": "" if lesion["mask_pixels"] is None else f"{answered.name}/{mask_file(lesion['number'])}",
        "notes": "; ".join(filter(None, [of_film, *lesion["notes"]])),
    }


def _left_out(answered: Prediction, lesion: LesionResult, asked: TableRow) -> dict[str, str]:
    """Return the row of a lesion that the model was not asked about in `left_out.csv`."""
    reason = unusable(answered.image, f"lesion {lesion.number}: {'; '.join(lesion.notes)}")
    return left_out_row(asked.image, reason, asked.origin)


def unusable(path: Path, problem: str) -> str:
    """Say why a film cannot be used, and what to do."""
    if problem.startswith(str(ImagingReason.NO_SPACING)):
        return (
            f"{path}: neither the file nor the request says how large a pixel is; expected --spacing, the millimetres "
            "per pixel of the film"
        )
    return f"{path}: {problem}"
