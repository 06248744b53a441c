"""Windows of the film: where they lie, what they show, and the way back to the canonical grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mammoflow.config.prompted import SegmentSettings
from mammoflow.config.prompts import PromptSettings
from mammoflow.imaging.geometry import crop, resize
from mammoflow.segmentation.prompted.stage import segment
from mammoflow.segmentation.prompted.views import View, WindowCutter
from mammoflow.segmentation.prompting.arrays import PromptArrays
from mammoflow.segmentation.prompting.prompts import make_prompts
from mammoflow.storage.files import write_image
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_LESIONS
from mammoflow.tables.masks import MASKS, SEGMENTATION_SCORES
from mammoflow.weights.registry import ModelSpec

FILM = (960, 720)
FACTOR = 4  # film pixels for a canonical one
SPACING = 0.1  # millimetres a film pixel
CANONICAL = (FILM[0] // FACTOR, FILM[1] // FACTOR)


@pytest.fixture
def film() -> np.ndarray:
    rows, columns = np.mgrid[: FILM[0], : FILM[1]]
    return (rows * 60 + columns * 7 + 1).astype(np.uint16)


def cutter(folder: Path, film: np.ndarray, box_px: tuple[int, int, int, int], **sizes: float) -> WindowCutter:
    """A lesion whose patch of 40 mm is cut from the film around its box, in film pixels."""
    side, (y0, x0, y1, x1) = 400, box_px
    top, left = (y0 + y1 - side) // 2, (x0 + x1 - side) // 2
    write_image(folder / "patch.png", crop(film, (top, left, top + side, left + side)))
    write_image(folder / "image.png", resize(film, CANONICAL))
    lesion = {"patch_file": "patch.png", "patch_spacing_mm": SPACING, "patch_y0": top / FACTOR}
    image = {"height": CANONICAL[0], "width": CANONICAL[1], "image_file": "image.png"}
    image |= {"row_spacing_mm": SPACING * FACTOR, "column_spacing_mm": SPACING * FACTOR}
    lesions: dict[str, dict[str, Any]] = {"a": {**lesion, "patch_x0": left / FACTOR}}
    return WindowCutter(folder, image, lesions, sizes.get("boxes", 1.5), sizes.get("least_mm", 12.0))


def boxes(*rows: list[float]) -> PromptArrays:
    """Prompts of boxes y0, x0, y1, x1 in film pixels."""
    return PromptArrays.of_boxes((np.array(rows)[:, [1, 0, 3, 2]] / FACTOR).astype(np.float32))


def test_a_window_shows_the_film_around_the_prompt_at_its_resolution(film: np.ndarray, tmp_path: Path) -> None:
    cut = cutter(tmp_path, film, (400, 300, 480, 360))
    (window,) = cut.windows(["a"], boxes([400, 300, 480, 360]))
    assert window.pixels.shape == (120, 120)  # 12 mm: 1.5 boxes of 8 mm, and the least
    np.testing.assert_array_equal(window.pixels, film[380:500, 270:390])
    assert window.view.corner == (95.0, 67.5)
    assert window.view.scale == (4.0, 4.0)
    assert window.view.spacing_mm == SPACING
    moved = window.view.prompts(boxes([400, 300, 480, 360]))
    np.testing.assert_allclose(moved.boxes, [[30, 20, 90, 100]])
    (larger,) = cut.windows(["a"], boxes([390, 290, 490, 370]))
    assert larger.pixels.shape == (150, 150)


def test_prompts_with_the_same_window_share_it(film: np.ndarray, tmp_path: Path) -> None:
    cut = cutter(tmp_path, film, (400, 300, 480, 360), least_mm=20.0)
    windows = cut.windows(["a"] * 3, boxes([400, 300, 480, 360], [390, 290, 490, 370], [300, 200, 580, 460]))
    assert [window.positions for window in windows] == [[0, 1], [2]]


def test_beyond_the_film_a_window_is_black_and_it_still_comes_from_the_patch(film: np.ndarray, tmp_path: Path) -> None:
    cut = cutter(tmp_path, film, (4, 660, 84, 720), least_mm=30.0)
    (window,) = cut.windows(["a"], boxes([4, 660, 84, 720]))
    assert window.view.spacing_mm == SPACING
    assert window.pixels.shape == (300, 300)
    np.testing.assert_array_equal(window.pixels[106:, :180], film[:194, 540:720])
    assert not window.pixels[:106].any()
    assert not window.pixels[:, 180:].any()


def test_a_window_that_leaves_its_patch_comes_from_the_canonical_image(film: np.ndarray, tmp_path: Path) -> None:
    cut = cutter(tmp_path, film, (400, 300, 480, 360))
    (window,) = cut.windows(["a"], boxes([300, 200, 600, 460]))
    assert window.view.spacing_mm == pytest.approx(SPACING * FACTOR)
    assert window.view.scale == (1.0, 1.0)
    top, left = (int(value) for value in window.view.corner)
    assert window.pixels.shape == (112, 112)  # 45 mm
    np.testing.assert_array_equal(window.pixels, crop(resize(film, CANONICAL), (top, left, top + 112, left + 112)))


def test_masks_come_back_to_where_they_were(film: np.ndarray, tmp_path: Path) -> None:
    cut = cutter(tmp_path, film, (400, 300, 480, 360))
    (window,) = cut.windows(["a"], boxes([400, 300, 480, 360]))
    rows, columns = np.mgrid[: FILM[0], : FILM[1]]
    fine = ((rows - 440) / 40) ** 2 + ((columns - 330) / 30) ** 2 < 1
    back = window.view.to_canonical(fine[None, 380:500, 270:390])[0]
    share = fine.reshape(CANONICAL[0], FACTOR, CANONICAL[1], FACTOR).mean(axis=(1, 3))
    np.testing.assert_array_equal(back, share > 0.5)
    speck = np.zeros((1, 120, 120), dtype=bool)
    speck[0, 60, 60] = True
    assert np.argwhere(window.view.to_canonical(speck)[0]).tolist() == [[110, 82]]
    assert not window.view.to_canonical(np.zeros((1, 120, 120), dtype=bool)).any()


def test_the_whole_image_is_a_view_that_changes_nothing() -> None:
    view = View.whole({"height": 5, "width": 4, "row_spacing_mm": 0.2})
    masks = np.random.default_rng(0).random((2, 5, 4)) > 0.5
    assert view.to_canonical(masks) is masks
    np.testing.assert_array_equal(view.prompts(boxes([0, 0, 8, 8])).boxes, boxes([0, 0, 8, 8]).boxes)


def test_a_point_has_a_window_of_the_least_size_around_it(film: np.ndarray, tmp_path: Path) -> None:
    cut = cutter(tmp_path, film, (400, 300, 480, 360))
    point = PromptArrays(np.full((1, 4), np.nan, np.float32), np.array([[[82.5, 110.5]]], np.float32), np.array([[1]]))
    (window,) = cut.windows(["a"], point)
    assert window.pixels.shape == (120, 120)
    np.testing.assert_allclose(window.view.prompts(point).points, [[[60, 60]]], atol=0.6)


@pytest.fixture
def film_shard(shard: Path) -> Path:
    """The shard with a patch for each lesion: its image enlarged, the whole of it."""
    lesions = read_table(shard / "lesions.parquet", CANONICAL_LESIONS)
    generator = np.random.default_rng(4)
    files = []
    for lesion_id in lesions["lesion_id"]:
        files.append(f"patch/{lesion_id.replace('/', '-')}.png")
        write_image(shard / files[-1], generator.integers(0, 65536, (768, 360), dtype=np.uint16))
    lesions = lesions.assign(patch_file=files, patch_spacing_mm=0.1, patch_y0=0.0, patch_x0=0.0)
    write_table(lesions, CANONICAL_LESIONS, shard / "lesions.parquet")
    return shard


def test_one_table_compares_both_fields_of_view(film_shard: Path, small_weights: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.parquet"
    make_prompts(PromptSettings(margins_mm=[0.0, 10.0], kinds=["box", "point"]), film_shard, prompts)
    settings = SegmentSettings(device="cpu", iterations=2, fields_of_view=["window", "image"], window_mm=10.0)
    out = tmp_path / "out"
    segment(
        settings, ModelSpec("small", "small", small_weights), film_shard, [prompts], tmp_path / "store", 10.0, out, 1
    )
    scores = read_table(out / "scores.parquet", SEGMENTATION_SCORES)
    model, floor = scores[scores["model"] == "small"], scores[scores["model"] == "ellipse"]
    counts = model.groupby("field_of_view").size()
    assert counts.to_dict() == {"image": 3 * 3 * 2, "window": 3 * 3 * 2}
    assert set(model.loc[model["field_of_view"] == "window", "view_spacing_mm"]) == {0.1}
    assert len(floor) == 3 * 2
    assert set(floor["field_of_view"]) == {""}
    masks = read_table(out / "masks.parquet", MASKS)
    assert set(masks["field_of_view"]) == {"window"}
    keys = ["prompt_id", "iteration"]
    wide = model.pivot_table(index=keys, columns="field_of_view", values="area_mm2")
    assert wide.notna().all(axis=None)
    assert isinstance(wide, pd.DataFrame)
