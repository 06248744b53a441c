"""Features of a lesion are not defined."""

from __future__ import annotations

from mammoflow.errors import Reason


class FeatureReason(Reason):
    """Features of a lesion are not defined."""

    NO_MILLIMETRES = "features need millimetres, and the image has no pixel spacing"
    FEATURES_UNDEFINED = "features are not defined for this lesion"
