"""Settings of the prompts that promptable models are given."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mammoflow.config.base import Settings
from mammoflow.config.paths import UserPath
from mammoflow.config.split_names import Split

PromptKind = Literal["box", "point", "box_point"]


class ReaderSettings(Settings):
    """Boxes that a reader drew."""

    name: str = Field(min_length=1, pattern=r"^[^@#/]+$", description="Name of the reader in the tables; no @, # or /.")
    table: UserPath = Field(
        min_length=1,
        description="CSV or Parquet file with lesion_id or image_id and the half-open box y0, x0, y1, x1.",
    )
    unit: Literal["film_px", "mm"] = Field("film_px", description="Unit of the box, measured from the film's corner.")


class PromptSettings(Settings):
    """Prompts made from the reference masks, and from boxes that readers drew."""

    margins_mm: list[Annotated[float, Field(ge=0)]] = Field(
        [0.0, 5.0, 10.0, 20.0],
        min_length=1,
        description="Margins in millimetres that are added on each side of the lesion's box; each has its own row in "
        "the tables.",
    )
    default_margin_mm: float = Field(
        10.0, ge=0, description="The margin whose masks are used for features and classifiers; one of margins_mm."
    )
    kinds: list[PromptKind] = Field(
        ["box"],
        min_length=1,
        description="Kinds of prompts: box, point (the deepest point of the mask), box_point (both). Features and "
        "classifiers use the masks of the first kind.",
    )
    positive_points: int = Field(
        1,
        ge=1,
        le=10,
        description="Number of points on the lesion; the first is the deepest one, the others are random points "
        "inside.",
    )
    negative_points: int = Field(
        0,
        ge=0,
        le=10,
        description="Number of points beside the lesion, drawn between its mask and the border of the box with its "
        "margin (for the kind point, of the box with default_margin_mm).",
    )
    draws: int = Field(
        0,
        ge=0,
        le=100,
        description="Number of random variants of each exact prompt: boxes are jittered, points lie anywhere inside.",
    )
    jitter_mm: float = Field(0.0, ge=0, description="Largest shift of each side of a random box, inwards or outwards.")
    jitter_share: float = Field(
        0.0, ge=0, le=1, description="The same as a share of the box's height or width; replaces jitter_mm."
    )
    reference: bool = Field(True, description="Make prompts from the reference; false makes only those of readers.")
    readers: list[ReaderSettings] = Field(
        default_factory=list,
        description="Boxes that readers drew: [{name: A, table: boxes.csv, unit: film_px}]. Margins and kinds apply "
        "to them too.",
    )
    splits: list[Split] = Field(
        ["train", "validation", "test"],
        min_length=1,
        description="Splits whose lesions are prompted. A run that only compares segmentation models, without features "
        "and classifiers, saves time without train.",
    )
    seed: int = Field(0, ge=0, description="Seed of all random draws; each prompt has its own draws.")

    @model_validator(mode="after")
    def check_margins(self) -> Self:
        """Refuse what is named twice: its prompts would have the same names."""
        for key, values in (
            ("margins_mm", self.margins_mm),
            ("kinds", self.kinds),
            ("splits", self.splits),
            ("names of readers", [reader.name for reader in self.readers]),
        ):
            if len(set(values)) < len(values):
                raise ValueError(f"{key} is {values}, expected each once")
        return self

    @model_validator(mode="after")
    def check_draws(self) -> Self:
        """Refuse drawn boxes that would all be the exact one, two sizes of jitter, and a study without any prompt."""
        if self.jitter_mm and self.jitter_share:
            raise ValueError("jitter_mm and jitter_share are both set, expected one of them")
        jitter = self.jitter_mm or self.jitter_share
        if self.draws and not jitter and self.kinds != ["point"]:
            raise ValueError(
                f"draws is {self.draws} and no box is jittered; set jitter_mm or jitter_share, or draws: 0"
            )
        if jitter and not self.draws:
            raise ValueError("a jitter is set and draws is 0; set draws to the number of prompts to draw")
        if not self.reference and not self.readers:
            raise ValueError("reference is false and readers is empty, expected at least one source of prompts")
        return self
