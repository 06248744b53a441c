"""Models on features, fitted on training and chosen on validation: logistic regression, and boosted trees.

Where training holds lesions of several types, such as masses and calcifications, a feature may mean one thing for one
type and another for the next. So the regression has a slope of each feature for all lesions, and a further one for each
type; the penalty draws the further ones to 0, so that a type with few lesions has the slopes of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from mammoflow.config.row_names import ALL_FEATURES_ROW, BOOSTED, feature_model_name
from mammoflow.evaluation.candidates import FEATURE_MODEL, Candidate
from mammoflow.evaluation.floors import NO_TRAINING, undefined, with_threshold
from mammoflow.evaluation.metrics import FloatArray, auc
from mammoflow.tables.features import feature_columns

PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Candidates for the inverse strength of the L2 penalty; the one with the best validation AUC is taken."""

DEFAULT_PENALTY = 0.1

LARGEST = 1e100
"""Features from this size on count as not defined: their squares would not be finite."""

TREES = 60

_NOTHING_TO_FIT = "training lesions hold no defined feature or only one class"


def feature_matrix(family: str, features: pd.DataFrame, lesions: pd.DataFrame) -> pd.DataFrame:
    """Return the features of the lesions, in their order; what is not in the table or beyond `LARGEST` is `nan`."""
    table = features.set_index("lesion_id")
    values = table[feature_columns(table, family)].reindex(lesions.index).astype("float64")
    return values.where(values.abs() < LARGEST)


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
        Usable lesions with a label, indexed by lesion: `split`, `malignant`, `lesion_type`.
    notes
        What a reader of the table must know beside the fit.
    """
    return regression(feature_model_name(family), feature_matrix(family, features, lesions), lesions, notes)


def joint_candidate(
    families: Mapping[str, pd.DataFrame], lesions: pd.DataFrame, notes: tuple[str, ...] = ()
) -> Candidate:
    """Fit one logistic regression on the features of all families, as `feature_candidate` does for one.

    A lesion that has no feature of one of the families has no prediction.
    """
    return regression(ALL_FEATURES_ROW, joint_matrix(families, lesions), lesions, notes)


def joint_matrix(families: Mapping[str, pd.DataFrame], lesions: pd.DataFrame) -> pd.DataFrame:
    """Return the features of several families; a lesion that has none of one of them has none at all."""
    matrices = [feature_matrix(family, features, lesions) for family, features in families.items()]
    joined = pd.concat(matrices, axis=1)
    # A lesion that lacks a family as a whole would be scored on what the other families say, with medians for the rest.
    for matrix in matrices:
        joined.loc[matrix.isna().all(axis=1)] = np.nan
    return joined


def boosted_candidate(
    family: str, features: pd.DataFrame, lesions: pd.DataFrame, notes: tuple[str, ...] = ()
) -> Candidate:
    """Fit gradient boosting of small trees on the training lesions and score all lesions.

    The number of trees is fixed, so that validation lesions are needed for the threshold only. Missing features go the
    way that fits the training lesions better. The lesion's type is one more column. Parameters are those of
    `feature_candidate`.
    """
    matrix = feature_matrix(family, features, lesions)
    return boosting(f"{feature_model_name(family)}{BOOSTED}", matrix, lesions, notes)


def boosting(name: str, matrix: pd.DataFrame, lesions: pd.DataFrame, notes: tuple[str, ...] = ()) -> Candidate:
    """Fit the trees of `boosted_candidate` on a matrix of features (lesions, features) and score all lesions."""
    # Trees cannot be grown on a feature that no training lesion states, such as a wavelength below the pixel spacing.
    if not (lesions["split"] == "train").any():
        return undefined(name, FEATURE_MODEL, lesions, NO_TRAINING)
    matrix = matrix.loc[:, matrix[lesions["split"] == "train"].notna().any()]
    defined = matrix.notna().any(axis=1)
    training = (defined & (lesions["split"] == "train")).to_numpy()
    label = lesions.loc[training, "malignant"].astype("float64").to_numpy()
    if len(np.unique(label)) < 2:
        return undefined(name, FEATURE_MODEL, lesions, _NOTHING_TO_FIT)
    types = sorted(set(lesions.loc[training, "lesion_type"]))
    known = lesions["lesion_type"].isin(types)  # a type that training lacks is a gap, and not the first type
    of_type = [(lesions["lesion_type"] == one).astype("float64").where(known) for one in types[1:]]
    values = np.column_stack([matrix.to_numpy(), *of_type])
    model = HistGradientBoostingClassifier(
        max_iter=TREES,
        learning_rate=0.08,
        max_leaf_nodes=6,
        min_samples_leaf=10,
        l2_regularization=1.0,
        max_features=0.3,
        early_stopping=False,
        random_state=0,
    )
    score = pd.Series(np.nan, index=lesions.index)
    # One thread: the sums of several are in an order that differs from run to run, and the job asks for one core.
    with threadpool_limits(1):
        model.fit(values[training], label)
        score[defined] = model.predict_proba(values[defined.to_numpy()])[:, 1]
    note = f"gradient boosting of {TREES} trees on {matrix.shape[1]} features, fixed beforehand"
    return with_threshold(name, FEATURE_MODEL, score, lesions, (note, *notes))


def regression(
    name: str, matrix: pd.DataFrame, lesions: pd.DataFrame, notes: tuple[str, ...] = (), l1_share: float = 0.0
) -> Candidate:
    """Fit logistic regression on the training lesions that have features, and score all lesions that have some.

    Parameters
    ----------
    name
        Of the row.
    matrix
        (lesions, features) in the order of the lesions.
    lesions, notes
        As `feature_candidate` takes them.
    l1_share
        Share of the L1 penalty: 0 is an L2 penalty alone, 1 an L1 penalty alone (lasso), between them lies the elastic
        net (Zou and Hastie, Journal of the Royal Statistical Society B 67, 2005).
    """
    training = lesions["split"] == "train"
    if not training.any():
        return undefined(name, FEATURE_MODEL, lesions, NO_TRAINING)
    usable = training & matrix.notna().any(axis=1)
    stated = matrix[usable].notna().mean()
    stated_features = stated.index[stated >= 0.8].tolist()
    label = lesions.loc[usable, "malignant"].astype("float64").to_numpy()
    if not stated_features or len(np.unique(label)) < 2:
        return undefined(name, FEATURE_MODEL, lesions, _NOTHING_TO_FIT)
    matrix = matrix[stated_features]
    defined = matrix.notna().any(axis=1)
    design = _Design.of_training(matrix[usable].to_numpy(), lesions.loc[usable, "lesion_type"].tolist())
    values = design.rows(matrix.to_numpy(), lesions["lesion_type"].tolist())
    score = pd.Series(np.nan, index=lesions.index)
    model, penalty = _fit(values[usable.to_numpy()], label, values, lesions, defined, l1_share)
    score[defined] = model.predict_proba(values[defined.to_numpy()])[:, 1]
    slopes = f" with slopes of their own for {' and '.join(design.types)}" if len(design.types) > 1 else ""
    kind = {0.0: "L2", 1.0: "L1"}.get(l1_share, "elastic net")
    note = (
        f"logistic regression on {len(stated_features)} features{slopes}, {kind} penalty C = {penalty:g} chosen on "
        "validation"
    )
    if l1_share:
        note += f", {int((model.coef_ != 0).sum())} of {model.coef_.size} slopes are not 0"
    return with_threshold(name, FEATURE_MODEL, score, lesions, (note, *notes))


@dataclass(frozen=True)
class _Design:
    """How features become the columns of a regression, from the training lesions alone.

    Attributes
    ----------
    types
        Lesion types among the training lesions.
    medians, means, deviations
        Of each feature, (features,).
    """

    types: tuple[str, ...]
    medians: FloatArray
    means: FloatArray
    deviations: FloatArray

    @classmethod
    def of_training(cls, values: FloatArray, types: Sequence[str]) -> _Design:
        """Take medians, means and deviations of training values, (lesions, features), whose types are given."""
        medians = np.nanmedian(values, axis=0)
        filled = np.where(np.isnan(values), medians, values)
        deviations = filled.std(axis=0)
        return cls(
            tuple(sorted(set(types))),
            medians,
            filled.mean(axis=0),
            np.where(deviations > 10 * np.finfo(float).eps * np.abs(filled).max(axis=0), deviations, 1.0),
        )

    def rows(self, values: FloatArray, types: Sequence[str]) -> FloatArray:
        """Return the columns of lesions: standardised features, and for each of several types these and a constant.

        The columns of other types than the lesion's own are 0.
        """
        standardised = (np.where(np.isnan(values), self.medians, values) - self.means) / self.deviations
        if len(self.types) < 2:
            return standardised
        given = np.asarray(types, dtype=object)
        own = [(given == one).astype(np.float64)[:, None] for one in self.types]
        return np.hstack([standardised, *(np.hstack([of_type, of_type * standardised]) for of_type in own)])


def _fit(
    training: FloatArray,
    label: FloatArray,
    values: FloatArray,
    lesions: pd.DataFrame,
    defined: pd.Series,
    l1_share: float,
) -> tuple[LogisticRegression, float]:
    """Fit one model a penalty and return the one with the best validation AUC; of equals the most regular one."""
    validation = ((lesions["split"] == "validation") & defined).to_numpy()
    expected = lesions.loc[validation, "malignant"].astype("float64").to_numpy()
    if len(np.unique(expected)) < 2:
        return _logistic(DEFAULT_PENALTY, l1_share).fit(training, label), DEFAULT_PENALTY
    best: tuple[float, LogisticRegression, float] | None = None
    for penalty in PENALTIES:
        model = _logistic(penalty, l1_share).fit(training, label)
        score = model.predict_proba(values[validation])[:, 1]
        area = float(auc(expected, score, np.ones((1, len(score))))[0])
        if best is None or area > best[0] + 1e-9:
            best = (area, model, penalty)
    if best is None:
        raise ValueError("no penalty to choose from; expected at least one in PENALTIES")
    return best[1], best[2]


def _logistic(penalty: float, l1_share: float) -> LogisticRegression:
    if l1_share:
        return LogisticRegression(C=penalty, l1_ratio=l1_share, solver="saga", max_iter=2000, tol=1e-3, random_state=0)
    return LogisticRegression(C=penalty, max_iter=2000)
