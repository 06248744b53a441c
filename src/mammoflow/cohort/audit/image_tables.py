"""What is known about films and lesions: pixel spacing by its origin, and what the image stage found odd."""

from __future__ import annotations

import pandas as pd

from mammoflow.cohort.audit.study_tables import StudyTables
from mammoflow.tables.listing import FLAG

LATER = "header or default (images not prepared yet)"


def spacing_by_origin(tables: StudyTables) -> pd.DataFrame:
    """Describe the pixel spacing of the films by data set and origin.

    Returns
    -------
    DataFrame
        `source`, `origin`, `images`, `share`, and `least_mm`, `median_mm`, `largest_mm` of a film pixel.
    """
    images = tables.usable_images
    spacing = images["film_spacing_mm" if tables.prepared else "spacing_mm"]
    origin = images["spacing_origin"].fillna("not recorded" if tables.prepared else LATER)
    grouped = spacing.groupby([images["source"], origin])
    table = pd.DataFrame(grouped.agg(images="size", least_mm="min", median_mm="median", largest_mm="max"))
    table = table.rename_axis(["source", "origin"]).reset_index()
    table.insert(3, "share", table["images"] / max(len(images), 1))
    return table.sort_values(["source", "images"], ascending=[True, False], ignore_index=True)


def flagged_images(images: pd.DataFrame) -> pd.DataFrame:
    """Return one row per image and flag: `image_id`, `patient_id`, `flag`; see `flagged`."""
    return flagged(images, ["image_id", "patient_id"])


def flagged_lesions(lesions: pd.DataFrame) -> pd.DataFrame:
    """Return one row per lesion and flag: `lesion_id`, `image_id`, `patient_id`, `flag`; see `flagged`."""
    return flagged(lesions, ["lesion_id", "image_id", "patient_id"])


def flagged(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return one row per case and flag, sorted by flag and id.

    Flags are the columns of the image stage whose name starts with `flag_`, where they are true, and the words of a
    column `flags`, parted by semicolons.

    Parameters
    ----------
    table
        Images or lesions.
    keys
        Columns of ids to keep, the id of the case first.
    """
    raised_flags = []
    for column in table.columns:
        if str(column).startswith(FLAG):
            raised = table[table[column].fillna(False).astype(bool)]
            name = str(column).removeprefix(FLAG).replace("_", " ")
            raised_flags.append(raised[keys].assign(flag=name))
    if "flags" in table.columns:
        words = table["flags"].fillna("").astype(str).str.split(";")
        exploded = table[keys].assign(flag=words).explode("flag")
        exploded["flag"] = exploded["flag"].str.strip().str.replace("_", " ")
        raised_flags.append(exploded[exploded["flag"] != ""])
    columns = [*keys, "flag"]
    filled = [rows for rows in raised_flags if len(rows)]
    if not filled:
        return pd.DataFrame(columns=columns)
    return pd.concat(filled)[columns].drop_duplicates().sort_values(["flag", keys[0]], ignore_index=True)


def has_flags(table: pd.DataFrame) -> bool:
    """Tell whether the image stage looks for anything at all."""
    return any(str(column).startswith(FLAG) or column == "flags" for column in table.columns)


def flag_counts(cases: pd.DataFrame, what: str = "images") -> pd.DataFrame:
    """Count cases by flag; `flag`, `images` or `lesions`, `patients`, the most frequent first.

    Parameters
    ----------
    cases
        From `flagged`, with its first column as the id of a case.
    what
        Name of the column of counts.
    """
    key = cases.columns[0]
    counted = cases.groupby("flag").agg(**{what: (key, "nunique"), "patients": ("patient_id", "nunique")})
    return counted.reset_index().sort_values([what, "flag"], ascending=[False, True], ignore_index=True)
