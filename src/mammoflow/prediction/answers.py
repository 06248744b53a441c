"""From requests to answers: films are prepared, segmented and measured together, and answered one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mammoflow.cohort.table_files import records
from mammoflow.config.images import ImagesSettings
from mammoflow.config.prompted import SegmentSettings
from mammoflow.errors import StudyError
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.imaging.film_header import read_header
from mammoflow.imaging.film_masks import film_spacing_mm, measure_mask, on_film
from mammoflow.imaging.pictures import is_picture
from mammoflow.prediction.films import film_prompts, image_id, lesion_id, prepare_films
from mammoflow.prediction.masks import Segmented, segment_films
from mammoflow.prediction.models import check_prompts
from mammoflow.prediction.patients import patient_in
from mammoflow.prediction.requests import FilmRequest
from mammoflow.prediction.results import LesionResult, Malignancy, Prediction
from mammoflow.storage.files import file_digest, read_json
from mammoflow.storage.intermediate import temporary_folder
from mammoflow.weights.origin import ORIGIN_FILE, OTHER_MASKS
from mammoflow.weights.registry import ModelSpec
from mammoflow.weights.seen_patients import seen_patients

if TYPE_CHECKING:
    from mammoflow.prediction.runs import FinishedRun

FLAG = "flag_"
EMPTY_MASK = "the model found nothing in this prompt: the mask is empty"


@dataclass(frozen=True)
class Plan:
    """How films are answered.

    Attributes
    ----------
    model
        The promptable model.
    images, segment
        Settings of the image stage and of the segment stage.
    margin_mm
        Added on each side of each box before the model sees it.
    default_spacing_mm
        Spacing of films that have none in request and header.
    store
        Folder of embeddings to use and fill; None keeps none.
    threads
        Processors to use.
    run
        The run whose classifiers judge the lesions; None without.
    """

    model: ModelSpec
    images: ImagesSettings = field(default_factory=ImagesSettings)
    segment: SegmentSettings = field(default_factory=lambda: SegmentSettings(iterations=1))
    margin_mm: float = 0.0
    default_spacing_mm: float | None = None
    store: Path | None = None
    threads: int = 1
    run: FinishedRun | None = None


def answer(films: Sequence[FilmRequest], plan: Plan) -> Iterator[Prediction | tuple[FilmRequest, str]]:
    """Yield the answer to each film in order, or the film and why it cannot be used.

    Parameters
    ----------
    films
        What is asked.
    plan
        How.

    Raises
    ------
    ConfigError
        If a lesion has points and the model does not take them.
    WeightsError
        If the weights are missing or are not the published ones.
    """
    check_prompts(plan.model, (lesion.prompt_kind for film in films for lesion in film.lesions))
    with temporary_folder("mammoflow-predict-") as folder:
        prepared = prepare_films(films, plan.images, folder / "images", plan.threads, plan.default_spacing_mm)
        prompts = film_prompts(films, prepared, plan.margin_mm)
        segmented = None
        store = plan.store or folder / "store"
        if prompts:
            segmented = segment_films(
                plan.segment, plan.model, prepared, prompts, plan.margin_mm, store, folder / "masks", plan.threads
            )
        said: dict[str, dict[str, Malignancy]] = {}
        if plan.run and segmented:
            from mammoflow.prediction.judging import judge  # loads scikit-learn, which takes seconds

            said = judge(plan.run, segmented, prepared.folder, store, plan.threads)
        images = {str(row["image_id"]): row for row in records(prepared.images)}
        notes = {identity: [f"this lesion was left out: {why}"] for identity, why in prepared.lesions_left_out.items()}
        for row in records(prepared.lesions):
            notes[str(row["lesion_id"])] = [f"flagged: {name}" for name in flag_names(row)]
        for number, film in enumerate(films):
            if number in prepared.left_out or segmented is None:
                yield film, prepared.left_out.get(number, "no lesion can be used")
                continue
            yield _answer_film(film, number, images[image_id(number)], segmented, plan, said, notes)


def _answer_film(
    film: FilmRequest,
    number: int,
    image: Mapping[str, Any],
    segmented: Segmented,
    plan: Plan,
    said: dict[str, dict[str, Malignancy]],
    known: dict[str, list[str]],
) -> Prediction:
    """Measure the masks of a film on the grid of its file."""
    size = film.size
    square = (int(image["film_height"]), int(image["film_width"]))
    if is_picture(film.image) and square != size:
        raise StudyError(
            f"{film.image}: a viewer shows {size[1]} x {size[0]} pixels and the file was read as {square[1]} x "
            f"{square[0]}; expected a picture without an EXIF orientation; save it upright"
        )
    spacing = film_spacing_mm(float(image["film_spacing_mm"]), square, size)
    met = {
        trained.folder.name: {
            "patient_in_training": patient_in(film.image, seen_patients(trained.weights(trained.seeds[0])))
        }
        for trained in (plan.run.classifiers if plan.run else ())
    }
    lesions = []
    for place, request in enumerate(film.lesions):
        identity = lesion_id(number, place)
        notes = (*request.notes, *known.get(identity, ()))
        if identity not in segmented.rows:
            empty = np.zeros(size, dtype=np.bool_)
            lesions.append(LesionResult(place + 1, request, empty, np.nan, np.nan, np.nan, notes=notes))
            continue
        mask = on_film(segmented.mask(identity), size)
        area, diameter = measure_mask(mask, spacing)
        notes = notes if mask.any() else (*notes, EMPTY_MASK)
        estimate = segmented.predicted_iou(identity)
        malignancy = {name: replace(one, facts=one.facts | met[name]) for name, one in said.get(identity, {}).items()}
        notes = (*notes, *_notes_on_masks(malignancy))
        lesions.append(LesionResult(place + 1, request, mask, area, diameter, estimate, malignancy, notes))
    origin = read_json(next(iter(segmented.folders.values())) / ORIGIN_FILE)
    facts: dict[str, Any] = {
        "image": _image_facts(film, image, spacing),
        "model": _model_facts(plan, origin, film.image),
    }
    if plan.run is not None:
        facts |= {"classifiers_left_out": plan.run.left_out, "classifier_in_report": plan.run.reported}
    return Prediction(film.image, film.name, tuple(lesions), spacing, facts)


def _notes_on_masks(said: Mapping[str, Malignancy]) -> list[str]:
    """Return what a reader must know where classifiers read a mask of other weights than those of their training."""
    names = ", ".join(name for name, one in said.items() if one.facts[OTHER_MASKS])
    return [f"the mask is of other weights than the masks that the training of {names} read"] if names else []


def flag_names(row: Mapping[str, Any]) -> list[str]:
    """Return the flags that are set in a row of CANONICAL_IMAGES or CANONICAL_LESIONS, without their prefix."""
    return [
        name.removeprefix(FLAG)
        for name, value in row.items()
        if name.startswith(FLAG) and value is not None and bool(value)
    ]


def _image_facts(film: FilmRequest, image: Mapping[str, Any], spacing_mm: tuple[float, float]) -> dict[str, Any]:
    """Return what `result.json` says about the film; nothing in it identifies a patient but the file's name."""
    picture = is_picture(film.image)
    side = None if picture else read_header(open_dicom(film.image)).side
    return {
        "file": film.image.name,
        "sha256": file_digest(film.image),
        "format": "picture" if picture else "DICOM",
        "height_px": film.size[0],
        "width_px": film.size[1],
        "row_spacing_mm": round(spacing_mm[0], 6),
        "column_spacing_mm": round(spacing_mm[1], 6),
        "spacing_origin": str(image["spacing_origin"]),
        "laterality": side.laterality if side else "",
        "view": side.view if side else "",
        "canonical_sha256": str(image["digest"]),
        "flags": flag_names(image),
    }


def _model_facts(plan: Plan, origin: dict[str, Any], film: Path) -> dict[str, Any]:
    return {
        "name": plan.model.name,
        **origin,
        "field_of_view": plan.segment.fields_of_view[0],
        "iterations": plan.segment.iterations,
        "box_margin_mm": plan.margin_mm,
        "colour": plan.segment.colour,
        "patient_in_training": patient_in(film, seen_patients(plan.model.file) if plan.model.file else frozenset()),
    }
