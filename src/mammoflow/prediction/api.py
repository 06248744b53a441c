"""Python interface of `mammoflow predict`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mammoflow.config.base import Device
from mammoflow.config.images import ImagesSettings
from mammoflow.config.inference import Precision
from mammoflow.config.prompted import FieldOfView, SegmentSettings
from mammoflow.errors import ConfigError, ExcludedCase, StudyError
from mammoflow.prediction.answers import Plan, answer
from mammoflow.prediction.many import answer_table, unusable
from mammoflow.prediction.models import check_prompts, choose_model, tuned_colour
from mammoflow.prediction.output import building, check_folder, check_store
from mammoflow.prediction.requests import KINDS, FilmRequest, check_spacing, film_size, lesion_requests
from mammoflow.prediction.results import Prediction
from mammoflow.prediction.writing import write_prediction

if TYPE_CHECKING:
    from mammoflow.prediction.runs import FinishedRun


def predict(
    image: str | Path,
    boxes: Sequence[Sequence[float]] = (),
    points: Sequence[Sequence[float]] = (),
    *,
    out: str | Path | None = None,
    model: str = "",
    weights: str | Path | None = None,
    architecture: str = "",
    spacing_mm: float | None = None,
    margin_mm: float | None = None,
    finding: str = "unknown",
    field_of_view: FieldOfView | None = None,
    device: Device = "auto",
    precision: Precision = "auto",
    store: str | Path | None = None,
    threads: int | None = None,
    classify: str | Path | None = None,
    classifiers: Sequence[str] = (),
) -> Prediction:
    """Segment and measure the lesions of one film.

    The film goes through the same functions as a film of a study, so box, model and settings being equal, the mask is
    the same. Research only: not a medical device.

    Parameters
    ----------
    image
        DICOM, PNG, TIFF or JPEG file.
    boxes
        One box for each lesion: x0, y0, x1, y1 in pixels of the film as it is displayed, x (columns) before y (rows),
        half-open: x1 and y1 are the first column and row after the box. A box that extends beyond the film is clipped.
    points
        x, y in pixels of the film. A point inside a box joins its prompt; a point outside all boxes is a lesion.
    out
        Folder to write masks, overlay, `result.json` and, for a DICOM film, a DICOM Segmentation and a Structured
        Report into; None writes nothing. It must be new, empty, or an earlier output.
    model
        A published model, or a name for weights of your own; "" takes `small`, or the model of the run `classify`.
    weights
        Weights file; None takes the one that a package brings or that was fetched into `weights/`.
    architecture
        Architecture of weights of your own.
    spacing_mm
        Millimetres per pixel in the breast's plane; None takes the header's. A picture needs it.
    margin_mm
        Margin in millimetres that is added on each side of each box. None adds none, or the margin of the run
        `classify`, because its classifiers were trained on masks of such prompts.
    finding
        "mass", "calcification" or "unknown", for the codes of the DICOM objects.
    field_of_view
        `image` shows the model the whole film, `window` a square around the prompt; None takes `image`, or that of the
        run `classify`.
    device, precision
        As in the configuration of the segmentation. With `classify`, a device that is not `auto` is also that of the
        classifiers, `auto` takes the devices of the run, and the precision is always that of the run.
    store
        Folder of embeddings to use and fill, such as `results/store`, outside of `out`; None keeps none.
    threads
        Processors to use; None takes all.
    classify
        Folder of a finished run, such as `results/phantom`, whose classifiers judge the lesions with their own
        calibration and threshold.
    classifiers
        Names of these classifiers; empty takes all that need neither feature vectors nor words of a case table.

    Returns
    -------
    Prediction
        Masks (height, width) on the grid of the file, areas in mm², longest diameters in mm, predicted IoU.

    Raises
    ------
    ConfigError
        If a box, a point, the spacing, the model or the finding is not valid, or `store` is inside `out`.
    StudyError
        If the film cannot be used, or `out` holds something else.
    WeightsError
        If the weights are missing or are not the published ones, or those of a classifier are not the recorded ones.
    """
    path = Path(image)
    plan = make_plan(
        model, weights, architecture, margin_mm, field_of_view, device, precision, store, threads, classify, classifiers
    )
    film = film_request(path, boxes, points, spacing_mm, finding)
    check_prompts(plan.model, (lesion.prompt_kind for lesion in film.lesions))
    if out is not None:
        check_folder(Path(out))
        check_store(plan.store, Path(out))
    result = next(iter(list(answer([film], plan))))
    if not isinstance(result, Prediction):
        raise StudyError(unusable(path, result[1]))
    if out is not None:
        with building(Path(out)) as folder:
            write_prediction(result, folder, plan.images)
    return result


def predict_table(
    table: str | Path,
    out: str | Path,
    *,
    model: str = "",
    weights: str | Path | None = None,
    architecture: str = "",
    spacing_mm: float | None = None,
    margin_mm: float | None = None,
    finding: str = "unknown",
    field_of_view: FieldOfView | None = None,
    device: Device = "auto",
    precision: Precision = "auto",
    store: str | Path | None = None,
    threads: int | None = None,
    classify: str | Path | None = None,
    classifiers: Sequence[str] = (),
) -> pd.DataFrame:
    """Segment and measure the lesions of many films.

    Parameters
    ----------
    table
        CSV, Parquet or xlsx file with the columns image, x0, y0, x1, y1 and, where it has them, spacing, id and
        finding; one row for each lesion. Paths of images are relative to its folder.
    out
        Folder for one folder of each film, `results.csv` with a row for each lesion, and `left_out.csv` with the rows,
        films and lesions that cannot be used and why.
    model, weights, architecture, spacing_mm, margin_mm, finding, field_of_view, device, precision, store, threads
        As in `predict`; spacing and finding are those of rows that name none.
    classify, classifiers
        As in `predict`.

    Returns
    -------
    DataFrame
        The content of `results.csv`.

    Raises
    ------
    ConfigError
        If the spacing, the model or the finding is not valid, or `store` is inside `out`.
    StudyError
        If the table cannot be read, no film can be used, or `out` holds something else.
    WeightsError
        If the weights are missing or are not the published ones.
    """
    plan = make_plan(
        model, weights, architecture, margin_mm, field_of_view, device, precision, store, threads, classify, classifiers
    )
    check_spacing(spacing_mm)
    if finding not in KINDS:
        raise ConfigError(f"finding: found {finding!r}; expected one of {', '.join(KINDS)}")
    return answer_table(Path(table), Path(out), plan, spacing_mm, finding)


def make_plan(
    model: str,
    weights: str | Path | None,
    architecture: str,
    margin_mm: float | None,
    field_of_view: FieldOfView | None,
    device: Device,
    precision: Precision,
    store: str | Path | None,
    threads: int | None,
    classify: str | Path | None = None,
    classifiers: Sequence[str] = (),
) -> Plan:
    """Return how films are answered; the parameters are those of `predict`.

    Raises
    ------
    ConfigError
        If the model is not known or takes no prompts, the margin is negative, classifiers are named without a run, or
        a model that sees colours is to see windows.
    StudyError
        If the run has no trained classifier.
    """
    if margin_mm is not None and not margin_mm >= 0:
        raise ConfigError(f"margin of boxes: found {margin_mm} mm; expected 0 or more")
    if classifiers and classify is None:
        raise ConfigError(f"classifiers {', '.join(classifiers)} are named without a run; expected --classify RUN too")
    file = Path(weights) if weights else None
    run: FinishedRun | None = None
    if classify is not None:
        from mammoflow.prediction.runs import read_run  # loads torch

        run = read_run(Path(classify), classifiers, model, file, device)
    chosen = run.model if run else choose_model(model or "small", file, architecture)
    colour = run.segment.colour if run else tuned_colour(chosen)
    segment, images = (run.segment, run.images) if run else (SegmentSettings(colour=colour), ImagesSettings())
    if colour == "rgb" and field_of_view == "window":
        raise ConfigError(
            f"field of view: found window, but {chosen.name} sees colours, and windows are cut from grey patches of "
            "the film; expected image; leave --window out"
        )
    if run is None and colour == "rgb":
        images = images.model_copy(update={"colour": "keep"})
    changes: dict[str, Any] = {"device": device, "precision": precision} if run is None else {}
    if field_of_view is not None:
        changes["fields_of_view"] = [field_of_view]
    if segment.choose == "first":  # later iterations would be thrown away
        changes["iterations"] = 1
    default_margin_mm = run.margin_mm if run else 0.0
    return Plan(
        chosen,
        images,
        segment.model_copy(update=changes),
        default_margin_mm if margin_mm is None else margin_mm,
        store=Path(store) if store else None,
        threads=threads or available_threads(),
        run=run,
    )


def film_request(
    path: Path,
    boxes: Sequence[Sequence[float]],
    points: Sequence[Sequence[float]],
    spacing_mm: float | None = None,
    finding: str = "unknown",
    name: str = "",
) -> FilmRequest:
    """Return what is asked about a film, checked against its size.

    Raises
    ------
    ConfigError
        If a box, a point or the spacing is impossible.
    StudyError
        If the film cannot be read.
    """
    check_spacing(spacing_mm)
    try:
        size = film_size(path)
    except ExcludedCase as problem:
        raise StudyError(unusable(path, str(problem))) from problem
    return FilmRequest(path, name or path.stem, lesion_requests(boxes, points, size, finding), spacing_mm, size)


def available_threads() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))
