"""Features of a lesion are not defined."""

from __future__ import annotations

from mammoflow.errors import Reason


class FeatureReason(Reason):
    """Features of a lesion are not defined."""

    FEATURES_UNDEFINED = "features are not defined for this lesion"
