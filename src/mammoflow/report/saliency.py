"""Pictures of saliency maps for the report: lesions with the most, a middle and the least share inside the mask."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from mammoflow.errors import StudyError
from mammoflow.evaluation.segmentation_diameter import case_numbers
from mammoflow.report.overlays import choose_lesions
from mammoflow.tables.files import read_table, read_tables
from mammoflow.tables.images import CANONICAL_LESIONS
from mammoflow.tables.saliency import SALIENCY

METHODS = {"grad_cam": "Grad-CAM", "integrated_gradients": "integrated gradients"}
"""Names of the methods on the page."""

GALLERY_PX, GALLERY_QUALITY = 160, 70
"""Side and JPEG quality of a map in the gallery, which has hundreds."""


@dataclass(frozen=True)
class GalleryMap:
    """The map of one classifier in the gallery: its name, the method, and a JPEG as a data URI."""

    model: str
    method: str
    picture: str


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
    maps, cases = _drawn_maps(folders), _cases(images)
    maps = maps[maps["energy_inside"].notna()]
    return [
        (str(model), METHODS[str(method)], list(_pictures(part.set_index("lesion_id"), cases, count)))
        for (model, method), part in maps.groupby(["model", "method"], sort=False)
    ]


def gallery_maps(
    images: Sequence[Path], folders: Sequence[Path], shown: Collection[int]
) -> dict[int, list[GalleryMap]]:
    """Return the maps of some cases by their number: one of each classifier, by its first method.

    Parameters
    ----------
    images, folders
        As for `map_pictures`, whose errors it raises.
    shown
        Case numbers.
    """
    found: dict[int, list[GalleryMap]] = {}
    if not folders or not shown:
        return found
    cases = _cases(images)
    maps = _drawn_maps(folders).drop_duplicates(["model", "lesion_id"])
    for row in maps[maps["lesion_id"].map(cases).isin(list(shown))].to_dict("records"):
        method = METHODS[str(row["method"])] + ("; nowhere positive" if pd.isna(row["energy_inside"]) else "")
        picture = _map_alone(Path(row["folder"]) / row["picture_file"])
        found.setdefault(int(cases.loc[row["lesion_id"]]), []).append(GalleryMap(str(row["model"]), method, picture))
    return found


def _drawn_maps(folders: Sequence[Path]) -> pd.DataFrame:
    """Return the rows of all maps that have a picture, with the `folder` of each."""
    tables = [read_table(folder / "saliency.parquet", SALIENCY).assign(folder=str(folder)) for folder in folders]
    maps = pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)
    return maps[maps["picture_file"].notna()]


def _cases(images: Sequence[Path]) -> pd.Series:
    lesions = read_tables([folder / "lesions.parquet" for folder in images], CANONICAL_LESIONS)
    return case_numbers(pd.Index(lesions["lesion_id"]))


def _map_alone(path: Path) -> str:
    """Return the right half of a picture, the map over the crop, as a small JPEG."""
    picture = cv2.imdecode(np.frombuffer(_content(path), dtype=np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise StudyError(f"picture {path} cannot be read (it is no JPEG); make the maps again")
    half = picture[:, picture.shape[1] // 2 :]
    small = cv2.resize(half, (GALLERY_PX, GALLERY_PX), interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, GALLERY_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StudyError(f"picture {path} cannot be read ({error.strerror}); make the maps again") from error


def _pictures(maps: pd.DataFrame, cases: pd.Series, count: int) -> Iterator[MapPicture]:
    for rank, lesion in choose_lesions(maps["energy_inside"], count):
        row = maps.loc[[lesion]].iloc[0]
        content = base64.b64encode(_content(Path(row["folder"]) / row["picture_file"])).decode("ascii")
        yield MapPicture(
            case=int(cases.loc[lesion]),
            rank=rank,
            energy=float(row["energy_inside"]),
            hit=bool(row["pointing_hit"] == 1),
            probability=None if pd.isna(row["probability"]) else float(row["probability"]),
            label="label unknown" if pd.isna(row["malignant"]) else ("benign", "malignant")[int(row["malignant"])],
            picture=f"data:image/jpeg;base64,{content}",
        )
