"""Every two segmentation models of a run on the same images, or on the same prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.evaluation.auc_tests import adjusted
from mammoflow.evaluation.bootstrap import Estimate, PatientBootstrap
from mammoflow.evaluation.clustered import clustered_interval, clustered_p_value
from mammoflow.evaluation.detection import detected_by_model
from mammoflow.evaluation.inputs import Run
from mammoflow.evaluation.segmentation_summary import ELLIPSE, mark_of, scored_rows
from mammoflow.evaluation.segmentation_tables import KEYS
from mammoflow.tables.detections import NO_PROMPT

IMAGES, LESIONS = "images with a lesion", "lesions"
"""What a Dice is of: all components of an image with all of its lesions, or the mask of one lesion."""

CONDITIONS = KEYS[1:]
DIFFERENCE_COLUMNS = (
    *("dice_of", *CONDITIONS, "model_a", "model_b", "mark", "n", "patients", "patients_seen"),
    *("dice_a", "dice_b"),
    *(f"dice_difference{end}" for end in ("", "_low", "_high", "_p", "_p_holm")),
)


def segmentation_differences(
    run: Run, scores: pd.DataFrame, lesions: pd.DataFrame, rule: PatientBootstrap
) -> pd.DataFrame:
    """Compare every two segmentation models on the test split.

    Parameters
    ----------
    run
        The tables of the run.
    scores
        Rows of the SEGMENTATION_SCORES schema.
    lesions
        Indexed by lesion, with `split`.
    rule
        Coverage and the fewest patients.

    Returns
    -------
    DataFrame
        Columns DIFFERENCE_COLUMNS. Automatic models are compared on images with a lesion and on lesions, where a missed
        one is 0; promptable models on the chosen masks of the same prompts, for each field of view, kind of prompts,
        feedback and margin. `model_b` comes before `model_a` in the run, and the difference is that of `model_a` less
        `model_b` on the images or prompts that both have. The p value is of `clustered_p_value`, and the interval
        of `clustered_interval`; `_p_holm` is adjusted for all pairs of the same images or prompts. The ellipse is in
        `segmentation.csv`. No row with one model.
    """
    order = [*dict.fromkeys([*scores["model"], *run.maps["model"]])]
    rows: list[dict[str, Any]] = []
    families: list[str] = []  # of pairs with the same images or prompts
    for number, (named, table) in enumerate((*_of_images(run), *_of_lesions(scores, lesions))):
        models = [model for model in order if model in set(table["model"])]
        pairs = [named | pair for pair in _pairs(table, models, rule)]
        rows += pairs
        families += [str(number)] * len(pairs)
    found = pd.DataFrame(rows, columns=[*DIFFERENCE_COLUMNS])
    adjusted_p = adjusted(pd.Series(families, dtype=object), found["dice_difference_p"])
    return found.assign(dice_difference_p_holm=adjusted_p)


def _of_images(run: Run) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Give the images of all automatic models, as `dice_images_with_lesions` of `detection.csv` has them."""
    tables = []
    for detected in detected_by_model(run, "test").values():
        maps = detected.complete
        tables.append(maps[(maps["lesions"] > 0) & maps["dice"].notna()].assign(key=lambda rows: rows["image_id"]))
    if tables:
        yield {"dice_of": IMAGES, "prompts": NO_PROMPT}, pd.concat(tables, ignore_index=True)


def _of_lesions(scores: pd.DataFrame, lesions: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Give the chosen masks of all models for each kind of prompts; those without a prompt are one kind."""
    rows = scored_rows(scores, lesions)
    rows = rows[rows["chosen"].astype(bool) & (rows["split"] == "test") & (rows["model"] != ELLIPSE)]
    rows = rows.assign(key=rows["prompt_id"].fillna(rows["lesion_id"]))
    for values, group in rows.groupby([*CONDITIONS], sort=True, dropna=False):
        yield {"dice_of": LESIONS, **dict(zip(CONDITIONS, values, strict=True))}, group


def _pairs(table: pd.DataFrame, models: Sequence[str], rule: PatientBootstrap) -> Iterator[dict[str, Any]]:
    """Give the columns of each pair of models; the table has `model`, `key`, `dice`, `patient_id` and `seen`."""
    parts = {model: table[table["model"] == model].set_index("key") for model in models}
    for before, after in combinations(models, 2):
        shared = parts[before].index.intersection(parts[after].index)
        first, second = (parts[model].loc[shared] for model in (after, before))
        if not len(shared):
            continue
        difference = first["dice"].to_numpy(dtype=np.float64) - second["dice"].to_numpy(dtype=np.float64)
        patients = first["patient_id"].tolist()
        seen = first["seen"].astype(bool) | second["seen"].astype(bool)
        enough = len(set(patients)) >= max(rule.fewest_patients, 2)
        bounds = clustered_interval(difference, patients, rule.confidence) if enough else (np.nan, np.nan)
        marks = {_mark(part) for part in (first, second)} - {""}
        yield {
            "model_a": after,
            "model_b": before,
            "mark": "; ".join(sorted(marks)),
            "n": len(shared),
            "patients": len(set(patients)),
            "patients_seen": first.loc[seen, "patient_id"].nunique(),
            "dice_a": first["dice"].mean(),
            "dice_b": second["dice"].mean(),
            **Estimate(float(difference.mean()), *bounds).columns("dice_difference"),
            "dice_difference_p": clustered_p_value(difference, patients) if enough else np.nan,
        }


def _mark(rows: pd.DataFrame) -> str:
    """Return the mark of masks of lesions; maps of images have none."""
    return mark_of(rows, chosen=True) if "origin" in rows else ""
