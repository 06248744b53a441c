"""From DICOM mammograms and a case table to masks, features, predictions and tables against BI-RADS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "predict", "predict_table"]

if TYPE_CHECKING:
    from mammoflow.prediction.api import predict, predict_table


def __getattr__(name: str) -> Any:
    """Load the Python interface where it is asked for, so that `import mammoflow` stays fast."""
    if name in ("predict", "predict_table"):
        from mammoflow.prediction import api

        return getattr(api, name)
    raise AttributeError(f"module 'mammoflow' has no attribute {name!r}")
