"""A download of CBIS-DDSM on its four real case tables: real names and UIDs, tiny pictures, every known quirk.

What each row must resolve to is written down while its files are made, so that a test can hold the reader to it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

TABLES = tuple(f"{kind}_case_description_{side}_set.csv" for kind in ("mass", "calc") for side in ("train", "test"))
FILM_SHAPES = ((46, 23), (46, 46), (69, 46))
IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

MISSING_MASK = "no mask found among the files of the lesion"
UNEVEN_MASK = "mask has another shape than its image"
TRUNCATED_MASK = "file is truncated"


@dataclass
class Expected:
    """What a row must resolve to: its film, mask and crop relative to the study folder, or the reason why not."""

    film: str
    mask: str
    crop: str
    reason: str = ""


@dataclass
class FullScaleStudy:
    """A written study and what each of its lesions must resolve to."""

    folder: Path
    rows: list[dict[str, str]]
    lesions: dict[str, Expected] = field(default_factory=dict)
    files: int = 0


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a case table with nothing of mammoflow, newlines inside quoted paths kept."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def whole_patients(rows: list[dict[str, str]], count: int) -> set[str]:
    """Choose patients for a study of about `count` rows: those of both types first, because quirks are with them."""
    kinds: dict[str, set[str]] = {}
    sizes: dict[str, int] = {}
    for row in rows:
        patient = row["patient_id"]
        kinds.setdefault(patient, set()).add(row["image file path"][:4])
        sizes[patient] = sizes.get(patient, 0) + 1
    chosen: set[str] = set()
    total = 0
    for patient in sorted(sizes, key=lambda name: (len(kinds[name]) < 2, name)):
        if total + sizes[patient] <= count:
            chosen.add(patient)
            total += sizes[patient]
    return chosen


def write_study(tables: Path, folder: Path, layout: str, rows: int | None = None, below: str = "") -> FullScaleStudy:
    """Write the study.

    Parameters
    ----------
    tables
        Folder of the four official tables.
    folder
        The study folder to write.
    layout
        "tables": the files lie where the tables say; "download": in the download tool's dated folders; "series": in
        one folder a series, named by its UID.
    rows
        About so many rows, whole patients; without it all, and the tables byte for byte.
    below
        Folder below the study folder that the films' folders are in.
    """
    everything = {name: read_rows(tables / name) for name in TABLES}
    chosen = whole_patients([row for part in everything.values() for row in part], rows) if rows else None
    folder.mkdir(parents=True)
    study = FullScaleStudy(folder, [])
    for name, part in everything.items():
        kept = [row for row in part if chosen is None or row["patient_id"] in chosen]
        text = (tables / name).read_bytes() if chosen is None else _table_bytes(kept)
        (folder / name).write_bytes(text)
        study.rows += kept
    writer = _Writer(study, layout, below)
    for number, row in enumerate(study.rows):
        writer.write(number, row)
    study.files = writer.files
    return study


def _table_bytes(rows: list[dict[str, str]]) -> bytes:
    """Write rows as the official tables are: a header that ends in CRLF, then lines that end in LF."""
    names = list(rows[0])
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(names)
    csv.writer(text, lineterminator="\n").writerows([row[name] for name in names] for row in rows)
    return text.getvalue().encode()


class _Writer:
    def __init__(self, study: FullScaleStudy, layout: str, below: str) -> None:
        self.study = study
        self.layout = layout
        self.below = f"{below}/" if below else ""
        self.files = 0
        self.folders: set[Path] = set()
        self.film_numbers: dict[str, int] = {}

    def write(self, number: int, row: dict[str, str]) -> None:
        """Write the files of one row; which quirks it has follows from its number."""
        film_name = row["image file path"].strip()
        crop_name, mask_name = row["cropped image file path"].strip(), row["ROI mask file path"].strip()
        kind = "mass" if "mass" in row["abnormality type"] else "calcification"
        film_id = "_".join((row["patient_id"], row["left or right breast"], row["image view"]))
        shape = FILM_SHAPES[self.film_numbers.setdefault(film_id, len(self.film_numbers)) % len(FILM_SHAPES)]
        film = self._place(film_name, "full mammogram images")
        if not (self.study.folder / film).exists():
            # The same pixels wherever the film is stored: the UIDs of the two copies differ, the grey levels do not.
            self._store(film, film_name, shape, 16, film_pixels(film_id, shape))
        crop, mask = self._place(crop_name, "ROI mask images"), self._place(mask_name, "ROI mask images")
        if number % 13 == 7:  # whatever the table says, both lie in one series, or in two
            mask = crop.rpartition("/")[0] + "/" + self._file_name(1 - self._number(crop_name), number)
        if number % 3 == 1:
            crop, mask = mask, crop
        # Nothing but the film's place in the study decides which copy is taken: that of the masses.
        expected = Expected(film, mask, crop)
        self._write_mask(number, expected, mask_name, shape)
        self._write_crop(number, expected, crop_name, shape)
        abnormality = row["abnormality id"].strip()
        self.study.lesions[f"{film_id}_{kind}_{abnormality}"] = expected

    def _write_mask(self, number: int, expected: Expected, name: str, film: tuple[int, int]) -> None:
        shape = film
        if number % 11 == 5:  # drawn on the scan of another machine: 20/23 = 0.870 on both axes
            shape = film[0] * 20 // 23, film[1] * 20 // 23
        if number % 101 == 50:
            shape, expected.reason = (film[0] * 20 // 23, film[1]), UNEVEN_MASK
        if number % 499 == 77:
            expected.reason = MISSING_MASK
            return
        content = mask_pixels(shape, 16 if number % 4 == 2 else 8)
        if number % 601 == 88:
            expected.reason = TRUNCATED_MASK
            content = content[: len(content) // 2]
        self._store(expected.mask, name, shape, 16 if number % 4 == 2 else 8, content)

    def _write_crop(self, number: int, expected: Expected, name: str, film: tuple[int, int]) -> None:
        if number % 251 == 3:
            expected.crop = ""
            return
        # Every fifth crop has the film's proportions, so that its header could be that of a mask.
        shape = (film[0] * 10 // 23, film[1] * 10 // 23) if number % 5 == 0 else (11 + number % 7, 9)
        self._store(expected.crop, name, shape, 16, film_pixels(f"{name} crop", shape))

    def _place(self, table_path: str, description: str) -> str:
        """Return where a file of the table lies in this layout, relative to the study folder."""
        if self.layout == "tables":
            return self.below + table_path
        folder, study, series, _ = table_path.split("/")
        if self.layout == "series":
            return f"{self.below}{series}/{self._file_name(self._number(table_path), 1)}"
        short_study, short_series = (uid[-5:].lstrip("0") or "0" for uid in (study, series))
        dated = f"{folder}/10-04-2016-DDSM-{short_study}/1-{description}-{short_series}"
        return f"{self.below}{dated}/{self._file_name(self._number(table_path), len(folder))}"

    def _file_name(self, number: int, style: int) -> str:
        if self.layout == "tables":
            return f"{number:06d}.dcm"
        return f"1-{number + 1}.dcm" if style % 2 else f"{number + 1:08d}.dcm"

    @staticmethod
    def _number(table_path: str) -> int:
        return int(table_path.rpartition("/")[2].removesuffix(".dcm"))

    def _store(self, place: str, table_path: str, shape: tuple[int, int], bits: int, pixels: bytes) -> None:
        path = self.study.folder / place
        if path.parent not in self.folders:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.folders.add(path.parent)
        path.write_bytes(dicom_bytes(table_path, shape, bits, pixels))
        self.files += 1


def film_pixels(name: str, shape: tuple[int, int]) -> bytes:
    """Grey levels of 16 bit that only this name gives, with a black border."""
    return hashlib.shake_256(name.encode()).digest(shape[0] * shape[1] * 2)


@cache
def mask_pixels(shape: tuple[int, int], bits: int) -> bytes:
    """A rectangle of the brightest level on black."""
    mask = np.zeros(shape, np.uint8 if bits == 8 else np.uint16)
    mask[shape[0] // 3 : shape[0] // 2 + 2, shape[1] // 3 : shape[1] // 2 + 2] = 2**bits - 1
    return mask.tobytes()


def dicom_bytes(table_path: str, shape: tuple[int, int], bits: int, pixels: bytes) -> bytes:
    """Make the bytes of a secondary capture as the collection has them, UIDs taken from the table's path."""
    folder, study, series, name = table_path.split("/")
    instance = f"{series[:50]}.{int(name.removesuffix('.dcm')) + 1}{len(pixels)}"
    meta = b"".join(_explicit(2, *element) for element in _meta(instance))
    head = bytes(128) + b"DICM" + _explicit(2, 0, b"UL", struct.pack("<I", len(meta))) + meta
    return head + b"".join(_elements(folder, study, series, instance, shape, bits)) + _implicit(0x7FE0, 0x10, pixels)


def _meta(instance: str) -> list[tuple[int, bytes, bytes]]:
    return [
        (2, b"UI", SECONDARY_CAPTURE.encode()),
        (3, b"UI", instance.encode()),
        (0x10, b"UI", IMPLICIT_LITTLE_ENDIAN.encode()),
    ]


def _elements(
    folder: str, study: str, series: str, instance: str, shape: tuple[int, int], bits: int
) -> Iterator[bytes]:
    for group, element, text in (
        (8, 0x16, SECONDARY_CAPTURE),
        (8, 0x18, instance),
        (8, 0x60, "MG"),
        (0x10, 0x10, folder),
        (0x10, 0x20, folder),
        (0x20, 0xD, study),
        (0x20, 0xE, series),
    ):
        yield _implicit(group, element, text.encode())
    yield _implicit(0x28, 2, struct.pack("<H", 1))
    yield _implicit(0x28, 4, b"MONOCHROME2")
    for element, value in ((0x10, shape[0]), (0x11, shape[1]), (0x100, bits), (0x101, bits), (0x102, bits - 1)):
        yield _implicit(0x28, element, struct.pack("<H", value))
    yield _implicit(0x28, 0x103, struct.pack("<H", 0))


def _implicit(group: int, element: int, value: bytes) -> bytes:
    padded = value + b"\x00" * (len(value) % 2)
    return struct.pack("<HHI", group, element, len(padded)) + padded


def _explicit(group: int, element: int, kind: bytes, value: bytes) -> bytes:
    padded = value + b"\x00" * (len(value) % 2)
    return struct.pack("<HH2sH", group, element, kind, len(padded)) + padded
