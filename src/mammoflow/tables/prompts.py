"""The table of prompts."""

from __future__ import annotations

import pandera.pandas as pa

from mammoflow.tables.columns import flag, integer, number, text

BOX = ["y0", "x0", "y1", "x1"]
"""Columns of a half-open box in canonical pixels."""

CLIPPED = "flag_box_clipped"
"""Column that says that the box of a reader reached beyond the film."""

MISSES = "flag_box_misses"
"""Column that says that the box of a reader does not meet the reference of its lesion."""

REFERENCE = "reference"
"""Origin of the prompts that are made from the reference."""


# One row for each prompt; coordinates are canonical pixels, boxes half-open, clipped to the image.
PROMPTS = pa.DataFrameSchema(
    {
        "prompt_id": text(),
        "lesion_id": text(),
        "image_id": text(),
        "kind": text(choices=("box", "point", "box_point")),
        "origin": text(),  # "reference", "reader:<name>" or "model:<name>"
        "draw": integer(0, 1000),  # 0: exact; else drawn at random, or a reader's further box for the lesion
        "margin_mm": number(),  # null for a point without a box
        "y0": number(),  # null for a point without a box
        "x0": number(),
        "y1": number(),
        "x1": number(),
        CLIPPED: flag(required=False),
        MISSES: flag(required=False),
        "points": text(),  # JSON: a list of [y, x, label], label 1 on the lesion, 0 beside it; "" where there is none
    },
    unique=["prompt_id"],
    name="prompts",
)
