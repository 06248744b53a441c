"""Tables of the segmentation stage: masks and their scores."""

from __future__ import annotations

import pandera.pandas as pa

from mammoflow.config.split_names import SPLITS
from mammoflow.tables.columns import flag, integer, number, text

KINDS = ("box", "point", "box_point", "none")
CHOICES = ("first", "predicted_iou", "oracle")
HEAD_CHOICES = ("single", "predicted_iou", "head_1", "head_2", "head_3", "oracle")


# One row per prompt, model, field of view and iteration.
SEGMENTATION_SCORES = pa.DataFrameSchema(
    {
        "lesion_id": text(),
        "image_id": text(),
        "patient_id": text(),
        "model": text(),
        "field_of_view": text(choices=("image", "window", "")),  # what the network saw; "" for a floor
        "view_spacing_mm": number(above=0),  # of the pixels that the network saw; null for a floor
        "prompt_id": text(nullable=True),  # null for an automatic model
        "kind": text(nullable=True, choices=KINDS),  # kind, origin and draw as in PROMPTS; "none" without a prompt
        "origin": text(),  # as in PROMPTS; "automatic" without a prompt
        "draw": integer(0, 1000),
        "margin_mm": number(),
        "iteration": integer(1, 10),  # null for an automatic model
        "dice": number(),
        "iou": number(),
        "precision": number(),
        "recall": number(),
        "pixel_accuracy": number(),  # over the whole image
        "hd95_mm": number(),  # null where mask or reference is empty
        "surface_distance_mm": number(),  # average symmetric; null likewise
        "predicted_iou": number(),  # the model's own estimate; null for a floor
        "area_mm2": number(),
        "area_error_mm2": number(),  # area of the mask less that of the reference
        "area_error_share": number(),  # the same in shares of the reference's area; null where that is 0
        "missed": flag(),  # the mask shares no pixel with the reference
        "chosen": flag(),  # the chosen iteration
        "choice": text(nullable=True, choices=(*CHOICES, "")),  # how it was chosen; "" for a floor, null as prompt_id
        "feed": text(choices=("logits", "box", "both", "")),  # what iterations take from the one before
        "head": integer(0, 3),  # whose mask this is: 0 the single-mask head, 1 to 3 one of the three; null for a floor
        "head_choice": text(  # how the first iteration's was chosen; later ones follow it
            nullable=True, choices=(*HEAD_CHOICES, "")
        ),
        "head_1_predicted_iou": number(),  # of each of the three heads, where the first iteration asked for them
        "head_2_predicted_iou": number(),
        "head_3_predicted_iou": number(),
        "head_1_dice": number(),
        "head_2_dice": number(),
        "head_3_dice": number(),
        "seen": flag(),  # the patient is among those that the weights were trained on, as far as is known
    },
    name="segmentation scores",
)


# One row per lesion and model: the mask that is used for features and classifiers.
MASKS = pa.DataFrameSchema(
    {
        "lesion_id": text(),
        "image_id": text(),
        "patient_id": text(),
        "model": text(),
        "field_of_view": text(choices=("image", "window")),
        "prompt_id": text(nullable=True),  # null for an automatic model, as are iteration, choice and head_choice
        "mask_file": text(),  # canonical grid, 8-bit PNG {0, 255}, relative to the shard's folder
        "digest": text(nullable=True, required=False),  # SHA-256 of the mask: a table is equal where its pictures are
        "iteration": integer(1, 10),
        "choice": text(nullable=True, choices=CHOICES),
        "head_choice": text(nullable=True, choices=HEAD_CHOICES),
        "area_mm2": number(),
        "predicted_iou": number(),
        # The prompt that it was made from, as in PROMPTS.
        **{f"prompt_{side}": number(required=False) for side in ("y0", "x0", "y1", "x1")},
        "prompt_points": text(nullable=True, required=False),
    },
    unique=["lesion_id", "model"],
    name="masks",
)


# One row per image without a lesion and promptable model, where `segmentation.empty_images` asks for them.
EMPTY_SCORES = pa.DataFrameSchema(
    {
        "image_id": text(),
        "patient_id": text(),
        "split": text(choices=SPLITS),
        "model": text(),
        "area_mm2": number(nullable=False),  # of the mask from a point at the middle of the image
        "predicted_iou": number(),  # the model's own estimate
        "empty": flag(),  # the mask has no pixel, as is right
        "seen": flag(),  # as in SEGMENTATION_SCORES
    },
    unique=["image_id", "model"],
    name="images without lesions",
)
