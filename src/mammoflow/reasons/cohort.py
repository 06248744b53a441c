"""A row of a case table is left out."""

from __future__ import annotations

from mammoflow.errors import Reason


class CohortReason(Reason):
    """A row of a case table is left out."""

    OTHER_FILE = "another file of the image was taken"
    SEVERAL_FILMS = "several films where one is expected"
    BAD_ROW = "row of the case table cannot be read"
    CONTRADICTION = "rows of the case table contradict each other"
    DUPLICATE_ROW = "row of the case table is repeated"
    MARKED_UNUSABLE = "row is marked unusable in the case table"
    OFFICIAL_TEST_PATIENT = "patient is in the official test set"
