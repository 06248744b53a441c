"""Further models on features: features are chosen on training lesions, and a model is fitted on those."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from mammoflow.config.feature_models import FeatureModelSettings
from mammoflow.evaluation.candidates import FEATURE_MODEL, Candidate
from mammoflow.evaluation.feature_models import boosting, joint_matrix, regression
from mammoflow.evaluation.floors import undefined
from mammoflow.features.standardised import STANDARDISED, standardised_similarity
from mammoflow.tables.stability import stable_features

L1_SHARES = {"ridge": 0.0, "elastic_net": 0.5, "lasso": 1.0}
SIZE = "log_diameter_mm"


def chosen_candidate(
    settings: FeatureModelSettings,
    families: Mapping[str, pd.DataFrame],
    lesions: pd.DataFrame,
    stability_table: str,
    notes: tuple[str, ...] = (),
) -> Candidate:
    """Choose features on the training lesions, fit the model on them, and score all lesions.

    Parameters
    ----------
    settings
        Families, choice and method.
    families
        Features of the families that it takes, of the schema FEATURES.
    lesions
        Usable lesions with a label, indexed by lesion: `split`, `malignant`, `lesion_type`, `diameter_mm`.
    stability_table
        Table of the target stability; read if the settings ask for stable features.
    notes
        What a reader of the table must know beside the fit.

    Raises
    ------
    StudyError
        If the table of stability is missing or does not fit.
    """
    matrix = joint_matrix(families, lesions)
    has_all = matrix.notna().any(axis=1)  # a lesion that lacks a family has none of the values
    training = lesions["split"] == "train"
    found = [f"{matrix.shape[1]} features"]
    if settings.stability_above is not None:
        stable = stable_features(Path(stability_table), settings.stability_above)
        matrix = matrix[[name for name in matrix if name in stable]]
        found.append(f"{matrix.shape[1]} with an ICC above {settings.stability_above:g}")
    if settings.standardised_similarity and "gabor" in families:
        # The similarity is computed from all entries; as a feature it is one column.
        values = joint_matrix({"gabor": families["gabor"]}, lesions)
        matrix = matrix.assign(**{STANDARDISED: standardised_similarity(values, training).where(has_all)})
    if settings.correlation_at_most is not None and training.any():
        matrix = matrix[uncorrelated(matrix[training], settings.correlation_at_most)]
        found.append(f"{matrix.shape[1]} with a rank correlation of at most {settings.correlation_at_most:g}")
    if matrix.shape[1] == 0:
        return undefined(settings.name, FEATURE_MODEL, lesions, f"no feature is left: {', '.join(found)}")
    if settings.size:
        diameter = lesions["diameter_mm"].astype("float64")
        size = pd.Series(np.log(diameter.where(diameter > 0)), index=lesions.index)
        # A lesion without features is not scored by its size.
        matrix = matrix.assign(**{SIZE: size.where(matrix.notna().any(axis=1))})
        found.append("with the lesion's size")
    chosen = f"chosen on training: {', '.join(found)}"
    if settings.method == "boosting":
        return boosting(settings.name, matrix, lesions, (chosen, *notes))
    return regression(settings.name, matrix, lesions, (chosen, *notes), L1_SHARES[settings.method])


def uncorrelated(matrix: pd.DataFrame, at_most: float) -> list[str]:
    """Return the columns that remain if of each pair with a larger rank correlation the later one is left out.

    Columns without two different values are left out too. A gap counts as the column's median.

    Parameters
    ----------
    matrix
        (training lesions, features).
    at_most
        Largest absolute Spearman correlation.
    """
    filled = matrix.fillna(matrix.median())
    varying = [name for name in filled if filled[name].nunique() > 1]
    if not varying:
        return []
    ranks = rankdata(filled[varying].to_numpy(dtype=np.float64), axis=0)
    correlation = np.abs(np.atleast_2d(np.corrcoef(ranks, rowvar=False)))
    kept: list[int] = []
    for place in range(len(varying)):
        if not kept or correlation[place, kept].max() <= at_most:
            kept.append(place)
    return [str(varying[place]) for place in kept]
