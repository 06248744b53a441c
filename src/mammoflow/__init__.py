"""From DICOM mammograms and a case table to masks, features, predictions and tables against BI-RADS."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "predict", "predict_classes", "predict_table"]

INTERFACE = {
    "predict": "mammoflow.prediction.api",
    "predict_table": "mammoflow.prediction.api",
    "predict_classes": "mammoflow.prediction.classes",
}
"""Modules of the Python interface. They are imported by name, because every module depends on the package."""


def __getattr__(name: str) -> Any:
    """Load the Python interface where it is asked for, so that `import mammoflow` stays fast."""
    if name in INTERFACE:
        return getattr(import_module(INTERFACE[name]), name)
    raise AttributeError(f"module 'mammoflow' has no attribute {name!r}")
