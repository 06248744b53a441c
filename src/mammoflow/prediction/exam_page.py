"""The page of the real exam: the eight films, segmented by two models at the published boxes."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import pandas as pd

from mammoflow.config.images import ImagesSettings
from mammoflow.config.prompted import SegmentSettings
from mammoflow.config.real_exam import RealExamSettings
from mammoflow.errors import StudyError
from mammoflow.imaging.film import read_film
from mammoflow.imaging.film_masks import measure_mask, on_film
from mammoflow.prediction.drawing import COLOURS, Colour, Outlined, Picture, close_up, whole_film
from mammoflow.prediction.exam import FILMS, PACKAGE, exam_requests, exam_version
from mammoflow.prediction.films import film_prompts, lesion_id, prepare_films
from mammoflow.prediction.masks import Segmented, segment_films
from mammoflow.prediction.models import choose_model
from mammoflow.prediction.requests import FilmRequest
from mammoflow.report.page import render
from mammoflow.storage.files import write_text
from mammoflow.storage.intermediate import temporary_folder
from mammoflow.tables.files import write_csv
from mammoflow.weights.registry import ModelSpec
from mammoflow.weights.seen_patients import is_seen, seen_patients

TITLES = {"lite_medsam": "LiteMedSAM"}
FILM_HEIGHT, CLOSE_UP_SIDE, JPEG_QUALITY = 640, 340, 85
PAGE, TABLE = "real_exam.html", "real_exam.csv"
TEMPLATE = "real_exam.html.j2"


def write_exam(
    settings: RealExamSettings, output: Path, threads: int, weights: Mapping[str, Path] | None = None
) -> None:
    """Segment the films of the exam and write the page and its table.

    Parameters
    ----------
    settings
        Models, spacing, device.
    output
        Folder for `real_exam.html` and, beside it, `real_exam.csv`.
    threads
        Processors to use.
    weights
        Weights files of models by name; the others are looked for where `choose_model` says.

    Raises
    ------
    StudyError
        If the package of the films is not installed, or a film cannot be read.
    WeightsError
        If the weights of a model are missing.
    """
    requests = exam_requests(settings.spacing_mm)
    models = {name: choose_model(name, (weights or {}).get(name)) for name in settings.models}
    start = time.monotonic()
    with temporary_folder("mammoflow-exam-") as folder:
        prepared = prepare_films(requests, ImagesSettings(), folder / "images", threads, None)
        if prepared.left_out:
            raise StudyError(
                f"a film of the package {PACKAGE} cannot be used: {next(iter(prepared.left_out.values()))}"
            )
        prompts = film_prompts(requests, prepared, 0.0)
        segment = SegmentSettings(device=settings.device, iterations=1)
        segmented = {
            name: segment_films(segment, model, prepared, prompts, 0.0, folder / "store", folder / name, threads)
            for name, model in models.items()
        }
        films = [_film(number, request, segmented, settings) for number, request in enumerate(requests)]
    rows = [row for film in films for row in film["rows"]]
    write_csv(output / TABLE, pd.DataFrame(rows))
    values = {
        "films": films,
        "models": [
            {"name": name, "title": _title(name), "colour": _css(colour)}
            for name, colour in model_colours(settings.models).items()
        ],
        "seen": {_title(name): _seen(model) for name, model in models.items()},
        "package": f"{PACKAGE} {exam_version()}".strip(),
        "spacing_mm": settings.spacing_mm,
        "seconds": time.monotonic() - start,
    }
    write_text(output / PAGE, render(values, TEMPLATE))


def _film(
    number: int, request: FilmRequest, segmented: dict[str, Segmented], settings: RealExamSettings
) -> dict[str, Any]:
    """Return a film as the page shows it: its picture, a close-up of each lesion, and the measurements."""
    facts, grey, colours = FILMS[number], read_film(request.image).pixels, model_colours(settings.models)
    lesions, rows = [], []
    for place, lesion in enumerate(request.lesions):
        identity = lesion_id(number, place)
        masks = {model: on_film(of_model.mask(identity), request.size) for model, of_model in segmented.items()}
        outlines = tuple((mask, colours[model]) for model, mask in masks.items())
        lesions.append(Outlined(lesion, outlines, str(place + 1)))
        for model, mask in masks.items():
            area, diameter = measure_mask(mask, (settings.spacing_mm, settings.spacing_mm))
            rows.append(
                {
                    "film": facts.name,
                    "lesion": place + 1,
                    "model": model,
                    "area_mm2": area,
                    "diameter_mm": diameter,
                    "predicted_iou": segmented[model].predicted_iou(identity),
                }
            )
    return {
        "facts": facts,
        "size": request.size,
        "picture": _jpeg(whole_film(grey, lesions, FILM_HEIGHT)),
        "close_ups": [_jpeg(close_up(grey, lesion, CLOSE_UP_SIDE)) for lesion in lesions],
        "rows": rows,
    }


def _seen(model: ModelSpec) -> str:
    """Say whether a model's training is known to have had the patients of the exam."""
    seen = seen_patients(model.file) if model.file else frozenset()
    if not seen:
        return "its training patients are not published by patient id"
    met = sorted({film.patient for film in FILMS if is_seen(film.patient, seen)})
    return f"trained on {', '.join(met)}" if met else "not trained on them, by its record"


def _title(model: str) -> str:
    return TITLES.get(model, model)


def model_colours(models: Sequence[str]) -> dict[str, Colour]:
    """Return the colour of each model's outlines."""
    return dict(zip(models, COLOURS, strict=False))


def _css(colour: Colour) -> str:
    red, green, blue = colour
    return f"rgb({red} {green} {blue})"


def _jpeg(picture: Picture) -> str:
    """Return a picture as a JPEG data URI."""
    done, encoded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise StudyError("a picture could not be encoded as JPEG; check the OpenCV installation")
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")
