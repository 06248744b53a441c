"""The malignancy of a lesion is unknown or contradictory."""

from __future__ import annotations

from mammoflow.errors import Reason


class LabelReason(Reason):
    """The malignancy of a lesion is unknown or contradictory."""

    NO_LABEL = "malignancy is unknown"
    LABEL_CONFLICT = "the same image has contradictory labels"
