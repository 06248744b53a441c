"""Masks, measurements and malignancy of single films: `mammoflow predict`, and the page of the real exam."""
