"""The runs of all folds as one: each patient is scored by the run that held the patient out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.errors import StudyError
from mammoflow.evaluation.all_candidates import all_candidates
from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.comparison import comparison_table, confusion_table
from mammoflow.evaluation.foreign import without_decisions
from mammoflow.evaluation.inputs import Run, labelled_lesions, read_run
from mammoflow.evaluation.pooling import Fold, fold_of_lesions, pooled_candidates, pooled_note, tables_by_fold
from mammoflow.evaluation.stage import write_record
from mammoflow.evaluation.subgroups import size_thirds, subgroup_table
from mammoflow.evaluation.within_folds import with_areas_within_folds
from mammoflow.storage.files import read_json
from mammoflow.tables.files import write_csv, write_table
from mammoflow.tables.predictions import PREDICTIONS
from mammoflow.tables.study import has_every_fold, study_note

INPUTS = ("images", "segmentation", "features", "predictions", "prompts")
"""What a comparison reads besides the cohort, in the order of `read_run`."""

STABILITY_TABLE = Path("stability", "stability.csv")
"""What the target stability writes in the folder of a run."""


def pool_folds(settings: ComparisonSettings, folders: Sequence[Path], output: Path) -> None:
    """Join the test sides of the runs of all folds and hold every model against BI-RADS and its floors on them.

    Models, feature models and floors are those of each run, fitted without its test patients; scores of different
    trainings are in one ranking, which the note of each row says. `comparison_by_fold.csv` keeps the folds apart.
    Features that are chosen by their stability are those of the table of each run, because its lesions are training
    lesions of that run alone.

    Parameters
    ----------
    settings
        Policy for BI-RADS 0, and the bootstrap.
    folders
        One finished run a fold, such as `results/fold-0`; in any order.
    output
        Folder for `comparison.csv`, `comparison_by_fold.csv`, `confusion.csv`, `subgroups.csv`, `predictions.parquet`
        and `pooled.json`.

    Raises
    ------
    StudyError
        If a run is not of the method kfold or makes every fold, the runs are not those of all folds of one assignment,
        they do not compare the same models, or a table of stability that a model needs is missing.
    """
    runs = [_read(folder) for folder in folders]
    numbers = _check_folds(folders, runs)
    stability = stability_tables(settings, folders)
    with_own_tables = [settings.model_copy(update={"stability_table": table}) for table in stability]
    folds = [
        Fold(number, folder, run, lesions, all_candidates(of_run, run, lesions))
        for number, folder, run, of_run in zip(numbers, folders, runs, with_own_tables, strict=True)
        for lesions in [labelled_lesions(run)]
    ]
    candidates = pooled_candidates(folds)
    bootstrap = PatientBootstrap.of(settings)
    note = "; ".join(filter(None, [study_note(runs[0].study), pooled_note(folds)]))
    lesions = pd.concat([fold.test for fold in folds])
    thirds = size_thirds([fold.lesions[fold.lesions["split"] == "train"] for fold in folds])
    comparison = comparison_table(candidates, lesions, candidates[0], bootstrap, "test", note)
    tables = {
        "comparison": with_areas_within_folds(comparison, candidates, lesions, fold_of_lesions(folds), bootstrap),
        "comparison_by_fold": tables_by_fold(folds, bootstrap, "test"),
        "confusion": confusion_table(candidates, lesions, note),
        "subgroups": subgroup_table(candidates, lesions, bootstrap, note, settings.fewest_cases, thirds),
    }
    for name, table in without_decisions(tables, candidates).items():
        write_csv(output / f"{name}.csv", table)
    predictions = pd.concat([run.predictions[run.predictions["split"] == "test"] for run in runs], ignore_index=True)
    write_table(predictions, PREDICTIONS, output / "predictions.parquet")
    record = {"study": runs[0].study.get("name"), "split": runs[0].study["split"], "comparison": settings.model_dump()}
    record |= {"stability_tables": stability} if settings.needs_stability else {}
    write_record(output / "pooled.json", record | {"runs": [str(folder) for folder in folders], "folds": numbers})


def stability_tables(settings: ComparisonSettings, folders: Sequence[Path]) -> list[str]:
    """Return the table of stability that the models of each run read: its own, or the one outside that all runs share.

    Parameters
    ----------
    settings
        Their table counts where the record of a run names none.
    folders
        The runs. A run that has another name since its comparison was made has its own table still.
    """
    if not settings.needs_stability:
        return [settings.stability_table] * len(folders)
    records = [read_json(folder / "comparison" / "provenance.json").get("comparison") or {} for folder in folders]
    read = [record.get("stability_table") or settings.stability_table for record in records]
    of_runs = [(folder.resolve().name, *STABILITY_TABLE.parts) for folder in folders]
    if read[0] and len(set(read)) == 1 and Path(read[0]).parts[-3:] not in of_runs:
        return read
    return [str(folder / STABILITY_TABLE) for folder in folders]


def _read(folder: Path) -> Run:
    """Read what the comparison of a run read, and nothing else that an earlier configuration left in its folder."""
    record = folder / "comparison" / "provenance.json"
    if not record.is_file():
        raise StudyError(f"{folder} has no comparison/provenance.json; expected a finished run, such as results/fold-0")
    inputs = read_json(record).get("inputs")
    if not isinstance(inputs, dict) or not set(INPUTS) <= set(inputs):
        raise StudyError(
            f"{record} does not list the inputs {', '.join(INPUTS)} of the comparison; run the comparison again"
        )
    if has_every_fold(read_json(folder / "cohort" / "study.json")):
        raise StudyError(
            f"{folder}: this run makes every fold; its comparison is pooled already, in {record.parent}; expected runs "
            "of one fold each, such as results/fold-0"
        )
    return read_run(folder / "cohort", *([folder / path for path in inputs[kind]] for kind in INPUTS))


def _check_folds(folders: Sequence[Path], runs: Sequence[Run]) -> list[int]:
    """Return the fold of each run; stop unless the runs are those of all folds of one assignment."""
    splits = [run.study.get("split") or {} for run in runs]
    for folder, split in zip(folders, splits, strict=True):
        if split.get("method") != "kfold":
            raise StudyError(
                f"{folder} has the split {split.get('method')!r}; expected runs with cohort.split.method: kfold"
            )
    folds = [int(split["fold"]) for split in splits]
    expected = list(range(int(splits[0]["folds"])))
    if sorted(folds) != expected:
        raise StudyError(f"the runs are of the folds {folds}; expected each of {expected} once; run the missing folds")
    assigned = [run.cohort_images.drop_duplicates("patient_id").set_index("patient_id")["fold"] for run in runs]
    for folder, assignment in zip(folders[1:], assigned[1:], strict=True):
        if not assignment.sort_index().equals(assigned[0].sort_index()):
            raise StudyError(
                f"{folder} puts patients into other folds than {folders[0]}; expected the same study, seed and number "
                "of folds; run the cohort stage of both again"
            )
    return folds
