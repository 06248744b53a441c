"""Opening DICOM files that may be anything: every fault of a file becomes an `ExcludedCase` with its reason.

Values above a few kilobytes, the pixels among them, stay on disk until they are asked for. A header is cheap to read.
"""

from __future__ import annotations

import io
import warnings
import zlib
from pathlib import Path

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset, read_file_meta_info, read_partial
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian

from mammoflow.errors import ExcludedCase
from mammoflow.formats.dicom_header import (
    PHOTOMETRIC_INTERPRETATIONS,
    code_string,
    header_integer,
    image_shape,
    is_colour,
    is_compressed,
    transfer_syntax,
)
from mammoflow.formats.file_kinds import DICOM_PREFIX, HEAD_BYTES, FileKind, kind_of, refusal
from mammoflow.formats.opening import cannot_open, first_bytes, regular_file_size
from mammoflow.formats.transfer_syntaxes import CONVERT, guess_syntax, is_guessed, refuse_unread_syntax
from mammoflow.reasons.files import FileReason

DEFERRED_BYTES = 4096
UNDEFINED_LENGTH = 0xFFFFFFFF
LARGEST_PIXELS = 2**28  # four times the largest digitised film; more is a damaged header or an attack
LARGEST_INFLATED = 2 * LARGEST_PIXELS
MOST_READS = 100_000  # two for each element; a mammogram has a few hundred elements
FILE_META_START = 144  # preamble, "DICM", and the element that holds the length of the file meta information
LONGEST_META = 2**16
FRAME = "chosen_frame"
"""Attribute of a dataset of several frames: the index of the one that is used."""
LONGER = "pixel_data_are_longer"
"""Attribute of a dataset whose uncompressed pixel data are longer than its image needs."""


def open_dicom(path: Path, frame: int | None = None) -> pydicom.Dataset:
    """Read the header of a DICOM image of one frame, or of one frame of several, and check that the file is whole.

    Pixels stay on disk. Images of three colours are accepted, because a grey picture may be stored as one.
    Palettes are refused. A file
    without preamble or without transfer syntax is read where everything in it fits.

    Parameters
    ----------
    path
        The file.
    frame
        Index from 0 of the frame that is used, in a file of several frames. Its functional groups become the only ones
        of the dataset. None expects a file of one frame.

    Raises
    ------
    ExcludedCase
        MISSING_FILE, NO_ACCESS, FORMAT, NOT_DICOM, TRUNCATED, NO_PIXELS, MULTI_FRAME, NOT_GREY, TRANSFER_SYNTAX or
        UNREADABLE.
    """
    size = regular_file_size(path)
    dataset = _read(path)
    deflated = transfer_syntax(dataset) == DeflatedExplicitVRLittleEndian
    _refuse_truncated(dataset, path, None if deflated else size)
    if "PixelData" not in dataset:
        raise ExcludedCase(FileReason.NO_PIXELS, f"{path.name} has no pixel data element")
    guess_syntax(dataset)
    _spell_photometric(dataset)
    frames = header_integer(dataset, "NumberOfFrames") or 1
    if frames > 1:
        _choose_frame(dataset, path, frames, frame)
    samples = header_integer(dataset, "SamplesPerPixel") or 1
    if samples != (3 if is_colour(dataset) else 1):
        raise ExcludedCase(
            FileReason.NOT_GREY,
            f"{path.name} has {samples} samples per pixel; expected 1 for grey or 3 for a colour picture",
        )
    rows, columns = image_shape(dataset)
    if rows * columns > LARGEST_PIXELS:
        raise ExcludedCase(FileReason.UNREADABLE, f"{path.name} claims {rows} x {columns} pixels")
    half_colours = code_string(dataset, "PhotometricInterpretation") == "YBR_FULL_422"
    _check_length(dataset, path, rows * columns * (2 if half_colours else samples) * max(1, frames))
    return dataset


def has_more_pixels(dataset: pydicom.Dataset) -> bool:
    """Tell whether the uncompressed pixel data of a dataset from `open_dicom` are longer than its image needs."""
    return bool(getattr(dataset, LONGER, False))


def chosen_frame(dataset: pydicom.Dataset) -> int | None:
    """Return the index of the frame that is used in a dataset of several frames; None for a dataset of one frame."""
    index = getattr(dataset, FRAME, None)
    return None if index is None else int(index)


def _choose_frame(dataset: pydicom.Dataset, path: Path, frames: int, frame: int | None) -> None:
    """Mark the chosen frame in a dataset, and keep its functional groups alone."""
    if frame is None:
        raise ExcludedCase(FileReason.MULTI_FRAME, f"{path.name} has {frames} frames, expected 1")
    if not 0 <= frame < frames:
        raise ExcludedCase(
            FileReason.MULTI_FRAME, f"{path.name} has {frames} frames; expected one from 0 to {frames - 1}, not {frame}"
        )
    setattr(dataset, FRAME, frame)
    groups = "PerFrameFunctionalGroupsSequence"
    try:
        items = list(dataset[groups].value) if groups in dataset else []
    except Exception:  # pydicom raises almost anything on damaged values
        items = []
    if len(items) == frames:
        dataset.PerFrameFunctionalGroupsSequence = Sequence([items[frame]])


def _spell_photometric(dataset: pydicom.Dataset) -> None:
    """Write a Photometric Interpretation in small letters or with blanks as DICOM does; decoders compare the text."""
    word = code_string(dataset, "PhotometricInterpretation")
    if word in PHOTOMETRIC_INTERPRETATIONS:
        dataset.PhotometricInterpretation = word


def _read(path: Path) -> pydicom.FileDataset:
    head = first_bytes(path, HEAD_BYTES)
    kind = kind_of(head)
    if kind is None:
        raise refusal(path, head)
    if kind is not FileKind.DICOM:
        raise ExcludedCase(FileReason.NOT_DICOM, f"{path.name} is a {kind} picture; expected a DICOM file here")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = _parse(path, preamble=head[DICOM_PREFIX] == b"DICM")
    except ExcludedCase:
        raise
    except InvalidDicomError as error:
        raise ExcludedCase(FileReason.NOT_DICOM, f"{path.name} has no DICOM preamble") from error
    except (EOFError, zlib.error) as error:
        raise ExcludedCase(FileReason.TRUNCATED, f"{path.name} ends too early: {type(error).__name__}") from error
    except PermissionError as error:
        raise cannot_open(path, error) from error
    except Exception as error:  # struct errors, bad sequences, recursion: the file is damaged in some other way
        raise ExcludedCase(FileReason.NOT_DICOM, f"{path.name} is damaged: {type(error).__name__}") from error
    return dataset


def _parse(path: Path, preamble: bool) -> pydicom.FileDataset:
    if preamble:
        meta = read_file_meta_info(str(path))
        if path.stat().st_size < FILE_META_START + (header_integer(meta, "FileMetaInformationGroupLength") or 0):
            raise EOFError("the file meta information is cut off")
        refuse_unread_syntax(meta, path)
        if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            return _read_deflated(path, meta)
    elif DeflatedExplicitVRLittleEndian.encode() in first_bytes(path, LONGEST_META):
        raise ExcludedCase(FileReason.TRANSFER_SYNTAX, f"{path.name} is deflated and has no preamble; {CONVERT}")
    with _CountedFile(str(path)) as file:
        dataset: pydicom.FileDataset = read_partial(file, defer_size=DEFERRED_BYTES, force=not preamble)
        dataset.fileobj_type = open  # reopens the file for the values that are read later
    refuse_unread_syntax(dataset.file_meta, path)
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


def _check_length(dataset: pydicom.Dataset, path: Path, values: int) -> None:
    """Compare the length of the pixel data with the size of the image; mark a dataset that has more than it needs."""
    element = dataset.get_item("PixelData", keep_deferred=True)
    bits = header_integer(dataset, "BitsAllocated")
    if bits is None or bits <= 0:
        raise ExcludedCase(FileReason.UNREADABLE, f"{path.name} gives no bits allocated")
    length = element.length if isinstance(element, RawDataElement) else len(element.value or b"")
    if length == 0:
        raise ExcludedCase(FileReason.NO_PIXELS, f"{path.name} has an empty pixel data element")
    encapsulated = length == UNDEFINED_LENGTH
    needed = (values * bits + 7) // 8
    if is_guessed(dataset) and (encapsulated or length not in (needed, needed + needed % 2)):
        found = "its pixels are compressed" if encapsulated else f"{length} bytes of pixels do not fit its image"
        raise ExcludedCase(FileReason.TRANSFER_SYNTAX, f"{path.name} names no transfer syntax, and {found}; {CONVERT}")
    if is_compressed(dataset) != encapsulated and transfer_syntax(dataset) != DeflatedExplicitVRLittleEndian:
        said, found = ("compressed", "not") if is_compressed(dataset) else ("uncompressed", "compressed")
        raise ExcludedCase(
            FileReason.UNREADABLE,
            f"{path.name}: its transfer syntax says {said} pixels, and they are {found}; {CONVERT}",
        )
    if encapsulated:
        return
    if length < needed:
        raise ExcludedCase(FileReason.TRUNCATED, f"{path.name} has {length} bytes of pixels, its header needs {needed}")
    if length >= 2 * needed > 2:
        raise ExcludedCase(
            FileReason.MULTI_FRAME, f"{path.name} has pixels for {length // needed} frames, its header says 1"
        )
    if length > needed + 1:
        setattr(dataset, LONGER, True)
