"""All rows of a comparison, computed from one run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.evaluation.candidates import (
    Candidate,
    birads_candidate,
    classifier_candidates,
    seen_by_features,
)
from mammoflow.evaluation.chosen_features import chosen_candidate
from mammoflow.evaluation.ensembles import joined_views, named_ensembles, seed_ensembles
from mammoflow.evaluation.feature_models import boosted_candidate, feature_candidate, joint_candidate
from mammoflow.evaluation.floors import floor_candidates, identity_floor, suspicion_ceiling
from mammoflow.evaluation.foreign import check_names, for_fusion, foreign_candidates
from mammoflow.evaluation.fusion import fusion_candidates
from mammoflow.evaluation.inputs import Run
from mammoflow.evaluation.oracles import ORACLE_MASKS, SEES_REFERENCE
from mammoflow.evaluation.seen_patients import SeenPatients


def all_candidates(settings: ComparisonSettings, run: Run, lesions: pd.DataFrame) -> list[Candidate]:
    """Return everything that the table compares, in the order of its rows.

    These are the reader, classifiers, their ensembles and their views joined, scores of other tools, fusions of all
    these with the reader, models on features, floors, and the ceiling of a phantom study. Names do not depend on how
    lesions fall into splits, so that the folds of a cross-validation have the same ones.

    Parameters
    ----------
    settings
        Policy for BI-RADS 0, ensembles, joined views, fusions and tables of other tools' scores.
    run
        Tables of one run.
    lesions
        Its usable lesions with a label, indexed by lesion.

    Raises
    ------
    ConfigError
        If two rows have one name.
    StudyError
        If the table of another tool cannot be read or matches no lesion.
    """
    classifiers = classifier_candidates(run)
    ensembles = named_ensembles(settings.ensembles, classifiers, lesions)
    joined = joined_views(settings.joined_views, [*classifiers, *ensembles], lesions)
    foreign = foreign_candidates(settings.predictions, run, lesions)
    chosen = _chosen_models(settings, run, lesions)
    fused = [one for one in chosen if isinstance(settings.fusion, list) and one.model in settings.fusion]
    candidates = [
        birads_candidate(lesions, settings.birads_zero),
        *classifiers,
        *seed_ensembles(classifiers, lesions),
        *ensembles,
        *joined,
        *foreign,
        *_fusions(settings, [*classifiers, *ensembles, *joined, *map(for_fusion, foreign), *fused], lesions),
        *_feature_models(run, lesions),
        *chosen,
        *floor_candidates(lesions),
        *([identity_floor(lesions)] if run.leaking else []),
        *([suspicion_ceiling(lesions)] if "hidden_suspicion" in lesions.columns else []),
    ]
    check_names(candidates)
    return candidates


def _fusions(settings: ComparisonSettings, models: Iterable[Candidate], lesions: pd.DataFrame) -> list[Candidate]:
    """Return the model on the reader's words and the fusions that the settings ask for."""
    if settings.fusion is False:
        return []
    asked = [one for one in models if settings.fusion is True or one.model in settings.fusion]
    return fusion_candidates(asked, lesions)


def _feature_models(run: Run, lesions: pd.DataFrame) -> list[Candidate]:
    """Return a regression and boosted trees for each feature family, and one regression on several families."""
    seen = {family: seen_by_features(run, table) for family, table in run.features.items()}
    notes = {family: _mask_notes(run, table) for family, table in run.features.items()}
    found = [
        replace(model(family, table, lesions, notes[family]), seen=seen[family])
        for family, table in run.features.items()
        for model in (feature_candidate, boosted_candidate)
    ]
    if len(run.features) > 1:
        joint = tuple(dict.fromkeys(note for of_family in notes.values() for note in of_family))
        found.append(replace(joint_candidate(run.features, lesions, joint), seen=SeenPatients.joined(seen.values())))
    return found


def _chosen_models(settings: ComparisonSettings, run: Run, lesions: pd.DataFrame) -> list[Candidate]:
    """Return the further models on features that the settings describe."""
    found = []
    for model in settings.feature_models:
        families = {family: run.features[family] for family in model.families or run.features if family in run.features}
        notes = tuple(dict.fromkeys(note for table in families.values() for note in _mask_notes(run, table)))
        seen = SeenPatients.joined([seen_by_features(run, table) for table in families.values()])
        fitted = chosen_candidate(model, families, lesions, settings.stability_table, notes)
        found.append(replace(fitted, seen=seen))
    return found


def _mask_notes(run: Run, features: pd.DataFrame) -> tuple[str, ...]:
    """Return what must be known of the masks that features were computed on."""
    if (features["mask_model"] == "").all():
        return (SEES_REFERENCE,)
    return (ORACLE_MASKS,) if run.oracle else ()
