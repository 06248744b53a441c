"""The masks of prepared films: decoded by the stage of the workflow, and brought to the grids of the films' files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.cohort.table_files import records
from mammoflow.config.prompted import SegmentSettings
from mammoflow.errors import StudyError
from mammoflow.imaging.geometry import Mask
from mammoflow.prediction.films import PreparedFilms
from mammoflow.storage.files import read_mask
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.masks import MASKS
from mammoflow.tables.prompts import PROMPTS
from mammoflow.weights.registry import ModelSpec


@dataclass(frozen=True)
class Segmented:
    """The masks of films.

    Attributes
    ----------
    rows
        Rows of MASKS of all kinds of prompts, by lesion; `folder` is the folder of the mask's file.
    folders
        Folder of the segmentation stage by kind of prompt.
    """

    rows: Mapping[str, Mapping[str, Any]]
    folders: Mapping[str, Path]

    def mask(self, lesion: str) -> Mask:
        """Return the mask (height, width) of a lesion on the canonical grid."""
        row = self.rows[lesion]
        return read_mask(Path(row["folder"]) / str(row["mask_file"]))

    def predicted_iou(self, lesion: str) -> float:
        """Return the model's own estimate of the overlap of a lesion's mask with the lesion."""
        return float(self.rows[lesion]["predicted_iou"])


def segment_films(
    settings: SegmentSettings,
    model: ModelSpec,
    prepared: PreparedFilms,
    prompts: Mapping[str, pd.DataFrame],
    margin_mm: float,
    store: Path,
    folder: Path,
    threads: int,
) -> Segmented:
    """Segment prepared films with the segment stage.

    Parameters
    ----------
    settings, model, store, threads
        As the stage takes them.
    prepared
        From `prepare_films`.
    prompts
        From `film_prompts`.
    margin_mm
        Margin of the boxes.
    folder
        Folder for the masks.

    Raises
    ------
    StudyError
        If a choice of the settings needs reference masks, which a film has not.
    WeightsError
        If the weights are missing or are not the published ones.
    """
    from mammoflow.segmentation.prompted.stage import segment  # loads torch

    if "oracle" in (settings.choose, settings.heads):
        raise StudyError(
            "segmentation.choose or segmentation.heads is oracle, which needs reference masks; a single film has none; "
            "expected first or predicted_iou"
        )
    folders, tables = {}, []
    for kind, table in prompts.items():
        folders[kind] = folder / kind
        write_table(table, PROMPTS, folders[kind] / "prompts.parquet")
        segment(
            settings,
            model,
            prepared.folder,
            [folders[kind] / "prompts.parquet"],
            store,
            margin_mm,
            folders[kind],
            threads,
        )
        tables.append(read_table(folders[kind] / "masks.parquet", MASKS).assign(folder=str(folders[kind])))
    rows = {str(row["lesion_id"]): row for row in records(pd.concat(tables))}
    return Segmented(rows, folders)
