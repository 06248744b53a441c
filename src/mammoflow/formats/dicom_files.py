"""Opening DICOM files that may be anything: every fault of a file becomes an `ExcludedCase` with its reason.

Values above a few kilobytes, the pixels among them, stay on disk until they are asked for. A header is cheap to read.
"""

from __future__ import annotations

import io
import stat
import warnings
import zlib
from pathlib import Path

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset, read_file_meta_info, read_partial
from pydicom.uid import DeflatedExplicitVRLittleEndian

from mammoflow.errors import ExcludedCase
from mammoflow.formats.dicom_header import (
    header_integer,
    header_value,
    image_shape,
    is_colour,
    is_compressed,
    transfer_syntax,
)
from mammoflow.reasons.files import FileReason

DEFERRED_BYTES = 4096
UNDEFINED_LENGTH = 0xFFFFFFFF
LARGEST_PIXELS = 2**28  # four times the largest digitised film; more is a damaged header or an attack
LARGEST_INFLATED = 2 * LARGEST_PIXELS
MOST_READS = 100_000  # two for each element; a mammogram has a few hundred elements
FILE_META_START = 144  # preamble, "DICM", and the element that holds the length of the file meta information


def open_dicom(path: Path) -> pydicom.Dataset:
    """Read the header of a single-frame DICOM image and check that the file is whole; pixels stay on disk.

    Images of three colours are accepted, because a grey picture may be stored as one. Palettes are refused.

    Raises
    ------
    ExcludedCase
        MISSING_FILE, NOT_DICOM, TRUNCATED, NO_PIXELS, MULTI_FRAME, NOT_GREY or UNREADABLE.
    """
    size = _file_size(path)
    dataset = _read(path)
    deflated = transfer_syntax(dataset) == DeflatedExplicitVRLittleEndian
    _refuse_truncated(dataset, path, None if deflated else size)
    if "PixelData" not in dataset:
        raise ExcludedCase(FileReason.NO_PIXELS, f"{path.name} has no pixel data element")
    frames = header_integer(dataset, "NumberOfFrames") or 1
    if frames > 1:
        raise ExcludedCase(FileReason.MULTI_FRAME, f"{path.name} has {frames} frames, expected 1")
    samples = header_integer(dataset, "SamplesPerPixel") or 1
    if samples != (3 if is_colour(dataset) else 1):
        raise ExcludedCase(
            FileReason.NOT_GREY,
            f"{path.name} has {samples} samples per pixel; expected 1 for grey or 3 for a colour picture",
        )
    rows, columns = image_shape(dataset)
    if rows * columns > LARGEST_PIXELS:
        raise ExcludedCase(FileReason.UNREADABLE, f"{path.name} claims {rows} x {columns} pixels")
    half_colours = header_value(dataset, "PhotometricInterpretation") == "YBR_FULL_422"
    _refuse_short_pixels(dataset, path, rows * columns * (2 if half_colours else samples))
    return dataset


def _file_size(path: Path) -> int:
    try:
        status = path.stat()
    except OSError as error:
        raise ExcludedCase(FileReason.MISSING_FILE, f"{path.name} does not exist") from error
    if not stat.S_ISREG(status.st_mode):
        raise ExcludedCase(FileReason.MISSING_FILE, f"{path.name} is no regular file")
    if status.st_size == 0:
        raise ExcludedCase(FileReason.TRUNCATED, f"{path.name} is empty")
    return status.st_size


def _read(path: Path) -> pydicom.Dataset:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            meta = read_file_meta_info(str(path))
            if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
                return _read_deflated(path, meta)
            with _CountedFile(str(path)) as file:
                dataset: pydicom.FileDataset = read_partial(file, defer_size=DEFERRED_BYTES)
                dataset.fileobj_type = open  # reopens the file for the values that are read later
    except ExcludedCase:
        raise
    except InvalidDicomError as error:
        raise ExcludedCase(FileReason.NOT_DICOM, f"{path.name} has no DICOM preamble") from error
    except (EOFError, zlib.error) as error:
        raise ExcludedCase(FileReason.TRUNCATED, f"{path.name} ends too early: {type(error).__name__}") from error
    except PermissionError as error:
        raise ExcludedCase(FileReason.UNREADABLE, f"{path.name} may not be read by this user") from error
    except Exception as error:  # struct errors, bad sequences, recursion: the file is damaged in some other way
        raise ExcludedCase(FileReason.NOT_DICOM, f"{path.name} is damaged: {type(error).__name__}") from error
    return dataset


class _CountedReads:
    """Counts the reads of a header and raises after more than any header needs.

    Where a length is damaged, pixels are read as elements of the header. Dark pixels look like millions of empty ones.
    """

    reads = 0

    def read(self, size: int | None = -1) -> bytes:
        """Read bytes."""
        self.reads += 1
        if self.reads > MOST_READS:
            raise ExcludedCase(FileReason.NOT_DICOM, f"the header has more than {MOST_READS // 2} elements")
        data: bytes = super().read(size)  # type: ignore[misc]
        return data


class _CountedFile(_CountedReads, io.BufferedReader):
    def __init__(self, path: str) -> None:
        super().__init__(io.FileIO(path))


class _CountedBytes(_CountedReads, io.BytesIO):
    pass


def _read_deflated(path: Path, meta: pydicom.Dataset) -> pydicom.FileDataset:
    """Read a deflated file; refuse one that would inflate beyond any image."""
    inflate, inflated = zlib.decompressobj(-zlib.MAX_WBITS), bytearray()
    with path.open("rb") as file:
        file.seek(FILE_META_START + int(meta.FileMetaInformationGroupLength))
        while not inflate.eof and (chunk := inflate.unconsumed_tail or file.read(2**16)):
            inflated += inflate.decompress(chunk, 2**22)
            if len(inflated) > LARGEST_INFLATED:
                raise ExcludedCase(FileReason.UNREADABLE, f"{path.name} inflates beyond {LARGEST_INFLATED} bytes")
    if not inflate.eof:
        raise EOFError(f"{path.name} ends inside its deflated dataset")
    content = read_dataset(_CountedBytes(inflated), is_implicit_VR=False, is_little_endian=True)
    dataset = pydicom.FileDataset(str(path), content, None, meta, is_implicit_VR=False, is_little_endian=True)
    dataset.set_original_encoding(False, True, content._character_set)
    return dataset


def _refuse_truncated(dataset: pydicom.Dataset, path: Path, size: int | None) -> None:
    """Raise where an element extends beyond the end of the file, or where reading stopped before the end."""
    elements = list(dataset.values())
    ends = [
        element.value_tell + element.length
        for element in elements
        if isinstance(element, RawDataElement) and element.length != UNDEFINED_LENGTH
    ]
    if size is None or not elements:
        if not elements:
            raise ExcludedCase(FileReason.TRUNCATED, f"{path.name} ends after its file header")
        return
    if max(ends, default=0) > size:
        raise ExcludedCase(FileReason.TRUNCATED, f"{path.name} has {size} bytes, its elements need {max(ends)}")
    last = elements[-1]
    known_end = isinstance(last, RawDataElement) and last.length != UNDEFINED_LENGTH
    if "PixelData" not in dataset and known_end and max(ends) != size:
        raise ExcludedCase(FileReason.TRUNCATED, f"{path.name} ends inside an element, before its pixel data")


def _refuse_short_pixels(dataset: pydicom.Dataset, path: Path, pixels: int) -> None:
    """Raise where uncompressed pixel data hold fewer bytes than the image size in the header needs."""
    element = dataset.get_item("PixelData", keep_deferred=True)
    bits = header_integer(dataset, "BitsAllocated")
    if bits is None or bits <= 0:
        raise ExcludedCase(FileReason.UNREADABLE, f"{path.name} gives no bits allocated")
    length = element.length if isinstance(element, RawDataElement) else len(element.value or b"")
    if length == 0:
        raise ExcludedCase(FileReason.NO_PIXELS, f"{path.name} has an empty pixel data element")
    needed = (pixels * bits + 7) // 8
    if length != UNDEFINED_LENGTH and not is_compressed(dataset) and length < needed:
        raise ExcludedCase(FileReason.TRUNCATED, f"{path.name} has {length} bytes of pixels, its header needs {needed}")
