"""What every feature family provides: an object that turns the patch of a lesion into features by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mammoflow.features.lesion_patch import LesionPatch


@dataclass(frozen=True)
class Meaning:
    """What a feature is, for the data dictionary.

    Attributes
    ----------
    region
        Where it is measured.
    image
        The filter or image that it is taken from.
    statistic
        What is computed.
    unit
        Its unit; "" for a number without one.
    """

    region: str
    image: str
    statistic: str
    unit: str = ""


class FamilyExtractor(ABC):
    """Computes the features of one family for one lesion after the other.

    Attributes
    ----------
    columns
        Names of all features. Each begins with the name of the family and an underscore.
    description
        Names of further numbers that describe the measurement, such as the size of a region. They are written to the
        table, and no model is trained on them. None begins with the name of the family.
    """

    columns: Sequence[str]
    description: Sequence[str] = ()

    @abstractmethod
    def __call__(self, patch: LesionPatch) -> Mapping[str, float | str]:
        """Return the numbers of one lesion.

        Parameters
        ----------
        patch
            Image, lesion mask and breast region.

        Returns
        -------
        Mapping
            Numbers by the names in `columns` and `description`; a name that is missing is written as `nan`. Where only
            a part of the features is defined, `status` holds a reason of `mammoflow.reasons`, and `detail` says what
            was found and what was expected.

        Raises
        ------
        ExcludedCase
            If no feature is defined for this lesion.
        """

    def meaning(self, column: str) -> Meaning:
        """Return what one of `columns` is, for the data dictionary; a family of its own need not say more."""
        return Meaning("lesion", "film", column.partition("_")[2].replace("_", " "))
