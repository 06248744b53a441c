"""Dice against the longest diameter of the lesion, and their correlation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.metrics import FloatArray, ratio
from mammoflow.evaluation.segmentation_summary import (
    ORACLE,
    OTHER_TOOL,
    by_reference,
    prompt_labels,
    prompted_by_reference,
)
from mammoflow.tables.detections import AUTOMATIC, FOREIGN_MASKS

RESAMPLES_TOGETHER = 128
"""Weightings that are ranked at once, so that memory does not grow with their number."""

NULL = "no association: t with n - 2 degrees of freedom, two-sided"
"""The null hypothesis of the p-values; n is that of the lesions, or of the patients for the means of patients."""


def case_numbers(lesion_ids: pd.Index) -> pd.Series:
    """Number a run's lesions from 1 in the order of their ids: names for pictures, that hold no patient's id."""
    ordered = sorted(lesion_ids.astype(str).unique())
    return pd.Series(range(1, len(ordered) + 1), index=pd.Index(ordered, name="lesion_id"), dtype="int64")


def dice_by_diameter(scores: pd.DataFrame, masks: pd.DataFrame, lesions: pd.DataFrame) -> pd.DataFrame:
    """Return Dice and longest diameter of each mask that later stages use, one row per model and lesion.

    Parameters
    ----------
    scores, masks
        Rows of the SEGMENTATION_SCORES and MASKS schemas; the masks' prompts name the default margin.
    lesions
        Indexed by lesion: `split`, `diameter_mm`, `lesion_type`, `malignant`.

    Returns
    -------
    DataFrame
        `case` is the lesion's number in the pictures of the report.
    """
    chosen = scores[scores["chosen"] & scores["dice"].notna()]
    keys = ["model", "field_of_view", "lesion_id", "prompt_id"]
    rows = chosen.assign(prompts=prompt_labels, oracle_prompt=prompted_by_reference)
    # A lesion that an automatic model missed, or one with a mask of another tool, has no mask that later stages use.
    unprompted = rows["origin"].isin([AUTOMATIC, FOREIGN_MASKS])
    prompted = rows[~unprompted].merge(masks[keys], on=keys)
    rows = pd.concat([prompted, rows[unprompted]], ignore_index=True)
    marks = pd.Series("", rows.index, dtype="object").mask(by_reference(rows, chosen=True), ORACLE)
    marks = marks.mask(rows["origin"] == FOREIGN_MASKS, OTHER_TOOL)
    rows = rows.assign(mark=marks)[[*_DIAMETER_COLUMNS]]
    rows.insert(0, "case", rows["lesion_id"].map(case_numbers(lesions.index)))
    described = lesions[["split", "diameter_mm", "lesion_type", "malignant"]]
    return rows.join(described, on="lesion_id").sort_values(["model", "lesion_id"], ignore_index=True)


_DIAMETER_COLUMNS = (
    "model",
    "field_of_view",
    "prompts",
    "feed",
    "lesion_id",
    "patient_id",
    "margin_mm",
    "iteration",
    "mark",
    "dice",
    "iou",
    "hd95_mm",
    "surface_distance_mm",
    "missed",
)


def diameter_correlation(table: pd.DataFrame, bootstrap: PatientBootstrap) -> pd.DataFrame:
    """Correlate Dice with diameter, per model, on the test split and on all lesions.

    Pearson's r and Spearman's rho have intervals over patients. Their p-values take the lesions as independent, which
    views of one breast are not; so the columns `patients_...` give the same correlations of each patient's mean Dice
    with the patient's mean diameter, whose p-values count every patient once. The null hypothesis of all is `NULL`.

    Parameters
    ----------
    table
        Of `dice_by_diameter`.
    bootstrap
        Resampling of patients.
    """
    rows = []
    for split in ("test", "all"):
        for model, group in table.groupby("model", sort=True):
            part = group if split == "all" else group[group["split"] == split]
            part = part[part["diameter_mm"].notna()]
            mark = next((mark for mark in (OTHER_TOOL, ORACLE) if (part["mark"] == mark).any()), "")
            keys = {"split": split, "model": model, "mark": mark, "n": len(part)}
            rows.append(keys | _correlation(part, bootstrap) | {"null": NULL})
    return pd.DataFrame(rows, columns=["split", "model", "mark", "n", *_CORRELATION_COLUMNS])


_CORRELATION_COLUMNS = (
    *("patients", "r", "r_low", "r_high", "r_p", "rho", "rho_low", "rho_high", "rho_p"),
    *("patients_r", "patients_r_p", "patients_rho", "patients_rho_p", "null"),
)


def _correlation(part: pd.DataFrame, bootstrap: PatientBootstrap) -> dict[str, object]:
    """Return the correlations of lesions with intervals, and those of the means of patients."""
    patients = part["patient_id"].tolist()
    size = part["diameter_mm"].to_numpy(dtype=np.float64)
    dice = part["dice"].to_numpy(dtype=np.float64)
    result: dict[str, object] = {"patients": len(set(patients))}
    means = part.groupby("patient_id")[["diameter_mm", "dice"]].mean()
    mean_size, mean_dice = (means[name].to_numpy(dtype=np.float64) for name in ("diameter_mm", "dice"))
    result |= {f"patients_{name}": value for name, value in _tests(mean_size, mean_dice).items()}
    tests = _tests(size, dice)
    if not tests:
        return result
    weights = bootstrap.weights(patients)
    blocks = [weights[start : start + RESAMPLES_TOGETHER] for start in range(0, len(weights), RESAMPLES_TOGETHER)]
    pearson = [_weighted_pearson(size, dice, block) for block in blocks]
    spearman = [
        _weighted_pearson(_weighted_ranks(size, block), _weighted_ranks(dice, block), block) for block in blocks
    ]
    intervals = bootstrap.estimate(np.concatenate(pearson), patients).columns("r")
    return result | tests | intervals | bootstrap.estimate(np.concatenate(spearman), patients).columns("rho")


def _tests(first: FloatArray, second: FloatArray) -> dict[str, float]:
    """Return r and rho with their p-values; nothing where fewer than three pairs or a constant leave them undefined."""
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return {}
    r, rho = stats.pearsonr(first, second), stats.spearmanr(first, second)
    return {"r": float(r.statistic), "r_p": float(r.pvalue), "rho": float(rho.statistic), "rho_p": float(rho.pvalue)}


def _weighted_ranks(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the ranks (weightings, rows) of rows that count as often as the weights (weightings, rows) say."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    group = np.cumsum(np.concatenate([[False], ordered[1:] != ordered[:-1]]))
    counts = np.zeros((len(weights), group[-1] + 1))
    np.add.at(counts.T, group, weights[:, order].T)
    ranks = np.empty(weights.shape)
    ranks[:, order] = (np.cumsum(counts, axis=1) - (counts - 1) / 2)[:, group]
    return ranks


def _weighted_pearson(first: FloatArray, second: FloatArray, weights: FloatArray) -> FloatArray:
    """Return Pearson's r of each weighting, (weightings,); `nan` where one of the two does not vary."""
    total = weights.sum(axis=1)
    first, second = (values - ((weights * values).sum(axis=1) / total)[:, None] for values in (first, second))
    products = [(weights * one * other).sum(axis=1) for one, other in ((first, second), (first, first), (second,) * 2)]
    scale = np.sqrt(products[1] * products[2])
    return ratio(products[0], np.where(scale > 1e-12 * total, scale, 0.0))
