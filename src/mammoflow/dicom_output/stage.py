"""The stage that writes DICOM objects for the lesions of a shard, one Segmentation and one report for each film."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.cohort.table_files import records
from mammoflow.dicom_output.evidence import Evidence, NoReferenceError, film_evidence
from mammoflow.dicom_output.findings import NO_MILLIMETRES, Algorithm, Finding
from mammoflow.dicom_output.objects import write_objects
from mammoflow.dicom_output.segmentation import tracking_uid
from mammoflow.errors import ExcludedCase, StudyError
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.formats.dicom_header import image_shape
from mammoflow.formats.study_paths import safe_path
from mammoflow.imaging.film_masks import film_spacing_mm, measure_mask, on_film
from mammoflow.imaging.pictures import is_picture
from mammoflow.imaging.spacing import Spacing
from mammoflow.run.runtime import progress
from mammoflow.storage.files import read_json, read_mask, writing
from mammoflow.storage.names import file_name
from mammoflow.storage.outputs import begin_files
from mammoflow.tables.dicom_objects import DICOM_OBJECTS
from mammoflow.tables.files import empty_table, read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS, IN_PIXELS
from mammoflow.tables.masks import MASKS
from mammoflow.tables.predictions import PREDICTIONS
from mammoflow.weights.origin import ORIGIN_FILE

TABLE = "objects.parquet"
FOLDERS = ("segmentation", "report")
PICTURE = "the film is a picture and no DICOM file"
EMPTY = "the mask is empty"


@dataclass(frozen=True)
class DicomInputs:
    """What earlier stages wrote.

    Attributes
    ----------
    study
        Folder that the paths of the cohort are relative to, where its rows do not name their study's folder.
    images
        Folder of the shard of images.
    masks
        Folder of the shard of the default model's masks.
    classifier
        Folder of the classifier whose probabilities join the reports; None leaves them out.
    """

    study: Path
    images: Path
    masks: Path
    classifier: Path | None = None


def write_dicom_objects(inputs: DicomInputs, output: Path, only_test: bool = False) -> None:
    """Write a Segmentation and a Structured Report for each DICOM film of a shard that has lesions with masks.

    Parameters
    ----------
    inputs
        What earlier stages wrote.
    output
        Folder for `segmentation/`, `report/` and, written last, `objects.parquet`.
    only_test
        Leave out lesions that are not in the test split, as each fold of a run with folds does.

    Raises
    ------
    StudyError
        If a table or a mask is missing or does not fit, the study's folder does not exist, or a file to write is
        there and no earlier run wrote it.
    """
    images = read_table(inputs.images / "images.parquet", CANONICAL_IMAGES)
    rows_of_images = {str(row["image_id"]): row for row in records(images)}
    lesions = read_table(inputs.images / "lesions.parquet", CANONICAL_LESIONS)
    masks = read_table(inputs.masks / "masks.parquet", MASKS)
    known = lesions[["lesion_id", "lesion_type", "split"]]
    rows = masks.merge(known, on="lesion_id", how="left", validate="one_to_one")
    if rows["split"].isna().any():
        raise StudyError(
            f"masks in {inputs.masks} name lesions that {inputs.images} lacks; run the segment stage again"
        )
    rows = rows[rows["split"] == "test"] if only_test else rows
    algorithm = _algorithm(inputs.masks, masks)
    classifier, probabilities = _classifier(inputs.classifier)
    groups = list(rows.groupby("image_id", sort=True))
    begin_files(output, [TABLE, *(file for image_id, _ in groups for file in _files(str(image_id)))], FOLDERS)
    written: list[dict[str, Any]] = []
    for image_id, of_film in progress(groups, "DICOM objects", total=len(groups)):
        film = Film(str(image_id), rows_of_images[str(image_id)], inputs, of_film, probabilities)
        written += film.write(output, algorithm, classifier)
    table = pd.DataFrame(written) if written else empty_table(DICOM_OBJECTS)
    write_table(table, DICOM_OBJECTS, output / TABLE)
    _report(table)


@dataclass(frozen=True)
class Film:
    """A film with its masks.

    Attributes
    ----------
    image_id, image
        Id and row of CANONICAL_IMAGES.
    inputs
        What earlier stages wrote.
    rows
        Rows of MASKS, with the lesion's type and split.
    probabilities
        Of malignancy, by lesion.
    """

    image_id: str
    image: Mapping[str, Any]
    inputs: DicomInputs
    rows: pd.DataFrame
    probabilities: dict[str, float]

    def write(self, output: Path, algorithm: Algorithm, classifier: Algorithm | None) -> list[dict[str, Any]]:
        """Write the objects of the film; return rows of DICOM_OBJECTS, with a note where none is written."""
        try:
            evidence, spacing = self._evidence()
        except (NoReferenceError, ExcludedCase) as problem:
            return [self._row(row, note=str(problem)) for row in self.rows.to_dict("records")]
        kept, findings, written = [], [], []
        for row in self.rows.to_dict("records"):
            finding = self._finding(row, evidence, spacing)
            if finding is None:
                written.append(self._row(row, note=EMPTY))
            else:
                kept.append(row)
                findings.append(finding)
        if not findings:
            return written
        files = _files(self.image_id)
        probable = classifier if any(one.probability is not None for one in findings) else None
        with writing(output / files[0]) as segmentation, writing(output / files[1]) as report:
            uids = write_objects(evidence, findings, algorithm, probable, segmentation, report)
        for number, (row, finding) in enumerate(zip(kept, findings, strict=True), start=1):
            values: dict[str, Any] = {
                "segmentation_file": files[0],
                "report_file": files[1],
                "segment": number,
                "tracking_uid": tracking_uid(evidence, finding),
                "segmentation_uid": uids[0],
                "report_uid": uids[1],
                "area_mm2": finding.area_mm2,
                "diameter_mm": finding.diameter_mm,
                "probability": finding.probability,
            }
            written.append(self._row(row, "", **values))
        return written

    def _evidence(self) -> tuple[Evidence, tuple[float, float]]:
        """Return the film as objects refer to it, and the spacing of its file."""
        if self.image["spacing_origin"] == IN_PIXELS:
            raise NoReferenceError(NO_MILLIMETRES)
        study = self.image.get("study")
        folder = self.inputs.study if study is None or pd.isna(study) else Path(study)
        path = safe_path(folder, str(self.image["image_path"]))
        if is_picture(path):
            raise NoReferenceError(PICTURE)
        header = open_dicom(path)
        square = (int(self.image["film_height"]), int(self.image["film_width"]))
        spacing = film_spacing_mm(float(self.image["film_spacing_mm"]), square, image_shape(header))
        side, view = str(self.image["laterality"]), str(self.image["view"]).strip().upper()
        return film_evidence(header, Spacing(*spacing, str(self.image["spacing_origin"])), side, view), spacing

    def _finding(self, row: dict[Any, Any], evidence: Evidence, spacing_mm: tuple[float, float]) -> Finding | None:
        """Return a lesion on the grid of the film's file; None where its mask is empty."""
        mask = read_mask(self.inputs.masks / str(row["mask_file"]))
        canonical = (int(self.image["height"]), int(self.image["width"]))
        if mask.shape != canonical:
            raise StudyError(
                f"mask {row['mask_file']} is {mask.shape}, its image {canonical}; run the segment stage again"
            )
        on_grid = on_film(mask, (int(evidence.dataset.Rows), int(evidence.dataset.Columns)))
        if not on_grid.any():
            return None
        area, diameter = measure_mask(on_grid, spacing_mm)
        lesion = str(row["lesion_id"])
        probability = self.probabilities.get(lesion) if row["split"] == "test" else None
        return Finding(lesion, on_grid, str(row["lesion_type"]), area, diameter, probability)

    def _row(self, row: dict[Any, Any], note: str = "", **values: Any) -> dict[str, Any]:
        empty = dict.fromkeys(DICOM_OBJECTS.columns)
        keys = {name: row[name] for name in ("lesion_id", "image_id", "patient_id", "split", "model")}
        return {**empty, **keys, "note": note, **values}


def _files(image_id: str) -> list[str]:
    """Return the paths of the Segmentation and the report of a film, relative to the folder of the objects."""
    return [f"{folder}/{file_name(image_id)}.dcm" for folder in FOLDERS]


def _algorithm(folder: Path, masks: pd.DataFrame) -> Algorithm:
    """Describe the model behind the masks of a shard."""
    origin = read_json(folder / ORIGIN_FILE)
    name = str(masks["model"].iloc[0]) if len(masks) else str(origin["architecture"])
    automatic = bool(masks["prompt_id"].isna().all()) if len(masks) else False
    parameters = {"architecture": str(origin["architecture"]), "weights_sha256": str(origin.get("sha256", ""))}
    return Algorithm(name, parameters, automatic)


def _classifier(folder: Path | None) -> tuple[Algorithm | None, dict[str, float]]:
    """Describe a classifier; return the probability of each lesion too, the mean over its seeds."""
    if folder is None:
        return None, {}
    predictions = read_table(folder / "predictions.parquet", PREDICTIONS)
    mean = predictions.dropna(subset="probability").groupby("lesion_id")["probability"].mean()
    seeds = sorted(predictions["seed"].unique().tolist())
    parameters = {"calibration": str(read_json(folder / "training.json")["settings"]["calibrate"]), "seeds": str(seeds)}
    return Algorithm(folder.name, parameters), {str(lesion): float(value) for lesion, value in mean.items()}


def _report(table: pd.DataFrame) -> None:
    """Print what was written and what was not, to standard error."""
    films = table.loc[table["note"] == "", "segmentation_file"].nunique()
    lesions = int((table["note"] == "").sum())
    notes = Counter(str(note) for note in table["note"] if note)
    left_out = "; ".join(f"{count} x {note}" for note, count in notes.most_common()) or "none"
    print(
        f"dicom: objects of {films} films with {lesions} lesions written; lesions without objects: {left_out}",
        file=sys.stderr,
        flush=True,
    )
