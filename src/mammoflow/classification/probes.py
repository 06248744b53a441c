"""Leak probes: changes of a study after which an honest classifier can only guess."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mammoflow.classification.cases import Cases


def with_shuffled_labels(cases: Cases, seed: int) -> Cases:
    """Deal the labels of training and validation out anew among their patients.

    The lesions of a patient stay together as far as the sizes allow: labels are read patient by patient in a random
    order and given to the patients in another order. A network can therefore still learn that lesions of one patient
    are alike, which is what a leak between the sides of the split would show in the test AUC.

    Parameters
    ----------
    cases
        The lesions; those without a label keep none.
    seed
        Of the order in which patients are read.

    Returns
    -------
    Cases
        The same lesions. Training and validation keep their number of malignant lesions; test labels are the true ones.
    """
    lesions = cases.lesions
    generator = np.random.default_rng(seed)
    known = lesions["malignant"].notna()
    labels = lesions["malignant"].to_numpy(dtype=object)
    dealt = labels.copy()
    for split in ("train", "validation"):
        rows = np.flatnonzero(known & (lesions["split"] == split))
        patients = lesions["patient_id"].iloc[rows].to_numpy()
        names = np.unique(patients)
        rank = dict(zip(names, generator.permutation(len(names)), strict=True))
        givers = rows[np.argsort([rank[patient] for patient in patients], kind="stable")]
        takers = rows[np.argsort(patients, kind="stable")]
        dealt[takers] = labels[givers]
    column = pd.Series(dealt, index=lesions.index, dtype=lesions["malignant"].dtype)
    return Cases(lesions.assign(malignant=column), cases.images)
