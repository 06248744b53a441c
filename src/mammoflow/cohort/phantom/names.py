"""Names in a phantom study that CBIS-DDSM does not have; its writer and its reader share them."""

NORMAL_TABLE = "normal_films.csv"
"""Table of the films without a lesion."""

HIDDEN_SUSPICION = "hidden_suspicion"
"""Column of the case tables with the number from which label, assessment and appearance of a lesion follow."""
