"""Tables of the cohort stage: images, lesions, rows of the case tables, and what was left out."""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa

from mammoflow.config.split_names import SPLITS
from mammoflow.tables.columns import flag, integer, number, text

LABEL_ORIGINS = ("pathology", "birads")
BIRADS_CATEGORIES = ("4A", "4B", "4C")

# Of images and lesions, where the cohort has them.
_OF_COHORT = {
    "study": text(nullable=True, required=False),  # folder of the row's study, where several are read
    "phantom": flag(required=False),  # the row's study is synthetic
    "anonymous": flag(required=False),  # ids are digests, and no other table may have the names of the row's files
    "fold": integer(0, 1023, required=False),  # the part in which the patient is test, for a split into folds
    # 1 where the split was drawn by image on purpose, so that patients are on two sides
    "leaking": integer(0, 1, required=False),
}


# One row per film or exposure. Paths are relative to the study folder.
IMAGES = pa.DataFrameSchema(
    {
        "image_id": text(),
        "patient_id": text(),
        "source": text(),  # name of the data set
        "laterality": text(choices=("L", "R", "")),
        "view": text(),  # CC, MLO, ... or "" where unknown
        "density": integer(0, 4),
        "image_path": text(),
        # Of a volume: plane and index of the slice, such as "axial 12".
        "volume_slice": text(nullable=True, required=False),
        "frame": integer(0, required=False),  # index of the frame in a file of several; null: the file has one
        "spacing_mm": number(above=0),  # film pixel spacing from the table; null where the table gives none
        "spacing_origin": text(nullable=True),  # see mammoflow.imaging.spacing.Spacing; null: not yet known
        "default_spacing_mm": number(above=0),  # taken where neither header nor table gives one; null excludes
        "official_split": text(choices=("train", "test", "")),
        "split": text(choices=SPLITS),
        "shard": integer(0, 1023),
        # It has a lesion of known malignancy, or is known to have no lesion; others take no part in any figure.
        "labelled": flag(required=False),
        # Every lesion that the case tables name on it is in the table of lesions, so a normal film is annotated too.
        "fully_annotated": flag(required=False),
        "stays_without_lesions": flag(required=False),  # the images stage keeps it although it can use no lesion of it
        **_OF_COHORT,
    },
    unique=["image_id"],
    name="images",
)


# One row for each row of the case tables that could be read, before anything is left out: what the audit counts.
ROWS = pa.DataFrameSchema(
    {
        "patient_id": text(),
        "image_id": text(),
        "lesion_id": text(nullable=True),  # not unique: a case table may repeat a row
        "finding_id": text(nullable=True),
        "source": text(),
        "laterality": text(nullable=True),
        "view": text(nullable=True),
        "lesion_type": text(nullable=True),
        "label": text(nullable=True, choices=("malignant", "benign", "normal")),  # null: malignancy is unknown
        "pathology": text(nullable=True),
        "birads": integer(0, 6),
        "density": integer(0, 4),
        "official_split": text(nullable=True),
        "image_name": text(nullable=True),  # the film as the case table names it; null where a reader has no name
    },
    name="rows",
)


# One row per annotated abnormality on one image.
LESIONS = pa.DataFrameSchema(
    {
        "lesion_id": text(),
        "finding_id": text(),
        "image_id": text(),
        "patient_id": text(),
        "source": text(),
        "laterality": text(choices=("L", "R", "")),
        "view": text(),
        "lesion_type": text(choices=("mass", "calcification", "unknown")),
        "malignant": integer(0, 1),  # null: not known; only where `cohort.unlabelled` is keep
        "pathology": text(nullable=True),  # as the case table has it
        "birads": integer(0, 6),
        # The subcategory of an assessment of 4, where the table gives one.
        "birads_category": text(nullable=True, choices=BIRADS_CATEGORIES, required=False),
        "age": number(above=0, required=False),  # of the patient in years, where the table gives it
        "density": integer(0, 4),
        "subtlety": integer(0, 5),
        "shape": text(nullable=True),  # mass shape, or calcification type
        "margins": text(nullable=True),  # mass margins, or calcification distribution
        "mask_path": text(nullable=True),  # relative to the study folder; null for a study of boxes
        # Which regions of a file of contours the lesion is: their places, from 0, with commas; null takes all of them.
        "mask_item": text(nullable=True, required=False),
        "volume_slice": text(nullable=True, required=False),  # of a mask volume, as in the table of images
        # Which values of the mask file are the lesion, see mammoflow.config.images.MASK_VALUE; null: not stated.
        "mask_value": text(nullable=True, required=False),
        # Whether malignancy is a biopsy's result or follows from BI-RADS by convention.
        "label_origin": text(nullable=True, choices=LABEL_ORIGINS, required=False),
        # Of a synthetic study: the number from which label, assessment and appearance of the lesion follow.
        "hidden_suspicion": number(required=False),
        "box_y0": number(),  # half-open box in film pixels, where the table gives one
        "box_x0": number(),
        "box_y1": number(),
        "box_x1": number(),
        "official_split": text(choices=("train", "test", "")),
        "split": text(choices=SPLITS),
        "shard": integer(0, 1023),
        **_OF_COHORT,
    },
    unique=["lesion_id"],
    name="lesions",
)


# One row per patient and fold, of a run that makes every fold.
FOLDS = pa.DataFrameSchema(
    {
        "patient_id": text(),
        "fold": integer(0, 1023),
        "split": text(choices=SPLITS),  # the side of the patient in this fold
    },
    unique=["patient_id", "fold"],
    name="folds",
)


# One row per case that was left out, by whichever stage.
EXCLUDED = pa.DataFrameSchema(
    {
        "stage": text(),
        "level": text(
            choices=("row", "lesion", "image", "patient", "file")
        ),  # file: another one of its image was taken
        "patient_id": text(),
        "image_id": text(),  # "" where the row has none
        "lesion_id": text(),  # "" for a whole image
        "path": text(),  # the file in question, relative to the study folder; "" where none
        "reason": text(),  # a value of one of mammoflow.reasons
        "detail": text(),
    },
    name="excluded",
)


def shown_paths(table: pd.DataFrame, column: str) -> pd.Series:
    """Return paths of a table of images or lesions for tables of results: "" where there is none or it is hidden."""
    paths = table[column].fillna("")
    return paths.mask(table["anonymous"].fillna(False).astype(bool), "") if "anonymous" in table.columns else paths


def measured(lesions: pd.DataFrame) -> pd.DataFrame:
    """Return the lesions of a study that figures are taken of, from a table of all of its lesions.

    They are those of known malignancy. A study without any label still has reference masks, so they are all lesions.
    """
    known = lesions["malignant"].notna()
    return lesions[known] if known.any() else lesions


def made_of_phantoms(table: pd.DataFrame) -> bool:
    """Tell whether any row of a table of images or lesions, of the cohort or canonical, is of a synthetic study."""
    return "phantom" in table.columns and bool(table["phantom"].any())
