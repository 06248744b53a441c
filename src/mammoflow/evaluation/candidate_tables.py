"""The tables of everything that a comparison compares: splits, subgroups, tests, calibration, use, levels."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.config.split_names import SPLITS
from mammoflow.evaluation.auc_tests import (
    auc_test_table,
    best_model,
    decision_test_table,
    pairs_to_test,
    with_adjusted_p,
)
from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.calibration import calibration_table, reliability_table
from mammoflow.evaluation.candidates import Candidate
from mammoflow.evaluation.comparison import common_lesions, comparison_table, confusion_table
from mammoflow.evaluation.decision_curve import decision_curve_table
from mammoflow.evaluation.fusion import fusion_table
from mammoflow.evaluation.inputs import Run, plain_columns
from mammoflow.evaluation.levels import level_table, prediction_table
from mammoflow.evaluation.operating_points import operating_points, threshold_table
from mammoflow.evaluation.pooling import Fold, fold_of_lesions, pooled_note, tables_by_fold
from mammoflow.evaluation.reclassification import reclassification_table
from mammoflow.evaluation.subgroups import size_thirds, subgroup_table
from mammoflow.evaluation.within_folds import with_areas_within_folds
from mammoflow.tables.study import study_note

COMPARED = (
    "split",
    "patient_id",
    "image_id",
    "finding_id",
    "laterality",
    "view",
    "lesion_type",
    "density",
    "diameter_mm",
    "birads",
    "birads_category",
    "age",
    "malignant",
    "subtlety",
    "source",
)
"""Columns of the lesions that tables of candidates are made of."""


def comparison_tables(
    settings: ComparisonSettings,
    run: Run,
    candidates: Sequence[Candidate],
    lesions: pd.DataFrame,
    folds: Sequence[Fold] = (),
) -> dict[str, pd.DataFrame]:
    """Return the tables of candidates: each split, common lesions, counts, subgroups, tests, calibration, levels.

    In a run that makes every fold the test rows are pooled; train and validation, and the test rows once more, are
    apart for each fold.
    """
    note, birads, bootstrap = study_note(run.study), candidates[0], PatientBootstrap.of(settings)
    lesions = plain_columns(lesions, COMPARED)
    tables: dict[str, pd.DataFrame] = {}
    if folds:
        note = "; ".join(filter(None, [note, pooled_note(folds)]))
        tables = {f"comparison_{split}": tables_by_fold(folds, bootstrap, split) for split in SPLITS}
        tables["comparison_by_fold"] = tables.pop("comparison_test")
    for split in SPLITS:
        if f"comparison_{split}" not in tables:
            tables[f"comparison_{split}"] = comparison_table(candidates, lesions, birads, bootstrap, split, note)
    tables["comparison"] = tables.pop("comparison_test")
    test = lesions[lesions["split"] == "test"]
    common = common_lesions(candidates, test)
    tables["comparison_common_lesions"] = comparison_table(candidates, common, birads, bootstrap, "test", note)
    tables["confusion"] = confusion_table(candidates, test, note)
    groups: list[tuple[Sequence[Candidate], pd.DataFrame]] = [
        (fold.candidates, plain_columns(fold.lesions, COMPARED)) for fold in folds
    ]
    groups = groups or [(candidates, lesions)]
    thirds = size_thirds([part[part["split"] == "train"] for _, part in groups])
    tables["subgroups"] = subgroup_table(candidates, test, bootstrap, note, settings.fewest_cases, thirds)
    pairs = pairs_to_test(candidates, settings, best_model(groups))
    auc_tests = auc_test_table(pairs, test, settings, note)
    tables["comparison"] = with_adjusted_p(tables["comparison"], auc_tests, birads.model)
    if folds:
        tables["comparison"] = with_areas_within_folds(
            tables["comparison"], candidates, test, fold_of_lesions(folds), bootstrap
        )
    return tables | {
        "auc_tests": auc_tests,
        "decision_tests": decision_test_table(pairs, test, settings, note),
        "operating_points": operating_points(candidates, groups, test, settings, note),
        "thresholds": threshold_table(candidates, test, settings, note),
        "calibration": calibration_table(candidates, test, bootstrap, note, run.training),
        "reliability": reliability_table(candidates, test, bootstrap, note),
        "decision_curve": decision_curve_table(candidates, test, settings, note),
        "reclassification": reclassification_table(candidates, test, bootstrap, note, settings.fewest_cases),
        "fusion": (
            pd.concat([fusion_table(fold.candidates).assign(fold=fold.number) for fold in folds], ignore_index=True)
            if folds
            else fusion_table(candidates)
        ),
        "predictions_by_level": prediction_table(candidates, test, note),
        "comparison_by_level": level_table(candidates, test, bootstrap, note),
    }
