"""Names of the classes of whole images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

Target = Literal["malignant", "classes"]
"""What a classifier tells apart: malignant from benign lesions, or the classes of images."""

UNKNOWN_CLASS = "unknown"
"""Word of a study for an image whose class is not known."""

OF_LESIONS = ("malignant", "benign", "normal")
"""Classes that follow from the labels of an image's lesions, in the order in which they are looked for."""

ClassName = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^\S(.*\S)?$")]


def same_class(name: str) -> str:
    """Return the form in which names of classes are compared: case, spaces, dashes and underscores do not count."""
    return "".join(letter for letter in name.casefold() if letter not in " -_")
