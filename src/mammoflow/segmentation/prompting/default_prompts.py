"""Which prompts' masks are used for features and classifiers."""

from __future__ import annotations

import numpy as np
import pandas as pd


def default_prompts(prompts: pd.DataFrame, margin_mm: float) -> pd.DataFrame:
    """Return the prompt of each lesion whose mask is used for features and classifiers, at most one row per lesion.

    It is exact, not drawn, of the table's first kind, and has the margin if it has a box. Where a lesion has several
    such prompts the first one of the table counts: the reference before the readers, in the order of the settings.
    Prompts around another model's masks only serve to compare models; later stages never use their masks.
    """
    if prompts.empty:
        return prompts
    exact = prompts[(prompts["draw"] == 0) & ~prompts["origin"].str.startswith("model:")]
    first = exact[exact["kind"] == exact["kind"].iloc[0]] if len(exact) else exact
    fitting = first["margin_mm"].isna() | np.isclose(first["margin_mm"].astype(float), margin_mm)
    return first[fitting].drop_duplicates("lesion_id")
