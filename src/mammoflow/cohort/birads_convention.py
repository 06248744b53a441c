"""Malignancy from BI-RADS where a study has no biopsies: a convention that the settings ask for, and its note."""

from __future__ import annotations

import pandas as pd

from mammoflow.config.cohort import DatasetSettings
from mammoflow.tables.cohort import LABEL_ORIGINS

PATHOLOGY, BIRADS = LABEL_ORIGINS


def label_by_birads(rows: pd.DataFrame, dataset: DatasetSettings) -> pd.DataFrame:
    """Give the rows without a label one by their BI-RADS assessment, if the settings say from which on.

    Parameters
    ----------
    rows
        With `label` and `birads`.
    dataset
        `malignant_from_birads`: from this assessment on a lesion counts as malignant, from 1 to below it as benign, or
        to `benign_to_birads`, so that what lies between gets no label. 0, which means that the assessment is
        incomplete, and no assessment at all give no label. None leaves all rows as they are.

    Returns
    -------
    DataFrame
        With a further column `label_origin`: pathology, birads, or None where there is no label.
    """
    labelled = rows["label"].notna()
    origin = pd.Series(None, index=rows.index, dtype=object).mask(labelled, PATHOLOGY)
    bound = dataset.malignant_from_birads
    if bound is None:
        return rows.assign(label_origin=origin)
    assessment = pd.to_numeric(rows["birads"])
    benign = ~labelled & assessment.between(1, dataset.benign_to_birads or bound - 1)
    malignant = ~labelled & (assessment >= bound)
    label = rows["label"].astype(object).mask(benign, "benign").mask(malignant, "malignant")
    return rows.assign(label=label, label_origin=origin.mask(benign | malignant, BIRADS))


def convention_notes(lesions: pd.DataFrame, dataset: DatasetSettings) -> list[str]:
    """Say what a reader of results has to know about the labels; nothing where all come from pathology.

    Parameters
    ----------
    lesions
        The usable lesions of one data set, with `label_origin`.
    dataset
        Its settings.
    """
    count = int((lesions["label_origin"] == BIRADS).sum())
    if not count:
        return []
    benign = dataset.benign_to_birads or (dataset.malignant_from_birads or 0) - 1
    return [
        f"{dataset.name}: the labels of {count} of {len(lesions)} lesions are no biopsy results. BI-RADS "
        f"{dataset.malignant_from_birads} and above counts as malignant, 1 to {benign} as benign "
        "(cohort.dataset.malignant_from_birads). Comparing any prediction with BI-RADS on these lesions is circular."
    ]
