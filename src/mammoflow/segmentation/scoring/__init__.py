"""Comparison of masks with reference masks."""
