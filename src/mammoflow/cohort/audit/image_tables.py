"""What is known about the films: pixel spacing by where it came from, and what the image stage found odd."""

from __future__ import annotations

import pandas as pd

from mammoflow.cohort.audit.study_tables import StudyTables

FLAG = "flag_"
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
    """Return one row an image and flag: `image_id`, `patient_id`, `flag`.

    Flags are the columns of the image stage whose name starts with `flag_`, where they are true, and the words of a
    column `flags`, parted by semicolons.
    """
    raised_flags = []
    for column in images.columns:
        if str(column).startswith(FLAG):
            raised = images[images[column].fillna(False).astype(bool)]
            name = str(column).removeprefix(FLAG).replace("_", " ")
            raised_flags.append(raised[["image_id", "patient_id"]].assign(flag=name))
    if "flags" in images.columns:
        words = images["flags"].fillna("").astype(str).str.split(";")
        exploded = images[["image_id", "patient_id"]].assign(flag=words).explode("flag")
        exploded["flag"] = exploded["flag"].str.strip().str.replace("_", " ")
        raised_flags.append(exploded[exploded["flag"] != ""])
    columns = ["image_id", "patient_id", "flag"]
    filled = [rows for rows in raised_flags if len(rows)]
    if not filled:
        return pd.DataFrame(columns=columns)
    return pd.concat(filled)[columns].drop_duplicates().sort_values(["flag", "image_id"], ignore_index=True)


def has_flags(images: pd.DataFrame) -> bool:
    """Tell whether the image stage looks for anything at all."""
    return any(str(column).startswith(FLAG) or column == "flags" for column in images.columns)


def flag_counts(flagged: pd.DataFrame) -> pd.DataFrame:
    """Count images by flag; `flag`, `images`, `patients`, the most frequent first."""
    counted = flagged.groupby("flag").agg(images=("image_id", "nunique"), patients=("patient_id", "nunique"))
    return counted.reset_index().sort_values(["images", "flag"], ascending=[False, True], ignore_index=True)
