"""The four case tables of CBIS-DDSM, with what is odd in them, and the counts that describe them.

The tables put a newline inside a quoted path of every row, end the header in CRLF, and spell the density column in two
ways; the type and the official side of a row are in its image path (`Mass-Training_P_00001_LEFT_CC/...`). One table
may join the four, with the columns of all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mammoflow.cohort.table_files import ORIGIN, PROBLEM, read_text_table, require_columns
from mammoflow.cohort.words import BLANKS
from mammoflow.errors import StudyError

USUAL_TABLES = (
    "mass_case_description_train_set.csv",
    "mass_case_description_test_set.csv",
    "calc_case_description_train_set.csv",
    "calc_case_description_test_set.csv",
)
COLUMNS = [
    "patient_id",
    "breast_density",
    "left_or_right_breast",
    "image_view",
    "abnormality_id",
    "abnormality_type",
    "assessment",
    "pathology",
    "subtlety",
    "image_file_path",
    "cropped_image_file_path",
    "roi_mask_file_path",
]
DESCRIPTIONS = {"mass_shape": "shape", "calc_type": "shape", "mass_margins": "margins", "calc_distribution": "margins"}
FOLDER_PATTERN = re.compile(r"(?P<type>Mass|Calc)-(?P<side>Training|Test)_.+")


def read_case_tables(folder: Path, tables: list[str] | None = None) -> pd.DataFrame:
    """Read the case tables of a CBIS-DDSM download; one row for each of their rows, all values text.

    Parameters
    ----------
    folder
        The study folder.
    tables
        Names of the tables below the folder; without them, those of the four usual ones that are there.

    Returns
    -------
    DataFrame
        The tables' columns with underscores and in lower case; `shape` and `margins` hold a calcification's type and
        distribution too; `official_split` is "train", "test" or ""; `image_folder` is the first part of the image
        path; `row_origin` and `row_problem` as `read_text_table` gives them.

    Raises
    ------
    StudyError
        If no table is there or a column is missing.
    """
    names = tables or [name for name in USUAL_TABLES if (folder / name).is_file()]
    if not names:
        present = ", ".join(sorted(path.name for path in folder.glob("*.csv"))[:10]) or "none"
        raise StudyError(
            f"no case table in {folder}: expected at least one of {', '.join(USUAL_TABLES)}; CSV files found: "
            f"{present}. Put the tables of the data set's page there or name yours in cohort.dataset.tables"
        )
    return pd.concat([_read_one(folder / name) for name in names], ignore_index=True)


def is_case_table(path: Path) -> bool:
    """Tell whether a table has the columns of CBIS-DDSM's case tables.

    Raises
    ------
    StudyError
        If it cannot be read.
    """
    return set(COLUMNS) <= {_plain(str(name)) for name in read_text_table(path).columns}


def count_case_tables(rows: pd.DataFrame) -> dict[str, int]:
    """Count what has to be known before any result on these tables is believed.

    Parameters
    ----------
    rows
        What `read_case_tables` returns. An image folder is one stored film; a film is patient, side and view.
    """
    film_id = rows["patient_id"] + "_" + rows["left_or_right_breast"] + "_" + rows["image_view"]
    malignant = rows["pathology"].str.upper() == "MALIGNANT"
    folders = rows.assign(malignant=malignant).groupby("image_folder")
    sides = rows[rows["official_split"] != ""].groupby("patient_id")["official_split"].nunique()
    return {
        "rows": len(rows),
        "patients": int(rows["patient_id"].nunique()),
        "image_folders": int(rows["image_folder"].nunique()),
        "films": int(film_id.nunique()),
        "films_stored_twice": int((rows.groupby(film_id)["image_folder"].nunique() > 1).sum()),
        "patients_in_both_official_splits": int((sides > 1).sum()),
        "image_folders_with_several_abnormalities": int((folders.size() > 1).sum()),
        "image_folders_mixing_malignant_and_benign": int((folders["malignant"].nunique() > 1).sum()),
        "malignant": int(malignant.sum()),
        "benign_without_callback": int((rows["pathology"].str.upper() == "BENIGN_WITHOUT_CALLBACK").sum()),
        "birads_zero": int((rows["assessment"] == "0").sum()),
    }


def _read_one(path: Path) -> pd.DataFrame:
    table = _with_plain_names(read_text_table(path))
    require_columns(table, COLUMNS, f"case table {path}")
    rows = table[[*COLUMNS, ORIGIN, PROBLEM]].copy()
    for name in ("shape", "margins"):
        sources = [old for old, new in DESCRIPTIONS.items() if new == name and old in table.columns]
        rows[name] = [_first(values) for values in table[sources].to_numpy().tolist()]
        rows[name] = rows[name].replace("NA", "")
    rows["image_folder"] = rows["image_file_path"].str.split("/").str[0]
    rows["official_split"] = [_official_split(folder, path.name) for folder in rows["image_folder"]]
    return rows


def _with_plain_names(table: pd.DataFrame) -> pd.DataFrame:
    """Give the columns plain names and join those of one name; a row in which these differ has a problem."""
    names = [name if name in (ORIGIN, PROBLEM) else _plain(name) for name in table.columns]
    joined: dict[str, list[str]] = {}
    problems = table[PROBLEM].tolist()
    for name in dict.fromkeys(names):
        rows = table.loc[:, [other == name for other in names]].to_numpy().tolist()
        joined[name] = [_first(values) for values in rows]
        for place, values in enumerate(rows):
            said = list(dict.fromkeys(value for value in values if not _is_blank(value)))
            if len(said) > 1:
                problems[place] = problems[place] or (
                    f"the columns that are called {name} have the values {' and '.join(map(repr, said))}; "
                    "expected one value"
                )
    return pd.DataFrame({**joined, PROBLEM: problems}, dtype="str")


def _first(values: Sequence[str]) -> str:
    """Return the first value that is no blank; where all are blanks, the first word for a blank."""
    return next((value for value in values if not _is_blank(value)), next(filter(None, values), ""))


def _is_blank(value: str) -> bool:
    return not value or value.lower() in BLANKS


def _plain(name: str) -> str:
    return re.sub(r"\s+", "_", name.strip().lower())


def _official_split(folder: str, table: str) -> str:
    side_of_folder = FOLDER_PATTERN.fullmatch(folder)
    if side_of_folder:
        return "train" if side_of_folder["side"] == "Training" else "test"
    words = re.split(r"[^a-z]+", table.lower())  # "latest" is no test set
    return next((side for side in ("train", "test") if any(word.startswith(side) for word in words)), "")
