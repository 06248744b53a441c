"""The tables of paired tests: which model has the larger AUC or decides better on the same lesions, and how sure.

One comparison can be named as the primary one before the results are known; its p value stays as it is. The p values of
all other models against BI-RADS are adjusted together, and so are those against the best model (Holm, Scandinavian
Journal of Statistics 6, 1979). All other pairs are exploratory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.config.row_names import SIZE_ROW, WORDS_ROW
from mammoflow.errors import ConfigError
from mammoflow.evaluation.candidates import CLASSIFIER, FEATURE_MODEL, FUSION, Candidate
from mammoflow.evaluation.delong import AreaDifference
from mammoflow.evaluation.estimates import Scored
from mammoflow.evaluation.foreign import is_foreign, is_undecided
from mammoflow.evaluation.hypotheses import AGAINST_BEST, AGAINST_READER, EXPLORATORY, PRIMARY
from mammoflow.evaluation.metrics import FloatArray, auc
from mammoflow.evaluation.paired import Paired
from mammoflow.evaluation.seen_patients import SeenPatients, seen_columns

MODELS = (CLASSIFIER, FUSION, FEATURE_MODEL)
"""Families of what is tested; floors and ceilings are exploratory."""

_PAIR_COLUMNS = ["hypothesis", "model_a", "model_b", "n", "n_malignant", "patients"]
_AUC_COLUMNS = [
    *_PAIR_COLUMNS, "auc_a", "auc_b", "difference", "low", "high", "p", "p_holm", "detectable",
    "non_inferiority_margin", "non_inferiority_p", "not_inferior", "seen_test_patients", "note",
]  # fmt: skip
_DECISION_COLUMNS = [
    *_PAIR_COLUMNS, "lesions", "right_a", "right_b", "difference", "low", "high", "only_a_right", "only_b_right", "p",
    "p_holm", "seen_test_patients", "note",
]  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """Two candidates that are compared, and the family of hypotheses that the comparison belongs to."""

    hypothesis: str
    first: Candidate
    second: Candidate


def best_model(groups: Sequence[tuple[Sequence[Candidate], pd.DataFrame]]) -> str:
    """Return the name of the model with the largest AUC on validation; "" where validation has one class.

    It is chosen among classifiers, ensembles and models on features, which look at images alone.

    Parameters
    ----------
    groups
        Candidates and labelled lesions of the run, or of each fold, whose areas are averaged.
    """
    areas: dict[str, list[float]] = {}
    for candidates, lesions in groups:
        validation = lesions[lesions["split"] == "validation"]
        for one in candidates:
            if one.family in (CLASSIFIER, FEATURE_MODEL) and not is_foreign(one):
                scored = one.on(validation, one.scored(validation))
                areas.setdefault(one.model, []).append(_plain_area(scored))
    means = {model: float(np.mean(found)) for model, found in areas.items() if np.isfinite(found).all()}
    return max(means, key=lambda model: means[model], default="")


def _plain_area(scored: Scored) -> float:
    once = np.ones((1, len(scored.label)))
    return float(np.mean([auc(scored.label, score, once)[0] for score in scored.scores]))


def best_of(tests: pd.DataFrame) -> str:
    """Return the name of the model that a table of tests has as the best one on validation; "" where it has none."""
    best = tests.loc[tests["hypothesis"] == AGAINST_BEST, "model_b"]
    return str(best.iloc[0]) if len(best) else ""


def pairs_to_test(candidates: Sequence[Candidate], settings: ComparisonSettings, best: str) -> list[Pair]:
    """Return the pairs in the order of the rows, each with its family of hypotheses.

    Every candidate is compared with BI-RADS, every model with the best one, every classifier with each feature model
    and with size alone, and every fusion with the model on the reader's words. Further models on
    features are compared with size alone. The primary comparison comes first.

    Parameters
    ----------
    candidates
        The first one is BI-RADS.
    settings
        The primary comparison.
    best
        Name of the best model on validation, or "".

    Raises
    ------
    ConfigError
        If the primary comparison names a row that the run does not have.
    """
    by_name = {one.model: one for one in candidates}
    pairs = [Pair(hypothesis, *pair) for hypothesis, pair in _named_pairs(candidates, by_name.get(best))]
    chosen = [by_name[one.name] for one in settings.feature_models if one.name in by_name]
    size = [one for one in candidates if one.model == SIZE_ROW]
    pairs += [Pair(EXPLORATORY, *pair) for pair in product(chosen, size)]
    primary = settings.primary
    if primary is None:
        return pairs
    for key, name in (("model", primary.model), ("against", primary.against)):
        if name not in by_name:
            raise ConfigError(
                f"comparison.primary.{key}: found {name!r}, which is no row of this comparison; expected one of "
                f"{', '.join(by_name)}"
            )
    named = (primary.model, primary.against)
    others = [pair for pair in pairs if {pair.first.model, pair.second.model} != {*named}]
    return [Pair(PRIMARY, by_name[named[0]], by_name[named[1]]), *others]


def _named_pairs(
    candidates: Sequence[Candidate], best: Candidate | None
) -> Iterator[tuple[str, tuple[Candidate, Candidate]]]:
    birads, others = candidates[0], candidates[1:]
    models = [one for one in others if one.family in MODELS and one.model != WORDS_ROW]
    for one in others:
        yield AGAINST_READER if one in models else EXPLORATORY, (one, birads)
    if best is not None:
        yield from ((AGAINST_BEST, (one, best)) for one in models if one is not best)
    classifiers = [one for one in others if one.family == CLASSIFIER]
    held_against = [one for one in others if one.family == FEATURE_MODEL or one.model == SIZE_ROW]
    words = [one for one in others if one.model == WORDS_ROW]
    fusions = [one for one in others if one.family == FUSION and one.model != WORDS_ROW]
    for pair in [*product(classifiers, held_against), *product(fusions, words)]:
        if best not in pair or pair[1] not in models:  # such a pair is above, from one side or the other
            yield EXPLORATORY, pair


def auc_test_table(
    pairs: Sequence[Pair], lesions: pd.DataFrame, settings: ComparisonSettings, note: str
) -> pd.DataFrame:
    """Return one row for each pair with the difference in AUC.

    Parameters
    ----------
    pairs
        Of `pairs_to_test`.
    lesions
        Labelled test lesions, indexed by lesion.
    settings
        Coverage, power, margin of non-inferiority, fewest patients.
    note
        What is true of the whole study and is in every row.
    """
    rows = []
    for pair in pairs:
        paired = Paired.of(pair.first, pair.second, lesions)
        found = paired.areas
        row = _pair_columns(pair, paired) | {"auc_a": found.first, "auc_b": found.second, "difference": found.value}
        if paired.has_enough(settings.fewest_patients):
            row |= _area_columns(found, settings)
        rows.append(row | _seen(pair, paired, note))
    table = pd.DataFrame(rows, columns=_AUC_COLUMNS)
    return table.assign(p_holm=adjusted(table["hypothesis"], table["p"]))


def _area_columns(found: AreaDifference, settings: ComparisonSettings) -> dict[str, object]:
    low, high = found.interval(settings.confidence)
    columns: dict[str, object] = {
        "low": low,
        "high": high,
        "p": found.p_value,
        "detectable": found.detectable(settings.confidence, settings.power),
    }
    margin = settings.non_inferiority_margin
    if margin is not None and math.isfinite(low):
        columns["non_inferiority_margin"] = margin
        columns["non_inferiority_p"] = found.non_inferiority_p(margin)
        columns["not_inferior"] = low > -margin
    return columns


def decision_test_table(
    pairs: Sequence[Pair], lesions: pd.DataFrame, settings: ComparisonSettings, note: str
) -> pd.DataFrame:
    """Return three rows for each pair but the exploratory ones: decisions on all lesions, on malignant, on benign ones.

    The share of right decisions is the accuracy, the recall and the specificity. Tools without a threshold decide
    nothing, so they have no row and count in no family. The parameters are those of `auc_test_table`.
    """
    rows = []
    decided = [pair for pair in pairs if not is_undecided(pair.first) and not is_undecided(pair.second)]
    for pair in (pair for pair in decided if pair.hypothesis != EXPLORATORY):
        whole = Paired.of(pair.first, pair.second, lesions)
        for group, paired in {"all": whole, "malignant": whole.of_label(1), "benign": whole.of_label(0)}.items():
            found = paired.decisions
            row = _pair_columns(pair, paired) | {"lesions": group, "right_a": found.first, "right_b": found.second}
            row |= {"difference": found.value, "only_a_right": found.only_first, "only_b_right": found.only_second}
            if whole.has_enough(settings.fewest_patients):
                low, high = found.interval(settings.confidence)
                row |= {"low": low, "high": high, "p": found.p_value}
            rows.append(row | _seen(pair, paired, note))
    table = pd.DataFrame(rows, columns=_DECISION_COLUMNS)
    return table.assign(p_holm=adjusted(table["hypothesis"] + table["lesions"], table["p"], PRIMARY))


def with_adjusted_p(table: pd.DataFrame, tests: pd.DataFrame, birads: str) -> pd.DataFrame:
    """Return a comparison with the family of hypotheses and the adjusted p value of each row's difference to BI-RADS.

    Parameters
    ----------
    table
        Of `comparison_table`.
    tests
        Of `auc_test_table`.
    birads
        Name of the row of BI-RADS.

    Returns
    -------
    DataFrame
        With `auc_difference_p_holm` and `auc_difference_hypothesis` behind `auc_difference_p`. The primary comparison
        says so where it is against BI-RADS; its p value is not adjusted. Exploratory rows have no adjusted value.
    """
    with_birads = tests[(tests["model_a"] == birads) | (tests["model_b"] == birads)]
    other = with_birads["model_a"].where(with_birads["model_b"] == birads, with_birads["model_b"])
    against = with_birads.assign(other=other).drop_duplicates("other").set_index("other")
    place = list(table.columns).index("auc_difference_p") + 1
    added = {
        "auc_difference_p_holm": table["model"].map(against["p_holm"]).astype("float64"),
        "auc_difference_hypothesis": table["model"].map(against["hypothesis"]),
    }
    return pd.concat([table.iloc[:, :place], pd.DataFrame(added), table.iloc[:, place:]], axis=1)


def adjusted(families: pd.Series, p_values: pd.Series, unadjusted: str = PRIMARY) -> pd.Series:
    """Return p values adjusted by Holm's method within each family; those of the primary comparison stay.

    Parameters
    ----------
    families
        Family of each row. Exploratory rows are not adjusted and have no value.
    p_values
        `nan` where there is no test; such a row counts in no family.
    unadjusted
        Start of the names of families whose p values stay.
    """
    found = pd.Series(np.nan, index=p_values.index, dtype="float64")
    for family, part in p_values.astype("float64").dropna().groupby(families):
        if str(family).startswith(unadjusted):
            found[part.index] = part
        elif not str(family).startswith(EXPLORATORY):
            found[part.index] = holm(part.to_numpy())
    return found


def holm(p_values: FloatArray) -> FloatArray:
    """Return p values adjusted by Holm's step-down method, in the order given."""
    order = np.argsort(p_values, kind="stable")
    steps = p_values[order] * (len(p_values) - np.arange(len(p_values)))
    result = np.empty(len(p_values))
    result[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return result


def _pair_columns(pair: Pair, paired: Paired) -> dict[str, object]:
    return {
        "hypothesis": pair.hypothesis,
        "model_a": pair.first.model,
        "model_b": pair.second.model,
        "n": len(paired.lesions),
        "n_malignant": int(paired.first.label.sum()),
        "patients": len(np.unique(paired.first.patients)),
    }


def _seen(pair: Pair, paired: Paired, note: str) -> dict[str, object]:
    marks = dict.fromkeys((*pair.first.marking_notes, *pair.second.marking_notes))
    seen = SeenPatients.joined([pair.first.seen, pair.second.seen])
    return seen_columns(seen, paired.lesions["patient_id"], note, *marks)
