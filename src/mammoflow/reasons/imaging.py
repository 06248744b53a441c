"""An image cannot be measured."""

from __future__ import annotations

from mammoflow.errors import Reason


class ImagingReason(Reason):
    """An image cannot be measured."""

    NO_BREAST = "no breast region found"
    NO_SPACING = "pixel spacing is unknown"
