"""Films, masks and boxes as devices, viewers and people write them, each with its right answer.

A variant is one plain film with one lesion and one change. Its answer is one of these: film and lesion are kept and
nothing is flagged, they are kept and flagged, or they are excluded with a reason that says what was found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from mammoflow.config.images import ImagesSettings
from mammoflow.errors import Reason
from mammoflow.imaging.case import Case, CaseResult, prepare_case
from mammoflow.imaging.stage import FOLDERS
from mammoflow.reasons.files import FileReason
from mammoflow.reasons.imaging import ImagingReason
from mammoflow.reasons.lesions import LesionReason
from mammoflow.tables.cohort import IMAGES, LESIONS
from tests.unit.imaging.conftest import dicom_dataset
from tests.unit.imaging.test_polarity import FILM as LARGE_FILM

FILM = cv2.resize(LARGE_FILM, (150, 200), interpolation=cv2.INTER_AREA)
FILM8 = (FILM >> 8).astype(np.uint8)
MASK = np.zeros(FILM.shape, dtype=np.uint8)
MASK[90:110, 20:45] = 255
LESION = MASK > 0
OTHER = np.roll(LESION, 45, axis=0)
ROWS = {"mask_path": None, "box_y0": 90.0, "box_x0": 20.0, "box_y1": 110.0, "box_x1": 45.0}
AREA = float(LESION.sum()) * 0.25

Files = Callable[[Path], None]


@dataclass(frozen=True)
class Variant:
    """One change of the plain study, and what is right then.

    Attributes
    ----------
    write
        Writes what differs into the study's folder, under any name.
    image, lesion
        Values of the rows that differ.
    settings
        Settings of the stage that differ.
    reason
        Of the exclusion; None where the lesion is kept.
    says
        Words of the exclusion's detail.
    flags
        Columns of image and lesion that are true.
    area_mm2
        Of the lesion.
    """

    write: Files = lambda folder: None
    image: Mapping[str, Any] = field(default_factory=dict)
    lesion: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    reason: Reason | None = None
    says: str = ""
    flags: frozenset[str] = frozenset()
    area_mm2: float = AREA


def into(name: str, write: Callable[[Path], object]) -> Files:
    def write_below(folder: Path) -> None:
        write(folder / name)

    return write_below


def film(name: str, write: Callable[[Path], object], **answer: Any) -> Variant:
    return Variant(into(name, write), {"image_path": name}, **answer)


def mask(name: str, write: Callable[[Path], object], **answer: Any) -> Variant:
    return Variant(into(name, write), lesion={"mask_path": name}, **answer)


def box(*values: float, **answer: Any) -> Variant:
    return Variant(
        lesion={**ROWS, **dict(zip(("box_y0", "box_x0", "box_y1", "box_x1"), values, strict=True))}, **answer
    )


def saved(pixels: np.ndarray, **options: Any) -> Callable[[Path], object]:
    return lambda path: Image.fromarray(pixels).save(path, **options)


def dicom(pixels: np.ndarray, spaced: bool = True, **header: Any) -> Callable[[Path], object]:
    spacing = {"ImagerPixelSpacing": [0.5, 0.5]} if spaced else {}
    return lambda path: dicom_dataset(pixels, **spacing, **header).save_as(path, enforce_file_format=True)


def tiff(pixels: np.ndarray, **options: Any) -> Callable[[Path], object]:
    return lambda path: tifffile.imwrite(path, pixels, **options)


def content(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def cut(write: Callable[[Path], object]) -> Callable[[Path], object]:
    def write_half(path: Path) -> None:
        write(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return write_half


def without_syntax(path: Path) -> None:
    dataset = dicom_dataset(FILM, ImagerPixelSpacing=[0.5, 0.5])
    del dataset.file_meta.TransferSyntaxUID
    dataset.save_as(path, implicit_vr=False, little_endian=True, enforce_file_format=False)


def like_tiff(path: Path) -> None:
    dicom(FILM)(path)
    path.write_bytes(b"II*\0\x08\0\0\0" + path.read_bytes()[8:])


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # shown turned to the right
    Image.fromarray(np.rot90(FILM8)).save(path, exif=exif)


LABELS = np.select([LESION, OTHER], [1, 2]).astype(np.uint8)
OVERLAY = np.stack([FILM8] * 3, axis=2)
OVERLAY[LESION] = (255, 0, 0)
TINTED = np.stack([FILM8, FILM8, FILM8 // 2], axis=2)
LABELLED = FILM.copy()
LABELLED[8:30, 110:140] = 65535  # side and view, burnt into the corner beside the breast
TRACES = np.zeros(FILM.shape, np.uint8)
TRACES[5, 5] = TRACES[190, 140] = TRACES[80, 30] = 6
FINE = cv2.resize(MASK, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
SOFT = cv2.resize(np.roll(FINE, (2, 1), (0, 1)), (150, 200), interpolation=cv2.INTER_AREA)
OUTLINE = MASK - cv2.erode(MASK, np.ones((3, 3), np.uint8))
POINT = np.zeros_like(MASK)
POINT[100, 30] = 255

VARIANTS = {
    # films
    "plain 16 bit PNG": Variant(),
    "8 bit PNG": film("a.png", saved(FILM8)),
    "JPEG": film("a.jpg", saved(FILM8, quality=95), flags=frozenset({"flag_lossy_compression"})),
    "TIFF": film("a.tif", tiff(FILM)),
    "BigTIFF": film("a.tif", tiff(FILM, bigtiff=True)),
    "TIFF in which zero is white": film("a.tif", tiff(65535 - FILM, photometric="miniswhite")),
    "grey in three colours": film("a.png", saved(np.stack([FILM8] * 3, axis=2))),
    "colours": film("a.png", saved(TINTED), reason=FileReason.NOT_GREY, says="colour"),
    "turned by its EXIF orientation": film(
        "a.jpg", turned, flags=frozenset({"flag_picture_turned", "flag_lossy_compression"})
    ),
    "several pages": film("a.tif", tiff(np.stack([FILM, FILM])), reason=FileReason.MULTI_FRAME),
    "BMP": film("a.bmp", saved(FILM8)),
    "JPEG 2000": film("a.jp2", saved(FILM8), reason=FileReason.FORMAT, says="JPEG 2000"),
    "no suffix": film("a", saved(FILM8, format="png")),
    "PNG named dcm": film("a.dcm", saved(FILM8, format="png")),
    "DICOM": film("a.dcm", dicom(FILM)),
    "DICOM named png": film("a.png", dicom(FILM)),
    "DICOM that begins like TIFF": film("a.dcm", like_tiff),
    "DICOM without a transfer syntax": film("a.dcm", without_syntax, flags=frozenset({"flag_transfer_syntax_missing"})),
    "DICOM in which zero is white": film("a.dcm", dicom(65535 - FILM, PhotometricInterpretation="MONOCHROME1")),
    "inverted, and the header does not say so": film(
        "a.dcm",
        dicom(65535 - FILM),
        flags=frozenset({"flag_polarity_implausible", "flag_outside_breast", "flag_laterality_conflict"}),
    ),
    "DICOM of the other side": film(
        "a.dcm", dicom(FILM, ImageLaterality="R"), flags=frozenset({"flag_laterality_conflict"})
    ),
    "half a file": film("a.dcm", cut(dicom(FILM)), reason=FileReason.TRUNCATED),
    "half a picture": film("a.png", cut(saved(FILM)), reason=FileReason.TRUNCATED),
    "a web page": film("a.dcm", content(b"<!DOCTYPE html><html>404"), reason=FileReason.FORMAT, says="HTML"),
    "an empty file": film("a.dcm", content(b""), reason=FileReason.TRUNCATED, says="empty"),
    "a missing file": Variant(image={"image_path": "none.png"}, reason=FileReason.MISSING_FILE),
    "a black film": film("a.png", saved(FILM * 0), reason=ImagingReason.NO_BREAST),
    "no spacing": Variant(image={"spacing_mm": None}, reason=ImagingReason.NO_SPACING),
    "a label burnt in": film("a.png", saved(LABELLED)),
    "a white frame": film("a.png", saved(np.pad(FILM[4:-4, 4:-4], 4, constant_values=65535))),
    # masks
    "mask of 0 and 1": mask("m.png", saved(MASK // 255)),
    "mask in DICOM": mask("m.dcm", dicom(MASK, spaced=False)),
    "mask in red": mask("m.png", saved(np.stack([MASK, MASK * 0, MASK * 0], axis=2))),
    "mask with soft edges": mask("m.png", saved(SOFT), area_mm2=pytest.approx(AREA, rel=0.05)),
    "labels without a value": mask("m.png", saved(LABELS), reason=LesionReason.MASK_LEVELS, says="mask_value"),
    "labels with a value": Variant(
        lambda folder: saved(LABELS)(folder / "m.png"), lesion={"mask_path": "m.png", "mask_value": "1"}
    ),
    "inverted mask": mask("m.png", saved(255 - MASK), reason=LesionReason.MASK_COVERS, says="inverted"),
    "mask of ImageJ": mask(
        "m.tif", tiff(MASK, photometric="miniswhite"), reason=LesionReason.MASK_COVERS, says="inverted"
    ),
    "the film as mask": mask("m.png", saved(FILM), reason=LesionReason.MASK_LEVELS),
    "an overlay as mask": mask("m.png", saved(OVERLAY), reason=LesionReason.MASK_LEVELS),
    "an empty mask": mask("m.png", saved(MASK * 0), reason=LesionReason.MASK_EMPTY),
    "traces of a JPEG": mask("m.jpg", saved(TRACES, quality=95), reason=LesionReason.MASK_SCATTERED),
    "mask at half the size": mask(
        "m.png", saved(MASK[::2, ::2]), flags=frozenset({"flag_mask_rescaled"}), area_mm2=pytest.approx(AREA, rel=0.1)
    ),
    "mask of another shape": mask("m.png", saved(MASK[::2]), reason=LesionReason.MASK_SHAPE),
    "mirrored mask": mask(
        "m.png",
        saved(np.ascontiguousarray(MASK[:, ::-1])),
        flags=frozenset({"flag_outside_breast", "flag_mask_mirrored"}),
    ),
    "an outline alone": mask(
        "m.png", saved(OUTLINE), flags=frozenset({"flag_mask_hollow"}), area_mm2=float((OUTLINE > 0).sum()) * 0.25
    ),
    "one pixel": mask("m.png", saved(POINT), flags=frozenset({"flag_mask_tiny"}), area_mm2=0.25),
    # boxes
    "a box": box(90, 20, 110, 45),
    "a box beyond the film": box(90, -20, 110, 45, flags=frozenset({"flag_box_clipped"}), area_mm2=20 * 45 * 0.25),
    "a box around everything": box(-500, -500, 5000, 5000, reason=LesionReason.MASK_COVERS),
    "a box in shares of the film": box(0.2, 0.3, 0.4, 0.5, reason=LesionReason.BOX_INVALID, says="normalised"),
    "corners exchanged": box(110, 20, 90, 45, reason=LesionReason.BOX_INVALID, says="swapped"),
    "a box of height and width": box(90, 100, 20, 25, reason=LesionReason.BOX_INVALID, says="height and width"),
    "a box beside the film": box(210, 20, 240, 45, reason=LesionReason.BOX_INVALID, says="no pixel"),
}


def prepared(folder: Path, variant: Variant) -> CaseResult:
    saved(FILM)(folder / "film.png")
    saved(MASK)(folder / "mask.png")
    variant.write(folder)
    output = folder / "out"
    for name in FOLDERS:
        (output / name).mkdir(parents=True)
    shared = {"patient_id": "P1", "image_id": "i", "laterality": "L", "view": "CC", "source": "test"}
    image = dict.fromkeys(IMAGES.columns) | shared | {"image_path": "film.png", "spacing_mm": 0.5} | variant.image
    lesion = dict.fromkeys(LESIONS.columns) | shared | {"lesion_id": "a", "mask_path": "mask.png"} | variant.lesion
    return prepare_case(Case(ImagesSettings(**variant.settings), folder, output, image, [lesion]))


def test_the_list_is_long_enough() -> None:
    assert len(VARIANTS) >= 24


@pytest.mark.parametrize("name", VARIANTS)
def test_a_picture_has_its_answer(tmp_path: Path, name: str) -> None:
    variant = VARIANTS[name]
    result = prepared(tmp_path, variant)
    if variant.reason is not None:
        (row,) = [row for row in result.excluded if row["level"] == "lesion"]
        assert (row["reason"], result.image, result.lesions) == (str(variant.reason), None, [])
        assert variant.says in row["detail"]
        return
    assert [row["detail"] for row in result.excluded] == []
    assert result.image is not None
    (lesion,) = result.lesions
    flags = {key for row in (result.image, lesion) for key in row if key.startswith("flag_") and row[key] is True}
    assert flags == variant.flags
    assert lesion["area_mm2"] == variant.area_mm2
