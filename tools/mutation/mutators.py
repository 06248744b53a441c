"""Ways to damage a DICOM file: lengths, types, values, nesting, pixels, bytes.

Each function takes the random numbers and a file taken apart, and changes it in place. Values are those at which
programs go wrong: bounds of the integer types, numbers that are none, text that is no number, lengths that point beyond
the file or into the middle of an element.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from random import Random

from tools.mutation.structure import ITEM, ITEM_END, PIXEL_DATA, SEQUENCE_END, UNDEFINED, Element, Parts

Mutator = Callable[[Random, Parts], None]

LENGTHS = (0, 1, 2, 3, 7, 8, 255, 32767, 65534, 65535, 2**24, 2**31 - 1, 2**31, 2**32 - 2, UNDEFINED)
SHORTS = (0, 1, 2, 3, 7, 8, 9, 12, 15, 16, 17, 31, 32, 64, 255, 256, 1000, 16384, 32767, 32768, 65535)
TEXTS = (
    b"0", b"-1", b"1", b"3", b"1e999", b"-1e-999", b"nan", b"inf", b"0.0", b"1\\2\\3", b"\\\\\\", b"9" * 40, b"abc",
    b"", b"\xff\xfe\x00\x01", b"MONOCHROME1", b"RGB", b"PALETTE COLOR", b"YBR_FULL_422", b"0.5\\nan", b"1e-300\\1e300",
    b"INVERSE", b"=\\^=" * 20, b"\x1b$B" * 9, b"x" * 5000,
)  # fmt: skip
TYPES: tuple[bytes, ...] = (
    b"AE",
    b"AS",
    b"AT",
    b"CS",
    b"DA",
    b"DS",
    b"DT",
    b"FD",
    b"FL",
    b"IS",
    b"LO",
    b"LT",
    b"OB",
    b"OD",
    b"OF",
    b"OL",
)
TYPES += (b"OV", b"OW", b"PN", b"SH", b"SL", b"SQ", b"SS", b"ST", b"SV", b"TM", b"UC", b"UI", b"UL", b"UN", b"UR")
TYPES += (b"US", b"UT", b"UV", b"??", b"\x00\x00", b"sq")
SYNTAXES = tuple(
    f"1.2.840.10008.1.2{suffix}".encode()
    for suffix in ("", ".1", ".2", ".1.99", ".5", ".4.50", ".4.51", ".4.57", ".4.70", ".4.80", ".4.81", ".4.90",
                   ".4.91", ".4.92", ".4.100", ".4.102", ".4.106", ".4.201", ".4.202", ".7.1", ".9999")
)  # fmt: skip
TRANSFER_SYNTAX = b"\x02\x00\x10\x00UI"
IMAGE_GROUP = 0x0028
DEPTHS = (1, 3, 20, 100, 900, 3000)
BOMB_BYTES = 2**26


def _element(random: Random, parts: Parts) -> tuple[bytearray, Element, str]:
    """Choose an element, with its part and byte order; the image's own group is chosen more often."""
    if random.random() < 0.08:
        return parts.meta, random.choice(parts.meta_elements), "<"
    elements = parts.body_elements
    image = [element for element in elements if element.tag[0] == IMAGE_GROUP]
    return parts.body, random.choice(image if image and random.random() < 0.5 else elements), parts.order()


def _pixels(parts: Parts) -> Element:
    return next(element for element in parts.body_elements if element.tag == PIXEL_DATA)


def _nasty(random: Random, length: int, order: str) -> bytes:
    """Return a value of about this length at which programs go wrong."""
    kind = random.randrange(4)
    if kind == 0:
        count = max(1, min(length // 2, 8))
        return b"".join(struct.pack(f"{order}H", random.choice(SHORTS)) for _ in range(count))
    if kind == 1:
        return random.choice(TEXTS)
    if kind == 2:
        return random.choice((b"\x00", b"\xff", b"\x80", b" ")) * min(length, 4096)
    return random.randbytes(min(length, 4096))


def _write_length(part: bytearray, element: Element, order: str, length: int) -> None:
    # Places are those of the whole file; where an earlier mutation moved the bytes, others are overwritten.
    short = element.length_size == 2
    written = struct.pack(f"{order}H", length & 0xFFFF) if short else struct.pack(f"{order}I", length)
    part[element.length_at : element.length_at + len(written)] = written


def set_length(random: Random, parts: Parts) -> None:
    """Give an element, an item or a sequence another length."""
    part, element, order = _element(random, parts)
    near = element.end - element.value_at + random.randint(-9, 9)
    length = random.choice(LENGTHS) if random.random() < 0.7 else max(0, near)
    _write_length(part, element, order, length)


def set_value(random: Random, parts: Parts) -> None:
    """Overwrite a value in its place."""
    part, element, order = _element(random, parts)
    length = element.end - element.value_at
    value = _nasty(random, length, order)[:length]
    part[element.value_at : element.value_at + len(value)] = value


def replace_value(random: Random, parts: Parts) -> None:
    """Put a value of another size in, with the length that fits it."""
    part, element, order = _element(random, parts)
    value = _nasty(random, random.choice((0, 1, 2, 4, 6, 64)), order)
    _write_length(part, element, order, len(value))
    part[element.value_at : element.end] = value


def set_type(random: Random, parts: Parts) -> None:
    """Change a value representation, or the tag where there is none."""
    part, element, _ = _element(random, parts)
    if element.type_at is None:
        part[element.start : element.start + 4] = random.randbytes(4)
    else:
        part[element.type_at : element.type_at + 2] = random.choice(TYPES)


def set_tag(random: Random, parts: Parts) -> None:
    """Give an element the tag of another, or one that nobody knows."""
    part, element, order = _element(random, parts)
    known = random.choice(parts.body_elements).tag
    group, number = known if random.random() < 0.7 else (random.randrange(2**16), random.randrange(2**16))
    part[element.start : element.start + 4] = struct.pack(f"{order}HH", group, number)


def remove_element(random: Random, parts: Parts) -> None:
    """Leave an element, an item or a delimiter out; what holds it keeps its length."""
    part, element, _ = _element(random, parts)
    del part[element.start : element.end]


def repeat_element(random: Random, parts: Parts) -> None:
    """Write an element several times, there or elsewhere."""
    part, element, _ = _element(random, parts)
    copy = bytes(part[element.start : element.end])[:65536]
    place = element.end if random.random() < 0.5 else _element(random, parts)[1].start
    part[place:place] = copy * random.choice((1, 2, 50))


def nest(random: Random, parts: Parts) -> None:
    """Put sequences within sequences before an element, whole or without their ends."""
    order = parts.order()
    depth = random.choice(DEPTHS)
    opening = struct.pack(f"{order}HH", 0x0008, 0x1140)
    opening += (b"SQ\x00\x00" if parts.explicit else b"") + struct.pack(f"{order}I", UNDEFINED)
    opening += struct.pack(f"{order}HHI", *ITEM, UNDEFINED)
    closing = struct.pack(f"{order}HHIHHI", *ITEM_END, 0, *SEQUENCE_END, 0)
    closed = depth if random.random() < 0.6 else random.randrange(depth + 1)
    place = random.choice(parts.body_elements).start
    parts.body[place:place] = opening * depth + closing * closed


def declare_syntax(random: Random, parts: Parts) -> None:
    """Say that the file is written in another transfer syntax than it is."""
    place = parts.meta.find(TRANSFER_SYNTAX)
    if place < 0:
        return
    length = int.from_bytes(parts.meta[place + 6 : place + 8], "little")
    name = random.choice(SYNTAXES)
    name += b"\x00" * (len(name) % 2)
    parts.meta[place + 6 : place + 8 + length] = struct.pack("<H", len(name)) + name


def damage_pixels(random: Random, parts: Parts) -> None:
    """Change bytes of the pixel data, mostly at its beginning, where a decoder reads sizes."""
    element = _pixels(parts)
    end = min(element.end, len(parts.body))
    if end <= element.value_at:
        return
    reach = random.choice((32, 128, end - element.value_at))
    for _ in range(random.choice((1, 2, 8, 64))):
        place = min(element.value_at + random.randrange(max(1, reach)), end - 1)
        parts.body[place] = random.choice((0, 1, 127, 128, 255, random.randrange(256)))


def cut_pixels(random: Random, parts: Parts) -> None:
    """Take bytes out of the pixel data, or put some in; its length stays as written."""
    element = _pixels(parts)
    place = random.randint(element.value_at, max(element.value_at, min(element.end, len(parts.body))))
    if random.random() < 0.6:
        del parts.body[place : place + random.choice((1, 2, 100, 2**20))]
    else:
        parts.body[place:place] = random.randbytes(random.choice((1, 2, 100, 4096)))


def damage_bytes(random: Random, parts: Parts) -> None:
    """Change bytes anywhere in the dataset or the file meta information."""
    part = parts.meta if random.random() < 0.25 else parts.body
    reach = min(len(part), random.choice((300, 1500, 2**20)))
    for _ in range(random.choice((1, 1, 2, 4, 16, 100))):
        if reach:
            part[random.randrange(reach)] = random.choice((0, 255, 128, random.randrange(256)))


def move_bytes(random: Random, parts: Parts) -> None:
    """Take a stretch of the file out, write it twice, put it elsewhere, or blank it."""
    part = parts.meta if random.random() < 0.15 else parts.body
    if not part:
        return
    start = random.randrange(len(part))
    stretch = bytes(part[start : start + random.choice((1, 2, 4, 8, 40, 1000))])
    kind = random.randrange(4)
    if kind == 0:
        part[start : start + len(stretch)] = bytes(len(stretch))
    elif kind == 1:
        part[start:start] = stretch
    else:
        del part[start : start + len(stretch)]
        if kind == 2:
            place = random.randrange(len(part) + 1)
            part[place:place] = stretch


def truncate(random: Random, parts: Parts) -> None:
    """End the file early, anywhere; often close to its beginning, where the elements are dense."""
    reach = random.choice((len(parts.body), min(len(parts.body), 1200)))
    del parts.body[random.randrange(reach + 1) :]


def append(random: Random, parts: Parts) -> None:
    """Write something after the end."""
    parts.body += random.choice((bytes(1), bytes(4096), random.randbytes(50), b"\xfc\xff\xfc\xff" + bytes(8)))


def damage_meta(random: Random, parts: Parts) -> None:
    """Damage the preamble, the signature or the file meta information's length; or leave it out."""
    kind = random.randrange(4)
    if kind == 0:
        del parts.meta[: random.choice((1, 128, 132, len(parts.meta)))]
    elif kind == 1 and len(parts.meta) > 144:
        parts.meta[140:144] = struct.pack("<I", random.choice(LENGTHS))
    elif kind == 2:
        parts.meta[128:132] = random.choice((b"dicm", b"\x89PNG", b"II*\x00", bytes(4)))
    else:
        parts.meta[0:8] = random.choice(
            (b"\x89PNG\r\n\x1a\n", b"II*\x00\x08\x00\x00\x00", b"\xff\xd8\xff\xe0\x00\x10JF")
        )


def bomb(random: Random, parts: Parts) -> None:
    """Make the dataset of a deflated file inflate to far more than its size; elsewhere, only longer."""
    length = BOMB_BYTES if parts.deflated else 2**16
    place = random.choice(parts.body_elements).start
    parts.body[place:place] = bytes(length)


WEIGHTS: dict[Mutator, float] = {
    set_length: 12,
    set_value: 16,
    replace_value: 8,
    set_type: 6,
    set_tag: 3,
    remove_element: 6,
    repeat_element: 4,
    nest: 4,
    declare_syntax: 5,
    damage_pixels: 10,
    cut_pixels: 5,
    damage_bytes: 9,
    move_bytes: 5,
    truncate: 4,
    append: 1,
    damage_meta: 3,
    bomb: 0.4,
}
