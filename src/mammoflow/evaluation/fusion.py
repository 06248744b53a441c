"""A classifier and the radiologist together: weights are fitted on lesions that the classifier did not train on.

The classifier's logits of its own training lesions are too good, so a fit on them would trust it too much. The weights
are therefore fitted on the validation lesions of the run, as in stacking (Wolpert, Neural Networks 5, 1992). What the
reader's assessment or words say is estimated on the training lesions, which no reader was fitted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from mammoflow.config.row_names import WITH_BIRADS, WITH_WORDS, WORDS_ROW
from mammoflow.evaluation.candidates import FUSION, Candidate
from mammoflow.evaluation.ensembles import mean_logit
from mammoflow.evaluation.floors import NO_TRAINING, NOT_STATED, undefined, with_threshold
from mammoflow.evaluation.metrics import FloatArray

WORDS = ("birads", "density", "shape", "margins", "lesion_type")
"""What the reader says of a lesion: assessment, breast density, shape, margins, type."""

PRIOR_DEVIATION = 2.0
"""Standard deviation of the prior of a fusion's weights, for inputs with a standard deviation of 1."""

_TOO_FEW = "no weights: validation lesions with both inputs do not hold both classes"


def fusion_candidates(models: Sequence[Candidate], lesions: pd.DataFrame) -> list[Candidate]:
    """Return the model on the reader's words, and each given model joined with the assessment and with the words.

    Parameters
    ----------
    models
        Classifiers and ensembles; their scores are probabilities.
    lesions
        Usable lesions with a label, indexed by lesion: `split`, `malignant`, `birads`, `density`, `shape`, `margins`,
        `lesion_type`.
    """
    assessment, words = assessment_log_odds(lesions), word_log_odds(lesions)
    found = [_words_alone(words, lesions)]
    for model in models:
        found.append(_joined(model, WITH_BIRADS, "log_odds_of_assessment", assessment, lesions))
        found.append(_joined(model, WITH_WORDS, "log_odds_of_words", words, lesions))
    return found


def assessment_log_odds(lesions: pd.DataFrame) -> pd.Series:
    """Return the log-odds of malignancy of each lesion's BI-RADS category, counted on the training lesions.

    The share of malignant lesions in a category is drawn towards that of all training lesions by one pseudo-lesion.
    BI-RADS 0 is a category of its own. A lesion without an assessment has no value.
    """
    category = lesions["birads"].astype("Float64").astype("float64")
    counted = (lesions["split"] == "train") & category.notna()
    label = lesions.loc[counted, "malignant"].astype("float64")
    if label.nunique() < 2:
        return pd.Series(np.nan, index=lesions.index)
    groups = label.groupby(category[counted])
    rates = (groups.sum() + label.mean()) / (groups.count() + 1)
    rate = category.map(rates).fillna(label.mean()).where(category.notna())
    return pd.Series(logit(rate.to_numpy()), index=lesions.index)


def word_log_odds(lesions: pd.DataFrame) -> pd.Series:
    """Return the log-odds of malignancy that logistic regression gives the reader's words.

    Each word is an indicator; a blank is a word of its own, and a word that training never showed counts for nothing.
    The regression has an L2 penalty (C = 1) and is fitted on the training lesions. A lesion of which nothing but the
    type is stated has no value.
    """
    stated = lesions[list(WORDS)].notna()
    words = lesions[list(WORDS)].astype("object").where(stated, NOT_STATED).astype(str)
    described = stated.drop(columns="lesion_type").any(axis=1)
    counted = (lesions["split"] == "train") & described
    label = lesions.loc[counted, "malignant"].astype("float64")
    value = pd.Series(np.nan, index=lesions.index)
    if label.nunique() < 2:
        return value
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression(C=1.0, max_iter=1000))
    model.fit(words[counted], label.to_numpy())
    value[described] = model.decision_function(words[described])
    return value


def _words_alone(words: pd.Series, lesions: pd.DataFrame) -> Candidate:
    if words.isna().all():
        why = "the study gives no words of a reader, or one class to train"
        return undefined(WORDS_ROW, FUSION, lesions, why if (lesions["split"] == "train").any() else NO_TRAINING)
    note = "logistic regression on assessment, density, shape, margins and type, fitted on training"
    return with_threshold(WORDS_ROW, FUSION, _probability(words), lesions, (note,))


def _joined(model: Candidate, ending: str, name: str, reader: pd.Series, lesions: pd.DataFrame) -> Candidate:
    """Fit the weights of a model's logit and the reader's log-odds on validation, and score all lesions."""
    inputs = pd.DataFrame({"logit_of_model": mean_logit(model, lesions), name: reader})
    defined = inputs.notna().all(axis=1)
    fitted = defined & (lesions["split"] == "validation")
    label = lesions.loc[fitted, "malignant"].astype("float64")
    if label.nunique() < 2:
        why = _TOO_FEW if (lesions["split"] == "train").any() else f"no weights: {NO_TRAINING}"
        return replace(undefined(f"{model.model}{ending}", FUSION, lesions, why), seen=model.seen)
    weights, intercept = _weights(inputs[fitted], label.to_numpy())
    said = ", ".join(f"{weight:.2f} x {str(column).replace('_', ' ')}" for column, weight in weights.items())
    notes = (
        "logistic regression of the two, fitted on the validation lesions, which the model did not train on",
        f"fitted on {len(label)} validation lesions: {said}",
        *model.notes,
    )
    score = _probability((inputs * weights).sum(axis=1, skipna=False) + intercept)
    joined = with_threshold(f"{model.model}{ending}", FUSION, score, lesions, notes, model.seen)
    coefficients = {**{str(column): float(weight) for column, weight in weights.items()}, "intercept": intercept}
    return replace(joined, coefficients=coefficients, n_fitted=len(label))


def _weights(inputs: pd.DataFrame, label: FloatArray) -> tuple[pd.Series, float]:
    """Return the weight of each input and the intercept: the largest likelihood under a weak prior.

    The log-odds of the reader are log-odds already, so the prior is the reader alone: weight 1, and 0 for the model.
    It is wide on the scale of standardised inputs, so it counts where lesions are few. No weight is
    negative, as in stacked regressions (Breiman, Machine Learning 24, 1996): few lesions must not turn a model round.

    Parameters
    ----------
    inputs
        One row per lesion: the model's logit, then the reader's log-odds.
    label
        (lesions,): 1 malignant, 0 benign; both occur.
    """
    values = inputs.to_numpy()
    centre, spread = values.mean(axis=0), values.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    standardised = (values - centre) / spread
    prior = np.array([0.0, 1.0]) * spread

    def loss(point: FloatArray) -> tuple[float, FloatArray]:
        logits = standardised @ point[:2] + point[2]
        residual = expit(logits) - label
        away = point[:2] - prior
        value = float(
            np.logaddexp(0, logits).sum() - (label * logits).sum() + (away**2).sum() / (2 * PRIOR_DEVIATION**2)
        )
        return value, np.append(standardised.T @ residual + away / PRIOR_DEVIATION**2, residual.sum())

    start = np.append(prior, logit(label.mean()))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None), (0, None), (None, None)]).x
    weights = pd.Series(found[:2] / spread, index=inputs.columns)
    return weights, float(found[2] - weights.to_numpy() @ centre)


def _probability(log_odds: pd.Series) -> pd.Series:
    return pd.Series(expit(log_odds.to_numpy()), index=log_odds.index)


def fusion_table(candidates: Sequence[Candidate]) -> pd.DataFrame:
    """Return the weights of each fusion: one row for each model and input, with the number of fitted lesions."""
    rows = [
        {"model": one.model, "input": name, "coefficient": value, "n": one.n_fitted}
        for one in candidates
        for name, value in one.coefficients.items()
    ]
    return pd.DataFrame(rows, columns=["model", "input", "coefficient", "n"])
