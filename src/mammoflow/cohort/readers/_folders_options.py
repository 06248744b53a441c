"""Options of the reader `folders`, apart from the reader so that the configuration is read without pandas."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from mammoflow.config.cohort import ReaderOptions
from mammoflow.config.yaml_text import text_keys

FolderLabel = Literal["malignant", "benign", "normal", "unknown"]
PLACEHOLDERS = {"class": "[^/]+", "name": "[^/]+", "number": "[0-9]+"}
PLACEHOLDER = re.compile(r"\{([a-z]*)\}")

IMAGE_PATTERNS = ["images/{class}/{name}", "{class}/images/{name}", "images/{name}"]
MASK_PATTERNS = [
    f"{folder}/{name}"
    for folder in ("masks/{class}", "{class}/masks", "masks")
    for name in ("{name}", "{name}_mask", "{name}_{number}", "{name}_mask_{number}")
]


class Options(ReaderOptions):
    """Where a study without a table keeps images and masks, and what their names mean."""

    images: list[str] = Field(
        default_factory=lambda: list(IMAGE_PATTERNS),
        min_length=1,
        description="Patterns of image paths below the folder, without the suffix of the file. {name} is the name of "
        "the image and {class} the folder of its class. The first pattern that fits is used.",
    )
    masks: list[str] = Field(
        default_factory=lambda: list(MASK_PATTERNS),
        description="Patterns of mask paths below the folder, without the suffix of the file. {name} and {class} are "
        "those of the image, and {number} numbers several masks of one image. The first pattern that names an "
        "existing image is used.",
    )
    labels: dict[str, FolderLabel] = Field(
        default_factory=dict,
        description="Maps names of class folders to malignant, benign, normal or unknown, in addition to the usual "
        "words. A class without a meaning has no label.",
    )
    patient: str = Field(
        "",
        description="Regular expression whose first group, or group named patient, is the patient in the name of an "
        "image without suffix, such as '^([^_]+)_'. Empty makes every image a patient.",
    )
    near_copies: bool = Field(
        False,
        description="Whether pictures that are near copies of each other, such as frames of one video, count as one "
        "patient, so that they are on one side of a split. DICOM files are not compared.",
    )
    frame: Literal["only", "first", "middle"] | int = Field(
        "only",
        description="Frame of DICOM files with several frames: only excludes such files; first, middle, or a number "
        "from 0 uses that frame.",
    )

    @field_validator("labels", mode="before")
    @classmethod
    def keep_text(cls, value: object) -> object:
        """Accept names of folders that YAML reads as numbers."""
        return text_keys(value)

    @field_validator("images", "masks")
    @classmethod
    def check_patterns(cls, patterns: list[str]) -> list[str]:
        """Refuse patterns without a name, and with placeholders that do not exist or occur twice."""
        for pattern in patterns:
            used = PLACEHOLDER.findall(pattern)
            if "name" not in used or len(set(used)) < len(used) or not set(used) <= set(PLACEHOLDERS):
                raise ValueError(
                    f"{pattern!r} has the placeholders {used}; expected {{name}}, and at most once each "
                    f"{{class}} and {{number}}"
                )
        return patterns

    @field_validator("patient")
    @classmethod
    def check_patient(cls, expression: str) -> str:
        """Refuse what is no regular expression, and one without a group."""
        try:
            groups = re.compile(expression).groups
        except re.error as error:
            raise ValueError(f"{expression!r} is no regular expression: {error}") from error
        if expression and not groups:
            raise ValueError(f"{expression!r} has no group; expected one in parentheses that is the patient")
        return expression

    @field_validator("frame")
    @classmethod
    def check_frame(cls, frame: str | int) -> str | int:
        """Refuse negative numbers."""
        if isinstance(frame, int) and frame < 0:
            raise ValueError(f"frame is {frame}; expected a number from 0")
        return frame


def expression_of(pattern: str) -> re.Pattern[str]:
    """Return the regular expression of a pattern of `images` or `masks`; its groups are the placeholders."""
    parts = PLACEHOLDER.split(pattern)
    text = "".join(
        f"(?P<{part}>{PLACEHOLDERS[part]})" if place % 2 else re.escape(part) for place, part in enumerate(parts)
    )
    return re.compile(text)
