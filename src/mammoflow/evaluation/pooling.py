"""The folds of a cross-validation as one: each lesion with the scores of the fold that held its patient out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.errors import StudyError
from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.candidates import Candidate
from mammoflow.evaluation.comparison import comparison_table
from mammoflow.evaluation.inputs import Run, read_run
from mammoflow.evaluation.pooled_notes import pooled_notes
from mammoflow.evaluation.seen_patients import SeenPatients
from mammoflow.tables.study import study_note


@dataclass(frozen=True)
class Fold:
    """What one fold brings to the pooled tables.

    Attributes
    ----------
    number
        Number of the fold, from 0.
    folder
        Where its tables are, for messages.
    run
        Its tables.
    lesions
        Its labelled lesions, indexed by lesion, with the sides of this fold.
    candidates
        Everything that it compares, fitted without its test patients.
    """

    number: int
    folder: Path
    run: Run
    lesions: pd.DataFrame
    candidates: list[Candidate]

    @property
    def test(self) -> pd.DataFrame:
        """The labelled lesions that this fold holds out."""
        return self.lesions[self.lesions["split"] == "test"]


def of_fold(paths: Sequence[Path], fold: Path, folds: Sequence[Path]) -> list[Path]:
    """Return the paths that belong to a fold: those in its folder, and those that all folds share."""
    others = [other for other in folds if other != fold]
    return [path for path in paths if not any(path.is_relative_to(other) for other in others)]


def read_fold(
    fold: Path,
    folds: Sequence[Path],
    images: Sequence[Path],
    segmentation: Sequence[Path],
    features: Sequence[Path],
    predictions: Sequence[Path],
    prompts: Sequence[Path],
    saliency: Sequence[Path] = (),
    class_predictions: Sequence[Path] = (),
    trained: Sequence[Path] = (),
) -> Run:
    """Read the tables of one fold of a run that makes every fold.

    Parameters
    ----------
    fold, folds
        Folder of the fold, and of every fold.
    images
        Folders of the image stage of the run; the fold has tables with the same names.
    segmentation, features, predictions, prompts, saliency, class_predictions, trained
        Those of all folds and the shared ones, as `read_run` takes them.

    Raises
    ------
    StudyError
        If a table is missing, does not fit its schema, or belongs to another cohort than the rest.
    LeakageError
        If a patient is on two sides of the fold.
    """
    given = (segmentation, features, predictions, prompts, saliency, class_predictions, trained)
    kinds = [of_fold(paths, fold, folds) for paths in given]
    return read_run(fold / "cohort", [fold / "images" / folder.name for folder in images], *kinds)


def pooled_run(whole: Run, folds: Sequence[Fold]) -> Run:
    """Return a run whose every lesion has the tables of the fold that held its patient out.

    Parameters
    ----------
    whole
        Cohort and images of the run, in which every patient is on the test side.
    folds
        All folds.
    """
    patients = [set(fold.run.lesions.loc[fold.run.lesions["split"] == "test", "patient_id"]) for fold in folds]
    images = [set(fold.run.images.loc[fold.run.images["split"] == "test", "image_id"]) for fold in folds]
    lesions = [set(fold.run.lesions.loc[fold.run.lesions["split"] == "test", "lesion_id"]) for fold in folds]

    def held_out(tables: Sequence[pd.DataFrame], column: str, values: Sequence[set[str]]) -> pd.DataFrame:
        kept = [table[table[column].isin(ids)] for table, ids in zip(tables, values, strict=True)]
        return pd.concat([table for table in kept if len(table)] or kept[:1], ignore_index=True)

    excluded = held_out([fold.run.excluded for fold in folds], "patient_id", patients)
    families = folds[0].run.features
    return replace(
        whole,
        excluded=pd.concat([whole.excluded, excluded], ignore_index=True).drop_duplicates(ignore_index=True),
        scores=held_out([fold.run.scores for fold in folds], "lesion_id", lesions),
        masks=held_out([fold.run.masks for fold in folds], "lesion_id", lesions),
        mask_model=folds[0].run.mask_model,
        features={
            family: held_out([fold.run.features[family] for fold in folds], "lesion_id", lesions) for family in families
        },
        predictions=held_out([fold.run.predictions for fold in folds], "lesion_id", lesions),
        training=_training(folds),
        weights=_weights(folds),
        detections=held_out([fold.run.detections for fold in folds], "image_id", images).assign(split="test"),
        maps=held_out([fold.run.maps for fold in folds], "image_id", images).assign(split="test"),
        empty_scores=held_out([fold.run.empty_scores for fold in folds], "image_id", images).assign(split="test"),
        saliency=held_out([fold.run.saliency for fold in folds], "lesion_id", lesions),
        class_predictions=held_out([fold.run.class_predictions for fold in folds], "image_id", images),
        history=pd.concat([fold.run.history.assign(fold=fold.number) for fold in folds], ignore_index=True),
        segmenter_history=pd.concat(
            [fold.run.segmenter_history.assign(fold=fold.number) for fold in folds], ignore_index=True
        ),
    )


def _weights(folds: Sequence[Fold]) -> dict[str, Any]:
    """Return the records of weights by model; weights that differ in a later fold have the fold in their name."""
    records = dict(folds[0].run.weights)
    for fold in folds[1:]:
        for model, record in fold.run.weights.items():
            if record != folds[0].run.weights.get(model):
                records[f"{model}, fold {fold.number}"] = record
    return records


def _training(folds: Sequence[Fold]) -> dict[str, Any]:
    """Return the training records by classifier; those of later folds have the fold in their names and titles."""
    records: dict[str, Any] = {}
    for fold in folds:
        for model, record in fold.run.training.items():
            if fold is folds[0]:
                records[model] = record
            else:
                title = f"{record.get('title') or model}, fold {fold.number}"
                records[f"{model}, fold {fold.number}"] = {**record, "title": title}
    return records


def pooled_note(folds: Sequence[Fold]) -> str:
    """Return what the note of each pooled row says."""
    return f"pooled over {len(folds)} folds, each scored by its own training"


def pooled_candidates(folds: Sequence[Fold]) -> list[Candidate]:
    """Join each candidate over the folds, each fold with its own test lesions.

    Raises
    ------
    StudyError
        If the folds do not compare the same models and seeds.
    """
    first = folds[0]
    names = [{(candidate.model, tuple(sorted(candidate.runs))) for candidate in fold.candidates} for fold in folds]
    for fold, other in zip(folds[1:], names[1:], strict=True):
        if other != names[0]:
            differing = ", ".join(sorted(model for model, _ in other ^ names[0]))
            raise StudyError(
                f"{fold.folder} and {first.folder} differ in the models or seeds of {differing}; expected the same in "
                "each fold; run them with one configuration"
            )
    return [_pooled(candidate, folds) for candidate in first.candidates]


def _pooled(first: Candidate, folds: Sequence[Fold]) -> Candidate:
    """Join one candidate over the folds."""
    parts = [
        (next(candidate for candidate in fold.candidates if candidate.model == first.model), fold.test)
        for fold in folds
    ]
    thresholds = {part.threshold for part, _ in parts}
    return Candidate(
        first.model,
        first.family,
        {seed: pd.concat([part.runs[seed].reindex(test.index) for part, test in parts]) for seed in first.runs},
        pooled_notes({fold.number: part.notes for fold, (part, _) in zip(folds, parts, strict=True)}),
        threshold=thresholds.pop() if len(thresholds) == 1 else float("nan"),
        seen=SeenPatients.pooled([(part.seen, test["patient_id"]) for part, test in parts]),
    )


def fold_of_lesions(folds: Sequence[Fold]) -> pd.Series:
    """Return the number of the fold that holds each labelled lesion out, indexed by lesion."""
    return pd.concat([pd.Series(fold.number, index=fold.test.index, dtype="int64") for fold in folds])


def tables_by_fold(folds: Sequence[Fold], bootstrap: PatientBootstrap, split: str) -> pd.DataFrame:
    """Return the comparison of each fold on one of its sides, with the column `fold`."""
    tables = [
        comparison_table(
            fold.candidates, fold.lesions, fold.candidates[0], bootstrap, split, study_note(fold.run.study)
        ).assign(fold=fold.number)
        for fold in folds
    ]
    return pd.concat(tables, ignore_index=True)
