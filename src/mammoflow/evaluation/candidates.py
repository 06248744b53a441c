"""Everything that the table compares, in one form: a score and a call for each lesion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.config.foreign import FOREIGN
from mammoflow.config.from_run import ELSEWHERE
from mammoflow.config.row_names import BIRADS_ROW, VIEWS_JOINED
from mammoflow.evaluation.birads import ZERO_NOTES, BiradsZero, birads_scores, birads_threshold
from mammoflow.evaluation.estimates import BoolArray, Scored
from mammoflow.evaluation.inputs import Run
from mammoflow.evaluation.metrics import FloatArray, patient_codes
from mammoflow.evaluation.oracles import ORACLE_MASKS, SEES_REFERENCE
from mammoflow.evaluation.seen_patients import SeenPatients

READER = "reader"
CLASSIFIER = "classifier"
FUSION = "fusion"
FEATURE_MODEL = "features"
FLOOR = "floor"
CEILING = "ceiling"

BIRADS = BIRADS_ROW


def display_name(model: str, titles: Mapping[str, str] | None = None) -> str:
    """Return a model's name as figures and the report show it.

    Parameters
    ----------
    model
        Its name in the tables.
    titles
        Titles of classifiers by name, as their training records give them; a fusion, a mean of seeds and joined views
        have the title of their classifier.
    """
    known = titles or {}
    classifier, space, rest = model.partition(" ")
    if rest.startswith(("+ ", "(mean of ", VIEWS_JOINED)):
        return f"{display_name(classifier, known)}{space}{rest}"
    return known.get(model) or model.replace("_", " ")


def classifier_titles(training: Mapping[str, Any]) -> dict[str, str]:
    """Return the title of each classifier, from the training records by name; with its name if another has the same."""
    titles = {model: str(record["title"]) for model, record in training.items() if record.get("title")}
    times = Counter(titles.values())
    return {model: title if times[title] == 1 else f"{title} ({model})" for model, title in titles.items()}


@dataclass(frozen=True)
class Candidate:
    """A model, a reader or a floor.

    Attributes
    ----------
    model
        Its name in the tables.
    family
        `reader`, `classifier`, `fusion`, `features`, `floor` or `ceiling`.
    runs
        Seed to a table indexed by lesion, with `score` (higher is more suspicious) and `predicted` (0, 1); `nan`
        where there is no prediction, and `threshold` where it may differ between seeds or folds. What is not trained
        has one run.
    notes
        What a reader of the table must know.
    threshold
        Score from which on a lesion is called malignant, where all runs share one.
    seen
        Training patients of the segmentation model whose masks or weights it rests on; None where there is none.
    coefficients
        Of a fusion: name of each input to its weight, with `intercept`; empty for everything else.
    n_fitted
        Of a fusion: number of lesions that the weights were fitted on.
    """

    model: str
    family: str
    runs: Mapping[int, pd.DataFrame]
    notes: tuple[str, ...] = ()
    threshold: float = field(default=float("nan"))
    seen: SeenPatients | None = None
    coefficients: Mapping[str, float] = field(default_factory=dict)
    n_fitted: int = 0

    @property
    def marking_notes(self) -> tuple[str, ...]:
        """Its notes that every table that names it repeats: that it sees the reference, or is of another tool."""
        return tuple(note for note in self.notes if note.startswith(("oracle", FOREIGN)))

    def scored(self, lesions: pd.DataFrame) -> pd.Index:
        """Return the lesions, of those given, that every run has a prediction for."""
        return lesions.index[self.scores(lesions.index)]

    def scores(self, lesion_ids: pd.Index) -> BoolArray:
        """Tell of which lesions every run has a prediction, (lesions,)."""
        # `Index.isin` takes fifty times as long for ids that are text.
        return np.asarray(self._defined.get_indexer(lesion_ids) >= 0)

    def on(self, lesions: pd.DataFrame, lesion_ids: pd.Index) -> Scored:
        """Return what the model says of some lesions, all of which it scores.

        Parameters
        ----------
        lesions
            Indexed by lesion: `malignant`, `patient_id`.
        lesion_ids
            Of those lesions.
        """
        chosen = lesions if len(lesions) == len(lesion_ids) else lesions.loc[lesion_ids]
        patients, _ = patient_codes(chosen["patient_id"].tolist())
        return Scored(chosen["malignant"].to_numpy(dtype=np.float64), *self.values(chosen.index), patients)

    def values(self, lesion_ids: pd.Index) -> tuple[list[FloatArray], list[FloatArray]]:
        """Return scores and calls of some lesions, (lesions,) for each run; `nan` where there is none."""
        scores, calls = [], []
        for index, values in self._arrays:
            places = index.get_indexer(lesion_ids)
            found = np.where(places[:, None] >= 0, values[places], np.nan)
            scores.append(found[:, 0])
            calls.append(found[:, 1])
        return scores, calls

    @cached_property
    def _arrays(self) -> list[tuple[pd.Index, FloatArray]]:
        """The lesions of each run, with score and call of each, (lesions, 2); taken once for all tables."""
        columns = ["score", "predicted"]
        return [
            (run.index.astype(object), run[columns].astype("float64").to_numpy(dtype=np.float64))
            for run in self.runs.values()
        ]

    @cached_property
    def _defined(self) -> pd.Index:
        """Lesions that every run has a prediction for; looked up once for all tables."""
        defined = [run.index[run["score"].notna() & run["predicted"].notna()] for run in self.runs.values()]
        return reduce(lambda first, second: first.intersection(second, sort=False), defined).astype(object)


def birads_candidate(lesions: pd.DataFrame, zero: BiradsZero) -> Candidate:
    """Return the radiologist's assessment as a candidate.

    Parameters
    ----------
    lesions
        Indexed by lesion, with `birads`.
    zero
        What BI-RADS 0 counts as.
    """
    notes = [f"{ZERO_NOTES[zero]} ({int((lesions['birads'] == 0).sum())} lesions in all splits)"]
    if lesions["birads"].isna().all():
        notes = ["the study gives no BI-RADS assessment"]
    return Candidate(BIRADS, READER, {0: birads_scores(lesions["birads"], zero)}, tuple(notes), birads_threshold(zero))


def classifier_candidates(run: Run) -> list[Candidate]:
    """Return each trained classifier with all its seeds, in the order of the predictions."""
    candidates = []
    for model, rows in run.predictions.groupby("model", sort=False):
        runs = {int(str(seed)): _scores(part) for seed, part in rows.groupby("seed")}
        thresholds = rows["threshold"].unique()
        record = run.training.get(str(model), {})
        notes = _training_notes(record, run.oracle)
        if rows["probability"].isna().all():
            notes.append("no prediction is defined")
        candidates.append(
            Candidate(
                str(model),
                CLASSIFIER,
                runs,
                tuple(notes),
                threshold=float(thresholds[0]) if len(thresholds) == 1 else float("nan"),
                seen=_seen_by_classifier(run, record),
            )
        )
    return candidates


def _seen_by_classifier(run: Run, record: dict[str, Any]) -> SeenPatients | None:
    """Return what the models have seen that a classifier rests on; None where its record says that it rests on none.

    These are the model that the input's option `model` names, else the one whose masks later stages use; those whose
    masks gave the features that join the network's; and the classifier itself where another run trained it.
    """
    elsewhere = record.get(ELSEWHERE)
    itself = (
        SeenPatients(f"{record.get('model', '')} of the run {elsewhere['run']}", frozenset(elsewhere["seen_patients"]))
        if elsewhere
        else None
    )
    if record.get("seen_test_patients") is None:
        return itself
    settings = record.get("settings", {})
    named = settings.get("input_options", {}).get("model") or run.mask_model
    families = [run.features[family] for family in settings.get("vectors", []) if family in run.features]
    of_features = (seen_by_features(run, features) for features in families)
    return SeenPatients.joined([SeenPatients.of_scores(named, run.scores), *of_features, itself])


def seen_by_features(run: Run, features: pd.DataFrame) -> SeenPatients | None:
    """Return what the model has seen whose masks a table of features was computed on; None for reference masks."""
    models = sorted(set(features["mask_model"]) - {""})
    return SeenPatients.joined(SeenPatients.of_scores(model, run.scores) for model in models)


def _scores(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "score": rows["probability"].astype("float64").to_numpy(),
            "predicted": rows["predicted"].astype("Float64").astype("float64").to_numpy(),
            "threshold": rows["threshold"].astype("float64").to_numpy(),
        },
        index=pd.Index(rows["lesion_id"], name="lesion_id"),
    )


OTHER_MASKS = "its masks are of other weights than those of its training"


def _training_notes(record: dict[str, Any], oracle: bool) -> list[str]:
    """Return what a reader of the table must know about a classifier and the masks that it saw."""
    notes = [SEES_REFERENCE] if record.get("sees_reference_mask") else [ORACLE_MASKS] * oracle
    notes += [str(record["note"])] if record.get("note") else []
    if record.get(ELSEWHERE):
        notes.append(f"trained elsewhere: {record[ELSEWHERE]['run']}")
        notes += [OTHER_MASKS] if record.get("masks_of_other_weights") else []
    if record.get("constant"):
        notes.append("its outputs are nearly constant")
    return notes
