"""A hand-made run of one automatic model on five images of three patients, whose figures are counted by hand.

| image | patient | lesions | components |
|---|---|---|---|
| A | P1 | L1, L2 | .9 hits L1 (its mask, Dice .8), .8 false positive, .6 hits L2 (Dice .5), .4 a further one on L1 |
| B | P1 | none | .7 false positive |
| C | P2 | L3 | .5 false positive; L3 is missed |
| D | P3 | none | none |
| E | P3 | one that the cohort left out, so that it is not fully annotated | .95, which nobody can judge |
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from mammoflow.evaluation.inputs import Run
from mammoflow.tables.cohort import EXCLUDED, IMAGES, LESIONS
from mammoflow.tables.detections import DETECTIONS, MAPS
from mammoflow.tables.files import empty_table, validate_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.masks import MASKS
from mammoflow.tables.predictions import PREDICTIONS

MODEL = "unet"
PATIENT = {"A": "P1", "B": "P1", "C": "P2", "D": "P3", "E": "P3"}
LESION_DICE = {"L1": ("A", 0.8), "L2": ("A", 0.5), "L3": ("C", 0.0)}
IMAGE_DICE = {"A": 0.6, "B": 0.0, "C": 0.0, "D": 1.0, "E": 0.0}
COMPONENTS = [
    ("A", 0.9, "L1", True),
    ("A", 0.8, None, False),
    ("A", 0.6, "L2", True),
    ("A", 0.4, "L1", False),
    ("B", 0.7, None, False),
    ("C", 0.5, None, False),
    ("E", 0.95, None, False),
]


def detections(split: str = "test") -> pd.DataFrame:
    """Rows of DETECTIONS."""
    rows: list[dict[str, Any]] = []
    for image, score, lesion, is_mask in COMPONENTS:
        number = 1 + sum(row["image_id"] == image for row in rows)
        place = dict.fromkeys(("y", "x", "y0", "x0", "y1", "x1"), 1.0)
        keys = {"image_id": image, "patient_id": PATIENT[image], "split": split, "model": MODEL}
        match = {"lesion_id": lesion, "is_mask": is_mask, "iou": 0.5 if lesion else 0.0, "seen": image == "C"}
        rows.append({**keys, "component": number, "score": score, "area_mm2": 20.0, **place, **match})
    return validate_table(pd.DataFrame(rows), DETECTIONS, "made-up detections")


def maps(split: str = "test") -> pd.DataFrame:
    """Rows of MAPS."""
    rows = [
        {
            "image_id": image,
            "patient_id": patient,
            "split": split,
            "model": MODEL,
            "map_file": f"map/{image}.png",
            "threshold": 0.5,
            "hit_rule": "IoU at least 0.1",
            "fully_annotated": image != "E",
            "lesions": sum(of == image for of, _ in LESION_DICE.values()),
            "components": sum(component[0] == image for component in COMPONENTS),
            "area_mm2": 20.0,
            "reference_area_mm2": 20.0,
            "dice": IMAGE_DICE[image],
            "iou": IMAGE_DICE[image] / (2 - IMAGE_DICE[image]),
            "precision": 0.5,
            "recall": 0.25,
            "pixel_accuracy": 0.99,
            "hd95_mm": None if IMAGE_DICE[image] in (0, 1) else 4.0,
            "surface_distance_mm": None if IMAGE_DICE[image] in (0, 1) else 2.0,
            "seen": image == "C",
        }
        for image, patient in PATIENT.items()
    ]
    return validate_table(pd.DataFrame(rows), MAPS, "made-up maps")


def scores() -> pd.DataFrame:
    """The columns of SEGMENTATION_SCORES that detection reads, for the automatic model and for a prompted one."""
    rows = [
        {
            "lesion_id": lesion,
            "image_id": image,
            "patient_id": PATIENT[image],
            "model": model,
            "origin": origin,
            "dice": dice if origin == "automatic" else 1.0,
        }
        for lesion, (image, dice) in LESION_DICE.items()
        for model, origin in ((MODEL, "automatic"), ("small", "reference"))
    ]
    return pd.DataFrame(rows)


def made_up_run(split: str = "test") -> Run:
    """Return the run."""
    return Run(
        study={"phantom": True},
        cohort_images=empty_table(IMAGES),
        cohort_lesions=empty_table(LESIONS),
        images=empty_table(CANONICAL_IMAGES),
        lesions=empty_table(CANONICAL_LESIONS).assign(lesion_id=[*LESION_DICE]).assign(malignant=1),
        excluded=empty_table(EXCLUDED),
        scores=scores(),
        masks=empty_table(MASKS),
        mask_model="",
        features={},
        predictions=empty_table(PREDICTIONS),
        training={},
        detections=detections(split),
        maps=maps(split),
    )
