"""The comparison stage: every table and figure of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.evaluation.ablation import ablation_table
from mammoflow.evaluation.all_candidates import all_candidates
from mammoflow.evaluation.birads import CASE_TABLES, PUBLISHED
from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.candidate_tables import COMPARED, comparison_tables
from mammoflow.evaluation.candidates import classifier_titles
from mammoflow.evaluation.class_figure import draw_class_confusion
from mammoflow.evaluation.class_tables import class_tables
from mammoflow.evaluation.detection import detection_table, froc_table
from mammoflow.evaluation.discordant import discordant_table
from mammoflow.evaluation.drawing import marked_figures, remove_figure
from mammoflow.evaluation.feature_table import feature_table
from mammoflow.evaluation.few_labels import few_labels_table
from mammoflow.evaluation.figures import write_figures
from mammoflow.evaluation.flow import exclusions, flow
from mammoflow.evaluation.foreign import tables_record, unmatched_lines, unmatched_table, without_decisions
from mammoflow.evaluation.foreign_masks import joined_rows, masks_record, score_foreign_masks
from mammoflow.evaluation.inputs import Run, labelled_lesions, measured_lesions, plain_columns, read_run
from mammoflow.evaluation.losses import loss_table
from mammoflow.evaluation.pooling import Fold, pooled_candidates, pooled_note, pooled_run, read_fold
from mammoflow.evaluation.predictions_file import predictions_table
from mammoflow.evaluation.provenance_record import provenance, recorded_inputs
from mammoflow.evaluation.saliency import saliency_table
from mammoflow.evaluation.seen_patients import SEEN_MARK
from mammoflow.evaluation.segmentation_choices import choices_table
from mammoflow.evaluation.segmentation_diameter import diameter_correlation, dice_by_diameter
from mammoflow.evaluation.segmentation_differences import segmentation_differences
from mammoflow.evaluation.segmentation_empty import empty_images_table
from mammoflow.evaluation.segmentation_heads import heads_table
from mammoflow.evaluation.segmentation_parameters import parameters_table
from mammoflow.evaluation.segmentation_subgroups import segmentation_subgroups
from mammoflow.evaluation.segmentation_tables import segmentation_table
from mammoflow.evaluation.transfer import transfer_table
from mammoflow.evaluation.tuning_methods import tuning_methods
from mammoflow.run.console import say
from mammoflow.storage.files import write_text
from mammoflow.tables.files import write_csv
from mammoflow.tables.study import LEAKING, is_cbis_ddsm, noted, study_note

OPTIONAL_TABLES = ("comparison_by_fold", "classes", "class_confusion", "class_differences")
"""Tables of some runs alone: of those that make every fold, and of those with classifiers of the classes of images."""

NOT_RESULTS = ("exclusions", "birads_published", "foreign_unmatched")
"""Tables that no split can spoil; every other one has a `note`, and the column `leaking` where the split leaks."""


def compare(
    settings: ComparisonSettings,
    cohort: Path,
    images: list[Path],
    segmentation: list[Path],
    features: list[Path],
    predictions: list[Path],
    output: Path,
    prompts: Sequence[Path] = (),
    folds: Sequence[Path] = (),
    saliency: Sequence[Path] = (),
    class_predictions: Sequence[Path] = (),
    trained: Sequence[Path] = (),
) -> None:
    """Hold every model against BI-RADS and its floors, and write tables, flow diagram and figures.

    Parameters
    ----------
    settings
        Policy for BI-RADS 0, and the bootstrap.
    cohort
        Folder of the cohort stage.
    images
        One folder of the image stage a shard.
    segmentation
        One folder per model and shard.
    features
        Feature tables `<family>/<shard>.parquet`; the folder names the family.
    predictions
        One predictions table, or the folder that holds it, a classifier.
    output
        Folder that the tables go to; figures go to `figures/` in it.
    prompts
        Tables of what gave no prompt, one a shard and source of prompts.
    folds
        Folders of the folds, for a run that makes every fold. A path inside one of them belongs to that fold; the other
        paths are shared.
    saliency
        Folders of the saliency maps, one for each classifier that has them, and fold.
    class_predictions
        Tables of predictions, one for each classifier of the classes of images, and fold.
    trained
        Folders of the segmentation models that the run trained, one for each model and fold.

    Raises
    ------
    StudyError
        If a table is missing, does not fit its schema, or belongs to another cohort.
    LeakageError
        If a patient is on two sides of the split and the study does not say so.
    """
    bootstrap = PatientBootstrap.of(settings)
    parts: list[Fold] = []
    if folds:
        given = (segmentation, features, predictions, prompts, saliency, class_predictions, trained)
        parts = _read_folds(settings, folds, images, *given)
        run = pooled_run(read_run(cohort, images, [], [], []), parts)
        labelled, training, features_of = labelled_lesions(run), parts[0].lesions, parts[0].run.features
        trainings = {fold.number: fold.run for fold in parts}
        candidates = pooled_candidates(parts)
        tables = comparison_tables(settings, run, candidates, labelled, parts)
    else:
        kinds = (segmentation, features, predictions, prompts, saliency, class_predictions, trained)
        run = read_run(cohort, images, *kinds)
        labelled = training = labelled_lesions(run)
        features_of, trainings = run.features, {0: run}
        candidates = all_candidates(settings, run, labelled)
        tables = comparison_tables(settings, run, candidates, labelled)
    described = run.lesions.set_index("lesion_id")
    measured = measured_lesions(run)
    foreign = score_foreign_masks(settings.masks, images, run.scores["model"].unique().tolist())
    every = pd.concat([run.scores, foreign.scores], ignore_index=True) if len(foreign.scores) else run.scores
    scores = every[every["lesion_id"].isin(measured.index)]
    diameters = dice_by_diameter(scores, run.masks, described)
    scores = plain_columns(scores, [*scores.columns])
    tables = without_decisions(tables, candidates) | {
        "discordant": discordant_table(
            candidates,
            plain_columns(labelled[labelled["split"] == "test"], COMPARED),
            described.index,
            study_note(run.study),
        ),
        "foreign_unmatched": joined_rows([unmatched_table(settings.predictions, run), foreign.problems]),
        "segmentation": segmentation_table(scores, measured, bootstrap),
        "segmentation_choices": choices_table(scores, measured, bootstrap),
        "segmentation_heads": heads_table(scores, measured, bootstrap),
        "segmentation_empty": empty_images_table(run.empty_scores, bootstrap),
        "tuning_methods": tuning_methods(scores, measured, run.weights, bootstrap),
        "segmentation_differences": segmentation_differences(run, scores, measured, bootstrap),
        "segmentation_subgroups": segmentation_subgroups(scores, measured, bootstrap, settings.fewest_cases),
        "detection": detection_table(run, bootstrap),
        "froc": froc_table(run),
        "few_labels": few_labels_table(run, candidates, labelled, bootstrap),
        "transfer": transfer_table(run, scores, measured, bootstrap),
        "ablation": ablation_table(settings.ablation, run, scores, candidates, measured, bootstrap),
        "dice_by_diameter": diameters,
        "dice_diameter_correlation": diameter_correlation(diameters, bootstrap),
        # in a run that makes every fold: on the training lesions of the first
        "features": feature_table(features_of, training, bootstrap),
        "saliency": saliency_table(run, labelled, bootstrap),
        "exclusions": exclusions(run, labelled, candidates),
        "birads_published": published_table(run.study),
        **class_tables(run.class_predictions, run.training, bootstrap, class_note(run, parts)),
    }
    tables["losses"] = loss_table(trainings, diameters, tables["comparison"], tables.get("classes"))
    trained_here = next(iter(trainings.values())).segmenters  # in a run that makes every fold: those of the first
    masks = (tables["segmentation"], tables["detection"], diameters)
    tables["segmentation_parameters"] = parameters_table(trained_here, run, *masks)
    for name in OPTIONAL_TABLES:
        (output / f"{name}.csv").unlink(missing_ok=True)  # of an earlier configuration
    for name, table in tables.items():
        write_csv(output / f"{name}.csv", table if name in NOT_RESULTS else marked_table(run, table))
    for line in unmatched_lines(tables["foreign_unmatched"]):
        say(f"compare: {line}")
    exact = predictions_table(candidates, run, classifier_titles(run.training))
    write_csv(output / "predictions.csv", exact, digits=17)
    steps = flow(run, labelled, candidates, tables["exclusions"])
    write_record(output / "flow.json", steps)
    inputs = recorded_inputs(
        cohort,
        images=images,
        segmentation=segmentation,
        features=features,
        predictions=predictions,
        prompts=prompts,
        saliency=saliency,
        **({"class_predictions": class_predictions} if class_predictions else {}),
        trained=trained,
    )
    record = provenance(settings, run, inputs) | {
        "predictions": tables_record(settings.predictions),
        "masks": masks_record(settings.masks),
    }
    write_record(output / "provenance.json", record)
    with marked_figures(figure_marks(run, tables)):
        write_figures(output / "figures", run, candidates, labelled, tables, steps["steps"])
        write_class_figure(output / "figures" / "class_confusion.png", run, tables)


def write_class_figure(path: Path, run: Run, tables: Mapping[str, pd.DataFrame]) -> None:
    """Write the confusion matrices of the classes, where the run has classifiers of them."""
    remove_figure(path)
    if "class_confusion" in tables:
        draw_class_confusion(path, tables["class_confusion"], run.phantom, classifier_titles(run.training))


def figure_marks(run: Run, tables: Mapping[str, pd.DataFrame]) -> str:
    """Return what the title of every figure says: a leaking split, and test patients that a model has seen.

    Parameters
    ----------
    run
        The tables of the run.
    tables
        `comparison` and `segmentation`, as they are written.
    """
    masks = tables["segmentation"]
    # rows of all lesions count training patients, too
    of_test = masks.loc[masks["split"] == "test", "patients_seen"]
    counted = pd.concat([tables["comparison"]["seen_test_patients"], of_test])
    seen = bool((pd.to_numeric(counted) > 0).any())
    return "; ".join(mark for mark, applies in ((LEAKING, run.leaking), (SEEN_MARK, seen)) if applies)


def _read_folds(
    settings: ComparisonSettings,
    folders: Sequence[Path],
    images: Sequence[Path],
    segmentation: Sequence[Path],
    features: Sequence[Path],
    predictions: Sequence[Path],
    prompts: Sequence[Path],
    saliency: Sequence[Path],
    class_predictions: Sequence[Path],
    trained: Sequence[Path],
) -> list[Fold]:
    """Read every fold, and fit what is fitted here on the training lesions of each."""
    folds = []
    for folder in folders:
        kinds = (segmentation, features, predictions, prompts, saliency, class_predictions, trained)
        run = read_fold(folder, folders, images, *kinds)
        lesions = labelled_lesions(run)
        number = int(run.study["split"]["fold"])
        folds.append(Fold(number, folder, run, lesions, all_candidates(settings, run, lesions)))
    return folds


def marked_table(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of results with the study's note in every row, and the column `leaking` where the split leaks."""
    marked = noted(table, run.study)
    return marked.assign(leaking=True) if run.leaking else marked


def class_note(run: Run, folds: Sequence[Fold]) -> str:
    """Return what the note of each row about the classes of images says."""
    return "; ".join(filter(None, [study_note(run.study), pooled_note(folds) if folds else ""]))


def published_table(study: dict[str, Any]) -> pd.DataFrame:
    """Return what was published for BI-RADS beside what CBIS-DDSM's own case tables give; no row for other studies."""
    if not is_cbis_ddsm(study):
        return pd.DataFrame(columns=["source", *CASE_TABLES[0]])
    return pd.DataFrame(
        [
            {"source": "published table", "rows": "not stated", **PUBLISHED},
            *({"source": "official case tables of CBIS-DDSM", **row} for row in CASE_TABLES),
        ]
    )


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a JSON object in one step."""
    write_text(path, json.dumps(record, indent=2, ensure_ascii=False, default=str) + "\n")
