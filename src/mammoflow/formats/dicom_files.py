"""Opening DICOM files that may be anything: what a header says, whether the file is whole, what its pixels hold.

Everything that a broken or hostile file can do ends in an `ExcludedCase` with a reason. Values above a few kilobytes,
the pixels among them, stay on disk until they are asked for, so that looking at a header is cheap.
"""

from __future__ import annotations

import io
import logging
import stat
import warnings
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset, read_file_meta_info, read_partial
from pydicom.pixels import pixel_array
from pydicom.sequence import Sequence
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless

from mammoflow.errors import ExcludedCase
from mammoflow.formats.codecs import LABEL, register_decoders
from mammoflow.reasons.files import FileReason

Pixels = npt.NDArray[np.generic]
DEFERRED_BYTES = 4096
UNDEFINED_LENGTH = 0xFFFFFFFF
LARGEST_PIXELS = 2**28  # four times the largest digitised film; more is a damaged header or an attack
LARGEST_INFLATED = 2 * LARGEST_PIXELS
LEVEL_SAMPLE_ROWS = 256
MOST_READS = 100_000  # two an element; a mammogram has a few hundred elements
FILE_META_START = 144  # preamble, "DICM", and the element that holds the length of the file meta information
COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
FUNCTIONAL_GROUPS = ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")

register_decoders()
# pydicom quotes values of the header in what it logs; none of that may reach a log of this project.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)


def safe_path(study: Path, relative: str) -> Path:
    """Return the file that a case table names, only if it lies inside the study folder.

    Parameters
    ----------
    study
        The study folder; a symbolic link in place of the folder itself is followed.
    relative
        The path as the table has it, with forward or backward slashes.

    Raises
    ------
    ExcludedCase
        OUTSIDE_STUDY where the path is absolute, climbs out, or follows a symbolic link out of the folder;
        MISSING_FILE where there is no regular file.
    """
    cleaned = relative.strip().replace("\\", "/")
    parts = PurePosixPath(cleaned).parts
    if "\x00" in cleaned or cleaned.startswith("/") or ".." in parts or (parts and parts[0].endswith(":")):
        raise ExcludedCase(FileReason.OUTSIDE_STUDY, f"{cleaned!r} does not stay below the study folder")
    path = study / cleaned
    try:
        resolved = path.resolve()
        inside = resolved.is_relative_to(study.resolve())
        regular = stat.S_ISREG(resolved.stat().st_mode) if inside else False
    except (OSError, RuntimeError) as error:
        raise ExcludedCase(FileReason.MISSING_FILE, f"{cleaned!r} cannot be found: {type(error).__name__}") from error
    if not inside:
        raise ExcludedCase(FileReason.OUTSIDE_STUDY, f"{cleaned!r} is a link to a place outside the study folder")
    if not regular or not cleaned:
        raise ExcludedCase(FileReason.MISSING_FILE, f"{cleaned!r} is no regular file")
    return path


def open_dicom(path: Path) -> pydicom.Dataset:
    """Read the header of a single-frame DICOM image and check that the file is whole; pixels stay on disk.

    Images of three colours are let through, since a grey picture may be stored as one; palettes are not.

    Raises
    ------
    ExcludedCase
        MISSING_FILE, NOT_DICOM, TRUNCATED, NO_PIXELS, MULTI_FRAME, NOT_GREY or UNREADABLE.
    """
    size = _file_size(path)
    dataset = _read(path)
    deflated = _transfer_syntax(dataset) == DeflatedExplicitVRLittleEndian
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
            f"{path.name} has {samples} samples a pixel; expected 1 of grey or 3 of a colour picture",
        )
    rows, columns = image_shape(dataset)
    if rows * columns > LARGEST_PIXELS:
        raise ExcludedCase(FileReason.UNREADABLE, f"{path.name} claims {rows} x {columns} pixels")
    half_colours = header_value(dataset, "PhotometricInterpretation") == "YBR_FULL_422"
    _refuse_short_pixels(dataset, path, rows * columns * (2 if half_colours else samples))
    return dataset


def is_colour(dataset: pydicom.Dataset) -> bool:
    """Tell whether the header declares red, green and blue, or luminance and two colour differences."""
    return header_value(dataset, "PhotometricInterpretation") in COLOURS


def header_value(dataset: pydicom.Dataset, keyword: str) -> Any:
    """Return an element's value, or None where it is absent, empty or cannot be converted."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = dataset.get(keyword)
            # As text, a sequence reads every element below it, damaged ones too; it counts as there, items or none.
            empty = value is None or (not isinstance(value, Sequence) and str(value) == "")
    except Exception:  # pydicom raises almost anything on damaged values
        return None
    return None if empty else value


def frame_value(dataset: pydicom.Dataset, keyword: str, group: str) -> Any:
    """Return an element's value from the header itself or, in an enhanced object, from a functional group of its frame.

    Parameters
    ----------
    dataset
        Of one frame.
    keyword
        The element.
    group
        Keyword of the sequence that holds the element within a functional group, such as "PixelMeasuresSequence".
    """
    value = header_value(dataset, keyword)
    for groups in FUNCTIONAL_GROUPS:
        item = first_item(first_item(dataset, groups), group) if value is None else None
        value = header_value(item, keyword) if item is not None else value
    return value


def first_item(dataset: pydicom.Dataset | None, keyword: str) -> pydicom.Dataset | None:
    """Return the first item of a sequence, or None where there is none."""
    if dataset is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            item = dataset[keyword].value[0] if keyword in dataset else None
    except Exception:  # pydicom raises almost anything on damaged values
        return None
    return item if isinstance(item, pydicom.Dataset) else None


def is_big_endian(dataset: pydicom.Dataset) -> bool:
    """Tell whether binary values of the header have their high byte first."""
    return bool(_transfer_syntax(dataset) == ExplicitVRBigEndian)


def header_integer(dataset: pydicom.Dataset, keyword: str) -> int | None:
    """Return an element's value as an integer, or None where it is not one."""
    try:
        return int(header_value(dataset, keyword))
    except (TypeError, ValueError, OverflowError):
        return None


def image_shape(dataset: pydicom.Dataset) -> tuple[int, int]:
    """Return (rows, columns) of the image.

    Raises
    ------
    ExcludedCase
        UNREADABLE where the header gives no usable size.
    """
    rows, columns = header_integer(dataset, "Rows"), header_integer(dataset, "Columns")
    if not rows or not columns or rows < 0 or columns < 0:
        raise ExcludedCase(FileReason.UNREADABLE, f"header gives rows {rows} and columns {columns}")
    return rows, columns


def stored_pixels(dataset: pydicom.Dataset) -> Pixels:
    """Decode the stored values of a dataset that `open_dicom` returned, no look-up table applied.

    Returns
    -------
    numpy.ndarray
        (rows, columns), or (rows, columns, 3) red, green, blue. Bits above Bits Stored are as the file has them.

    Raises
    ------
    ExcludedCase
        UNREADABLE where no decoder can make pixels of the header's size from the data.
    """
    plugin = LABEL if _transfer_syntax(dataset) == RLELossless else ""  # pydicom's own is many times as slow
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels: Pixels = np.asarray(pixel_array(dataset, decoding_plugin=plugin, correct_unused_bits=False))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # each decoder has errors of its own; one written in Rust panics past Exception
        raise ExcludedCase(FileReason.UNREADABLE, f"the decoder stopped: {type(error).__name__}") from error
    expected = (*image_shape(dataset), 3) if is_colour(dataset) else image_shape(dataset)
    if pixels.shape != expected:
        raise ExcludedCase(FileReason.UNREADABLE, f"decoded shape {pixels.shape}, header says {expected}")
    return pixels


def has_two_levels(dataset: pydicom.Dataset, path: Path) -> bool:
    """Tell whether an image holds at most two grey levels, as an ROI mask does and no picture of tissue.

    Where the pixels are not compressed, up to 256 evenly spaced rows are looked at and the rest stays on disk; a crop
    or a film shows dozens of levels in any one of them.
    """
    rows, columns = image_shape(dataset)
    bits = header_integer(dataset, "BitsAllocated")
    if bits == 1:
        return True
    offset = _native_offset(dataset)
    if offset is None or bits not in (8, 16) or is_colour(dataset):
        sample = stored_pixels(dataset)
    else:
        shape = (rows, columns)
        stored = np.memmap(path, dtype=np.dtype(f"u{bits // 8}"), mode="r", offset=offset, shape=shape)
        sample = np.asarray(stored[:: max(1, rows // LEVEL_SAMPLE_ROWS)])
    low, high = sample.min(), sample.max()
    return bool(np.all((sample == low) | (sample == high)))


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
                dataset.fileobj_type = open  # for what is read later
    except ExcludedCase:
        raise
    except InvalidDicomError as error:
        raise ExcludedCase(FileReason.NOT_DICOM, f"{path.name} has no DICOM preamble") from error
    except (EOFError, zlib.error) as error:
        raise ExcludedCase(FileReason.TRUNCATED, f"{path.name} ends too early: {type(error).__name__}") from error
    except PermissionError as error:
        raise ExcludedCase(FileReason.UNREADABLE, f"{path.name} may not be read by this user") from error
    except Exception as error:  # struct errors, bad sequences, recursion: damaged beyond a name
        raise ExcludedCase(FileReason.NOT_DICOM, f"{path.name} is damaged: {type(error).__name__}") from error
    return dataset


class _CountedReads:
    """Counts the reads of a header and raises where no header needs so many.

    Dark pixels that are taken for a header, because a length before them is damaged, are millions of empty elements.
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


def _transfer_syntax(dataset: pydicom.Dataset) -> Any:
    syntax = header_value(getattr(dataset, "file_meta", pydicom.Dataset()), "TransferSyntaxUID")
    return syntax if isinstance(syntax, UID) else None


def _refuse_truncated(dataset: pydicom.Dataset, path: Path, size: int | None) -> None:
    """Raise where an element reaches beyond the end of the file, or where reading stopped before it."""
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
    """Raise where uncompressed pixel data hold fewer bytes than the header's size needs."""
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


def is_compressed(dataset: pydicom.Dataset) -> bool:
    """Tell whether the pixels are encapsulated and need a decoder."""
    syntax = _transfer_syntax(dataset)
    return bool(syntax is not None and syntax.is_transfer_syntax and syntax.is_encapsulated)


def _native_offset(dataset: pydicom.Dataset) -> int | None:
    """Return where uncompressed pixels start in the file, or None where they have to be decoded."""
    element = dataset.get_item("PixelData", keep_deferred=True)
    deflated = _transfer_syntax(dataset) == DeflatedExplicitVRLittleEndian
    if deflated or is_compressed(dataset) or not isinstance(element, RawDataElement):
        return None
    return int(element.value_tell) if element.length != UNDEFINED_LENGTH else None
