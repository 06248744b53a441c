"""The flow diagram: how many rows, images, lesions and patients each step keeps, and every case that it lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from mammoflow.config.row_names import feature_model_name
from mammoflow.evaluation.candidates import CLASSIFIER, READER, Candidate, classifier_titles, display_name
from mammoflow.evaluation.inputs import Run
from mammoflow.reasons.labels import LabelReason
from mammoflow.reasons.prompts import PromptReason
from mammoflow.tables.cohort import shown_paths
from mammoflow.tables.features import OK

LABELS = "labels"
"""Stage of the lesions of unknown malignancy that the cohort kept (`cohort.unlabelled: keep`)."""

UNEXPLAINED = "lost without a reason"
NO_MASK = "no mask"
MISSED = "missed by the automatic model: no component hits the lesion"
CASE_COLUMNS = ["stage", "level", "patient_id", "image_id", "lesion_id", "path", "reason", "detail"]


def exclusions(run: Run, lesions: pd.DataFrame, candidates: Sequence[Candidate]) -> pd.DataFrame:
    """Return one row per case that some step left out, with its file and reason.

    Beside what the stages recorded it names lesions that are gone without a record, lesions without a mask, lesions
    whose features are not defined, lesions of unknown malignancy, and test lesions that the readers or a trained
    classifier do not score.

    Parameters
    ----------
    run
        The tables of the run.
    lesions
        Labelled usable lesions, indexed by lesion.
    candidates
        What the table compares.
    """
    cases = [run.excluded[CASE_COLUMNS], _unexplained(run)]
    indexed = run.lesions.set_index("lesion_id", drop=False)
    without_prompt = _without_prompt(run.excluded)
    for model, masked in masked_lesions(run).items():
        without = indexed[~indexed.index.isin(masked)]
        if model in set(run.maps["model"]):
            cases.append(_cases(without, "segmentation", MISSED, f"model {model}"))
            continue
        lost = _cases(without, "segmentation", NO_MASK, f"model {model}")
        cases.append(
            lost.assign(reason=lost["reason"].mask(lost["lesion_id"].isin(without_prompt), PromptReason.NO_PROMPT))
        )
    for family, features in run.features.items():
        cases.append(_undefined_features(family, features, indexed))
    unlabelled = indexed[~indexed.index.isin(lesions.index)]
    cases.append(_cases(unlabelled, LABELS, LabelReason.NO_LABEL, "kept; in no training, threshold or figure"))
    test = lesions[lesions["split"] == "test"]
    trained = set(run.predictions["model"])
    for candidate in candidates:
        if candidate.family == CLASSIFIER and candidate.model in trained:
            without = test[~test.index.isin(candidate.scored(test))]
            unscored = indexed.loc[without.index]
            cases.append(_cases(unscored, "classification", "no prediction on the test split", candidate.model))
        if candidate.family == READER:
            unscored = indexed.loc[test.index[~test.index.isin(candidate.scored(test))]]
            cases.append(_cases(unscored, "assessment", "no BI-RADS assessment that counts", candidate.model))
    return pd.concat([part for part in cases if len(part)] or cases[:1], ignore_index=True)


def masked_lesions(run: Run) -> dict[str, pd.Series]:
    """Return the lesions that have a mask of each model; an automatic model that hits none has an empty entry."""
    models = sorted({*run.masks["model"], *run.maps["model"]})
    return {model: run.masks.loc[run.masks["model"] == model, "lesion_id"] for model in models}


def _cases(lesions: pd.DataFrame, stage: str, reason: str, detail: str | pd.Series) -> pd.DataFrame:
    """Turn lesions into exclusion rows."""
    return pd.DataFrame(
        {
            "stage": stage,
            "level": "lesion",
            "patient_id": lesions["patient_id"],
            "image_id": lesions["image_id"],
            "lesion_id": lesions["lesion_id"],
            "path": shown_paths(lesions, "mask_path"),
            "reason": reason,
            "detail": detail,
        },
        columns=CASE_COLUMNS,
    )


def _without_prompt(excluded: pd.DataFrame) -> set[str]:
    """Return the lesions that no source of prompts gave one."""
    return set(excluded.loc[(excluded["stage"] == "prompts") & (excluded["level"] == "lesion"), "lesion_id"])


def _unexplained(run: Run) -> pd.DataFrame:
    """Return the cohort's lesions that the image stage neither kept nor recorded as excluded."""
    lost = run.cohort_lesions[~run.cohort_lesions["lesion_id"].isin(run.lesions["lesion_id"])]
    explained = lost["lesion_id"].isin(run.excluded["lesion_id"]) | lost["image_id"].isin(
        run.excluded.loc[run.excluded["level"] == "image", "image_id"]
    )
    return _cases(lost[~explained], "images", UNEXPLAINED, "in the cohort, but neither usable nor excluded")


def _undefined_features(family: str, features: pd.DataFrame, lesions: pd.DataFrame) -> pd.DataFrame:
    undefined = features[features["status"] != OK].set_index("lesion_id")
    affected = lesions[lesions.index.isin(undefined.index)]
    cases = _cases(affected, family, "", undefined["detail"].reindex(affected.index))
    return cases.assign(reason=undefined["status"].reindex(affected.index))


def flow(run: Run, lesions: pd.DataFrame, candidates: Sequence[Candidate], excluded: pd.DataFrame) -> dict[str, Any]:
    """Return the steps of the flow diagram.

    Returns
    -------
    dict
        `steps`: a list of `step`, `stage`, `branch` (False: each step starts from the one before; True: it starts
        from the last step that is no branch), `images`, `lesions`, `patients`, and `excluded`, a list of `reason`,
        `level`, `count` and `cases`, each case with its ids, file and detail.
    """
    steps = _cohort_steps(run)
    steps.append(_step("Images and lesions that can be used", "images", run.lesions, images=len(run.images)))
    if (excluded["stage"] == "prompts").any():
        prompted = run.lesions[~run.lesions["lesion_id"].isin(_without_prompt(excluded))]
        steps.append(_step("Lesions with a prompt", "prompts", prompted, detail=""))
    for model, lesion_ids in masked_lesions(run).items():
        masked = run.lesions[run.lesions["lesion_id"].isin(lesion_ids)]
        steps.append(_step(f"Segmented by {model}", "segmentation", masked, detail=f"model {model}"))
    for family, features in run.features.items():
        if len(features):
            complete = features.loc[features["status"] == OK, "lesion_id"]
            defined = run.lesions[run.lesions["lesion_id"].isin(complete)]
            steps.append(_step(f"{feature_model_name(family)} defined", family, defined, detail=""))
    if (excluded["stage"] == LABELS).any():
        labelled = run.lesions[run.lesions["lesion_id"].isin(lesions.index)]
        steps.append(_step("Malignancy known", LABELS, labelled))
    test = lesions[lesions["split"] == "test"]
    steps.append(_step("Test split, with a label", "test", test))
    trained = set(run.predictions["model"])
    for candidate in candidates:
        if candidate.family == CLASSIFIER and candidate.model in trained:
            scored = test.loc[candidate.scored(test)]
            name = f"Scored by {display_name(candidate.model, classifier_titles(run.training))}"
            steps.append(_step(name, "classification", scored, detail=candidate.model))
        elif candidate.family == READER and (excluded["stage"] == "assessment").any():
            scored = test.loc[candidate.scored(test)]
            steps.append(_step(f"With {candidate.model}", "assessment", scored, detail=candidate.model))
    stages = {step["stage"] for step in steps}
    # Cases of a stage that has no step of its own here must not be lost: they are listed at the first step.
    steps[0]["excluded"] += _by_reason(excluded[~excluded["stage"].isin(stages | {"cohort"})])
    placed = _cohort_step_of(excluded, steps)
    for place, step in enumerate(steps):
        reasons, detail = step.pop("reasons"), step.pop("detail")
        cases = excluded[placed == place] if reasons is not None else excluded[excluded["stage"] == step["stage"]]
        step["excluded"] += _by_reason(cases[cases["detail"] == detail] if detail else cases)
    return {"steps": steps}


def _cohort_step_of(excluded: pd.DataFrame, steps: Sequence[dict[str, Any]]) -> pd.Series:
    """Return, for each case of the cohort stage, the step that names its reason; -1 for the cases of other stages.

    If two steps name a reason (a missing file may be a film or a mask), the cases of images that were lost as a whole
    are listed at the first step and the others at the last. Cases whose reason no step names are listed at the last
    cohort step.
    """
    cohort = [place for place, step in enumerate(steps) if step["reasons"] is not None]
    lost_images = set(excluded.loc[(excluded["stage"] == "cohort") & (excluded["level"] == "image"), "image_id"])
    places = []
    for stage, reason, image in zip(excluded["stage"], excluded["reason"], excluded["image_id"], strict=True):
        naming = [place for place in cohort if reason in steps[place]["reasons"]] or cohort[-1:]
        places.append(-1 if stage != "cohort" else naming[0] if image in lost_images else naming[-1])
    return pd.Series(places, index=excluded.index, dtype="int64")


def _cohort_steps(run: Run) -> list[dict[str, Any]]:
    """Return the steps that the cohort stage recorded; the last one is the cohort itself."""
    empty = run.cohort_lesions[:0]
    recorded = [step for step in run.study.get("flow", []) if isinstance(step, dict)]
    steps = [
        _step(str(step.get("step", "")), "cohort", empty, reasons=set(step.get("excluded", {})))
        | {count: step.get(count) for count in ("images", "lesions", "patients")}
        for step in recorded
    ]
    cohort = _step("Cohort", "cohort", run.cohort_lesions, images=len(run.cohort_images), reasons=set())
    last = steps[-1] if steps else {}
    return steps if last.get("lesions") == cohort["lesions"] else [*steps, cohort]


def _step(
    name: str,
    stage: str,
    lesions: pd.DataFrame,
    images: int | None = None,
    detail: str | None = None,
    reasons: set[str] | None = None,
) -> dict[str, Any]:
    """Count a step.

    `detail` makes it a branch and, unless empty, picks its own cases among the stage's; `reasons` make it a step of
    the cohort stage, with the reasons that it excludes for.
    """
    return {
        "step": name,
        "stage": stage,
        "branch": detail is not None,
        "images": int(lesions["image_id"].nunique()) if images is None else images,
        "lesions": len(lesions),
        "patients": int(lesions["patient_id"].nunique()),
        "excluded": [],
        "detail": detail,
        "reasons": reasons,
    }


def _by_reason(cases: pd.DataFrame) -> list[dict[str, Any]]:
    """Group cases by reason and level, the most frequent first."""
    groups = [
        {
            "reason": reason,
            "level": level,
            "count": len(rows),
            "cases": rows[["patient_id", "image_id", "lesion_id", "path", "detail"]].to_dict("records"),
        }
        for (reason, level), rows in cases.groupby(["reason", "level"], sort=True)
    ]
    return sorted(groups, key=lambda group: -int(str(group["count"])))
