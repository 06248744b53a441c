"""From DICOM mammograms and a case table to masks, features, predictions and tables against BI-RADS."""

__version__ = "0.1.0"
