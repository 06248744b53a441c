"""What the header of a PNG, TIFF, JPEG or BMP file says, checked before anything is decoded."""

from __future__ import annotations

import logging
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from mammoflow.errors import ExcludedCase
from mammoflow.formats.dicom_files import LARGEST_PIXELS
from mammoflow.formats.file_kinds import FileKind, file_kind
from mammoflow.reasons.files import FileReason

ORIENTATION = 274  # tag of EXIF and TIFF
UPRIGHT = 1
TAIL_BYTES = 65536
PNG_START = 8
BITS_IN_IHDR = 8  # bytes of width and height come before
END_OF_JPEG = b"\xff\xd9"
PREMULTIPLIED = 1  # meaning of an extra sample of TIFF
LOSSY_COMPRESSIONS = (6, 7, 34892, 50001)  # JPEG in two ways, lossy DNG, WebP
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
PLAIN_BITS = (1, 8, 10, 12, 14, 16)  # that OpenCV decodes

logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)  # it logs tags of damaged files


@dataclass(frozen=True)
class PictureHeader:
    """Header of a picture.

    Attributes
    ----------
    kind
        PNG, TIFF, JPEG or BMP.
    shape
        (height, width) of the upright picture.
    bits
        Of one channel in a PNG or TIFF; 0 in other files, and where channels differ.
    orientation
        1 (upright) to 8, of EXIF or TIFF.
    white_is_zero
        Whether 0 means white.
    palette
        Whether pixels are positions in a table of colours.
    one_bit
        Whether pixels are 0 or 1.
    lossy
        Whether the compression loses something.
    extra
        Meaning of each extra sample of a TIFF: 0 none, 1 opacity that colours are multiplied by, 2 opacity.
    separate_planes
        Whether a TIFF stores its channels one after the other.
    described
        What messages add about the file.
    """

    kind: FileKind
    shape: tuple[int, int]
    bits: int = 0
    orientation: int = UPRIGHT
    white_is_zero: bool = False
    palette: bool = False
    one_bit: bool = False
    lossy: bool = False
    extra: tuple[int, ...] = ()
    separate_planes: bool = False
    described: str = ""

    @property
    def needs_other_decoder(self) -> bool:
        """Whether OpenCV would decode it wrongly."""
        planes = self.separate_planes and self.bits == 16
        tiff = self.kind is FileKind.TIFF and (bool(self.extra) or planes or self.bits not in PLAIN_BITS)
        return tiff or self.kind is FileKind.BMP

    @property
    def premultiplied(self) -> bool:
        """Whether colours are multiplied by the opacity."""
        return PREMULTIPLIED in self.extra


def read_picture_header(path: Path) -> PictureHeader:
    """Check size, frames, colours and end of a picture, and return its header.

    Raises
    ------
    ExcludedCase
        UNREADABLE, MULTI_FRAME, NOT_GREY or TRUNCATED.
    """
    kind = file_kind(path)
    try:
        if kind is FileKind.TIFF:
            return _read_tiff(path)
        if kind is FileKind.BMP:
            return _read_bmp(path)
        return _read_png(path) if kind is FileKind.PNG else _read_jpeg(path)
    except ExcludedCase:
        raise
    except Image.DecompressionBombError as error:
        raise ExcludedCase(FileReason.UNREADABLE, f"{path.name} claims more than {LARGEST_PIXELS} pixels") from error
    except Exception as error:  # each format raises its own errors for damaged headers
        raise ExcludedCase(FileReason.UNREADABLE, f"{path.name}: {type(error).__name__} in its header") from error


def upright_tiff(path: Path) -> bytes:
    """Return the content of a TIFF with its orientation set to upright."""
    import tifffile

    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        place = file.pages.first.tags[ORIENTATION].valueoffset
        struct.pack_into(f"{file.byteorder}H", content, place, UPRIGHT)
    return bytes(content)


def _read_png(path: Path) -> PictureHeader:
    shape, mode, _ = _by_pillow(path, exif=False)
    places = dict(_chunks(path))
    if b"IEND" not in places:
        raise ExcludedCase(FileReason.TRUNCATED, f"{path.name} ends before its end-of-image marker")
    exif = b"eXIf" in places or any(_is_exif_text(path, name, place) for name, place in _chunks(path))
    orientation = _by_pillow(path, exif=True)[2] if exif else UPRIGHT
    upright = _upright(shape, orientation)
    with path.open("rb") as file:
        file.seek(places[b"IHDR"] + BITS_IN_IHDR)
        bits = file.read(1)[0]
    return PictureHeader(FileKind.PNG, upright, bits, orientation, palette=mode == "P", one_bit=mode == "1")


def _chunks(path: Path) -> Iterator[tuple[bytes, int]]:
    """Yield the name of each whole chunk of a PNG and the position of its data, up to the end of the image."""
    size = path.stat().st_size
    with path.open("rb") as file:
        place = PNG_START
        while place + 12 <= size:
            file.seek(place)
            length, name = struct.unpack(">I4s", file.read(8))
            if place + 12 + length > size:
                return
            yield name, place + 8
            if name == b"IEND":
                return
            place += 12 + length


def _is_exif_text(path: Path, name: bytes, place: int) -> bool:
    """Tell whether a text chunk of a PNG holds EXIF or XMP, as some programs write them."""
    if name not in (b"zTXt", b"tEXt", b"iTXt"):
        return False
    with path.open("rb") as file:
        file.seek(place)
        return file.read(32).startswith((b"Raw profile type", b"XML:com.adobe.xmp"))


def _read_jpeg(path: Path) -> PictureHeader:
    shape, mode, orientation = _by_pillow(path, exif=True)
    if mode not in ("L", "RGB"):
        raise ExcludedCase(
            FileReason.NOT_GREY, f"{path.name} has the colours of a print ({mode}), expected grey or RGB; convert it"
        )
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        tail = file.read()
    if not tail.rstrip(b"\x00\r\n ").endswith(END_OF_JPEG):  # a preview inside the file may have the marker too
        whole = END_OF_JPEG in tail and _is_whole(path)
        if not whole:
            raise ExcludedCase(FileReason.TRUNCATED, f"{path.name} ends before its end-of-image marker")
    return PictureHeader(FileKind.JPEG, _upright(shape, orientation), orientation=orientation, lossy=True)


def _read_bmp(path: Path) -> PictureHeader:
    shape, mode, _ = _by_pillow(path, exif=False)
    if not _is_whole(path):
        raise ExcludedCase(FileReason.TRUNCATED, f"{path.name} ends before its last row of pixels")
    return PictureHeader(FileKind.BMP, shape, palette=mode == "P", one_bit=mode == "1")


def _is_whole(path: Path) -> bool:
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            image.load()
    except Exception:  # Pillow raises errors of many types for damaged files
        return False
    return True


def _by_pillow(path: Path, exif: bool) -> tuple[tuple[int, int], str, int]:
    """Return (rows, columns), Pillow's mode and the orientation, from the header alone unless EXIF is asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path) as image:
            columns, rows = image.size
            _check_size(path, rows, columns, getattr(image, "n_frames", 1))
            orientation = image.getexif().get(ORIENTATION, UPRIGHT) if exif else UPRIGHT
            return (rows, columns), image.mode, _known(orientation)


def _upright(shape: tuple[int, int], orientation: int) -> tuple[int, int]:
    return shape if orientation < 5 else shape[::-1]


def _known(orientation: Any) -> int:
    """Return an orientation, or upright for a value that none of the standards knows."""
    return int(orientation) if orientation in range(1, 9) else UPRIGHT


def _check_size(path: Path, rows: int, columns: int, frames: int) -> None:
    if rows * columns > LARGEST_PIXELS:
        raise ExcludedCase(FileReason.UNREADABLE, f"{path.name} claims {rows} x {columns} pixels")
    if frames > 1:
        raise ExcludedCase(FileReason.MULTI_FRAME, f"{path.name} has {frames} frames, expected 1")


def _read_tiff(path: Path) -> PictureHeader:
    import tifffile

    with tifffile.TiffFile(path) as file:
        page: Any = file.pages.first
        stack = file.imagej_metadata or {}
        _check_size(path, page.imagelength, page.imagewidth, max(len(file.pages), int(stack.get("images", 1))))
        ends = [place + count for place, count in zip(page.dataoffsets, page.databytecounts, strict=False)]
        bits, forms = _same(page.bitspersample), _same(page.sampleformat)
        photometric, compression = int(page.photometric), int(page.compression)
        tag = page.tags.get(ORIENTATION)
        orientation = _known(tag.value if tag is not None else UPRIGHT)
        extra, planes = tuple(int(kind) for kind in page.extrasamples), int(page.planarconfig) == 2
        samples = int(page.samplesperpixel)
        shape = int(page.imagelength), int(page.imagewidth)
    if max(ends, default=0) > path.stat().st_size or not ends:
        raise ExcludedCase(FileReason.TRUNCATED, f"{path.name} ends before its last strip of pixels")
    if forms != 1 or not 1 <= bits <= 16:
        kind = {1: "unsigned integers", 2: "signed integers", 3: "floating point"}.get(forms, "another kind of number")
        raise ExcludedCase(
            FileReason.UNREADABLE,
            f"{path.name} holds {kind} of {bits} bit; expected unsigned integers of at most 16 bit: convert it",
        )
    if photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCBCR):
        raise ExcludedCase(
            FileReason.NOT_GREY, f"{path.name} has photometric interpretation {photometric} of TIFF; save it as grey"
        )
    described = f" (TIFF of {bits} bit, {samples} channels, compression {compression})"
    inverted, lossy = photometric == WHITE_IS_ZERO, compression in LOSSY_COMPRESSIONS
    return PictureHeader(
        FileKind.TIFF,
        _upright(shape, orientation),
        bits,
        orientation,
        inverted,
        photometric == PALETTE,
        bits == 1 and samples == 1,
        lossy,
        extra,
        planes and samples > 1,
        described,
    )


def _same(value: Any) -> int:
    """Return the number that all channels share, or 0 where they differ."""
    values = set(value) if isinstance(value, tuple | list) else {value}
    return int(values.pop()) if len(values) == 1 else 0
