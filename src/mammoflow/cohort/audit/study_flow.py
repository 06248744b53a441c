"""From the rows of the case tables to the lesions of each split: what each step keeps and leaves out, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from mammoflow.cohort.audit.study_tables import StudyTables
from mammoflow.cohort.step_counts import describe
from mammoflow.config.split_names import SPLITS

UNEXPLAINED = "lost without a reason"


@dataclass(frozen=True)
class Step:
    """One box of the diagram.

    Attributes
    ----------
    name
        What is left.
    lesions, images, patients
        How many are left.
    excluded
        Reason to number of lesions that were left out on the way to this step, the most frequent first.
    """

    name: str
    lesions: int
    images: int
    patients: int
    excluded: dict[str, int] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """How many lesions this step left out."""
        return sum(self.excluded.values())


@dataclass(frozen=True)
class StudyFlow:
    """The whole diagram: its steps, and what is in each split at its end."""

    steps: list[Step]
    splits: dict[str, dict[str, int]]

    def unexplained(self) -> int:
        """Return how many lesions are gone without a reason."""
        return sum(step.excluded.get(UNEXPLAINED, 0) for step in self.steps)

    def table(self) -> pd.DataFrame:
        """Return one row per step and reason: `step`, `lesions`, `images`, `patients`, `reason`, `left_out`."""
        rows = []
        for step in self.steps:
            counted = {"step": step.name, "lesions": step.lesions, "images": step.images, "patients": step.patients}
            rows += [{**counted, "reason": reason, "left_out": count} for reason, count in step.excluded.items()] or [
                {**counted, "reason": "", "left_out": 0}
            ]
        for name, counts in self.splits.items():
            counted = {key: counts[key] for key in ("lesions", "images", "patients")}
            rows.append({"step": f"{name} split", **counted, "reason": "", "left_out": 0})
        return pd.DataFrame(rows, columns=["step", "lesions", "images", "patients", "reason", "left_out"])


def study_flow(tables: StudyTables) -> StudyFlow:
    """Bring the steps that the cohort stage recorded and those of the image stage into one diagram."""
    steps: list[Step] = []
    for recorded in tables.study.get("flow", []):
        steps.append(_step(steps, str(recorded["step"]), recorded, dict(recorded.get("excluded", {}))))
    cohort = {**_counts(tables.lesions), "images": len(tables.images)}
    cohort["patients"] = int(tables.images["patient_id"].nunique())
    if not steps or steps[-1].lesions != cohort["lesions"]:
        steps.append(_step(steps, "cohort", cohort, {}))
    if tables.prepared:
        left_out = tables.excluded[
            (tables.excluded["stage"] == "images") & tables.excluded["level"].isin(["row", "lesion"])
        ]
        left = {**_counts(tables.usable), "images": len(tables.canonical)}
        left["patients"] = int(tables.canonical["patient_id"].nunique())
        steps.append(_step(steps, "image and mask usable", left, dict(Counter(left_out["reason"]))))
    splits = {}
    for split in SPLITS:
        images = tables.usable_images[tables.usable_images["split"] == split]
        splits[split] = describe(images, tables.usable[tables.usable["split"] == split])
    return StudyFlow(steps, splits)


def exclusion_reasons(excluded: pd.DataFrame) -> pd.DataFrame:
    """Count what was left out: `stage`, `level`, `reason`, `count`, the most frequent of a stage first."""
    counted = excluded.groupby(["stage", "level", "reason"]).size().rename("count").reset_index()
    order = ["stage", "count", "level", "reason"]
    return pd.DataFrame(counted.sort_values(order, ascending=[True, False, True, True], ignore_index=True))


def _step(before: list[Step], name: str, counts: dict[str, Any], excluded: dict[str, int]) -> Step:
    """Make a step; what the step before has more than this one and its reasons explain is named as such."""
    lesions = int(counts["lesions"])
    missing = before[-1].lesions - lesions - sum(excluded.values()) if before else 0
    if missing:
        excluded = {**excluded, UNEXPLAINED: missing}
    ordered = dict(sorted(excluded.items(), key=lambda item: (-item[1], item[0])))
    return Step(name, lesions, int(counts["images"]), int(counts["patients"]), ordered)


def _counts(lesions: pd.DataFrame) -> dict[str, Any]:
    return {"lesions": len(lesions)}
