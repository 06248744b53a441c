"""The films of a request as a study of their own, through the stages that every study goes through.

Conversion, patches, prompts and decoding are those of the workflow. So the mask of a lesion is the same here as in a
study, for the same box and settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.cohort.table_files import records
from mammoflow.config.images import ImagesSettings
from mammoflow.config.prompts import PromptSettings
from mammoflow.errors import ExcludedCase
from mammoflow.formats.study_paths import study_name
from mammoflow.imaging.case import Case, CaseResult, exclude_image, prepare_case
from mammoflow.prediction.requests import FilmRequest, LesionRequest
from mammoflow.reasons.files import FileReason
from mammoflow.run.workers import Lost, map_isolated
from mammoflow.segmentation.prompting.points import points_text
from mammoflow.segmentation.prompting.prompt_names import prompt_name
from mammoflow.segmentation.prompting.prompts import prompt_table
from mammoflow.segmentation.prompting.sources import reference_source
from mammoflow.storage.names import shown_name
from mammoflow.tables.cohort import IMAGES, LESIONS
from mammoflow.tables.files import write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.prompts import BOX

SOURCE = "predict"
SPLIT = "test"
LONGEST_S = 300.0
WORKER_BYTES = 4 * 2**30
FOLDERS = ("image", "breast", "pectoral", "mask", "patch")
LINKS = "link"


@dataclass(frozen=True)
class PreparedFilms:
    """Films that are ready to be segmented.

    Attributes
    ----------
    folder
        Folder of their canonical images, as the image stage writes them, with `images.parquet` and `lesions.parquet`.
    images, lesions
        Tables CANONICAL_IMAGES and CANONICAL_LESIONS.
    left_out
        Why a film cannot be used, by the number of its request.
    lesions_left_out
        Why a lesion of a film that can be used cannot be, by its id.
    """

    folder: Path
    images: pd.DataFrame
    lesions: pd.DataFrame
    left_out: dict[int, str]
    lesions_left_out: dict[str, str]


def image_id(film: int) -> str:
    """Return the id of the film with a number in the tables."""
    return f"film-{film}"


def lesion_id(film: int, lesion: int) -> str:
    """Return the id of a lesion, by the numbers of its film and of itself, both from 0."""
    return f"{image_id(film)}-lesion-{lesion}"


def prepare_films(
    films: Sequence[FilmRequest], settings: ImagesSettings, folder: Path, threads: int, default_spacing_mm: float | None
) -> PreparedFilms:
    """Make canonical images and patches of films with the image stage's function.

    Parameters
    ----------
    films
        What is asked.
    settings
        Settings of the image stage.
    folder
        Empty folder for the images.
    threads
        Films at a time, each in a separate process; a single film is read in this process.
    default_spacing_mm
        Spacing of films that have none in request and header.
    """
    for name in (*FOLDERS, LINKS):
        (folder / name).mkdir(parents=True)
    cases = []
    for number, film in enumerate(films):
        file = _named_by_a_table(film.image.resolve(), folder / LINKS / image_id(number))
        cases.append(Case(settings, file.parent, folder, *_rows(film, number, file.name, default_spacing_mm)))
    results: dict[int, CaseResult] = {}
    if len(cases) == 1:
        results[0] = prepare_case(cases[0])
    else:
        work = map_isolated(prepare_case, cases, threads, LONGEST_S, WORKER_BYTES, preload="mammoflow.imaging.case")
        for number, answer in work:
            if isinstance(answer, Lost):
                problem = ExcludedCase(FileReason.UNREADABLE, f"reading the file of this film {answer.detail}")
                answer = exclude_image(cases[number], problem)
            results[number] = answer
    ordered = [results[number] for number in range(len(cases))]
    images = pd.DataFrame([result.image for result in ordered if result.image is not None])
    lesions = pd.DataFrame([row for result in ordered for row in result.lesions])
    return PreparedFilms(
        folder,
        write_table(images, CANONICAL_IMAGES, folder / "images.parquet"),
        write_table(lesions, CANONICAL_LESIONS, folder / "lesions.parquet"),
        {
            number: "; ".join(dict.fromkeys(f"{row['reason']}: {row['detail']}" for row in result.excluded))
            for number, result in enumerate(ordered)
            if result.image is None
        },
        {
            row["lesion_id"]: f"{row['reason']}: {row['detail']}"
            for result in ordered
            for row in result.excluded
            if row["level"] == "lesion"
        },
    )


def _named_by_a_table(file: Path, link: Path) -> Path:
    """Return a file, or a new link to it if a case table cannot name it, such as one with a blank before its name."""
    try:
        if study_name(file.parent, file.name) == file.name == shown_name(file.name):
            return file
    except ExcludedCase:
        pass
    if not file.is_file():
        return file
    link.symlink_to(file)
    return link


def _rows(
    film: FilmRequest, number: int, name: str, default_mm: float | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the rows of IMAGES and LESIONS of a film, as a cohort has them."""
    shared = {"patient_id": image_id(number), "source": SOURCE, "laterality": "", "view": "", "official_split": ""}
    image = _filled(
        IMAGES,
        {
            **shared,
            "image_id": image_id(number),
            "image_path": name,
            "spacing_mm": np.nan if film.spacing_mm is None else film.spacing_mm,
            "default_spacing_mm": np.nan if default_mm is None else default_mm,
            "split": SPLIT,
            "shard": 0,
        },
    )
    lesions = []
    for place, lesion in enumerate(film.lesions):
        x0, y0, x1, y1 = lesion.box or _pixel(lesion)
        lesions.append(
            _filled(
                LESIONS,
                {
                    **shared,
                    "lesion_id": lesion_id(number, place),
                    "finding_id": lesion_id(number, place),
                    "image_id": image_id(number),
                    "lesion_type": lesion.kind,
                    "box_y0": y0,
                    "box_x0": x0,
                    "box_y1": y1,
                    "box_x1": x1,
                    "split": SPLIT,
                    "shard": 0,
                },
            )
        )
    return image, lesions


def _filled(schema: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with every column that a table must have; what is not given is null."""
    required = [str(name) for name, column in schema.columns.items() if column.required]
    return {name: values.get(name, None) for name in required}


def _pixel(lesion: LesionRequest) -> tuple[float, float, float, float]:
    """Return the box of the pixel in which the first point of a lesion lies."""
    x, y = (float(np.floor(value)) for value in lesion.points[0])
    return x, y, x + 1, y + 1


def film_prompts(films: Sequence[FilmRequest], prepared: PreparedFilms, margin_mm: float) -> dict[str, pd.DataFrame]:
    """Return the prompts of films, as the prompt stage makes them.

    Parameters
    ----------
    films
        What is asked.
    prepared
        Their images and lesions.
    margin_mm
        Added on each side of a box.

    Returns
    -------
    dict
        Tables PROMPTS by kind (`box`, `point`, `box_point`); a kind that nothing asks for is missing.
    """
    settings = PromptSettings(margins_mm=[margin_mm], default_margin_mm=margin_mm, kinds=["box"])
    sources = reference_source(prepared.folder, prepared.lesions)
    if sources.empty:
        return {}
    boxes = prompt_table(settings, prepared.images, sources, sources).set_index("lesion_id", drop=False)
    sizes = {str(row["image_id"]): row for row in records(prepared.images)}
    rows: dict[str, list[dict[str, Any]]] = {}
    for number, film in enumerate(films):
        for place, lesion in enumerate(film.lesions):
            identity = lesion_id(number, place)
            if identity not in boxes.index:
                continue
            row = {str(name): value for name, value in boxes.loc[identity].to_dict().items()}
            rows.setdefault(lesion.prompt_kind, []).append(_prompt(row, lesion, film, sizes[image_id(number)]))
    return {kind: pd.DataFrame(of_kind).astype({"draw": "Int64"}) for kind, of_kind in rows.items()}


def _prompt(row: dict[str, Any], lesion: LesionRequest, film: FilmRequest, image: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of PROMPTS, from that of the box alone."""
    kind = lesion.prompt_kind
    if kind == "box":
        return row
    rows, columns = image["height"] / film.size[0], image["width"] / film.size[1]
    points = points_text([(y * rows, x * columns, 1) for x, y in lesion.points])
    margin = None if kind == "point" else row["margin_mm"]
    name = prompt_name(row["lesion_id"], margin, kind, counts=(len(lesion.points), 0))  # type: ignore[arg-type]
    row = {**row, "prompt_id": name, "kind": kind, "points": points}
    return row | dict.fromkeys([*BOX, "margin_mm"], np.nan) if kind == "point" else row
