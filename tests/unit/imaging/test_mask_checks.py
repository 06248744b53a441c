"""Masks and boxes in the wrong place or of the wrong extent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mammoflow.config.images import ImagesSettings
from mammoflow.errors import ExcludedCase
from mammoflow.imaging.lesion import FilmGrid, Reference, read_reference
from mammoflow.imaging.mask_checks import LESION_FLAGS, place_columns, share_in_breast
from mammoflow.reasons.files import FileReason
from mammoflow.reasons.lesions import LesionReason
from mammoflow.tables.images import CANONICAL_LESIONS

SHAPE = (200, 160)
GRID = FilmGrid(stored=SHAPE, film=SHAPE, canonical=(100, 80), spacing_mm=0.5)
BREAST = np.zeros((100, 80), dtype=bool)
BREAST[10:90, :40] = True
KEEP = ImagesSettings(scattered_masks="keep")


def mask_of(*boxes: tuple[int, int, int, int], shape: tuple[int, int] = SHAPE) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    for y0, x0, y1, x1 in boxes:
        mask[y0:y1, x0:x1] = True
    return mask


def read(folder: Path, mask: np.ndarray, settings: ImagesSettings | None = None, **row: Any) -> Reference:
    cv2.imwrite(str(folder / "m.png"), mask.astype(np.uint8) * 255)
    return read_reference(folder, {"mask_path": "m.png"} | row, GRID, settings)


def reason_of(folder: Path, mask: np.ndarray, settings: ImagesSettings | None = None) -> tuple[Any, str]:
    with pytest.raises(ExcludedCase) as problem:
        read(folder, mask, settings)
    return problem.value.reason, problem.value.detail


LESION = mask_of((60, 20, 90, 50))


def test_a_mask_of_the_background_is_refused(tmp_path: Path) -> None:
    large = mask_of((10, 10, 190, 150))  # 79 % of the film; its background touches the whole rim
    for mask in (~LESION, ~large, ~mask_of((0, 0, 100, 80))):
        reason, detail = reason_of(tmp_path, mask)
        assert reason == LesionReason.MASK_COVERS
        assert "inverted" in detail
    assert reason_of(tmp_path, ~large, ImagesSettings(breast_region="whole"))[0] == LesionReason.MASK_COVERS
    everything = ImagesSettings(largest_mask_share=1.0)
    assert read(tmp_path, ~LESION, everything).mask is not None


def test_a_mask_that_covers_too_much_is_refused(tmp_path: Path) -> None:
    large = mask_of((10, 10, 190, 150))
    reason, detail = reason_of(tmp_path, large)
    assert reason == LesionReason.MASK_COVERS
    assert "78.8%" in detail
    assert "largest_mask_share" in detail
    assert read(tmp_path, large, ImagesSettings(breast_region="whole")).box == (10, 10, 190, 150)
    assert read(tmp_path, large, ImagesSettings(largest_mask_share=0.8)).box == (10, 10, 190, 150)
    assert reason_of(tmp_path, LESION, ImagesSettings(largest_mask_share=0.02))[0] == LesionReason.MASK_COVERS


@pytest.mark.parametrize(("count", "side"), [(3, 1), (40, 3), (6, 8)])
def test_specks_all_over_the_film_are_noise(tmp_path: Path, count: int, side: int) -> None:
    places = np.random.default_rng(count).integers(0, 140, (count, 2)) + 5
    corners = [(5, 5), (185, 145), *map(tuple, places)][: max(count, 3)]
    noise = mask_of(*[(y, x, y + side, x + side) for y, x in corners])
    assert reason_of(tmp_path, noise)[0] == LesionReason.MASK_SCATTERED
    kept = read(tmp_path, noise, KEEP)
    assert kept.flags["flag_mask_scattered"]


def test_a_cluster_and_a_lesion_of_two_parts_are_lesions(tmp_path: Path) -> None:
    cluster = mask_of(*[(y, x, y + 2, x + 2) for y in range(60, 90, 6) for x in range(20, 50, 6)])
    assert read(tmp_path, cluster).mask.sum() == 4 * 25
    two = read(tmp_path, mask_of((60, 20, 80, 40), (84, 20, 100, 40)))
    assert not two.flags["flag_mask_scattered"]
    stray = read(tmp_path, LESION | mask_of((195, 155, 196, 156)))
    assert stray.flags["flag_mask_scattered"]  # a speck in the corner makes the box of the lesion useless


def test_one_pixel_is_kept_and_flagged(tmp_path: Path) -> None:
    one = read(tmp_path, mask_of((60, 20, 61, 21)))
    assert one.flags["flag_mask_tiny"]
    assert one.box == (60, 20, 61, 21)
    assert not read(tmp_path, mask_of((60, 20, 62, 22))).flags["flag_mask_tiny"]


def test_a_mask_of_another_size_is_flagged(tmp_path: Path) -> None:
    assert read(tmp_path, LESION[::2, ::2]).flags["flag_mask_rescaled"]
    assert not read(tmp_path, LESION).flags["flag_mask_rescaled"]


def test_a_stated_value_of_the_row_goes_before_that_of_the_settings(tmp_path: Path) -> None:
    labels = LESION + 2 * mask_of((150, 100, 170, 120)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "m.png"), labels)
    row = {"mask_path": "m.png", "mask_value": "2"}
    second = ImagesSettings(mask_value=1)
    assert read_reference(tmp_path, row, GRID, second).box == (150, 100, 170, 120)
    assert read_reference(tmp_path, {"mask_path": "m.png", "mask_value": None}, GRID, second).box == (60, 20, 90, 50)


def box_row(*box: float) -> dict[str, Any]:
    return {"mask_path": None} | dict(zip(("box_y0", "box_x0", "box_y1", "box_x1"), box, strict=True))


def test_boxes_beyond_the_film_are_clipped_and_flagged(tmp_path: Path) -> None:
    clipped = read_reference(tmp_path, box_row(-20, 10, 60, 50), GRID)
    assert clipped.box == (0, 10, 60, 50)
    assert clipped.flags == {"flag_box_clipped": True}
    assert read_reference(tmp_path, box_row(100, 100, 200.4, 160), GRID).flags == {"flag_box_clipped": False}
    for box in ((-500, -500, 5000, 5000), (0, 0, 200, 160)):
        with pytest.raises(ExcludedCase) as problem:
            read_reference(tmp_path, box_row(*box), GRID)
        assert problem.value.reason == LesionReason.MASK_COVERS


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((0.2, 0.3, 0.4, 0.5), "normalised"),
        ((0, 0, 1, 1), "normalised"),
        ((10, 20, 10.5, 40), "one pixel"),
        ((40, 20, 10, 60), "swapped"),
        ((100, 80, 30, 20), "height and width"),
        ((210, 10, 240, 30), "no pixel"),
        ((-50, -50, -10, -10), "no pixel"),
    ],
)
def test_what_is_no_box_in_pixels_is_refused(tmp_path: Path, box: tuple[float, ...], words: str) -> None:
    with pytest.raises(ExcludedCase) as problem:
        read_reference(tmp_path, box_row(*box), GRID)
    assert problem.value.reason == LesionReason.BOX_INVALID
    assert words in problem.value.detail


def test_a_box_of_the_table_that_is_elsewhere_than_the_mask_is_flagged(tmp_path: Path) -> None:
    def differs(*box: float) -> bool:
        return read(tmp_path, LESION, **box_row(*box) | {"mask_path": "m.png"}).flags["flag_box_differs"]

    assert not differs(61, 20, 89, 52)
    assert differs(60, 110, 90, 140)  # mirrored
    assert differs(20, 60, 50, 90)  # x and y exchanged
    assert differs(0.3, 0.125, 0.45, 0.3125)  # normalised
    assert differs(90, 50, 60, 20)  # corners exchanged
    assert not differs(*[float("nan")] * 4)


CONTOUR = """<?xml version="1.0" encoding="UTF-8"?><plist version="1.0"><dict><key>Images</key><array><dict>
<key>ROIs</key><array><dict><key>Name</key><string>Mass</string><key>Point_px</key><array>{}</array></dict></array>
</dict></array></dict></plist>"""


def contour(folder: Path, *points: tuple[float, float]) -> Reference:
    texts = "".join(f"<string>({x}, {y})</string>" for x, y in points)
    (folder / "c.xml").write_text(CONTOUR.format(texts))
    return read_reference(folder, {"mask_path": "c.xml"}, GRID)


def test_contours_are_doubted_as_boxes_are(tmp_path: Path) -> None:
    with pytest.raises(ExcludedCase) as problem:
        contour(tmp_path, (0.2, 0.2), (0.4, 0.2), (0.4, 0.6))
    assert problem.value.reason == FileReason.CONTOURS
    assert "normalised" in problem.value.detail
    assert contour(tmp_path, (-20, 50), (30, 50), (30, 90), (-20, 90)).flags["flag_box_clipped"]
    assert not contour(tmp_path, (10, 50), (30, 50), (30, 90), (10, 90)).flags["flag_box_clipped"]
    with pytest.raises(ExcludedCase) as problem:
        contour(tmp_path, (0, 0), (160, 0), (160, 190), (0, 190))
    assert problem.value.reason == LesionReason.MASK_COVERS


def test_shares_in_the_breast_region() -> None:
    inside, half = mask_of((40, 10, 60, 30), shape=(100, 80)), mask_of((40, 30, 60, 50), shape=(100, 80))
    assert share_in_breast(inside, (40, 10, 60, 30), BREAST) == 1
    assert share_in_breast(half, (40, 30, 60, 50), BREAST) == 0.5
    assert share_in_breast(None, (40, 30, 60, 50), BREAST) == 0.5
    assert share_in_breast(None, (99.5, 79.2, 99.9, 79.9), BREAST) == 0


@pytest.mark.parametrize("kind", ["mask", "box"])
def test_a_lesion_outside_the_breast_is_flagged_and_a_mirrored_one_named(kind: str) -> None:
    def flags(*box: int) -> dict[str, Any]:
        return place_columns(mask_of(box, shape=(100, 80)) if kind == "mask" else None, box, BREAST)

    mirrored = flags(40, 50, 60, 70)
    assert (mirrored["breast_share"], mirrored["flag_outside_breast"], mirrored["flag_mask_mirrored"]) == (
        0,
        True,
        True,
    )
    above = flags(0, 50, 8, 70)
    assert (above["flag_outside_breast"], above["flag_mask_mirrored"]) == (True, False)
    at_edge = flags(40, 30, 60, 50)
    assert (at_edge["flag_outside_breast"], at_edge["flag_mask_mirrored"]) == (False, False)


def test_a_mask_of_the_breast_itself_is_flagged() -> None:
    assert place_columns(BREAST, (10, 0, 90, 40), BREAST)["flag_fills_breast"]
    assert not place_columns(mask_of((10, 0, 40, 40), shape=(100, 80)), (10, 0, 40, 40), BREAST)["flag_fills_breast"]
    whole = np.ones_like(BREAST)
    assert not place_columns(BREAST | mask_of((0, 0, 90, 60), shape=(100, 80)), (0, 0, 90, 60), whole)[
        "flag_fills_breast"
    ]


def test_every_flag_is_a_column_of_the_table() -> None:
    assert set(LESION_FLAGS) <= set(CANONICAL_LESIONS.columns)


def ring(height: int, width: int, thickness: int) -> np.ndarray:
    drawn = np.zeros(SHAPE, dtype=np.uint8)
    cv2.ellipse(drawn, (70, 90), (width // 2, height // 2), 0, 0, 360, 1, thickness)
    return drawn.astype(bool)


@pytest.mark.parametrize(
    "mask", [ring(60, 40, 1), ring(60, 40, 3), mask_of((40, 40, 90, 90)) & ~mask_of((42, 42, 88, 88))]
)
def test_an_outline_alone_is_flagged(tmp_path: Path, mask: np.ndarray) -> None:
    assert read(tmp_path, mask).flags["flag_mask_hollow"]


def test_filled_masks_are_no_outlines(tmp_path: Path) -> None:
    ring_shaped = mask_of((40, 40, 90, 90)) & ~mask_of((50, 50, 80, 80))  # 64 % of what it encloses
    pieces = mask_of((40, 40, 42, 90), (80, 40, 82, 90))
    for mask in (LESION, ring(60, 40, cv2.FILLED), ring_shaped, pieces, mask_of((3, 3, 4, 4)), mask_of((3, 3, 5, 9))):
        assert not read(tmp_path, mask).flags["flag_mask_hollow"]


def test_a_frame_is_called_a_frame(tmp_path: Path) -> None:
    framed = LESION.copy()
    framed[[0, -1]] = True
    framed[:, [0, -1]] = True
    reason, detail = reason_of(tmp_path, framed)
    assert reason == LesionReason.MASK_COVERS
    assert "a frame is drawn around the picture" in detail
