"""Each feature by label: means, and how well it separates malignant from benign on its own."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.estimates import Scored, area_estimate
from mammoflow.evaluation.feature_models import feature_matrix
from mammoflow.evaluation.metrics import patient_codes
from mammoflow.evaluation.rank_test import clustered_rank_test

TRAINING = "train"
"""The split whose lesions are described; the column `rows` says so."""

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
    "p_value",
    "false_discovery_rate",
)


def feature_table(
    families: dict[str, pd.DataFrame], lesions: pd.DataFrame, bootstrap: PatientBootstrap
) -> pd.DataFrame:
    """Describe every feature on the labelled training lesions.

    Validation and test lesions are left out, so that whoever picks features from this table has not seen them. An AUC
    below 0.5 means that benign lesions have the higher values. `p_value` is that of `clustered_rank_test`,
    `false_discovery_rate` the least rate at which the feature is among the discoveries, over all features of all
    families (Benjamini and Hochberg, Journal of the Royal Statistical Society B 57, 1995).

    Parameters
    ----------
    families
        Name of each feature family to its table of the FEATURES schema.
    lesions
        Labelled lesions, indexed by lesion: `split`, `malignant`, `patient_id`.
    bootstrap
        Resampling of patients.
    """
    training = lesions[lesions["split"] == TRAINING]
    rows = []
    for family, features in families.items():
        matrix = feature_matrix(family, features, training)
        for name in matrix:
            rows.append({"family": family, "feature": name} | _describe(matrix[name].dropna(), training, bootstrap))
    table = pd.DataFrame(rows, columns=[*_COLUMNS])
    return table.assign(false_discovery_rate=_false_discovery_rates(table["p_value"].astype("float64")))


def _false_discovery_rates(p_values: pd.Series) -> pd.Series:
    """Return the adjusted p values; `nan` where there is none to adjust."""
    rates = pd.Series(np.nan, index=p_values.index)
    tested = p_values.notna()
    if tested.any():
        rates[tested] = false_discovery_control(p_values[tested].to_numpy())
    return rates


def _describe(values: pd.Series, lesions: pd.DataFrame, bootstrap: PatientBootstrap) -> dict[str, object]:
    described = lesions.loc[values.index]
    label = described["malignant"].to_numpy(dtype=np.float64)
    patients = described["patient_id"].to_numpy(dtype=object)
    value = values.to_numpy(dtype=np.float64)
    area = area_estimate(Scored(label, [value], [value], patient_codes(patients.tolist())[0]), bootstrap)
    benign = bootstrap.mean(value[label == 0], patients[label == 0].tolist())
    malignant = bootstrap.mean(value[label == 1], patients[label == 1].tolist())
    return {
        "rows": TRAINING,
        "n": len(values),
        "n_malignant": int(label.sum()),
        "patients": len(set(patients)),
        **benign.columns("mean_benign"),
        **malignant.columns("mean_malignant"),
        **area.columns("auc"),
        "p_value": clustered_rank_test(label, value, patients.tolist()),
    }
