"""Writing the answer for a film into a folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mammoflow.config.images import ImagesSettings
from mammoflow.dicom_output.findings import NO_MILLIMETRES, Algorithm, Finding
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.imaging.film import read_film
from mammoflow.imaging.pictures import is_picture
from mammoflow.imaging.spacing import Spacing
from mammoflow.prediction.drawing import Outlined, draw_film
from mammoflow.prediction.output import OVERLAY, REPORT, RESULT, SEGMENTATION
from mammoflow.prediction.results import LesionResult, Prediction, mask_file
from mammoflow.storage.files import write_image, write_mask, write_text, writing
from mammoflow.tables.images import IN_PIXELS

NO_DICOM = "no DICOM objects are written for a picture, because it has no DICOM identifiers to refer to"
NO_MASK = "no DICOM objects are written, because no lesion has a mask"


def write_prediction(prediction: Prediction, folder: Path, settings: ImagesSettings) -> dict[str, Any]:
    """Write masks, overlay, DICOM objects and, last, `result.json`.

    Parameters
    ----------
    prediction
        The answer.
    folder
        Where to; see `mammoflow.prediction.output.building`.
    settings
        Settings of the image stage, for the grey levels of the overlay.

    Returns
    -------
    dict
        The content of `result.json`.
    """
    measured = [lesion for lesion in prediction.lesions if lesion.is_measured]
    files: dict[str, Any] = {"masks": [mask_file(lesion.number) for lesion in measured]}
    for lesion in measured:
        write_mask(folder / mask_file(lesion.number), lesion.mask)
    film = read_film(prediction.image, settings).pixels
    write_image(folder / OVERLAY, draw_film(film, [Outlined.of(lesion) for lesion in prediction.lesions]))
    files["overlay"] = OVERLAY
    note = _write_dicom(prediction, folder)
    if not note:
        files |= {"segmentation": SEGMENTATION, "report": REPORT}
    content = {**prediction.as_json(files), "dicom_note": note}
    write_text(folder / RESULT, json.dumps(content, indent=2) + "\n")
    return content


def _write_dicom(prediction: Prediction, folder: Path) -> str:
    """Write Segmentation and Structured Report; return why none is written, or ""."""
    if is_picture(prediction.image):
        return NO_DICOM
    lesions = [lesion for lesion in prediction.lesions if lesion.mask.any()]
    if not lesions:
        return NO_MASK
    if prediction.facts["image"]["spacing_origin"] == IN_PIXELS:
        return f"no DICOM objects are written: {NO_MILLIMETRES}"
    from mammoflow.dicom_output.evidence import NoReferenceError, film_evidence
    from mammoflow.dicom_output.objects import write_objects

    header = open_dicom(prediction.image)
    try:
        film = film_evidence(header, Spacing(*prediction.spacing_mm, prediction.facts["image"]["spacing_origin"]))
    except NoReferenceError as error:
        return f"no DICOM objects are written: {error}"
    model = prediction.facts["model"]
    algorithm = Algorithm(
        model["name"], {"weights_sha256": model["sha256"], "box_margin_mm": f"{model['box_margin_mm']:g}"}
    )
    said = str(prediction.facts.get("classifier_in_report", ""))
    judged = [lesion for lesion in lesions if said in lesion.malignancy]
    classifier = Algorithm(said, _parameters(judged[0], said)) if judged else None
    with writing(folder / SEGMENTATION) as segmentation, writing(folder / REPORT) as report:
        keys = _keys(lesions)
        findings = [_finding(lesion, key, said) for lesion, key in zip(lesions, keys, strict=True)]
        write_objects(film, findings, algorithm, classifier, segmentation, report)
    return ""


def _parameters(lesion: LesionResult, classifier: str) -> dict[str, str]:
    """Return what the report says about a classifier."""
    facts = lesion.malignancy[classifier].facts
    return {"run": str(facts["run"]), "calibration": str(facts["calibration"])}


def _keys(lesions: Sequence[LesionResult]) -> list[str]:
    """Return what identifies each lesion on the film: its box and points, and a count where others have the same."""
    keys: list[str] = []
    met: Counter[str] = Counter()
    for lesion in lesions:
        place = f"{lesion.request.box} {lesion.request.points}"
        met[place] += 1
        keys.append(place if met[place] == 1 else f"{place} {met[place]}")
    return keys


def _finding(lesion: LesionResult, key: str, classifier: str) -> Finding:
    probability = lesion.malignancy[classifier].probability if classifier in lesion.malignancy else None
    return Finding(key, lesion.mask, lesion.request.kind, lesion.area_mm2, lesion.longest_diameter_mm, probability)
