"""The tables that stages hand on: their columns, types and bounds, and the one way to read and write them.

Every table is Parquet with a declared schema. Keys never change meaning: `patient_id`; `image_id`, one film or
exposure; `lesion_id`, one annotated abnormality on one image; `finding_id`, the same abnormality over its views.
Columns beyond the declared ones are allowed and kept.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from mammoflow.errors import StudyError
from mammoflow.store import writing

TEXT = "str"
INTEGER = "Int64"
NUMBER = "float64"
FLAG = "bool"
SPLITS = ("train", "validation", "test")
LABEL_ORIGINS = ("pathology", "birads")


def _text(nullable: bool = False, choices: tuple[str, ...] | None = None, required: bool = True) -> pa.Column:
    checks = [pa.Check.isin(list(choices))] if choices else None
    return pa.Column(TEXT, checks=checks, nullable=nullable, coerce=True, required=required)


def _integer(low: int | None = None, high: int | None = None, required: bool = True) -> pa.Column:
    checks = [pa.Check.in_range(low, high)] if low is not None and high is not None else None
    return pa.Column(INTEGER, checks=checks, nullable=True, coerce=True, required=required)


def _number(nullable: bool = True, above: float | None = None, required: bool = True) -> pa.Column:
    checks = [pa.Check.gt(above)] if above is not None else None
    return pa.Column(NUMBER, checks=checks, nullable=nullable, coerce=True, required=required)


def _flag(required: bool = True) -> pa.Column:
    return pa.Column(FLAG, coerce=True, required=required)


# Of images and lesions, where the cohort has them.
_OF_COHORT = {
    "study": _text(nullable=True, required=False),  # folder of the row's study, where several are read
    "fold": _integer(0, 1023, required=False),  # the part in which the patient is test, for a split into folds
    # 1 where the split was drawn by image on purpose, so that patients stand on two sides
    "leaking": _integer(0, 1, required=False),
}


# One row a film or exposure. Paths are relative to the study folder.
IMAGES = pa.DataFrameSchema(
    {
        "image_id": _text(),
        "patient_id": _text(),
        "source": _text(),  # name of the data set
        "laterality": _text(choices=("L", "R", "")),
        "view": _text(),  # CC, MLO, ... or "" where unknown
        "density": _integer(0, 4),
        "image_path": _text(),
        "spacing_mm": _number(above=0),  # film pixel spacing from the table; null where the table gives none
        "spacing_origin": _text(nullable=True),  # see mammoflow.imaging.spacing.Spacing; null: not yet known
        "default_spacing_mm": _number(above=0),  # taken where neither header nor table gives one; null excludes
        "official_split": _text(choices=("train", "test", "")),
        "split": _text(choices=SPLITS),
        "shard": _integer(0, 1023),
        **_OF_COHORT,
    },
    unique=["image_id"],
    name="images",
)

# One row a row of the case tables that could be read, before anything is left out: what the audit counts.
ROWS = pa.DataFrameSchema(
    {
        "patient_id": _text(),
        "image_id": _text(),
        "lesion_id": _text(nullable=True),  # not unique: a case table may repeat a row
        "finding_id": _text(nullable=True),
        "source": _text(),
        "laterality": _text(nullable=True),
        "view": _text(nullable=True),
        "lesion_type": _text(nullable=True),
        "label": _text(nullable=True, choices=("malignant", "benign", "normal")),  # null: malignancy is unknown
        "pathology": _text(nullable=True),
        "birads": _integer(0, 6),
        "density": _integer(0, 4),
        "official_split": _text(nullable=True),
        "image_name": _text(nullable=True),  # the film as the case table names it; null where a reader has no name
    },
    name="rows",
)

# One row an annotated abnormality on one image.
LESIONS = pa.DataFrameSchema(
    {
        "lesion_id": _text(),
        "finding_id": _text(),
        "image_id": _text(),
        "patient_id": _text(),
        "source": _text(),
        "laterality": _text(choices=("L", "R", "")),
        "view": _text(),
        "lesion_type": _text(choices=("mass", "calcification", "unknown")),
        "malignant": _integer(0, 1),
        "pathology": _text(nullable=True),  # as the case table has it
        "birads": _integer(0, 6),
        "density": _integer(0, 4),
        "subtlety": _integer(0, 5),
        "shape": _text(nullable=True),  # mass shape, or calcification type
        "margins": _text(nullable=True),  # mass margins, or calcification distribution
        "mask_path": _text(nullable=True),  # relative to the study folder; null for a study of boxes
        # Which regions of a file of contours the lesion is: their places, from 0, with commas; null takes all of them.
        "mask_item": _text(nullable=True, required=False),
        # Whether malignancy is a biopsy's result or follows from BI-RADS by convention.
        "label_origin": _text(nullable=True, choices=LABEL_ORIGINS, required=False),
        "box_y0": _number(),  # half-open box in film pixels, where the table gives one
        "box_x0": _number(),
        "box_y1": _number(),
        "box_x1": _number(),
        "official_split": _text(choices=("train", "test", "")),
        "split": _text(choices=SPLITS),
        "shard": _integer(0, 1023),
        **_OF_COHORT,
    },
    unique=["lesion_id"],
    name="lesions",
)

# One row a case that was left out, by whichever stage.
EXCLUDED = pa.DataFrameSchema(
    {
        "stage": _text(),
        "level": _text(
            choices=("row", "lesion", "image", "patient", "file")
        ),  # file: another one of its image was taken
        "patient_id": _text(),
        "image_id": _text(),  # "" where the row has none
        "lesion_id": _text(),  # "" for a whole image
        "path": _text(),  # the file in question, relative to the study folder; "" where none
        "reason": _text(),  # a value of mammoflow.errors.Reason
        "detail": _text(),
    },
    name="excluded",
)

# One row an image that later stages can use. Files are relative to the shard's folder.
CANONICAL_IMAGES = pa.DataFrameSchema(
    {
        **IMAGES.columns,
        "film_height": _integer(1, 100000),
        "film_width": _integer(1, 100000),
        "film_spacing_mm": _number(nullable=False, above=0),
        "height": _integer(1, 100000),  # canonical pixels
        "width": _integer(1, 100000),
        "row_spacing_mm": _number(nullable=False, above=0),  # canonical
        "column_spacing_mm": _number(nullable=False, above=0),
        "image_file": _text(),  # 16-bit grey PNG, (height, width); dark is background
        "breast_file": _text(),  # 8-bit PNG {0, 255}
        "breast_area_mm2": _number(),
        "digest": _text(),  # SHA-256 of shape and grey levels of the canonical image
        # The pectoral muscle; null where the view shows none or none is clear.
        "pectoral_file": _text(nullable=True, required=False),  # 8-bit PNG {0, 255}, (height, width)
        "pectoral_share": _number(required=False),  # of the breast region's area
        "pectoral_angle_deg": _number(required=False),  # between its edge, as a straight line, and the chest wall
        "pectoral_top_mm": _number(required=False),  # where that line meets the upper edge, from the corner
        "pectoral_side_mm": _number(required=False),  # and the chest wall
        "pectoral_contrast": _number(required=False),  # brighter than its surroundings, of the breast's range of levels
        # What the file's header says; every run of the images stage writes these.
        "presentation": _text(choices=("presentation", "processing", "unknown"), required=False),
        "voi": _text(required=False),  # VOI transformation in the grey levels: "none", "window 1 of 2", "lut 1 of 1"
        "scanner": _text(nullable=True, required=False),  # device, where it is a known one
        "magnification": _number(above=0, required=False),  # of the breast in the detector's plane; null: not said
        "laterality_header": _text(choices=("L", "R", ""), required=False),
        "laterality_image": _text(choices=("L", "R", ""), required=False),  # where the breast lies; "" where unclear
        "view_header": _text(required=False),
        "flag_for_processing": _flag(required=False),
        "flag_laterality_conflict": _flag(required=False),  # case table, header and image do not agree
        "flag_view_conflict": _flag(required=False),  # case table and header do not agree
        "flag_spacing_conflict": _flag(required=False),  # elements of the header disagree, or with the spacing taken
        "flag_spacing_implausible": _flag(required=False),  # header or table has a spacing that cannot be
        "flag_pixels_not_square": _flag(required=False),
        "flag_photometric_conflict": _flag(required=False),  # MONOCHROME2 with INVERSE, or MONOCHROME1 with IDENTITY
        "flag_lossy_compression": _flag(required=False),
    },
    unique=["image_id"],
    name="canonical images",
)

# One row a lesion that later stages can use.
CANONICAL_LESIONS = pa.DataFrameSchema(
    {
        **LESIONS.columns,
        "mask_file": _text(nullable=True),  # canonical grid, 8-bit PNG {0, 255}; null for a study of boxes
        "y0": _number(nullable=False),  # half-open reference box in canonical pixels
        "x0": _number(nullable=False),
        "y1": _number(nullable=False),
        "x1": _number(nullable=False),
        "area_mm2": _number(),
        "diameter_mm": _number(),  # longest diameter of the reference mask, or of the box
        "patch_file": _text(),  # 16-bit PNG at patch spacing, centred on the box; outside the film is 0
        "patch_breast_file": _text(),  # 8-bit PNG {0, 255} on the patch grid; outside the film is 0
        "patch_mask_file": _text(nullable=True),  # reference mask on the patch grid
        "patch_spacing_mm": _number(nullable=False, above=0),
        "patch_y0": _number(nullable=False),  # top left corner of the patch in canonical pixels, may be negative
        "patch_x0": _number(nullable=False),
    },
    unique=["lesion_id"],
    name="canonical lesions",
)

# One row a prompt; coordinates are canonical pixels, boxes half-open, clipped to the image.
PROMPTS = pa.DataFrameSchema(
    {
        "prompt_id": _text(),
        "lesion_id": _text(),
        "image_id": _text(),
        "kind": _text(choices=("box", "point", "box_point")),
        "origin": _text(),  # "reference", "reader:<name>" or "model:<name>"
        "draw": _integer(0, 1000),  # 0: exact; else drawn at random, or a reader's further box for the lesion
        "margin_mm": _number(),  # null for a point without a box
        "y0": _number(),  # null for a point without a box
        "x0": _number(),
        "y1": _number(),
        "x1": _number(),
        "points": _text(),  # JSON: a list of [y, x, label], label 1 on the lesion, 0 beside it; "" where there is none
    },
    unique=["prompt_id"],
    name="prompts",
)

HEAD_CHOICES = ("single", "predicted_iou", "head_1", "head_2", "head_3", "oracle")

# One row a prompt, model, field of view and iteration.
SEGMENTATION_SCORES = pa.DataFrameSchema(
    {
        "lesion_id": _text(),
        "image_id": _text(),
        "patient_id": _text(),
        "model": _text(),
        "field_of_view": _text(choices=("image", "window", "")),  # what the network saw; "" for a floor
        "view_spacing_mm": _number(above=0),  # of the pixels that the network saw; null for a floor
        "prompt_id": _text(),
        "kind": _text(choices=("box", "point", "box_point")),  # kind, origin and draw as in PROMPTS
        "origin": _text(),
        "draw": _integer(0, 1000),
        "margin_mm": _number(),
        "iteration": _integer(1, 10),
        "dice": _number(),
        "iou": _number(),
        "precision": _number(),
        "recall": _number(),
        "pixel_accuracy": _number(),  # over the whole image
        "hd95_mm": _number(),  # null where mask or reference is empty
        "surface_distance_mm": _number(),  # average symmetric; null likewise
        "predicted_iou": _number(),  # the model's own estimate; null for a floor
        "area_mm2": _number(),
        "area_error_mm2": _number(),  # area of the mask less that of the reference
        "area_error_share": _number(),  # the same in shares of the reference's area; null where that is 0
        "missed": _flag(),  # the mask shares no pixel with the reference
        "chosen": _flag(),  # the iteration that goes on
        "choice": _text(choices=("first", "predicted_iou", "oracle", "")),  # how it was chosen; "" for a floor
        "feed": _text(choices=("logits", "box", "both", "")),  # what iterations take from the one before
        "head": _integer(0, 3),  # whose mask this is: 0 the single-mask head, 1 to 3 one of the three; null for a floor
        "head_choice": _text(choices=(*HEAD_CHOICES, "")),  # how the first iteration's was chosen; later ones follow it
        "head_1_predicted_iou": _number(),  # of each of the three heads, where the first iteration asked for them
        "head_2_predicted_iou": _number(),
        "head_3_predicted_iou": _number(),
        "head_1_dice": _number(),
        "head_2_dice": _number(),
        "head_3_dice": _number(),
        "seen": _flag(),  # the patient is among those that the weights were trained on, as far as is known
    },
    name="segmentation scores",
)

# One row a lesion and model: the mask that goes on to features and classifiers.
MASKS = pa.DataFrameSchema(
    {
        "lesion_id": _text(),
        "image_id": _text(),
        "patient_id": _text(),
        "model": _text(),
        "field_of_view": _text(choices=("image", "window")),
        "prompt_id": _text(),
        "mask_file": _text(),  # canonical grid, 8-bit PNG {0, 255}, relative to the shard's folder
        "iteration": _integer(1, 10),
        "choice": _text(choices=("first", "predicted_iou", "oracle")),
        "head_choice": _text(choices=HEAD_CHOICES),
        "area_mm2": _number(),
        "predicted_iou": _number(),
        # The prompt that it was made from, as in PROMPTS.
        **{f"prompt_{side}": _number(required=False) for side in ("y0", "x0", "y1", "x1")},
        "prompt_points": _text(nullable=True, required=False),
    },
    unique=["lesion_id", "model"],
    name="masks",
)

# One row a lesion; every further column is a feature.
FEATURES = pa.DataFrameSchema({"lesion_id": _text(), "patient_id": _text()}, unique=["lesion_id"], name="features")

# One row a lesion, model and seed.
PREDICTIONS = pa.DataFrameSchema(
    {
        "lesion_id": _text(),
        "image_id": _text(),
        "patient_id": _text(),
        "model": _text(),
        "seed": _integer(0, 2**31),
        "split": _text(choices=SPLITS),
        "malignant": _integer(0, 1),
        "probability": pa.Column(NUMBER, checks=[pa.Check.in_range(0, 1)], nullable=True, coerce=True),
        "threshold": _number(nullable=False),  # chosen on validation
        "predicted": _integer(0, 1),
    },
    unique=["lesion_id", "model", "seed"],
    name="predictions",
)


def empty_table(schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Return a table of the schema's columns and types without rows."""
    return pd.DataFrame({name: pd.Series(dtype=str(column.dtype)) for name, column in schema.columns.items()})


def validate_table(table: pd.DataFrame, schema: pa.DataFrameSchema, origin: str) -> pd.DataFrame:
    """Bring a table to its schema's types and check it.

    Raises
    ------
    StudyError
        If a column is missing, a value does not fit, or a key is repeated; the message shows the first cases.
    """
    if table.empty:
        missing = [name for name in schema.columns if name not in table.columns]
        table = table.assign(**{name: empty_table(schema)[name] for name in missing})
    try:
        return pd.DataFrame(schema.validate(table, lazy=True))
    except SchemaErrors as error:
        cases = error.failure_cases[["column", "check", "failure_case"]].head(5).to_string(index=False)
        raise StudyError(f"{origin} does not fit the {schema.name} table:\n{cases}") from error


def write_table(table: pd.DataFrame, schema: pa.DataFrameSchema, path: Path) -> pd.DataFrame:
    """Validate a table and write it as Parquet in one step, never half; return what was written."""
    valid = validate_table(table, schema, f"table for {path}")
    with writing(path) as temporary:
        valid.reset_index(drop=True).to_parquet(temporary, index=False)
    return valid


def read_table(path: Path, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Read a Parquet table and check it against its schema.

    Raises
    ------
    StudyError
        If the file is missing or does not fit.
    """
    if not path.is_file():
        raise StudyError(f"table {path} does not exist; run the stage that writes it first")
    return validate_table(pd.read_parquet(path), schema, f"table {path}")


def read_tables(paths: list[Path], schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Read the shards of a table and join them in the order given."""
    tables = [read_table(path, schema) for path in paths]
    filled = [table for table in tables if not table.empty] or tables[:1]
    return pd.concat(filled, ignore_index=True)
