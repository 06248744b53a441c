"""What a file is, told by its content and never by its name.

`DICM` at byte 128 makes a DICOM file, whatever the 128 bytes of preamble before it are; some devices write a TIFF
header there. PNG, TIFF, JPEG and BMP have signatures. A DICOM file without preamble begins with an element of group 2
or 8. Formats that are not read are named, so that the message says what to do.
"""

from __future__ import annotations

import re
import struct
from enum import StrEnum
from pathlib import Path

from mammoflow.errors import ExcludedCase
from mammoflow.formats.opening import first_bytes, regular_file_size
from mammoflow.reasons.files import FileReason

HEAD_BYTES = 1024
DICOM_PREFIX = slice(128, 132)
FIRST_GROUPS = (0x0002, 0x0008)
LAST_ELEMENT = 0x1200  # of the first element; groups 2 and 8 have their first elements far below
CONVERT = "convert it to PNG, TIFF or DICOM"
READER = "use the reader nifti, or convert a slice of it to PNG, TIFF or DICOM"
UNPACK = "unpack it first"
FETCH = "fetch the file itself"


class FileKind(StrEnum):
    """The formats that are read."""

    DICOM = "DICOM"
    PNG = "PNG"
    TIFF = "TIFF"
    JPEG = "JPEG"
    BMP = "BMP"


SIGNATURES = (
    (FileKind.PNG, b"\x89PNG\r\n\x1a\n"),
    (FileKind.TIFF, b"II*\x00"),
    (FileKind.TIFF, b"MM\x00*"),
    (FileKind.TIFF, b"II+\x00"),  # BigTIFF
    (FileKind.TIFF, b"MM\x00+"),
    (FileKind.JPEG, b"\xff\xd8\xff"),
)
# Formats that are not read: the place and the bytes of their signature, their name, and what to do.
UNREAD: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"version https://git-lfs", "a Git LFS pointer and not the file", f"{FETCH} with git lfs pull"),
    (0, b"/annex/objects/", "a git-annex pointer and not the file", f"{FETCH} with git annex get"),
    (0, b"GIF8", "a GIF picture", CONVERT),
    (8, b"WEBP", "a WebP picture", CONVERT),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "a JPEG 2000 picture", CONVERT),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 codestream", CONVERT),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", "a JPEG XL picture", CONVERT),
    (0, b"\xff\x0a", "a JPEG XL codestream", CONVERT),
    (4, b"ftypavif", "an AVIF picture", CONVERT),
    (4, b"ftypavis", "an AVIF picture", CONVERT),
    (4, b"ftyphei", "a HEIC picture", CONVERT),
    (4, b"ftyphev", "a HEIC picture", CONVERT),
    (4, b"ftypmif1", "a HEIF picture", CONVERT),
    (4, b"ftyp", "a video", "export the frame that the study means"),
    (344, b"n+1\x00", "a NIfTI volume", READER),
    (344, b"ni1\x00", "the header of a NIfTI volume", READER),
    (4, b"n+2\x00\r\n\x1a\n", "a NIfTI volume", READER),
    (0, b"\x5c\x01\x00\x00", "an Analyze or NIfTI header", CONVERT),
    (0, b"\x00\x00\x01\x5c", "an Analyze or NIfTI header", CONVERT),
    (0, b"NRRD0", "an NRRD volume", CONVERT),
    (0, b"ObjectType", "a MetaImage (MHA or MHD)", CONVERT),
    (0, b"NDims", "a MetaImage (MHA or MHD)", CONVERT),
    (0, b"\x93NUMPY", "a NumPy array", CONVERT),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 or MATLAB file", CONVERT),
    (0, b"MATLAB 5.0", "a MATLAB file", CONVERT),
    (0, b"8BPS", "a Photoshop document", CONVERT),
    (0, b"v/1\x01", "an OpenEXR picture", CONVERT),
    (0, b"DDS ", "a DDS picture", CONVERT),
    (0, b"\x00\x00\x01\x00", "an icon", CONVERT),
    (0, b"SIMPLE  =", "a FITS picture", CONVERT),
    (0, b"%PDF", "a PDF document", "export the picture from it as PNG or TIFF"),
    (0, b"%!PS", "a PostScript document", "export the picture from it as PNG or TIFF"),
    (0, b"{\\rtf", "a text document", "export the picture from it as PNG or TIFF"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document or a folder's Thumbs.db", CONVERT),
    (0, b"PK\x03\x04", "a ZIP archive or an Office document", UNPACK),
    (0, b"PK\x05\x06", "an empty ZIP archive", "copy the file again"),
    (0, b"\x1f\x8b", "a gzip archive", UNPACK),
    (0, b"BZh", "a bzip2 archive", UNPACK),
    (0, b"\xfd7zXZ\x00", "an xz archive", UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive", UNPACK),
    (257, b"ustar", "a tar archive", UNPACK),
    (0, b"\x1f\x9d", "a compress archive", UNPACK),
    (0, b"PAR1", "a Parquet table", "name a picture here"),
    (0, b"\x00\x05\x16\x07", "an AppleDouble file of macOS", "name the file without ._ at its start"),
    (0, b"L\x00\x00\x00\x01\x14\x02\x00", "a shortcut of Windows", "name the file that it points to"),
    (0, b"book\x00\x00\x00\x00mark", "an alias of macOS", "name the file that it points to"),
    (8, b"AVI ", "a video", "export the frame that the study means"),
)
BITMAP = re.compile(rb"BM.{4}\x00{4}", re.DOTALL)
PORTABLE_MAP = re.compile(rb"P[1-7fF]\s")
MARKUP = ((b"<!doctype html", "an HTML page"), (b"<html", "an HTML page"), (b"<svg", "an SVG drawing"))
TEXT = re.compile(rb"[\t\n\r\x0c\x20-\x7e\x80-\xff]+")


def file_kind(path: Path) -> FileKind:
    """Tell which of the formats that are read a file has.

    Raises
    ------
    ExcludedCase
        MISSING_FILE or NO_ACCESS where it cannot be opened; TRUNCATED where it is empty; FORMAT where it has a format
        that is not read, which the detail names; NOT_DICOM where the format is unknown.
    """
    regular_file_size(path)
    head = first_bytes(path, HEAD_BYTES)
    kind = kind_of(head)
    if kind is None:
        raise refusal(path, head)
    return kind


def kind_of(head: bytes) -> FileKind | None:
    """Return the format of a file by its first `HEAD_BYTES` bytes, or None where it is none of those that are read."""
    if head[DICOM_PREFIX] == b"DICM":
        return FileKind.DICOM
    for kind, signature in SIGNATURES:
        if head.startswith(signature):
            return kind
    if BITMAP.match(head):
        return FileKind.BMP
    return FileKind.DICOM if begins_with_an_element(head) else None


def begins_with_an_element(head: bytes) -> bool:
    """Tell whether bytes begin with the first element of a DICOM header: a file without preamble."""
    if len(head) < 12:
        return False
    for order in "<>":
        group, element = struct.unpack_from(f"{order}HH", head)
        if group in FIRST_GROUPS and element < LAST_ELEMENT:
            explicit = head[4:6].isalpha() and head[4:6].isupper()
            (length,) = struct.unpack_from(f"{order}I", head, 4)
            return explicit or length < HEAD_BYTES
    return False


def refusal(path: Path, head: bytes) -> ExcludedCase:
    """Return the exclusion that names the format of a file that is not read.

    Parameters
    ----------
    path
        The file, for its name.
    head
        Its first `HEAD_BYTES` bytes.
    """
    if not head.strip(b"\x00"):
        detail = f"{path.name} begins with {len(head)} zero bytes, as an interrupted copy does; copy it again"
        return ExcludedCase(FileReason.NOT_DICOM, detail)
    name, advice = _unread_format(head)
    if name:
        return ExcludedCase(FileReason.FORMAT, f"{path.name} is {name}, which is not read; {advice}")
    return ExcludedCase(
        FileReason.NOT_DICOM,
        f"{path.name} is {'text' if TEXT.fullmatch(head) else 'of an unknown format'}; expected DICOM, PNG, TIFF, "
        "JPEG or BMP: export or copy the picture again",
    )


def _unread_format(head: bytes) -> tuple[str, str]:
    """Return the name of a format that is not read and what to do; two empty texts where it is unknown."""
    for place, signature, name, advice in UNREAD:
        if head.startswith(signature, place):
            return name, advice
    if b".git/annex/objects/" in head and TEXT.fullmatch(head):
        return "a git-annex pointer and not the file", f"{FETCH} with git annex get"
    if head.lstrip().startswith(b"--") and b"application/dicom" in head:
        return "a multipart answer of a DICOMweb server", "save its parts as files of their own"
    if PORTABLE_MAP.match(head):
        return "a portable pixel map (PGM, PPM, ...)", CONVERT
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for tag, name in MARKUP:
        if tag in start.lower() and start.startswith(b"<"):
            again = "a server may have sent it in place of the file; download the file again"
            return name, again if "HTML" in name else CONVERT
    if start.startswith(b"<"):
        return "an XML file", "name a picture here, or a contour file of OsiriX as mask"
    if start.startswith((b"{", b"[")):
        return "a JSON file", "name a picture here"
    return "", ""
