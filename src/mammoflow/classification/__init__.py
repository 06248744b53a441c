"""Malignancy classifiers and their training."""
