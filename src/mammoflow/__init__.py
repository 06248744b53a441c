"""From DICOM mammograms and a case table to masks, features, predictions and tables against BI-RADS."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "predict", "predict_table"]

INTERFACE = "mammoflow.prediction.api"
"""Module of the Python interface. It is imported by this name, because every module depends on the package."""


def __getattr__(name: str) -> Any:
    """Load the Python interface where it is asked for, so that `import mammoflow` stays fast."""
    if name in ("predict", "predict_table"):
        return getattr(import_module(INTERFACE), name)
    raise AttributeError(f"module 'mammoflow' has no attribute {name!r}")
