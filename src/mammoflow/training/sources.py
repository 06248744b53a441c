"""The data sets that a training uses, where it does not use all of the run."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mammoflow.errors import StudyError


def of_sources(rows: pd.DataFrame, sources: Sequence[str]) -> pd.DataFrame:
    """Keep the rows of some data sets.

    Parameters
    ----------
    rows
        Images or lesions, with the column `source`.
    sources
        Names of the data sets; none keeps every row.

    Raises
    ------
    StudyError
        If a name is not that of a data set of the rows.
    """
    if not sources:
        return rows
    known = sorted(set(rows["source"]))
    unknown = [name for name in sources if name not in known]
    if unknown:
        raise StudyError(
            f"the option sources names {unknown[0]!r}, but the training and validation patients are of "
            f"{', '.join(known)}; expected names of these data sets"
        )
    return rows[rows["source"].isin(sources)].reset_index(drop=True)
