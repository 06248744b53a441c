"""Labels of training patients that a classifier does not see."""

from __future__ import annotations

import pandas as pd

from mammoflow.classification.cases import Cases
from mammoflow.classification.samples import Samples
from mammoflow.config.few_labels import FewLabelsSettings
from mammoflow.training.batching import Rows
from mammoflow.training.few_labels import LabelCounts, drawn_patients

MALIGNANT, BENIGN = "malignant", "benign"


def with_hidden_labels(cases: Cases, few: FewLabelsSettings) -> Cases:
    """Return the lesions in which training patients that are not drawn have no label.

    Patients with a malignant lesion and the others are drawn in the same share. Labels of validation and test stay.

    Parameters
    ----------
    cases
        The lesions.
    few
        The share of the training patients with a label, and the draw.
    """
    lesions = cases.lesions
    training = lesions[(lesions["split"] == "train") & lesions["malignant"].notna()]
    if few.fraction == 1 or training.empty:
        return cases
    worst = training.groupby(_patients(training))["malignant"].max()
    strata = {str(patient): MALIGNANT if value == 1 else BENIGN for patient, value in worst.items()}
    hidden = (lesions["split"] == "train") & ~_patients(lesions).isin(drawn_patients(strata, few.fraction, few.draw))
    return Cases(lesions.assign(malignant=lesions["malignant"].mask(hidden)), cases.images)


def label_counts(cases: Cases, samples: Samples) -> LabelCounts:
    """Count the patients of the training samples with and without a label; one with both counts as labelled.

    Parameters
    ----------
    cases
        The lesions and images.
    samples
        What an input made of them.
    """
    labelled = set(patients_of(cases, samples, samples.labelled("train")))
    return LabelCounts(len(labelled), len(set(patients_of(cases, samples, samples.unlabelled("train"))) - labelled))


def patients_of(cases: Cases, samples: Samples, rows: Rows) -> list[str]:
    """Return source and patient of some samples, as `source/patient`.

    Parameters
    ----------
    cases
        The lesions and images.
    samples
        What an input made of them.
    rows
        Rows of the samples.
    """
    return _patients(cases.table_of(samples.sample_of, len(samples)).iloc[rows]).tolist()


def _patients(lesions: pd.DataFrame) -> pd.Series:
    return lesions["source"].astype(str) + "/" + lesions["patient_id"].astype(str)
