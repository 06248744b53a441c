"""Tables of the classes of whole images: of the cohort, and of the classifiers that predict them."""

from __future__ import annotations

import pandera.pandas as pa

from mammoflow.config.split_names import SPLITS
from mammoflow.tables.columns import NUMBER, integer, text

# One row per image of the cohort, where `cohort.classes` names classes. A table of its own, so that naming classes
# changes no table that the images stage reads.
IMAGE_CLASSES = pa.DataFrameSchema(
    {
        "image_id": text(),
        "patient_id": text(),
        "image_class": text(nullable=True),  # null: not known, or none of the classes
        "class_number": integer(0, 1023),  # place of the class in `cohort.classes`, from 0
    },
    unique=["image_id"],
    name="image classes",
)


# One row per image, model, seed and class.
CLASS_PREDICTIONS = pa.DataFrameSchema(
    {
        "image_id": text(),
        "patient_id": text(),
        "model": text(),
        "seed": integer(0, 2**31),
        "split": text(choices=SPLITS),
        "image_class": text(nullable=True),  # what the image is
        "class_number": integer(0, 1023),  # place of `predicted_class` in the order of the classes, from 0
        "predicted_class": text(),  # which class the probability is of
        # calibrated; the classes of an image sum to 1
        "probability": pa.Column(NUMBER, checks=[pa.Check.in_range(0, 1)], nullable=True, coerce=True),
    },
    unique=["image_id", "model", "seed", "predicted_class"],
    name="predictions of classes",
)
