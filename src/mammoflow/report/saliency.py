"""Pictures of saliency maps for the report: lesions with the most, a middle and the least share inside the mask."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mammoflow.errors import StudyError
from mammoflow.evaluation.segmentation_diameter import case_numbers
from mammoflow.report.overlays import choose_lesions
from mammoflow.tables.files import read_table, read_tables
from mammoflow.tables.images import CANONICAL_LESIONS
from mammoflow.tables.saliency import SALIENCY

METHODS = {"grad_cam": "Grad-CAM", "integrated_gradients": "integrated gradients"}
"""Names of the methods on the page."""


@dataclass(frozen=True)
class MapPicture:
    """One lesion with its map.

    Attributes
    ----------
    case
        Number of the lesion in `dice_by_diameter.csv`; it contains no patient id.
    rank
        `best`, `median` or `worst` by the share of the map inside the mask.
    energy
        That share.
    hit
        Whether the maximum of the map is on the lesion.
    probability
        Of malignancy, as the classifier predicts it; None where it predicts nothing.
    label
        `malignant`, `benign`, or that the label is unknown.
    picture
        JPEG as a data URI: what the network saw, and the map over it.
    """

    case: int
    rank: str
    energy: float
    hit: bool
    probability: float | None
    label: str
    picture: str


def map_pictures(
    images: Sequence[Path], folders: Sequence[Path], count: int
) -> list[tuple[str, str, list[MapPicture]]]:
    """Return classifier, method and pictures of some of its lesions.

    Parameters
    ----------
    images
        Folders of the image stage, one for each shard.
    folders
        Folders of the saliency maps, one for each classifier and fold.
    count
        Number of lesions for each classifier and method.

    Raises
    ------
    StudyError
        If a table or a picture is missing.
    """
    if not folders or count == 0:
        return []
    tables = [read_table(folder / "saliency.parquet", SALIENCY).assign(folder=str(folder)) for folder in folders]
    maps = pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)
    maps = maps[maps["picture_file"].notna() & maps["energy_inside"].notna()]
    lesions = read_tables([folder / "lesions.parquet" for folder in images], CANONICAL_LESIONS)
    cases = case_numbers(pd.Index(lesions["lesion_id"]))
    return [
        (str(model), METHODS[str(method)], list(_pictures(part.set_index("lesion_id"), cases, count)))
        for (model, method), part in maps.groupby(["model", "method"], sort=False)
    ]


def _pictures(maps: pd.DataFrame, cases: pd.Series, count: int) -> Iterator[MapPicture]:
    for rank, lesion in choose_lesions(maps["energy_inside"], count):
        row = maps.loc[[lesion]].iloc[0]
        file = Path(row["folder"]) / row["picture_file"]
        try:
            content = base64.b64encode(file.read_bytes()).decode("ascii")
        except OSError as error:
            raise StudyError(f"picture {file} cannot be read ({error.strerror}); make the maps again") from error
        yield MapPicture(
            case=int(cases.loc[lesion]),
            rank=rank,
            energy=float(row["energy_inside"]),
            hit=bool(row["pointing_hit"] == 1),
            probability=None if pd.isna(row["probability"]) else float(row["probability"]),
            label="label unknown" if pd.isna(row["malignant"]) else ("benign", "malignant")[int(row["malignant"])],
            picture=f"data:image/jpeg;base64,{content}",
        )
