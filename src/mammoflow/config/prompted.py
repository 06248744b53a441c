"""Settings of the segmentation with prompts: one job of one promptable model."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from mammoflow.config.inference import Colour, EncoderUse, InferenceSettings

Feed = Literal["logits", "box", "both"]
Choice = Literal["first", "predicted_iou", "oracle"]
Heads = Literal["single", "predicted_iou", "head_1", "head_2", "head_3", "oracle"]
FieldOfView = Literal["image", "window"]


class SegmentSettings(InferenceSettings):
    """What one segmentation job needs beside its model."""

    iterations: int = Field(
        3, ge=1, le=10, description="Number of refinement iterations; each prompts the model again with the last mask."
    )
    feed: Feed = Field(
        "logits",
        description="What an iteration takes from the one before: its mask logits in addition to the prompt's own "
        "box, the box around its mask in place of the prompt's, or both.",
    )
    choose: Choice = Field(
        "first",
        description="Which iteration is chosen: the first, the one with the best predicted IoU, or the best by the "
        "reference mask (an oracle, marked as such everywhere).",
    )
    heads: Heads = Field(
        "single",
        description="Mask of the first iteration: that of the single-mask head, or of one of the three heads for "
        "ambiguous prompts: the one with the best predicted IoU, a fixed one (head_1 to head_3), or the "
        "best by the reference mask (oracle, marked as such everywhere).",
    )
    empty_images: bool = Field(
        False,
        description="Prompt images without a lesion too, with a point at their middle, and count empty masks. These "
        "images have a table of their own and are in no mean of lesions.",
    )
    fields_of_view: list[FieldOfView] = Field(
        ["image"],
        min_length=1,
        description="What the network sees: the whole image, as published, or a window of the film around each prompt "
        "(window). Each has its own rows; later stages use the masks of the first.",
    )
    window_boxes: float = Field(
        1.5,
        ge=1,
        le=10,
        description="Side of a window as a multiple of the longest side of the prompt's box; at least window_mm.",
    )
    window_mm: float = Field(40.0, ge=5, le=500, description="Smallest side of a window in millimetres.")
    colour: Colour = Field(
        "grey",
        description="What promptable models see of pictures whose colours differ: their grey levels in three equal "
        "channels, or red, green and blue (rgb), for which images.colour is keep. A picture without colours is grey in "
        "either case. rgb is not for small, which sees grey levels only, nor for fields_of_view with window. Automatic "
        "models have an option of their own.",
    )

    @model_validator(mode="after")
    def check_fields_of_view(self) -> Self:
        """Refuse a field of view that is named twice: its rows would be in the tables twice."""
        if len(set(self.fields_of_view)) < len(self.fields_of_view):
            raise ValueError(f"fields_of_view is {self.fields_of_view}, expected each once")
        return self

    @model_validator(mode="after")
    def check_windows(self) -> Self:
        """Refuse windows in colours."""
        if self.colour == "rgb" and "window" in self.fields_of_view:
            raise ValueError(
                f"colour is rgb and fields_of_view is {self.fields_of_view}, but windows are cut from grey patches of "
                "the film; expected fields_of_view: [image], or colour: grey"
            )
        return self

    @property
    def encoder_use(self) -> EncoderUse:
        """How the image encoder is used."""
        return EncoderUse(self.precision, self.colour)
