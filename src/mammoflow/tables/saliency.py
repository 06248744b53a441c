"""The table of saliency maps."""

from __future__ import annotations

import pandera.pandas as pa

from mammoflow.tables.columns import NUMBER, integer, number, text


def _share(nullable: bool = False) -> pa.Column:
    return pa.Column(NUMBER, checks=[pa.Check.in_range(0, 1)], nullable=nullable, coerce=True)


# One row per test lesion, model, seed and method.
SALIENCY = pa.DataFrameSchema(
    {
        "lesion_id": text(),
        "image_id": text(),
        "patient_id": text(),
        "model": text(),
        "seed": integer(0, 2**31),
        "method": text(),
        "malignant": integer(0, 1),
        "probability": number(),
        "pointing_hit": integer(0, 1),  # null, as is energy_inside, where the map is nowhere positive
        "pointing_chance": _share(),  # share of the picture in which a maximum is a hit
        "centre_hit": integer(0, 1),  # whether the picture's centre is there
        "energy_inside": _share(nullable=True),
        "mask_share": _share(),  # share of the picture that the mask covers
        "picture_file": text(nullable=True),  # relative to the table's folder; of the first seed
    },
    unique=["lesion_id", "model", "seed", "method"],
    name="saliency maps",
)
