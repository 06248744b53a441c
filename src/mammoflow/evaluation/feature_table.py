"""Each feature by label: means, and how well it separates malignant from benign on its own."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.feature_models import feature_matrix
from mammoflow.evaluation.metrics import auc

_COLUMNS = (
    "family",
    "feature",
    "rows",
    "n",
    "n_malignant",
    "patients",
    "mean_benign",
    "mean_benign_low",
    "mean_benign_high",
    "mean_malignant",
    "mean_malignant_low",
    "mean_malignant_high",
    "auc",
    "auc_low",
    "auc_high",
)


def feature_table(
    families: dict[str, pd.DataFrame], lesions: pd.DataFrame, bootstrap: PatientBootstrap
) -> pd.DataFrame:
    """Describe every feature on all labelled lesions; nothing is fitted, so no split is needed.

    An AUC below 0.5 means that benign lesions have the higher values.

    Parameters
    ----------
    families
        Name ("gabor", "radiomics") to a table of the FEATURES schema.
    lesions
        Labelled lesions, indexed by lesion: `malignant`, `patient_id`.
    bootstrap
        Resampling of patients.
    """
    rows = []
    for family, features in families.items():
        matrix = feature_matrix(family, features, lesions)
        for name in matrix:
            rows.append({"family": family, "feature": name} | _describe(matrix[name].dropna(), lesions, bootstrap))
    return pd.DataFrame(rows, columns=[*_COLUMNS])


def _describe(values: pd.Series, lesions: pd.DataFrame, bootstrap: PatientBootstrap) -> dict[str, object]:
    described = lesions.loc[values.index]
    label = described["malignant"].to_numpy(dtype=np.float64)
    patients = described["patient_id"].to_numpy(dtype=object)
    value = values.to_numpy(dtype=np.float64)
    area = bootstrap.estimate(auc(label, value, bootstrap.weights(patients.tolist())), patients.tolist())
    benign = bootstrap.mean(value[label == 0], patients[label == 0].tolist())
    malignant = bootstrap.mean(value[label == 1], patients[label == 1].tolist())
    return {
        "rows": "all",
        "n": len(values),
        "n_malignant": int(label.sum()),
        "patients": len(set(patients)),
        **benign.columns("mean_benign"),
        **malignant.columns("mean_malignant"),
        **area.columns("auc"),
    }
