"""Rows of the table of scores: each prompt, field of view and iteration, and the floor."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.config.prompted import FieldOfView, SegmentSettings
from mammoflow.segmentation.prompted.refinement import HEADS, Refined, choose_iteration
from mammoflow.segmentation.protocol.segmenter import ImageSize
from mammoflow.segmentation.scoring.references import References, score_rows
from mammoflow.segmentation.scoring.scores import ellipse_in_box
from mammoflow.tables.prompts import BOX
from mammoflow.weights.seen_patients import is_seen

FLOOR = "ellipse"
"""Model name of the ellipse inscribed in the prompt box, with which every model is compared."""

PROMPT_COLUMNS = ["lesion_id", "image_id", "prompt_id", "kind", "origin", "draw", "margin_mm"]


class PromptScorer:
    """Scores the masks of prompts against the references and collects rows of the table SEGMENTATION_SCORES.

    Parameters
    ----------
    settings
        How heads and iterations are chosen and fed on.
    model
        Name of the model.
    seen
        Patients that its weights were trained on.

    Attributes
    ----------
    rows
        The rows so far.
    """

    def __init__(self, settings: SegmentSettings, model: str, seen: frozenset[str]) -> None:
        self.settings, self.model, self.seen = settings, model, seen
        self.rows: list[dict[str, Any]] = []

    def score(
        self,
        prompts: pd.DataFrame,
        refined: Refined,
        references: References,
        field_of_view: FieldOfView,
        spacing_mm: float,
    ) -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
        """Score every iteration of some prompts.

        Parameters
        ----------
        prompts
            Rows of the table PROMPTS, one for each refined prompt.
        refined
            Their masks.
        references
            Of the image's lesions.
        field_of_view, spacing_mm
            What the network saw, and the spacing of its pixels.

        Returns
        -------
        table, chosen
            The columns that all iterations share, one row for each prompt; (N,) the chosen iteration, from 0.
        """
        settings = self.settings
        table = prompts[PROMPT_COLUMNS]
        patients = references.patients(table["lesion_id"].to_list())
        overlaps = [references.score(table["lesion_id"].to_list(), masks) for masks in refined.masks]
        dice = np.stack([scored.dice for scored in overlaps])
        chosen = choose_iteration(settings.choose, refined.predicted_iou, dice)
        table = table.assign(
            patient_id=patients,
            model=self.model,
            field_of_view=field_of_view,
            view_spacing_mm=spacing_mm,
            choice=settings.choose,
            feed=settings.feed,
            head_choice=settings.heads,
            seen=[is_seen(patient, self.seen) for patient in patients],
            **_head_columns(refined.head_predicted_iou, refined.head_dice),
        )
        for iteration, scored in enumerate(overlaps):
            heads = refined.heads if iteration == 0 else 0
            rows = table.assign(iteration=iteration + 1, chosen=chosen == iteration, head=heads)
            self.rows += score_rows(rows, scored, refined.predicted_iou[iteration])
        return table, chosen

    def score_floor(self, prompts: pd.DataFrame, references: References, size: ImageSize) -> None:
        """Score the ellipses in the boxes of some prompts; a point has no box and no ellipse.

        Parameters
        ----------
        prompts
            Rows of the table PROMPTS.
        references
            Of the image's lesions.
        size
            (height, width) of the canonical image.
        """
        with_box = prompts[prompts[BOX].notna().all(axis=1)]
        if with_box.empty:
            return
        lesion_ids = with_box["lesion_id"].to_list()
        ellipses = np.stack([ellipse_in_box(box, size) for box in with_box[BOX].to_numpy(np.float64)])
        undefined = np.full((len(with_box), HEADS), np.nan)
        table = with_box[PROMPT_COLUMNS].assign(
            patient_id=references.patients(lesion_ids),
            model=FLOOR,
            field_of_view="",
            view_spacing_mm=np.nan,
            iteration=1,
            chosen=True,
            choice="",
            feed="",
            head=None,
            head_choice="",
            seen=False,
            **_head_columns(undefined, undefined),
        )
        scored = references.score(lesion_ids, ellipses)
        self.rows += score_rows(table, scored, np.full(len(with_box), np.nan))


def _head_columns(
    predicted_iou: npt.NDArray[np.float64], dice: npt.NDArray[np.float64]
) -> dict[str, npt.NDArray[np.float64]]:
    """Return the columns of the three heads from values (N, 3)."""
    figures = {"predicted_iou": predicted_iou, "dice": dice}
    return {f"head_{head + 1}_{of}": values[:, head] for of, values in figures.items() for head in range(HEADS)}
