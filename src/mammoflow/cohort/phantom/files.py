"""The files of one phantom film in a CBIS-DDSM folder: full mammogram, ROI masks, crops, and their table rows.

The oddities are those of the real collection: a film with masses and calcifications is stored twice; which of two
files is the mask cannot be told by its name; some masks have the size that another scanner would have given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mammoflow.cohort.phantom.anatomy import Mask
from mammoflow.cohort.phantom.dicom import Pixels, phantom_uid, write_dicom
from mammoflow.cohort.phantom.film import Film, Film16
from mammoflow.cohort.phantom.population import FINE_SCANNER_RATIO, Breast, Finding
from mammoflow.storage.files import file_digest

SWAPPED_SHARE = 0.3
"""Lesions whose crop lies under the name that the table gives to the mask, and the other way round."""

OWN_SERIES_SHARE = 0.15
"""Masses whose mask is a series of its own; about a sixteenth of the real tables' rows."""

COARSE_MASK_SHARE = 0.4
"""Masks, on films of the fine scanner, that have the coarse scanner's size."""

UNEVEN = (FINE_SCANNER_RATIO, 0.93)
"""Vertical and horizontal scale of the one mask that no even resize can mend."""

CROP_MARGIN_MM = 2.0
DESCRIPTIONS = {
    "full mammogram": "full mammogram images",
    "ROI mask": "ROI mask images",
    "crop": "cropped images",
}


@dataclass(frozen=True)
class Place:
    """A file's identity: its top folder, study, series and number within the series, from 0."""

    folder: str
    study: str
    series: str
    number: int

    @property
    def table_path(self) -> str:
        """Path as the case tables give it."""
        return f"{self.folder}/{self.study}/{self.series}/{self.number:06d}.dcm"

    def stored_path(self, layout: str, description: str) -> str:
        """Path at which the file lies: the table's, or the dated folders of the download tool."""
        if layout == "tables":
            return self.table_path
        dated = f"01-01-2000-DDSM-{self._five_digits(self.study)}"
        return f"{self.folder}/{dated}/1-{description}-{self._five_digits(self.series)}/1-{self.number + 1}.dcm"

    @staticmethod
    def _five_digits(uid: str) -> str:
        return uid[-5:].lstrip("0") or "0"


@dataclass(frozen=True)
class StoredFile:
    """One row of the manifest."""

    path: str
    sha256: str
    kind: str
    spacing_mm: float | None


@dataclass(frozen=True)
class TableRow:
    """One row of a case table: the finding, its view, and the three paths."""

    finding: Finding
    view: str
    image_path: str
    crop_path: str
    mask_path: str


@dataclass(frozen=True)
class NormalRow:
    """One row of the table of normal films."""

    breast: Breast
    view: str
    image_path: str


@dataclass(frozen=True)
class WrittenFilm:
    """What one film left on disk."""

    files: tuple[StoredFile, ...]
    rows: tuple[TableRow, ...]
    spacings: tuple[tuple[str, float], ...]
    normal: NormalRow | None = None


def film_folder(finding: Finding, view: str) -> str:
    """Name the folder of a film as the collection does, for example Mass-Training_P_90001_LEFT_CC."""
    kind = "Mass" if finding.lesion_type == "mass" else "Calc"
    side = "LEFT" if finding.laterality == "L" else "RIGHT"
    return f"{kind}-{finding.split}_{finding.patient_id}_{side}_{view}"


def crop_lesion(rng: np.random.Generator, pixels: Film16, mask: Mask, spacing_mm: float) -> Film16:
    """Cut a lesion out of its film and stretch its grey levels, as every crop of the collection is stretched.

    Returns
    -------
    Film16
        (rows, columns) of the outline's box and a margin; the brightest pixel is 65535.
    """
    margin = round(CROP_MARGIN_MM / spacing_mm)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    crop = pixels[max(0, rows[0] - margin) : rows[-1] + 1 + margin, max(0, columns[0] - margin) :]
    crop = crop[:, : columns[-1] + 1 + margin - max(0, columns[0] - margin)].astype(np.float64)
    low = 0 if rng.random() < 0.5 else int(rng.integers(1000, 20000))
    span = max(float(crop.max() - crop.min()), 1.0)
    stretched = low + (crop - crop.min()) / span * (65535 - low)
    return np.asarray(np.round(stretched), dtype=np.uint16)


def mask_pixels(mask: Mask, scale: tuple[float, float]) -> npt.NDArray[np.uint8]:
    """Return a mask as 8-bit pixels of 0 and 255, resized by a vertical and a horizontal scale."""
    size = (round(mask.shape[1] * scale[1]), round(mask.shape[0] * scale[0]))
    grey = mask.astype(np.uint8) * np.uint8(255)
    if size != (mask.shape[1], mask.shape[0]):
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
    return grey


class FilmWriter:
    """Writes the files of films into a study folder.

    Parameters
    ----------
    root
        The study folder.
    layout
        "tables" or "download", see `mammoflow.config.phantom.PhantomSettings`.
    seed
        Seed of the study; UIDs depend on it.
    uneven
        Finding and view of the mask that is to have uneven scales, or None.
    """

    def __init__(self, root: Path, layout: str, seed: int, uneven: tuple[str, str] | None) -> None:
        self.root = root
        self.layout = layout
        self.seed = seed
        self.uneven = uneven

    def write(self, film: Film) -> WrittenFilm:
        """Write a film, once for each type of lesion on it, and the masks and crops of its lesions."""
        if not film.findings:
            return self._write_normal(film)
        files: list[StoredFile] = []
        rows: list[TableRow] = []
        spacings: list[tuple[str, float]] = []
        for lesion_type in ("mass", "calcification"):
            indices_of_type = [
                index for index, finding in enumerate(film.findings) if finding.lesion_type == lesion_type
            ]
            if not indices_of_type:
                continue
            folder = film_folder(film.findings[indices_of_type[0]], film.view)
            place = self._place(folder, "full", 0)
            files.append(self._store(film, place, film.pixels, "full mammogram", film.breast.spacing_mm))
            spacings.append((folder, film.breast.spacing_mm))
            for index in indices_of_type:
                stored, row = self._write_lesion(film, index, folder, place.table_path)
                files.extend(stored)
                rows.append(row)
        return WrittenFilm(tuple(files), tuple(rows), tuple(spacings))

    def _write_normal(self, film: Film) -> WrittenFilm:
        breast = film.breast
        side = "LEFT" if breast.laterality == "L" else "RIGHT"
        place = self._place(f"Normal-{breast.split}_{breast.patient_id}_{side}_{film.view}", "full", 0)
        file = self._store(film, place, film.pixels, "full mammogram", breast.spacing_mm)
        row = NormalRow(breast, film.view, place.table_path)
        return WrittenFilm((file,), (), ((place.folder, breast.spacing_mm),), row)

    def _write_lesion(
        self, film: Film, index: int, film_folder_name: str, image_path: str
    ) -> tuple[Sequence[StoredFile], TableRow]:
        finding, mask = film.findings[index], film.masks[index]
        rng = np.random.default_rng([finding.seed, 31, 0 if film.view == "CC" else 1])
        own_series = bool(rng.random() < OWN_SERIES_SHARE) and finding.lesion_type == "mass"
        swapped = bool(rng.random() < SWAPPED_SHARE)
        coarse = bool(rng.random() < COARSE_MASK_SHARE) and film.breast.fine_scanner
        scale = (FINE_SCANNER_RATIO, FINE_SCANNER_RATIO) if coarse else (1.0, 1.0)
        if self.uneven == (finding.finding_id, film.view):
            scale = UNEVEN
        folder = f"{film_folder_name}_{finding.number}"
        crop_place, mask_place = self._lesion_places(folder, finding, own_series)
        row = TableRow(finding, film.view, image_path, crop_place.table_path, mask_place.table_path)
        if swapped:
            crop_place, mask_place = mask_place, crop_place
        spacing = film.breast.spacing_mm
        crop = crop_lesion(rng, film.pixels, mask, spacing)
        files = (
            self._store(film, mask_place, mask_pixels(mask, scale), "ROI mask", round(spacing / scale[0], 6)),
            self._store(film, crop_place, crop, "crop", spacing),
        )
        return files, row

    def _lesion_places(self, folder: str, finding: Finding, own_series: bool) -> tuple[Place, Place]:
        """Return where the table says that crop and mask lie."""
        if own_series:
            return self._place(folder, "crop", 0), self._place(folder, "mask", 0)
        if finding.lesion_type == "mass":
            return self._place(folder, "roi", 0), self._place(folder, "roi", 1)
        return self._place(folder, "roi", 1), self._place(folder, "roi", 0)

    def _place(self, folder: str, series: str, number: int) -> Place:
        texts = (str(self.seed), folder, series)
        return Place(folder, phantom_uid(*texts, "study"), phantom_uid(*texts, "series"), number)

    def _store(self, film: Film, place: Place, pixels: Pixels, kind: str, spacing_mm: float) -> StoredFile:
        description = DESCRIPTIONS[kind]
        # The download tool names a series by its first description; a series of mask and crop is one of masks.
        folder_description = description if kind == "full mammogram" else DESCRIPTIONS["ROI mask"]
        relative = place.stored_path(self.layout, folder_description)
        path = self.root / relative
        write_dicom(
            path,
            pixels,
            folder=place.folder,
            description=description,
            laterality=film.breast.laterality,
            view=film.view,
            study_uid=place.study,
            series_uid=place.series,
            instance=place.number + 1,
        )
        return StoredFile(relative, file_digest(path), kind, spacing_mm)
