"""Rows that name the folder of a whole exam in place of a film: each side and view becomes an image of its own."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mammoflow.formats.listing import is_folder
from mammoflow.storage.names import safe_name


def name_films_of_exams(table: pd.DataFrame, study: Path) -> pd.DataFrame:
    """Give rows of one folder that state several sides and views an image id for each side and view.

    The reader then takes the file whose header has that side and view. Rows with an id of their own, of a file, or of a
    folder for which they state one side and view, keep their id.

    Parameters
    ----------
    table
        Rows with `image_id`, `image_name`, `laterality`, `view` and `has_image_id`.
    study
        The study folder.
    """
    derived = table[~table["has_image_id"].astype(bool)]
    new_ids = dict(table["image_id"])
    for name, rows in derived.groupby("image_name"):
        films = rows[["laterality", "view"]]
        stated = bool((films != "").all(axis=None))
        if len(films.drop_duplicates()) > 1 and stated and is_folder(study / str(name)):
            for index, row in rows.iterrows():
                new_ids[index] = safe_name(str(row["image_id"]), str(row["laterality"]), str(row["view"]))
    return table.assign(image_id=pd.Series(new_ids, index=table.index, dtype="str"))


def is_exam(rows: pd.DataFrame, study: Path) -> bool:
    """Tell whether rows of one `image_name` are a folder's films of one patient, one id for each side and view."""
    films = rows[["image_id", "laterality", "view"]].drop_duplicates()
    one_each = films["image_id"].is_unique and not films[["laterality", "view"]].duplicated().any()
    return one_each and rows["patient_id"].nunique() == 1 and is_folder(study / str(rows["image_name"].iloc[0]))
