"""What was trained of each segmentation model of a run: numbers of parameters and effort, beside its Dice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mammoflow.evaluation.detection import detected_by_model
from mammoflow.evaluation.inputs import Run
from mammoflow.evaluation.paired_masks import under_same_conditions
from mammoflow.evaluation.segmentation_tables import CHOSEN, KEYS
from mammoflow.evaluation.tuning_methods import training_effort
from mammoflow.tables.detections import AUTOMATIC, NO_PROMPT

PROMPTABLE = "promptable"
DICE_OF = {AUTOMATIC: "images with a lesion, no prompt", PROMPTABLE: "lesions, one prompt for each"}
"""What the Dice of a kind of models is a mean over."""

DICE = ("dice", "dice_low", "dice_high")
OF_MASKS = ("mark", "n", "patients", "patients_seen", *DICE)
PARAMETER_COLUMNS = (
    *("kind", "model", "started_from", "trainable_parameters", "total_parameters"),
    *("training_seconds", "training_peak_mb", "seconds_per_image", "device"),
    *("dice_of", *KEYS[1:], *OF_MASKS),
)


def parameters_table(
    trained: Mapping[str, Any],
    run: Run,
    segmentation: pd.DataFrame,
    detection: pd.DataFrame,
    diameters: pd.DataFrame,
) -> pd.DataFrame:
    """Return what was trained of each segmentation model, and its Dice on the test split.

    Parameters
    ----------
    trained
        Records of the segmentation models that the run trained, by model; in a run of every fold those of one fold.
    run
        The tables of the run.
    segmentation, detection, diameters
        Of `segmentation_table`, `detection_table` and `dice_by_diameter`.

    Returns
    -------
    DataFrame
        Columns PARAMETER_COLUMNS, one row for each model that the run trained, and for each untuned model that one of
        them started from, with 0 trained parameters. `dice` is that of `dice_of`: of images with a lesion for automatic
        models, of lesions with the default prompt for promptable ones, so that the two kinds cannot be compared. Models
        without a Dice, such as an encoder that was pretrained without labels, have no row.
    """
    scores = _of_prompts(segmentation, diameters) | _of_images(run, detection)
    rows = [
        {"model": model, "started_from": record.get("from", ""), **training_effort(record), **scores[model]}
        for model, record in trained.items()
        if model in scores
    ]
    starts = {str(row["started_from"]) for row in rows} - {*trained}
    for model in starts & {*scores}:
        # weights that were trained elsewhere may have a record
        known = run.weights.get(model, {}).get("training", {}).get("total_parameters")
        untrained = {"started_from": "", "trainable_parameters": 0, "total_parameters": known}
        rows.append({"model": model, **untrained, **scores[model]})
    table = pd.DataFrame(rows, columns=[*PARAMETER_COLUMNS])
    return table.sort_values(["kind", "trainable_parameters", "model"], ignore_index=True)


def _of_images(run: Run, detection: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return the Dice of images with a lesion of each automatic model."""
    found, detected = {}, detected_by_model(run, "test")
    for row in detection[detection["split"] == "test"].to_dict("records"):
        maps = detected[row["model"]].complete
        maps = maps[(maps["lesions"] > 0) & maps["dice"].notna()]
        if len(maps):
            found[str(row["model"])] = {
                "kind": AUTOMATIC,
                "dice_of": DICE_OF[AUTOMATIC],
                "prompts": NO_PROMPT,
                "mark": "",
                "n": len(maps),
                "patients": maps["patient_id"].nunique(),
                "patients_seen": maps.loc[maps["seen"].astype(bool), "patient_id"].nunique(),
                **{name: row[name.replace("dice", "dice_images_with_lesions")] for name in DICE},
            }
    return found


def _of_prompts(segmentation: pd.DataFrame, diameters: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return the Dice of lesions of each promptable model, with the prompts of most masks that later stages use."""
    chosen = segmentation[(segmentation["split"] == "test") & (segmentation["selection"] == CHOSEN)]
    prompted = diameters[(diameters["split"] == "test") & (diameters["prompts"] != NO_PROMPT)]
    conditions, found = [*KEYS[1:]], {}
    for model, masks in prompted.groupby("model"):
        most: Any = masks.groupby(conditions, dropna=False).size().idxmax()
        default = dict(zip(conditions, most, strict=True))
        row = under_same_conditions(chosen[chosen["model"] == model], default).iloc[0]
        of_kind = {"kind": PROMPTABLE, "dice_of": DICE_OF[PROMPTABLE]}
        found[str(model)] = {**of_kind, **default, **{name: row[name] for name in OF_MASKS}}
    return found
