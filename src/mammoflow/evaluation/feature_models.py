"""Logistic regression on the features of one family: fitted on training, chosen on validation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from mammoflow.evaluation.candidates import FEATURE_MODEL, Candidate
from mammoflow.evaluation.floors import undefined, with_threshold
from mammoflow.evaluation.metrics import FloatArray, auc
from mammoflow.tables.features import feature_columns

PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Candidates for the inverse strength of the L2 penalty; the one with the best validation AUC is taken."""

DEFAULT_PENALTY = 0.1


def feature_model_name(family: str) -> str:
    """Return what tables and figures call the model on the features of a family, such as `Gabor features`."""
    words = family.replace("_", " ")
    return f"{words[:1].upper()}{words[1:]} features"


def feature_matrix(family: str, features: pd.DataFrame, lesions: pd.DataFrame) -> pd.DataFrame:
    """Return the features of the lesions, in their order; what is infinite or not in the table is `nan`."""
    table = features.set_index("lesion_id")
    return (
        table[feature_columns(table, family)]
        .reindex(lesions.index)
        .astype("float64")
        .replace([np.inf, -np.inf], np.nan)
    )


def feature_candidate(
    family: str, features: pd.DataFrame, lesions: pd.DataFrame, notes: tuple[str, ...] = ()
) -> Candidate:
    """Fit logistic regression on the training lesions and score all lesions.

    Features that are missing in more than a fifth of the training lesions are dropped, other gaps take the training
    median; features are standardised by training mean and deviation. A lesion without any feature has no prediction.

    Parameters
    ----------
    family
        Name of the feature family.
    features
        One row per lesion, of the FEATURES schema.
    lesions
        Usable lesions with a label, indexed by lesion: `split`, `malignant`.
    notes
        What a reader of the table must know beside the fit.
    """
    name = feature_model_name(family)
    matrix = feature_matrix(family, features, lesions)
    training = lesions["split"] == "train"
    usable = training & matrix.notna().any(axis=1)
    stated = matrix[usable].notna().mean()
    stated_features = stated.index[stated >= 0.8].tolist()
    label = lesions.loc[usable, "malignant"].astype("float64").to_numpy()
    if not stated_features or len(np.unique(label)) < 2:
        return undefined(name, FEATURE_MODEL, lesions, "training lesions hold no defined feature or only one class")
    matrix = matrix[stated_features]
    defined = matrix.notna().any(axis=1)
    values = matrix.to_numpy()
    score = pd.Series(np.nan, index=lesions.index)
    model, penalty = _fit(values[usable.to_numpy()], label, values, lesions, defined)
    score[defined] = model.predict_proba(values[defined.to_numpy()])[:, 1]
    note = f"logistic regression on {len(stated_features)} features, L2 penalty C = {penalty:g} chosen on validation"
    return with_threshold(name, FEATURE_MODEL, score, lesions, (note, *notes))


def _fit(
    training: FloatArray, label: FloatArray, values: FloatArray, lesions: pd.DataFrame, defined: pd.Series
) -> tuple[Pipeline, float]:
    """Fit one model a penalty and return the one with the best validation AUC; of equals the most regular one."""
    validation = ((lesions["split"] == "validation") & defined).to_numpy()
    expected = lesions.loc[validation, "malignant"].astype("float64").to_numpy()
    if len(np.unique(expected)) < 2:
        return _pipeline(DEFAULT_PENALTY).fit(training, label), DEFAULT_PENALTY
    best: tuple[float, Pipeline, float] | None = None
    for penalty in PENALTIES:
        model = _pipeline(penalty).fit(training, label)
        score = model.predict_proba(values[validation])[:, 1]
        area = float(auc(expected, score, np.ones((1, len(score))))[0])
        if best is None or area > best[0] + 1e-9:
            best = (area, model, penalty)
    if best is None:
        raise ValueError("no penalty to choose from; expected at least one in PENALTIES")
    return best[1], best[2]


def _pipeline(penalty: float) -> Pipeline:
    return make_pipeline(
        SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(C=penalty, max_iter=2000)
    )
