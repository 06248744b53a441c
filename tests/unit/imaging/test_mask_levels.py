"""Masks of more than two levels: soft edges are read, labels need a stated value, traces are no mask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from mammoflow.config.images import ImagesSettings
from mammoflow.errors import ExcludedCase, Reason
from mammoflow.imaging.roi_mask import read_roi_mask
from mammoflow.reasons.lesions import LesionReason

ROWS, COLUMNS = np.ogrid[:120, :90]
LESION = ((ROWS - 60) / 20) ** 2 + ((COLUMNS - 40) / 15) ** 2 < 1
OTHER = ((ROWS - 15) / 6) ** 2 + ((COLUMNS - 75) / 6) ** 2 < 1
BREAST = ((ROWS - 60) / 55) ** 2 + (COLUMNS / 70) ** 2 < 1
WHITE = LESION.astype(np.uint8) * np.uint8(255)


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def refused(path: Path, value: str = "") -> tuple[Reason, str]:
    with pytest.raises(ExcludedCase) as problem:
        read_roi_mask(path, value)
    return problem.value.reason, problem.value.detail


def labels(lesion: int, other: int, breast: int = 0, dtype: type = np.uint8) -> np.ndarray:
    return np.select([LESION, OTHER, BREAST], [lesion, other, breast]).astype(dtype)


def overlap(mask: np.ndarray) -> float:
    return float((mask & LESION).sum() / (mask | LESION).sum())


@pytest.mark.parametrize(
    "pixels",
    [labels(1, 255), labels(40000, 100, dtype=np.uint16), labels(255, 0, 128), labels(2, 3, 1), labels(7, 8, 9)],
)
def test_label_maps_are_refused_and_name_their_levels(tmp_path: Path, pixels: np.ndarray) -> None:
    reason, detail = refused(save(tmp_path / "m.png", pixels))
    assert reason == LesionReason.MASK_LEVELS
    assert all(str(level) in detail for level in np.unique(pixels))
    assert "mask_value" in detail


def test_a_void_border_around_the_lesion_is_no_soft_edge(tmp_path: Path) -> None:
    ring = cv2.dilate(WHITE, np.ones((7, 7), np.uint8)) > 0
    assert refused(save(tmp_path / "m.png", np.where(LESION, 1, ring * 255).astype(np.uint8)))[0] == (
        LesionReason.MASK_LEVELS
    )


def test_label_maps_in_dicom_and_jpeg_are_refused(tmp_path: Path, write_dicom: Callable[..., Path]) -> None:
    assert refused(write_dicom(tmp_path / "m.dcm", labels(1, 2)))[0] == LesionReason.MASK_LEVELS
    assert refused(save(tmp_path / "m.jpg", labels(120, 255), quality=90))[0] == LesionReason.MASK_LEVELS


def test_several_colours_are_several_labels(tmp_path: Path) -> None:
    colours = np.zeros((*LESION.shape, 3), dtype=np.uint8)
    colours[LESION], colours[OTHER] = (255, 0, 0), (0, 255, 0)
    path = save(tmp_path / "m.png", colours)
    assert refused(path)[0] == LesionReason.MASK_LEVELS
    np.testing.assert_array_equal(read_roi_mask(path, "#ff0000"), LESION)
    np.testing.assert_array_equal(read_roi_mask(path, "#00FF00"), OTHER)
    assert "no pixel" in refused(path, "#0000ff")[1]


def test_a_film_an_overlay_and_a_map_of_probabilities_are_no_masks(tmp_path: Path) -> None:
    film = np.random.default_rng(0).normal(100, 30, LESION.shape).clip(0, 255).astype(np.uint8) * BREAST
    overlay = np.stack([film] * 3, axis=2)
    overlay[LESION] = (255, 0, 0)
    heat = cv2.GaussianBlur(WHITE, (0, 0), 15)
    for pixels in (film, overlay, heat):
        assert refused(save(tmp_path / "m.png", pixels))[0] == LesionReason.MASK_LEVELS
    np.testing.assert_array_equal(read_roi_mask(save(tmp_path / "heat.png", heat), ">61"), heat > 61)


@pytest.mark.parametrize("quality", [30, 60, 95])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_ringing_of_jpeg_is_a_soft_edge(tmp_path: Path, quality: int, mode: str) -> None:
    red = WHITE if mode == "L" else np.stack([WHITE, WHITE * 0, WHITE * 0], axis=2)
    assert overlap(read_roi_mask(save(tmp_path / "m.jpg", red, quality=quality))) > 0.9


def test_soft_edges_of_every_kind_are_read(tmp_path: Path, write_dicom: Callable[..., Path]) -> None:
    fine = cv2.resize(WHITE, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
    halves = {
        "averaged": cv2.resize(np.roll(fine, (2, 1), (0, 1)), (90, 120), interpolation=cv2.INTER_AREA),
        "blurred": cv2.GaussianBlur(WHITE, (0, 0), 1.0),
        "moved": cv2.warpAffine(WHITE, np.array([[1, 0, 0.3], [0, 1, 0.4]]), (90, 120), flags=cv2.INTER_CUBIC),
    }
    for name, pixels in halves.items():
        assert np.unique(pixels).size > 2
        assert overlap(read_roi_mask(save(tmp_path / f"{name}.png", pixels))) > 0.9
    wide = cv2.resize(WHITE, None, fx=8, fy=8, interpolation=cv2.INTER_LINEAR)
    read = read_roi_mask(save(tmp_path / "wide.png", wide))
    assert read.sum() == pytest.approx(64 * LESION.sum(), rel=0.02)
    through_jpeg = np.asarray(Image.open(save(tmp_path / "m.jpg", WHITE, quality=75)), dtype=np.uint16)
    assert overlap(read_roi_mask(write_dicom(tmp_path / "m.dcm", through_jpeg))) > 0.95


def test_the_higher_of_two_levels_is_the_lesion_whatever_they_are(tmp_path: Path) -> None:
    for low, high in ((0, 1), (200, 255), (254, 255), (1, 2)):
        path = save(tmp_path / "m.png", np.where(LESION, high, low).astype(np.uint8))
        np.testing.assert_array_equal(read_roi_mask(path), LESION)


def test_one_level_everywhere_is_empty(tmp_path: Path) -> None:
    for level in (0, 1, 255):
        reason, detail = refused(save(tmp_path / "m.png", np.full((20, 30), level, dtype=np.uint8)))
        assert reason == LesionReason.MASK_EMPTY
        assert "no lesion is marked" in detail


@pytest.mark.parametrize("pixels", [LESION * np.uint8(6), LESION * np.uint8(1), labels(3, 9)])
def test_a_dark_jpeg_holds_traces(tmp_path: Path, pixels: np.ndarray) -> None:
    path = save(tmp_path / "m.jpg", pixels.astype(np.uint8), quality=100)
    if np.asarray(Image.open(path)).any():
        assert refused(path)[0] == LesionReason.MASK_SCATTERED


def test_a_stated_value_selects_what_the_file_stores(tmp_path: Path, write_dicom: Callable[..., Path]) -> None:
    label_map = labels(1, 2)
    files = [save(tmp_path / "m.png", label_map), write_dicom(tmp_path / "m.dcm", label_map)]
    palette = Image.fromarray(label_map, "P")
    palette.putpalette([0, 0, 0, 128, 128, 0, 64, 0, 0])
    palette.save(tmp_path / "p.png")
    for path in [*files, tmp_path / "p.png"]:
        np.testing.assert_array_equal(read_roi_mask(path, "1"), LESION)
    white_is_zero = save(tmp_path / "w.tif", label_map, tiffinfo={262: 0})  # Pillow stores 255 - level then
    np.testing.assert_array_equal(read_roi_mask(white_is_zero, "254"), LESION)
    np.testing.assert_array_equal(read_roi_mask(files[0], "1,2"), LESION | OTHER)
    np.testing.assert_array_equal(read_roi_mask(files[0], ">0"), LESION | OTHER)
    np.testing.assert_array_equal(read_roi_mask(files[0], "0"), ~(LESION | OTHER))
    reason, detail = refused(files[1], "5")
    assert reason == LesionReason.MASK_LEVELS
    assert "0, 1, 2" in detail


@pytest.mark.parametrize("transparent", [False, True])
def test_a_stated_value_is_no_opacity(tmp_path: Path, transparent: bool) -> None:
    opacity = np.where(LESION, 255, 100 if transparent else 255).astype(np.uint8)
    layers = {
        "LA": [labels(255, 255), opacity],
        "RGBA": [labels(255, 255)] * 3 + [opacity],
        "red": [labels(255, 255), labels(0, 0), labels(0, 0), opacity],
        "labels": [labels(2, 2, 1)] * 3 + [opacity],
    }
    files = {name: save(tmp_path / f"{name}.png", np.dstack(planes)) for name, planes in layers.items()}
    expected = LESION if transparent else LESION | OTHER
    colours = {"LA": [], "RGBA": ["#ffffff"], "red": ["#ff0000"]}
    for name, colour in colours.items():
        for value in ["255", ">127", *colour]:
            np.testing.assert_array_equal(read_roi_mask(files[name], value), expected)
    for value in ("2", ">1"):
        np.testing.assert_array_equal(read_roi_mask(files["labels"], value), expected)
    for name, value in (("LA", "#ff0000"), ("RGBA", "#ff0000"), ("red", "#ffffff"), ("RGBA", "100"), ("labels", "255")):
        assert refused(files[name], value)[0] == LesionReason.MASK_LEVELS


def test_a_stated_value_of_black_ink_is_the_opacity(tmp_path: Path) -> None:
    path = save(tmp_path / "m.png", np.dstack([WHITE * 0, WHITE]))
    np.testing.assert_array_equal(read_roi_mask(path, "255"), LESION)
    assert refused(save(tmp_path / "black.png", np.dstack([WHITE * 0, WHITE | 255])), "255")[0] == (
        LesionReason.MASK_LEVELS
    )


def test_values_of_other_forms_are_refused() -> None:
    for value in ("", 0, 1, "1", "1,2", ">127", "#00ff00"):
        assert ImagesSettings(mask_value=value).mask_value == value
    for value in ("lesion", "1, 2", "-1", -1, ">", "#ff"):
        with pytest.raises(ValidationError):
            ImagesSettings(mask_value=value)
