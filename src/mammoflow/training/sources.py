"""The data sets that a training uses, and whether images of several runs can be told apart."""

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


def check_ids(images: pd.DataFrame) -> None:
    """Refuse images of which two have one id.

    Parameters
    ----------
    images
        Images of all runs that a training uses, with the column `image_id`.

    Raises
    ------
    StudyError
        If an id is there twice.
    """
    repeated = images["image_id"][images["image_id"].duplicated()]
    if len(repeated):
        raise StudyError(
            f"{len(repeated)} images have an id that another one has too, such as {repeated.iloc[0]!r}; expected each "
            "id once; leave out the run of train.more_images that has the same ids"
        )
