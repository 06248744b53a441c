"""Where the elements of a DICOM file lie, so that a mutation can aim at a length, a type or a value."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

START = 132  # preamble and "DICM"
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
TRANSFER_SYNTAX, PIXEL_DATA = (0x0002, 0x0010), (0x7FE0, 0x0010)
LONG_LENGTH = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")


@dataclass(frozen=True)
class Element:
    """Where one element, item or delimiter lies in a part of a file; all numbers are bytes.

    Attributes
    ----------
    tag
        Group and element.
    start, end
        Extent of the whole element, its content included.
    type_at
        Place of its value representation; None where there is none.
    length_at, length_size
        Place and size of its length.
    value_at
        Where its value begins.
    """

    tag: tuple[int, int]
    start: int
    end: int
    type_at: int | None
    length_at: int
    length_size: int
    value_at: int


@dataclass
class Parts:
    """A DICOM file taken apart: preamble and file meta information, and the dataset, inflated.

    Attributes
    ----------
    meta, body
        The two parts; mutations change them in place.
    explicit, little, deflated
        How the dataset is written.
    """

    meta: bytearray
    body: bytearray
    explicit: bool = True
    little: bool = True
    deflated: bool = False
    meta_elements: list[Element] = field(default_factory=list)
    body_elements: list[Element] = field(default_factory=list)

    def whole(self) -> bytes:
        """Return the file."""
        if not self.deflated:
            return bytes(self.meta + self.body)
        deflate = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        return bytes(self.meta) + deflate.compress(bytes(self.body)) + deflate.flush()

    def order(self) -> str:
        """Return the byte order of the dataset as `struct` writes it."""
        return "<" if self.little else ">"


def take_apart(data: bytes) -> Parts:
    """Take a whole file apart that is as it should be."""
    (length,) = struct.unpack_from("<I", data, START + 8)
    split = START + 12 + length
    meta = bytearray(data[:split])
    meta_elements = walk(meta, START, split, explicit=True, order="<")
    place = next(element for element in meta_elements if element.tag == TRANSFER_SYNTAX)
    syntax = bytes(meta[place.value_at : place.end]).rstrip(b"\x00").decode("ascii")
    deflated = syntax == DeflatedExplicitVRLittleEndian
    body = bytearray(zlib.decompress(data[split:], -zlib.MAX_WBITS) if deflated else data[split:])
    parts = Parts(meta, body, syntax != ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian, deflated)
    parts.meta_elements = meta_elements
    parts.body_elements = walk(body, 0, len(body), parts.explicit, parts.order())
    return parts


def walk(
    data: bytes | bytearray, start: int, end: int, explicit: bool, order: str, fragments: bool = False
) -> list[Element]:
    """List elements, items and delimiters between two places, those within sequences included, in the file's order.

    Sequences of defined length in a file without value representations are not entered: nothing there tells them
    from other values. With `fragments`, items hold compressed pixels and are not entered either.
    """
    found: list[Element] = []
    at = start
    while at + 8 <= end:
        tag, type_at, length_at, size = _head(data, at, explicit, order)
        (length,) = struct.unpack_from(f"{order}{'H' if size == 2 else 'I'}", data, length_at)
        value_at = length_at + size
        stop = end if length == UNDEFINED else min(value_at + length, end)
        sequence = type_at is not None and bytes(data[type_at : type_at + 2]) == b"SQ"
        inner: list[Element] = []
        if length == UNDEFINED or sequence or (tag == ITEM and not fragments):
            inner = walk(data, value_at, stop, explicit, order, fragments=tag == PIXEL_DATA)
        if length == UNDEFINED and inner:
            stop = inner[-1].end
        found += [Element(tag, at, stop, type_at, length_at, size, value_at), *inner]
        at = stop
        if tag in (SEQUENCE_END, ITEM_END):
            break
    return found


def _head(data: bytes | bytearray, at: int, explicit: bool, order: str) -> tuple[tuple[int, int], int | None, int, int]:
    """Return tag, place of the type, place of the length and its size."""
    group, number = struct.unpack_from(f"{order}HH", data, at)
    if not explicit or group == ITEM[0]:
        return (group, number), None, at + 4, 4
    long = bytes(data[at + 4 : at + 6]) in LONG_LENGTH
    return (group, number), at + 4, at + 8 if long else at + 6, 4 if long else 2
