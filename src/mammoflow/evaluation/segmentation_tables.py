"""Segmentation scores as tables: Dice against margin and iteration beside the ellipse, and Dice against diameter."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.metrics import FloatArray

ELLIPSE = "ellipse"
"""The floor: an ellipse inscribed in the prompt box."""

CHOSEN = "chosen"


def segmentation_table(scores: pd.DataFrame, lesions: pd.DataFrame, bootstrap: PatientBootstrap) -> pd.DataFrame:
    """Summarise the overlap of each model, margin and iteration, on the test split and on all lesions.

    A missed lesion scores 0 in every mean and is counted. Beside each model stands the ellipse on the same prompts, and
    the paired difference.

    Parameters
    ----------
    scores
        Rows of the SEGMENTATION_SCORES schema.
    lesions
        Indexed by lesion, with `split`.
    bootstrap
        Resampling of patients.

    Returns
    -------
    DataFrame
        One row a split, model, field of view, kind of prompts, margin and selection: `iteration 1`, ... and `chosen`,
        the iteration that went on; `mark` is `oracle` where the iteration or the head was chosen by the reference;
        `patients_seen` counts those that the weights were trained on.
    """
    scored = scores[scores["dice"].notna()].assign(
        split=lambda table: table["lesion_id"].map(lesions["split"]), prompts=prompt_labels
    )
    parts = []
    for split in ("test", "all"):
        rows = scored if split == "all" else scored[scored["split"] == split]
        floor = rows[(rows["model"] == ELLIPSE) & (rows["iteration"] == 1)].set_index("prompt_id")["dice"]
        keys = ["model", "field_of_view", "prompts", "margin_mm"]
        for (model, field_of_view, prompts, margin), group in rows.groupby(keys, sort=True, dropna=False):
            selections = {
                f"iteration {iteration}": part for iteration, part in group.groupby("iteration") if model != ELLIPSE
            }
            selections[CHOSEN] = group[group["chosen"]]
            for selection, part in selections.items():
                parts.append(
                    {
                        "split": split,
                        "model": model,
                        "field_of_view": field_of_view,
                        "prompts": prompts,
                        "margin_mm": margin,
                        "selection": selection,
                        "mark": _mark(part, selection) if model != ELLIPSE else "",
                    }
                    | _overlap(part, floor, bootstrap)
                )
    return pd.DataFrame(parts, columns=[*SEGMENTATION_COLUMNS])


SEGMENTATION_COLUMNS = (
    "split",
    "model",
    "field_of_view",
    "prompts",
    "margin_mm",
    "selection",
    "mark",
    "n",
    "patients",
    "patients_seen",
    "missed",
    "empty_against_empty",
    "dice",
    "dice_low",
    "dice_high",
    "dice_median",
    "iou",
    "iou_low",
    "iou_high",
    "ellipse_dice",
    "dice_difference",
    "dice_difference_low",
    "dice_difference_high",
)


def prompt_labels(scores: pd.DataFrame) -> pd.Series:
    """Say what each row's prompt was made of: kind, source unless it is the reference, and whether it was drawn."""
    source = ("; " + scores["origin"]).where(scores["origin"] != "reference", "")
    drawn = pd.Series("; drawn", scores.index).where((scores["draw"] > 0) & (source == ""), "")
    return scores["kind"] + source + drawn


def _mark(rows: pd.DataFrame, selection: str) -> str:
    """Return `oracle` where the reference chose the head, or the iteration of the masks that went on."""
    by_reference = (rows["head_choice"] == "oracle").any()
    if selection == CHOSEN:
        by_reference |= (rows["choice"] == "oracle").any()
    return "oracle" if by_reference else ""


def _overlap(rows: pd.DataFrame, floor: pd.Series, bootstrap: PatientBootstrap) -> dict[str, object]:
    """Return counts, mean overlap with interval, and the difference to the ellipse on the same prompts."""
    patients = rows["patient_id"].tolist()
    dice = rows["dice"].to_numpy(dtype=np.float64)
    result: dict[str, object] = {
        "n": len(rows),
        "patients": len(set(patients)),
        "patients_seen": int(rows.loc[rows["seen"], "patient_id"].nunique()),
        "missed": int(rows["missed"].sum()),
        "empty_against_empty": int(((rows["area_mm2"] == 0) & (rows["dice"] == 1)).sum()),
        **bootstrap.mean(dice, patients).columns("dice"),
        "dice_median": float(np.median(dice)) if len(dice) else float("nan"),
        **bootstrap.mean(rows["iou"].to_numpy(dtype=np.float64), patients).columns("iou"),
    }
    ellipse = rows["prompt_id"].map(floor).to_numpy(dtype=np.float64)
    both = np.isfinite(ellipse)
    paired = rows["patient_id"][both].tolist()
    result["ellipse_dice"] = bootstrap.mean(ellipse[both], paired).value
    result |= bootstrap.mean(dice[both] - ellipse[both], paired).columns("dice_difference")
    return result


def dice_by_diameter(scores: pd.DataFrame, masks: pd.DataFrame, lesions: pd.DataFrame) -> pd.DataFrame:
    """Return the Dice of each mask that went on beside the lesion's longest diameter, one row a model and lesion.

    Parameters
    ----------
    scores, masks
        Rows of the SEGMENTATION_SCORES and MASKS schemas; the masks' prompts name the default margin.
    lesions
        Indexed by lesion: `split`, `diameter_mm`, `lesion_type`, `malignant`.
    """
    chosen = scores[scores["chosen"] & scores["dice"].notna()]
    keys = ["model", "field_of_view", "lesion_id", "prompt_id"]
    rows = chosen.assign(prompts=prompt_labels).merge(masks[keys], on=keys)[
        [
            "model",
            "field_of_view",
            "prompts",
            "lesion_id",
            "patient_id",
            "margin_mm",
            "iteration",
            "dice",
            "iou",
            "missed",
        ]
    ]
    described = lesions[["split", "diameter_mm", "lesion_type", "malignant"]]
    return rows.join(described, on="lesion_id").sort_values(["model", "lesion_id"], ignore_index=True)


def diameter_correlation(table: pd.DataFrame, bootstrap: PatientBootstrap) -> pd.DataFrame:
    """Correlate Dice with diameter, per model, on the test split and on all lesions.

    Pearson's r and Spearman's rho have intervals over patients; their p-values take the lesions as independent, which
    views of one breast are not.
    """
    rows = []
    for split in ("test", "all"):
        for model, group in table.groupby("model", sort=True):
            part = group if split == "all" else group[group["split"] == split]
            part = part[part["diameter_mm"].notna()]
            rows.append({"split": split, "model": model, "n": len(part)} | _correlation(part, bootstrap))
    return pd.DataFrame(rows, columns=["split", "model", "n", *_CORRELATION_COLUMNS])


_CORRELATION_COLUMNS = ("patients", "r", "r_low", "r_high", "r_p", "rho", "rho_low", "rho_high", "rho_p")


def _correlation(part: pd.DataFrame, bootstrap: PatientBootstrap) -> dict[str, object]:
    patients = part["patient_id"].tolist()
    size = part["diameter_mm"].to_numpy(dtype=np.float64)
    dice = part["dice"].to_numpy(dtype=np.float64)
    result: dict[str, object] = {"patients": len(set(patients))}
    if len(part) < 3 or np.ptp(size) == 0 or np.ptp(dice) == 0:
        return result
    weights = bootstrap.weights(patients)
    ranks = [np.repeat(np.arange(len(part)), row.astype(int)) for row in weights]
    pearson, spearman = stats.pearsonr(size, dice), stats.spearmanr(size, dice)
    result |= bootstrap.estimate(np.array([_pearson(size[rows], dice[rows]) for rows in ranks]), patients).columns("r")
    rank_correlations = [_pearson(stats.rankdata(size[rows]), stats.rankdata(dice[rows])) for rows in ranks]
    result |= bootstrap.estimate(np.array(rank_correlations), patients).columns("rho")
    return result | {"r_p": float(pearson.pvalue), "rho_p": float(spearman.pvalue)}


def _pearson(first: FloatArray, second: FloatArray) -> float:
    """Return Pearson's r; `nan` where one of the two does not vary."""
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / scale if scale > 0 else float("nan")
