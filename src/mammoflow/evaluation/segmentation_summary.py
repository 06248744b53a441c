"""Scores of some masks in one row: counts, means with intervals over patients, and the ellipse beside them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.metrics import FloatArray
from mammoflow.tables.detections import AUTOMATIC, FOREIGN_MASKS

ELLIPSE = "ellipse"
"""The floor: an ellipse inscribed in the prompt box."""

ORACLE = "oracle"

OTHER_TOOL = "other tool, training patients unknown"
"""Mark of the masks of another tool."""

SCORES = (
    "dice",
    "iou",
    "precision",
    "recall",
    "pixel_accuracy",
    "hd95_mm",
    "surface_distance_mm",
    "area_error_mm2",
    "area_error_share",
)
DIFFERENCE = "dice_difference"
COUNTS = (
    "n",
    "lesions",
    "lesions_without_prompt",
    "patients",
    "patients_seen",
    "missed",
    "empty_against_empty",
    "surface_left_out",
)
MEDIANS = ("dice", "hd95_mm")
SUMMARY_COLUMNS = (
    *COUNTS,
    *(f"{name}{end}" for name in SCORES for end in ("", "_low", "_high")),
    *(f"{name}_median" for name in MEDIANS),
    "ellipse_dice",
    *(f"{DIFFERENCE}{end}" for end in ("", "_low", "_high")),
)


BY_REFERENCE = {False: "head_by_reference", True: "mask_by_reference"}
"""Columns of what `by_reference` tells of all masks, and of those that later stages use."""

SUMMARISED = (
    "origin",
    *("split", "lesion_id", "patient_id", "iteration", "chosen", *BY_REFERENCE.values()),
    *("seen", "missed", "area_mm2", "ellipse_dice", *SCORES),
)
"""Columns of `scored_rows` that a summary needs, beside those that name what it is about."""


def scored_rows(scores: pd.DataFrame, lesions: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have a Dice, with what the tables part them by.

    Parameters
    ----------
    scores
        Rows of the SEGMENTATION_SCORES schema.
    lesions
        Indexed by lesion, with `split`.

    Returns
    -------
    DataFrame
        The rows with their lesion's `split`, a label of `prompts`, `oracle_prompt` (see `prompted_by_reference`),
        the columns BY_REFERENCE and `ellipse_dice`, that of the ellipse in the same prompt box; null for a point. Their
        `seen` is True also where the model whose mask made the prompt was trained on the patient.
    """
    rows = scores.assign(seen=_seen_by_any(scores))
    rows = rows[rows["dice"].notna()]
    floor = rows[rows["model"] == ELLIPSE].set_index("prompt_id")["dice"]
    rows = rows.assign(oracle_prompt=prompted_by_reference(rows))
    return rows.assign(
        **{column: by_reference(rows, chosen) for chosen, column in BY_REFERENCE.items()},
        split=rows["lesion_id"].map(lesions["split"]),
        prompts=prompt_labels(rows),
        ellipse_dice=rows["prompt_id"].map(floor).astype("float64"),
    )


def prompt_labels(scores: pd.DataFrame) -> pd.Series:
    """Say what each row's prompt was made of: kind, source unless it is the reference, and whether it was drawn."""
    source = ("; " + scores["origin"]).where(scores["origin"] != "reference", "")
    # A reader's draws are further boxes that the reader gave; all others are moved at random.
    random = (scores["draw"] > 0) & ~scores["origin"].str.startswith("reader:")
    source = source.where(~scores["origin"].isin([AUTOMATIC, FOREIGN_MASKS]), "")
    return scores["kind"] + source + pd.Series("; drawn", scores.index).where(random, "")


def prompted_by_reference(scores: pd.DataFrame) -> pd.Series:
    """Tell which prompts were made around another model's masks whose head or iteration the reference chose."""
    handed_on = scores[scores["chosen"]]
    oracles = handed_on.loc[(handed_on["choice"] == ORACLE) | (handed_on["head_choice"] == ORACLE), "model"]
    return scores["origin"].isin("model:" + oracles.astype(str).unique().astype(object))


def _seen_by_any(scores: pd.DataFrame) -> list[bool]:
    """Tell for each row whether its model, or the one whose mask made its prompt, was trained on the patient."""
    seen = scores[scores["seen"].astype(bool)]
    trained_on = set(zip("model:" + seen["model"], seen["patient_id"], strict=True))
    prompts = zip(scores["seen"], scores["origin"], scores["patient_id"], strict=True)
    return [bool(itself) or (origin, patient) in trained_on for itself, origin, patient in prompts]


def by_reference(rows: pd.DataFrame, chosen: bool) -> pd.Series:
    """Tell of which masks the reference chose mask, head or (of masks that later stages use) iteration."""
    chosen_by_reference = rows["head_choice"] == ORACLE
    if chosen:
        chosen_by_reference |= rows["choice"] == ORACLE
    return (chosen_by_reference & (rows["model"] != ELLIPSE)) | rows["oracle_prompt"]


def referenced(lesions: pd.DataFrame, split: str) -> pd.DataFrame:
    """Return the lesions of a split, or of `all`, that have a reference mask."""
    with_mask = lesions["mask_file"].notna()
    return lesions[with_mask if split == "all" else with_mask & (lesions["split"] == split)]


def mark_of(rows: pd.DataFrame, chosen: bool) -> str:
    """Return `oracle` where the reference chose any of some masks, and `OTHER_TOOL` for those of another tool.

    The rows are those of `scored_rows`, and `by_reference` told what the reference chose.
    """
    if (rows["origin"] == FOREIGN_MASKS).any():
        return OTHER_TOOL
    return ORACLE if rows[BY_REFERENCE[chosen]].to_numpy(dtype=np.bool_).any() else ""


def summary(rows: pd.DataFrame, lesions: pd.Index, bootstrap: PatientBootstrap) -> dict[str, object]:
    """Return the columns SUMMARY_COLUMNS of some masks.

    A missed mask has 0 in the means of the overlap scores and is counted. Distances between surfaces are not defined
    where mask or reference is empty; their means and medians are over the others, and `surface_left_out` says how many
    that leaves out. `dice_difference` is that to the ellipse on the same prompts, resampled together.

    Parameters
    ----------
    rows
        Of `scored_rows`.
    lesions
        Ids of all lesions with a reference mask that the row describes. Those without a prompt of this kind, such as
        one that no reader marked or that the prompting model missed, are in no mean; `lesions_without_prompt` counts
        them.
    bootstrap
        Resampling of patients.
    """
    patients, lesion_ids = rows["patient_id"].tolist(), set(rows["lesion_id"])
    numbers = rows[[*SCORES, "area_mm2", "ellipse_dice"]].to_numpy(dtype=np.float64)
    values, area, ellipse = numbers[:, : len(SCORES)], numbers[:, -2], numbers[:, -1]
    of = {name: values[:, place] for place, name in enumerate(SCORES)}
    difference = of["dice"] - ellipse
    seen = rows["seen"].to_numpy(dtype=np.bool_)
    result: dict[str, object] = {
        "n": len(rows),
        "lesions": len(lesion_ids),
        "lesions_without_prompt": len(set(lesions) - lesion_ids),
        "patients": len(set(patients)),
        "patients_seen": len({patient for patient, is_seen in zip(patients, seen, strict=True) if is_seen}),
        "missed": int(rows["missed"].to_numpy(dtype=np.bool_).sum()),
        "empty_against_empty": int(((area == 0) & (of["dice"] == 1)).sum()),
        "surface_left_out": int(np.isnan(of["hd95_mm"]).sum()),
        "ellipse_dice": float(np.nanmean(ellipse)) if np.isfinite(ellipse).any() else float("nan"),
    }
    for name in MEDIANS:
        is_defined = ~np.isnan(of[name])
        result[f"{name}_median"] = float(np.median(of[name][is_defined])) if is_defined.any() else float("nan")
    return result | mean_columns((*SCORES, DIFFERENCE), np.column_stack([values, difference]), patients, bootstrap)


def mean_columns(
    names: tuple[str, ...], values: FloatArray, patients: list[str], bootstrap: PatientBootstrap
) -> dict[str, float]:
    """Return the mean of each column over the rows where it is defined, with its interval over patients.

    Parameters
    ----------
    names
        Of the columns.
    values
        (rows, columns); NaN where not defined.
    patients
        Of each row.
    bootstrap
        Resampling of patients.
    """
    defined = np.isfinite(values)
    means = bootstrap.ratios(np.where(defined, values, 0.0), defined.astype(np.float64), patients)
    columns: dict[str, float] = {}
    for place, name in enumerate(names):
        behind = [patient for patient, known in zip(patients, defined[:, place], strict=True) if known]
        columns |= bootstrap.estimate(means[:, place], behind).columns(name)
    return columns
