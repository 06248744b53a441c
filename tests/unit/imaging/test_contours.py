"""Contours filled with known answers, and against a fill of its own; files of contours, whole and broken."""

from __future__ import annotations

import plistlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mammoflow.errors import ExcludedCase
from mammoflow.formats.contour_files import LARGEST_BYTES, Contour, choose_contours, is_contour_file, read_contours
from mammoflow.imaging.contours import draw_contours, fill_contour
from mammoflow.imaging.lesion import FilmGrid, read_reference
from mammoflow.reasons.files import FileReason
from mammoflow.reasons.lesions import LesionReason
from mammoflow.storage.files import write_mask

SQUARE = [(10.0, 20.0), (10.0, 30.0), (16.0, 30.0), (16.0, 20.0)]


def filled(points: Any, shape: tuple[int, int] = (60, 80)) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    fill_contour(mask, np.asarray(points, dtype=float).reshape(-1, 2))
    return mask


def crossings(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The even-odd rule by counting, for every pixel centre, the edges to its right."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    count = np.zeros(shape, dtype=int)
    for (y0, x0), (y1, x1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        crosses = (y0 <= y) != (y1 <= y)
        at = x0 + (y - y0) / (y1 - y0 if y1 != y0 else 1) * (x1 - x0)
        count += crosses & (at > x)
    return count % 2 == 1


def test_pixel_i_covers_i_to_i_plus_one() -> None:
    expected = np.zeros((60, 80), dtype=bool)
    expected[10:16, 20:30] = True
    np.testing.assert_array_equal(filled(SQUARE), expected)
    np.testing.assert_array_equal(filled(SQUARE[::-1]), expected)
    np.testing.assert_array_equal(filled(np.array(SQUARE) + 0.4), expected)
    np.testing.assert_array_equal(filled(np.array(SQUARE) + 0.6), np.roll(expected, (1, 1), (0, 1)))


@pytest.mark.parametrize("seed", range(8))
def test_even_odd_rule_of_polygons_that_cross_themselves_and_leave_the_image(seed: int) -> None:
    random = np.random.default_rng(seed)
    points = random.uniform((-25, -25), (85, 105), (3 + 2 * seed, 2))
    np.testing.assert_array_equal(filled(points), crossings(points, (60, 80)))


@pytest.mark.parametrize("seed", range(4))
def test_contours_that_share_a_side_share_no_pixel(seed: int) -> None:
    random = np.random.default_rng(seed)
    outline = np.array([(4.5, 6.5), (4.5, 60.5), (50.5, 60.5), (50.5, 6.5)])
    middle = np.rint(random.uniform((8, 10), (46, 56))) + 0.5  # corners on pixel centres, where rounding would show
    parts = [filled([first, second, middle]) for first, second in zip(outline, np.roll(outline, -1, 0), strict=True)]
    np.testing.assert_array_equal(np.sum(parts, axis=0), filled(outline).astype(int))


def test_area_of_a_smooth_contour() -> None:
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    points = np.stack([300 + 120 * np.sin(angle), 400 + 200 * np.cos(angle)], axis=1)
    area = Contour("Mass", points).area
    assert area == pytest.approx(np.pi * 120 * 200, rel=1e-3)
    assert filled(points, (600, 800)).sum() == pytest.approx(area, rel=2e-3)


def test_a_contour_that_leaves_the_image_is_cut_off() -> None:
    mask = filled([(-30.0, -5.0), (-30.0, 7.0), (12.0, 7.0), (12.0, -5.0)])
    assert mask.sum() == 12 * 7 == mask[:12, :7].sum()
    assert filled([(-500.0, -500.0), (-500.0, 900.0), (900.0, 900.0), (900.0, -500.0)]).all()
    assert not filled([(70.0, 1.0), (80.0, 1.0), (80.0, 9.0)]).any()


@pytest.mark.parametrize(
    ("points", "cells"),
    [
        ([(5.2, 7.9)], [(5, 7)]),
        ([(5.0, 7.0), (9.9, 3.0)], [(5, 7), (9, 3)]),
        ([(5.1, 7.1), (5.1, 7.3), (5.3, 7.2)], [(5, 7)]),
        ([(5.0, 7.0), (5.0, 9.0), (5.0, 8.0)], [(5, 7), (5, 8), (5, 9)]),
        ([(5.2, 80.0)], []),
        ([(-0.1, 3.0), (2.0, 2.0)], [(2, 2)]),
    ],
)
def test_points_and_slivers_set_the_pixels_that_they_lie_in(points: Any, cells: list[tuple[int, int]]) -> None:
    assert list(zip(*np.nonzero(filled(points)), strict=True)) == cells


def test_several_contours_are_united_and_scaled_to_the_film() -> None:
    far = Contour("Mass", np.array(SQUARE) + 20.0)
    mask = draw_contours([Contour("Mass", np.array(SQUARE)), far], (60, 80), (30, 80))
    assert mask.sum() == 2 * 3 * 10 == mask[5:8, 20:30].sum() + mask[15:18, 40:50].sum()


def test_nothing_to_draw_is_a_reason() -> None:
    outside = Contour("Mass", np.array(SQUARE) + 500)
    broken = Contour("Mass", np.empty((0, 2)), "there are no points")
    for contours, reason in (
        ([], FileReason.CONTOURS),
        ([outside], LesionReason.MASK_EMPTY),
        ([broken], FileReason.CONTOURS),
    ):
        with pytest.raises(ExcludedCase) as problem:
            draw_contours(contours, (60, 80), (60, 80))
        assert problem.value.reason == reason


def region(name: str, points: list[tuple[float, float]], **keys: Any) -> dict[str, Any]:
    texts = [f"({x:.6f}, {y:.6f})" for y, x in points]
    return {"Name": name, "NumberOfPoints": len(texts), "Point_px": texts, "Point_mm": []} | keys


def write_file(path: Path, regions: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(plistlib.dumps({"Images": [{"NumberOfROIs": len(regions), "ROIs": regions}]}))
    return path


def test_regions_of_a_file_in_order(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.xml", [region("Mass", SQUARE), region(" Cluster ", [(1.5, 2.5)])])
    assert is_contour_file(path)
    mass, cluster = read_contours(path)
    np.testing.assert_array_equal(mass.points, SQUARE)
    assert (mass.name, mass.area, mass.problem) == ("Mass", 60.0, "")
    assert (cluster.name, cluster.area) == ("Cluster", 0.0)
    assert [contour.name for contour in choose_contours([mass, cluster], "1, 0")] == ["Cluster", "Mass"]
    assert choose_contours([mass, cluster], None) == [mass, cluster]
    for item in ("2", "-1", "a", "0,", "9" * 5000, "١"):
        with pytest.raises(ExcludedCase) as problem:
            choose_contours([mass, cluster], item)
        assert problem.value.reason == FileReason.CONTOURS
        assert len(problem.value.detail) < 120


@pytest.mark.parametrize(
    "bad",
    [
        region("Mass", []),
        region("Mass", SQUARE, NumberOfPoints=9),
        region("Mass", SQUARE, Point_px="(1, 2)"),
        region("Mass", SQUARE, Point_px=["(1, 2)", "(1, 2, 3)"], NumberOfPoints=2),
        region("Mass", SQUARE, Point_px=["(nan, 2)"], NumberOfPoints=1),
        region("Mass", SQUARE, Point_px=["(1e99, 2)"], NumberOfPoints=1),
        region("Mass", SQUARE, Point_px=["(1e999, 2)"], NumberOfPoints=1),
        region("Mass", SQUARE, Point_px=[5], NumberOfPoints=1),
        "a text",
    ],
)
def test_a_broken_region_does_not_cost_the_others(tmp_path: Path, bad: Any) -> None:
    first, second = read_contours(write_file(tmp_path / "a.xml", [bad, region("Mass", SQUARE)]))
    assert first.problem
    assert len(first.points) == 0
    assert not second.problem


BOMB = (
    "<?xml version='1.0'?><!DOCTYPE plist [<!ENTITY a 'aaaaaaaaaa'>"
    + "".join(f"<!ENTITY {new} '{10 * f'&{old};'}'>" for old, new in zip("abcdefgh", "bcdefghi", strict=True))
    + "]><plist version='1.0'><dict><key>Images</key><string>&i;</string></dict></plist>"
)
OUTSIDE = (
    "<?xml version='1.0'?><!DOCTYPE plist [<!ENTITY a SYSTEM 'file:///etc/hostname'>]>"
    "<plist version='1.0'><dict><key>Images</key><string>&a;</string></dict></plist>"
)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<",
        b"not xml",
        b"bplist00\xd1\x01\x02",
        b"<plist><dict><key>Images</key></dict></plist>",
        b"<html/>",
        plistlib.dumps({}),
        plistlib.dumps([]),
        plistlib.dumps({"Images": [{}, {}]}),
        plistlib.dumps({"Images": ["x"]}),
        plistlib.dumps({"Images": [{"ROIs": {"a": 1}}]}),
        plistlib.dumps({"Images": [{"ROIs": [region("Mass", SQUARE)]}]})[:-40],
        b"<plist><integer>" + b"9" * 10**5 + b"</integer></plist>",
        b"<plist>" + b"<array>" * 10**5,
        b"\xff\xfe<\x00p\x00",
        BOMB.encode(),
        OUTSIDE.encode(),
    ],
)
def test_what_is_no_file_of_contours_is_a_reason(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(content)
    started = time.perf_counter()
    with pytest.raises(ExcludedCase) as problem:
        read_contours(path)
    assert problem.value.reason == FileReason.CONTOURS
    assert time.perf_counter() - started < 5


def test_damaged_bytes_are_a_reason_and_never_a_crash(tmp_path: Path) -> None:
    whole = write_file(tmp_path / "a.xml", [region("Mass", SQUARE), region("Cluster", [(1.5, 2.5)])]).read_bytes()
    random = np.random.default_rng(0)
    read = refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for place in random.integers(0, len(whole), random.integers(1, 6)):
            damaged[place] = random.integers(0, 256)
        (tmp_path / "b.xml").write_bytes(damaged[: random.integers(1, len(whole) + 200)])
        try:
            mask = draw_contours(read_contours(tmp_path / "b.xml"), (60, 80), (60, 80))
        except ExcludedCase as problem:
            refused += problem.reason in (FileReason.CONTOURS, LesionReason.MASK_EMPTY)
        else:
            read += bool(mask.any())
    assert read + refused == 300
    assert refused > 100


def test_too_large_and_missing_files(tmp_path: Path) -> None:
    with (tmp_path / "a.xml").open("wb") as file:
        file.truncate(LARGEST_BYTES + 1)
    for name, reason in (("a.xml", FileReason.CONTOURS), ("b.xml", FileReason.MISSING_FILE)):
        with pytest.raises(ExcludedCase) as problem:
            read_contours(tmp_path / name)
        assert problem.value.reason == reason
    with pytest.raises(ExcludedCase):
        is_contour_file(tmp_path / "b.xml")


GRID = FilmGrid(stored=(60, 80), film=(60, 80), canonical=(30, 40), spacing_mm=0.5)


def lesion(path: str, item: str | None = None) -> dict[str, Any]:
    return {"mask_path": path, "mask_item": item}


def test_reference_of_a_lesion_is_the_regions_that_it_names(tmp_path: Path) -> None:
    shifted = [(y + 30, x) for y, x in SQUARE]
    write_file(tmp_path / "a.xml", [region("Mass", SQUARE), region("Cluster", shifted)])
    assert read_reference(tmp_path, lesion("a.xml", "0"), GRID).box == (10, 20, 16, 30)
    assert read_reference(tmp_path, lesion("a.xml", "1"), GRID).box == (40, 20, 46, 30)
    assert read_reference(tmp_path, lesion("a.xml", "0,1"), GRID).box == (10, 20, 46, 30)
    assert read_reference(tmp_path, lesion("a.xml"), GRID).box == (10, 20, 46, 30)


def test_a_picture_has_no_regions_to_choose_from(tmp_path: Path) -> None:
    write_mask(tmp_path / "m.png", filled(SQUARE))
    assert read_reference(tmp_path, lesion("m.png"), GRID).box == (10, 20, 16, 30)
    with pytest.raises(ExcludedCase) as problem:
        read_reference(tmp_path, lesion("m.png", "0"), GRID)
    assert problem.value.reason == FileReason.CONTOURS
