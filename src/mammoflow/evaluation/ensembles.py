"""Means of classifiers: over the seeds of one, over several with all their seeds, and over the views of a finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from mammoflow.config.row_names import joined_row, mean_row
from mammoflow.evaluation.candidates import CLASSIFIER, Candidate
from mammoflow.evaluation.floors import undefined, with_threshold
from mammoflow.evaluation.seen_patients import SeenPatients

NEAREST_TO_CERTAIN = 1e-7
"""Probabilities are kept this far from 0 and 1 before their logit is taken."""


def mean_logit(candidate: Candidate, lesions: pd.DataFrame) -> pd.Series:
    """Return the mean over seeds of a model's logits, one for each lesion; `nan` where a seed has no prediction.

    Parameters
    ----------
    candidate
        Its scores are probabilities.
    lesions
        Indexed by lesion.
    """
    scores = [run["score"].reindex(lesions.index).astype("float64") for run in candidate.runs.values()]
    logits = [logit(score.clip(NEAREST_TO_CERTAIN, 1 - NEAREST_TO_CERTAIN)) for score in scores]
    return pd.Series(np.mean(logits, axis=0), index=lesions.index)


def seed_ensembles(classifiers: Sequence[Candidate], lesions: pd.DataFrame) -> list[Candidate]:
    """Return, for each classifier of several seeds, the model that averages their logits."""
    return [_ensemble(mean_row(one.model, len(one.runs)), [one], lesions) for one in classifiers if len(one.runs) > 1]


def named_ensembles(
    ensembles: Mapping[str, Sequence[str]], classifiers: Sequence[Candidate], lesions: pd.DataFrame
) -> list[Candidate]:
    """Return the ensembles of the settings; each classifier counts once, with the mean over its seeds.

    Parameters
    ----------
    ensembles
        Name of each ensemble to the names of its classifiers.
    classifiers
        Every trained classifier of the run.
    lesions
        Usable lesions with a label, indexed by lesion: `split`, `malignant`.
    """
    by_name = {one.model: one for one in classifiers}
    found = []
    for name, members in ensembles.items():
        missing = [member for member in members if member not in by_name]
        if missing:
            found.append(undefined(name, CLASSIFIER, lesions, f"the run has no classifier {', '.join(missing)}"))
        else:
            found.append(_ensemble(name, [by_name[member] for member in members], lesions))
    return found


def joined_views(names: Sequence[str], models: Sequence[Candidate], lesions: pd.DataFrame) -> list[Candidate]:
    """Return models in which each lesion has the mean logit over all lesions of its finding, which are its views.

    Only lesions of one breast and one split are joined: under a split by image no test lesion gets the score of a
    training image. Where the side is unknown, equal numbers may be two findings, and nothing is joined. A lesion
    without a score of its own gets none from another view.

    Parameters
    ----------
    names
        Models that are joined, in the order of the rows.
    models
        Classifiers and ensembles; their scores are probabilities.
    lesions
        Usable lesions with a label, indexed by lesion: `patient_id`, `laterality`, `finding_id`, `split`, `malignant`.
    """
    by_name = {one.model: one for one in models}
    return [_joined(by_name[name], lesions) for name in names if name in by_name]


def _joined(model: Candidate, lesions: pd.DataFrame) -> Candidate:
    """Average the logits of a model over the views of each finding, and choose the threshold on validation."""
    own = mean_logit(model, lesions)
    keys = [lesions[key] for key in ("patient_id", "laterality", "finding_id", "split")]
    joined = own.groupby(keys).transform("mean")
    mean = joined.where(own.notna() & (lesions["laterality"] != ""), own)
    notes = tuple(dict.fromkeys(("mean of the logits over the views of a finding", *model.notes)))
    score = pd.Series(expit(mean), index=lesions.index)
    return with_threshold(joined_row(model.model), CLASSIFIER, score, lesions, notes, model.seen)


def _ensemble(name: str, members: Sequence[Candidate], lesions: pd.DataFrame) -> Candidate:
    """Average the logits of the members, and choose the threshold on validation."""
    score = pd.Series(expit(np.mean([mean_logit(one, lesions) for one in members], axis=0)), index=lesions.index)
    of_what = f"{len(members)} classifiers" if len(members) > 1 else f"{len(members[0].runs)} seeds"
    seen = SeenPatients.joined(one.seen for one in members)
    notes = dict.fromkeys(note for one in members for note in one.notes)
    return with_threshold(name, CLASSIFIER, score, lesions, (f"mean of the logits of {of_what}", *notes), seen)
