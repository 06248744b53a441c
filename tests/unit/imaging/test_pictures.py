"""Pictures of every form: decoded as an independent decoder decodes them, or refused with a reason."""

from __future__ import annotations

import io
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from mammoflow.errors import ExcludedCase
from mammoflow.formats.picture_headers import read_picture_header
from mammoflow.imaging.film import read_film
from mammoflow.imaging.pictures import decode_picture, read_picture, stored_values
from mammoflow.imaging.roi_mask import read_roi_mask
from mammoflow.reasons.files import FileReason

RANDOM = np.random.default_rng(5)
GREY8 = RANDOM.integers(0, 256, (20, 30)).astype(np.uint8)
GREY16 = RANDOM.integers(0, 65536, (20, 30)).astype(np.uint16)
MASK = GREY8 > 128
GREYS = {8: GREY8, 16: GREY16}


def reason_of(path: Path) -> FileReason:
    with pytest.raises(ExcludedCase) as problem:
        read_film(path)
    assert path.name in problem.value.detail
    return problem.value.reason


def with_orientation(path: Path, pixels: np.ndarray, orientation: int) -> Path:
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels, photometric="minisblack", extratags=[(274, 3, 1, orientation, False)])
        return path
    exif = Image.Exif()
    exif[274] = orientation
    options = {"quality": 100} if path.suffix == ".jpg" else {}
    Image.fromarray(pixels).save(path, exif=exif, **options)
    return path


@pytest.mark.parametrize("suffix", [b".png", b".jpg", b".tif"])
def test_a_file_name_may_be_no_utf_8(tmp_path: Path, suffix: bytes) -> None:
    path = tmp_path / os.fsdecode(b"M\xfcller" + suffix)
    pixels = GREY8 if suffix == b".jpg" else GREY16
    copy = tmp_path / f"copy{path.suffix}"
    Image.fromarray(pixels).save(copy)
    shutil.copyfile(copy, path)
    np.testing.assert_array_equal(read_picture(path), read_picture(copy))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("name", "bits"), [("a.jpg", 8), ("a.png", 8), ("a.png", 16), ("a.tif", 8), ("a.tif", 16)])
def test_films_and_masks_are_turned_as_the_file_says(tmp_path: Path, name: str, bits: int, orientation: int) -> None:
    path = with_orientation(tmp_path / name, GREYS[bits], orientation)
    # Pillow turns PNG and JPEG rightly, and a raw TIFF wrongly.
    reference = with_orientation(tmp_path / "reference.png", GREYS[bits], orientation) if name == "a.tif" else path
    with Image.open(reference) as image:
        upright = np.asarray(ImageOps.exif_transpose(image)).astype(np.uint16)
    film = read_film(path)
    np.testing.assert_array_equal(film.pixels, upright * (257 if bits == 8 else 1))
    assert film.turned == (orientation != 1)
    assert read_picture_header(path).shape == upright.shape
    mask = read_roi_mask(with_orientation(tmp_path / f"m_{name}", MASK.astype(np.uint8) * 255, orientation))
    assert mask.shape == upright.shape


@pytest.mark.parametrize("orientation", [0, 9, 300])
def test_an_orientation_that_does_not_exist_counts_as_none(tmp_path: Path, orientation: int) -> None:
    film = read_film(with_orientation(tmp_path / "a.tif", GREY16, orientation))
    np.testing.assert_array_equal(film.pixels, GREY16)
    assert not film.turned


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"bigtiff": True}, {"bigtiff": True, "byteorder": ">"}])
def test_tiff_of_every_byte_order(tmp_path: Path, bits: int, photometric: str, options: dict[str, object]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREYS[bits], photometric=photometric, **options)
    levels = GREYS[bits].astype(np.uint16) * (257 if bits == 8 else 1)
    expected = 65535 - levels if photometric == "miniswhite" else levels
    np.testing.assert_array_equal(read_film(tmp_path / "a.tif").pixels, expected)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("opacity", [False, True])
def test_grey_tiff_of_several_channels(tmp_path: Path, bits: int, planes: str, opacity: bool) -> None:
    grey = GREYS[bits]
    channels = [grey, grey, grey, *([255 - GREY8 if bits == 8 else 65535 - GREY16] if opacity else [])]
    stacked = np.stack(channels, axis=0 if planes == "separate" else -1)
    extra = {"extrasamples": ["unassalpha"]} if opacity else {}
    tifffile.imwrite(tmp_path / "a.tif", stacked, photometric="rgb", planarconfig=planes, **extra)
    np.testing.assert_array_equal(
        read_film(tmp_path / "a.tif").pixels, grey.astype(np.uint16) * (257 if bits == 8 else 1)
    )


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_tiff_with_opacity(tmp_path: Path, bits: int) -> None:
    stacked = np.stack([GREYS[bits], GREYS[bits] // 2 + 1], axis=-1)
    tifffile.imwrite(tmp_path / "a.tif", stacked, photometric="minisblack", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(
        read_film(tmp_path / "a.tif").pixels, GREYS[bits].astype(np.uint16) * (257 if bits == 8 else 1)
    )


def packed_rows(bits: int, values: np.ndarray) -> list[bytes]:
    texts = ["".join(format(int(value), f"0{bits}b") for value in row) for row in values]
    return [int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big") for text in texts]


def packed_tiff(path: Path, bits: int, values: np.ndarray) -> Path:
    """A TIFF whose values are packed without gaps, as tifffile writes only with a further package."""
    rows = b"".join(packed_rows(bits, values))
    rows += b"\0" * (len(rows) % 2)
    height, width = values.shape
    tags = [(256, 3, width), (257, 3, height), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    tags += [(278, 4, height), (279, 4, len(rows))]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    path.write_bytes(
        b"II*\0" + struct.pack("<I", 8 + len(rows)) + rows + struct.pack("<H", len(tags)) + entries + bytes(4)
    )
    return path


@pytest.mark.parametrize("bits", [1, 2, 4, 10, 12, 14])
def test_tiff_of_few_bits_fills_the_range(tmp_path: Path, bits: int) -> None:
    values = RANDOM.integers(0, 2**bits, (8, 24))
    film = read_film(packed_tiff(tmp_path / "a.tif", bits, values))
    np.testing.assert_array_equal(film.pixels, np.rint(values * (65535 / (2**bits - 1))))


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate", "lzma", "zstd"])
def test_compressed_tiff(tmp_path: Path, compression: str) -> None:
    Image.fromarray(GREY8).save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif"), GREY8)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_grey_palettes(tmp_path: Path, bits: int) -> None:
    indices = (GREY8 >> (8 - bits)).astype(np.uint8)
    picture = Image.fromarray(indices, "P")
    picture.putpalette([level * 255 // (2**bits - 1) for level in range(2**bits) for _ in range(3)])
    picture.save(tmp_path / "a.png", bits=bits)
    with Image.open(tmp_path / "a.png") as image:
        expected = np.asarray(image.convert("L")).astype(np.uint16) * 257
    np.testing.assert_array_equal(read_film(tmp_path / "a.png").pixels, expected)


@pytest.mark.parametrize(
    ("number", "words"), [("i2", "signed"), ("f4", "floating point"), ("u4", "32 bit"), ("f2", "16")]
)
def test_numbers_that_are_no_grey_levels_are_refused(tmp_path: Path, number: str, words: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY8.astype(number), photometric="minisblack")
    with pytest.raises(ExcludedCase, match=words) as problem:
        read_film(tmp_path / "a.tif")
    assert problem.value.reason == FileReason.UNREADABLE


def test_colours_of_a_print_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([GREY8] * 4), "CMYK").save(tmp_path / "a.jpg")
    assert reason_of(tmp_path / "a.jpg") == FileReason.NOT_GREY
    Image.fromarray(np.dstack([GREY8] * 4), "CMYK").save(tmp_path / "a.tif")
    assert reason_of(tmp_path / "a.tif") == FileReason.NOT_GREY


def test_a_stack_in_one_directory_has_several_frames(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([GREY8] * 3), imagej=True)
    assert reason_of(tmp_path / "a.tif") == FileReason.MULTI_FRAME
    frames = [Image.fromarray(GREY8), Image.fromarray(255 - GREY8)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    assert reason_of(tmp_path / "a.png") == FileReason.MULTI_FRAME


def test_a_cut_jpeg_with_a_preview_is_truncated(tmp_path: Path) -> None:
    """The end marker of the preview must not pass for the end of the picture."""
    preview, whole = io.BytesIO(), io.BytesIO()
    Image.fromarray(GREY8).save(preview, "JPEG")
    Image.fromarray(np.tile(GREY8, (8, 8))).save(whole, "JPEG", quality=95)
    segment = b"\xff\xe1" + struct.pack(">H", len(preview.getvalue()) + 2) + preview.getvalue()
    content = whole.getvalue()[:2] + segment + whole.getvalue()[2:]
    for added in (b"", b"\0\0", b"trailer of a camera"):
        (tmp_path / "a.jpg").write_bytes(content + added)
        assert read_film(tmp_path / "a.jpg").pixels.shape == (160, 240)
    for share in (0.5, 0.9, 0.99):
        (tmp_path / "a.jpg").write_bytes(content[: int(share * len(content))])
        assert reason_of(tmp_path / "a.jpg") == FileReason.TRUNCATED


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_a_cut_tiff_is_truncated(tmp_path: Path, compression: str | None) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY16, photometric="minisblack", compression=compression)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[:-5])
    assert reason_of(tmp_path / "a.tif") == FileReason.TRUNCATED


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_tiff_with_opacity_is_turned_too(tmp_path: Path, orientation: int, compression: str) -> None:
    lesion = np.zeros((20, 30), dtype=np.uint8)
    lesion[2:5, 3:9] = 255
    picture = Image.fromarray(np.dstack([lesion, lesion]), "LA")
    picture.save(tmp_path / "m.tif", compression=compression, tiffinfo={274: orientation})
    expected = lesion[::-1, ::-1] if orientation == 3 else np.rot90(lesion, -1)
    np.testing.assert_array_equal(read_roi_mask(tmp_path / "m.tif"), expected > 0)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_stored_values_are_labels_and_not_levels(tmp_path: Path, name: str, orientation: int) -> None:
    labels = (GREY8 % 3).astype(np.uint8)
    upright = np.rot90(labels, -1) if orientation == 6 else labels
    exif = Image.Exif()
    exif[274] = orientation
    options = {"tiffinfo": {274: orientation}} if name == "a.tif" else {"exif": exif}
    picture = Image.fromarray(labels, "P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    picture.save(tmp_path / name, **options)
    np.testing.assert_array_equal(stored_values(tmp_path / name), upright)
    np.testing.assert_array_equal(decode_picture(tmp_path / name).pixels[..., 0] == 255, upright == 1)
    Image.fromarray(labels).save(tmp_path / name, **options)
    np.testing.assert_array_equal(stored_values(tmp_path / name), upright)
    Image.fromarray(labels == 1).save(tmp_path / name, **options)
    np.testing.assert_array_equal(stored_values(tmp_path / name), upright == 1)


@pytest.mark.parametrize("pixels", [GREY8, GREY16, MASK], ids=["8", "16", "1"])
def test_stored_values_where_white_is_zero(tmp_path: Path, pixels: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite")
    np.testing.assert_array_equal(stored_values(tmp_path / "a.tif"), pixels)


def few_bit_png(path: Path, bits: int, values: np.ndarray) -> Path:
    """A grey PNG of few bits, as Pillow does not write it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)
    rows = b"".join(b"\0" + row for row in packed_rows(bits, values))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    return path


@pytest.mark.parametrize(
    ("write", "bits"), [(few_bit_png, 2), (few_bit_png, 4), *((packed_tiff, bits) for bits in (2, 4, 10, 12, 14))]
)
def test_stored_values_of_few_bits_are_those_of_the_file(tmp_path: Path, write: Callable, bits: int) -> None:
    every = np.resize(np.arange(2**bits), (8, 2**bits // 8 if bits > 4 else 24))
    path = write(tmp_path / "a.file", bits, every)
    np.testing.assert_array_equal(stored_values(path), every)
    assert read_film(path).pixels.max() == 65535
    labels = np.zeros((40, 30), dtype=int)
    labels[5:15, 5:15], labels[25:35, 5:15] = 1, 2
    path = write(tmp_path / "m.file", bits, labels)
    with pytest.raises(ExcludedCase, match="the 3 levels 0, 1, 2"):
        read_roi_mask(path)
    np.testing.assert_array_equal(read_roi_mask(path, "2"), labels == 2)
    np.testing.assert_array_equal(read_roi_mask(path, ">1"), labels > 1)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_red_comes_first(tmp_path: Path, name: str) -> None:
    colours = RANDOM.integers(0, 256, (20, 30, 3)).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / name)
    np.testing.assert_array_equal(read_picture(tmp_path / name), colours)
    opaque = np.dstack([colours, GREY8])
    Image.fromarray(opaque).save(tmp_path / name)
    np.testing.assert_array_equal(read_picture(tmp_path / name), opaque)
