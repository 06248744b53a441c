"""Tables of automatic segmentation: probability maps of images, and the components found on them."""

from __future__ import annotations

import pandera.pandas as pa

from mammoflow.config.split_names import SPLITS
from mammoflow.tables.columns import flag, integer, number, text

NO_PROMPT = "none"
"""Kind of the prompt in SEGMENTATION_SCORES where a model needs none."""

AUTOMATIC = "automatic"
"""Origin of the prompt there."""

FOREIGN_MASKS = "foreign"
"""Origin in SEGMENTATION_SCORES of masks of another tool, which have no prompt."""

# One row per connected component of an automatic model's probability map.
DETECTIONS = pa.DataFrameSchema(
    {
        "image_id": text(),
        "patient_id": text(),
        "split": text(choices=SPLITS),
        "model": text(),
        "component": integer(1, 100000),  # number on its image; 1 has the highest score
        "score": number(nullable=False),  # 0 to 1, from the probabilities inside
        "area_mm2": number(nullable=False),
        "y": number(nullable=False),  # centroid in canonical pixels; pixel i covers [i, i + 1)
        "x": number(nullable=False),
        "y0": number(nullable=False),  # half-open box in canonical pixels
        "x0": number(nullable=False),
        "y1": number(nullable=False),
        "x1": number(nullable=False),
        "lesion_id": text(nullable=True),  # the lesion that it hits; null: a false positive
        "is_mask": flag(),  # it is the mask of that lesion; false also for a further component on the same lesion
        "iou": number(nullable=False),  # with that lesion; of a false positive the largest with any lesion
        "seen": flag(),  # the weights were trained or chosen on the patient
    },
    unique=["model", "image_id", "component"],
    name="detections",
)


# One row per image and automatic model. Images without a lesion are among them.
MAPS = pa.DataFrameSchema(
    {
        "image_id": text(),
        "patient_id": text(),
        "split": text(choices=SPLITS),
        "model": text(),
        "map_file": text(),  # canonical grid, 16-bit PNG, 65535 is probability 1, relative to the shard's folder
        "threshold": number(nullable=False),  # a pixel above it is lesion
        "hit_rule": text(),  # when a component hits a lesion, in words
        "fully_annotated": flag(),  # every lesion that the case tables name on the image is in the table of lesions
        "lesions": integer(0, 1000),  # on the image, with a mask or a box
        "components": integer(0, 100000),
        "area_mm2": number(nullable=False),  # of all components
        "reference_area_mm2": number(),  # of all lesions; null where one of them has no reference mask
        "dice": number(),  # of all components with all lesions; 1 where both are empty; null as above
        "iou": number(),
        "precision": number(),  # share of the marked area that is lesion; 0 where nothing is marked beside a lesion
        "recall": number(),  # share of the lesions' area that is marked
        "pixel_accuracy": number(),  # over the whole image; close to 1 for any small mask, an empty one included
        "hd95_mm": number(),  # 95th percentile of the Hausdorff distance; null where one of both is empty
        "surface_distance_mm": number(),  # average symmetric surface distance; null likewise
        "seen": flag(),
    },
    unique=["model", "image_id"],
    name="maps",
)
