"""Points, jitter, and the sources of prompts: readers' boxes and other models' masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist

from mammoflow.config.base import validate_settings
from mammoflow.config.prompts import PromptSettings, ReaderSettings
from mammoflow.config.segmentation import SegmentationSettings
from mammoflow.errors import ConfigError, StudyError
from mammoflow.reasons.lesions import LesionReason
from mammoflow.reasons.prompts import PromptReason
from mammoflow.segmentation.prompting.boxes import jitter_box
from mammoflow.segmentation.prompting.default_prompts import default_prompts
from mammoflow.segmentation.prompting.points import (
    deepest_point,
    lesion_points,
    points_text,
    random_points,
    read_points,
)
from mammoflow.segmentation.prompting.prompts import make_prompts
from mammoflow.segmentation.scoring.scores import ellipse_in_box
from mammoflow.storage.files import read_mask, write_mask
from mammoflow.tables.cohort import EXCLUDED, IMAGES, LESIONS
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.masks import MASKS
from mammoflow.tables.prompts import PROMPTS

BOX = ["y0", "x0", "y1", "x1"]


def made(shard: Path, folder: Path, **settings: Any) -> pd.DataFrame:
    make_prompts(PromptSettings(**settings), shard, folder / "prompts.parquet", folder / "excluded.parquet")
    return read_table(folder / "prompts.parquet", PROMPTS).set_index("prompt_id", drop=False)


def test_deepest_point_is_the_farthest_from_the_outside_in_millimetres() -> None:
    """Held to the distance from every pixel inside to every pixel outside, one by one."""
    generator = np.random.default_rng(3)
    for spacing in ((1.0, 1.0), (0.8, 0.3)):
        mask = generator.random((14, 17)) < 0.8
        mask[0, 4:9] = True
        inside = np.argwhere(mask)
        outside = np.argwhere(~np.pad(mask, 1)) - 1
        depths = cdist(inside * spacing, outside * spacing).min(axis=1)
        y, x = deepest_point(mask, spacing)
        found = depths[(inside == [int(y), int(x)]).all(axis=1)]
        assert found == pytest.approx(depths.max())
        assert (y % 1, x % 1) == (0.5, 0.5)
    with pytest.raises(ValueError, match="empty"):
        deepest_point(np.zeros((3, 3), dtype=bool), (1.0, 1.0))


def test_points_lie_on_the_lesion_or_in_the_ring_beside_it() -> None:
    mask = np.zeros((60, 50), dtype=bool)
    mask[20:30, 10:40] = True
    box = np.array([15.0, 5.0, 35.0, 45.0])
    points = lesion_points(mask, None, box, (1.0, 1.0), (4, 6), True, np.random.default_rng(0))
    assert [label for _, _, label in points] == [1] * 4 + [0] * 6
    for y, x, label in points:
        assert mask[int(y), int(x)] == (label == 1)
        assert box[0] <= y < box[2]
        assert box[1] <= x < box[3]
    tight = lesion_points(
        mask, None, np.array([20.0, 10.0, 30.0, 40.0]), (1.0, 1.0), (1, 3), True, np.random.default_rng(0)
    )
    assert [label for _, _, label in tight] == [1]  # no room beside a lesion that fills its box
    drawn = np.array(random_points(mask, 3000, np.random.default_rng(1)))
    np.testing.assert_allclose(drawn.mean(axis=0), [25, 25], atol=0.6)
    assert read_points(points_text(points))[0] == points[0]
    assert read_points("") == []


def beside_another(shard: Path) -> tuple[np.ndarray, np.ndarray]:
    """Move the second lesion of the first image next to the first one; return the masks of both."""
    lesions = read_table(shard / "lesions.parquet", CANONICAL_LESIONS)
    box = {"y0": 20.0, "x0": 32.0, "y1": 50.0, "x1": 60.0}
    lesions.loc[lesions["lesion_id"] == "one_b", list(box)] = list(box.values())
    write_table(lesions, CANONICAL_LESIONS, shard / "lesions.parquet")
    second = np.zeros((96, 72), dtype=bool)
    second[20:50, 32:60] = True
    write_mask(shard / "mask/one_b.png", second)
    return read_mask(shard / "mask/one-a.png"), second


@pytest.mark.parametrize("box_alone", [False, True])
def test_points_beside_a_lesion_lie_on_no_other_lesion(shard: Path, tmp_path: Path, box_alone: bool) -> None:
    first, second = beside_another(shard)
    if box_alone:
        lesions = read_table(shard / "lesions.parquet", CANONICAL_LESIONS)
        lesions.loc[lesions["lesion_id"] == "one_b", "mask_file"] = None
        write_table(lesions, CANONICAL_LESIONS, shard / "lesions.parquet")
        second = ellipse_in_box(np.array([20.0, 32.0, 50.0, 60.0]), (96, 72))
    table = made(shard, tmp_path, margins_mm=[10.0], kinds=["box_point"], negative_points=10, draws=3, jitter_mm=2.0)
    texts = table.loc[table["lesion_id"] == "one/a", "points"]
    beside = [(int(y), int(x)) for text in texts for y, x, label in read_points(text) if label == 0]
    assert len(beside) == 40
    assert not any(first[place] or second[place] for place in beside)


def test_kinds_cross_margins_and_a_point_stands_alone(shard: Path, tmp_path: Path) -> None:
    table = made(shard, tmp_path, margins_mm=[0.0, 10.0], kinds=["box", "point", "box_point"], negative_points=2)
    one = table[table["lesion_id"] == "one/a"]
    assert one["prompt_id"].to_list() == [
        "one/a@box+0mm",
        "one/a@box+10mm",
        "one/a@point[1+2-]",
        "one/a@box_point[1+2-]+0mm",
        "one/a@box_point[1+2-]+10mm",
    ]
    point = one[one["kind"] == "point"].iloc[0]
    assert point[[*BOX, "margin_mm"]].isna().all()
    mask = read_mask(shard / "mask/one-a.png")
    points = read_points(point["points"])
    assert [label for _, _, label in points] == [1, 0, 0]
    assert [bool(mask[int(y), int(x)]) for y, x, _ in points] == [True, False, False]
    assert read_points(one["points"].iloc[3])[1:] == []  # the tight box is full of lesion
    assert read_points(one["points"].iloc[0]) == []
    centre = read_points(table[table["lesion_id"] == "two_a"]["points"].iloc[2])[0]
    assert centre[:2] == pytest.approx((15, 25), abs=0.51)  # of a box alone


def test_draws_are_a_prompts_own_whatever_else_is_drawn(shard: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"draws": 2, "jitter_mm": 4.0, "seed": 5}
    table = made(shard, tmp_path, margins_mm=[0.0, 10.0], kinds=["box", "box_point"], **settings)
    fewer = made(shard, tmp_path, margins_mm=[10.0], kinds=["box_point"], **settings)
    pd.testing.assert_frame_equal(table.loc[fewer.index, BOX], fewer[BOX])
    pd.testing.assert_series_equal(table.loc[fewer.index, "points"], fewer["points"])
    lesions = read_table(shard / "lesions.parquet", CANONICAL_LESIONS)
    write_table(lesions.iloc[::-1], CANONICAL_LESIONS, shard / "lesions.parquet")
    turned = made(shard, tmp_path, margins_mm=[0.0, 10.0], kinds=["box", "box_point"], **settings)
    pd.testing.assert_frame_equal(table[BOX], turned.loc[table.index, BOX])
    assert "one/a@box+10mm~4mm#1" in table.index
    assert not np.allclose(table.loc["one/a@box+10mm~4mm#1", BOX].astype(float), table.loc["one/a@box+10mm", BOX])
    other = made(shard, tmp_path, margins_mm=[10.0], **{**settings, "seed": 6})
    assert not np.allclose(other.loc["one/a@box+10mm~4mm#1", BOX].astype(float), table.loc["one/a@box+10mm~4mm#1", BOX])


def test_jitter_stays_within_its_bounds_and_leaves_a_box() -> None:
    generator = np.random.default_rng(0)
    size = np.array([100.0, 80.0])
    for _ in range(500):
        low = generator.uniform(0, 60, 2)
        box = np.concatenate([low, low + generator.uniform(0.5, 20, 2)])
        most = generator.uniform(0, 30, 2)
        moved = jitter_box(box, most, size, generator)
        assert (moved[2:] > moved[:2]).all()
        assert (moved >= 0).all()
        assert (moved[2:] <= size).all()
        assert (np.abs(moved - box) <= np.tile(most, 2) + 1e-9).all()


@pytest.fixture
def cohort(shard: Path, tmp_path: Path) -> Path:
    """A cohort with one more lesion than the image stage could use."""
    folder = tmp_path / "cohort"
    lesions = read_table(shard / "lesions.parquet", CANONICAL_LESIONS)
    further = lesions.iloc[[0]].assign(lesion_id="elsewhere", image_id="four")
    images = pd.read_parquet(shard / "images.parquet")
    write_table(pd.concat([lesions, further]), LESIONS, folder / "lesions.parquet")
    write_table(pd.concat([images, images.iloc[[0]].assign(image_id="four")]), IMAGES, folder / "images.parquet")
    write_table(pd.DataFrame(columns=list(EXCLUDED.columns)), EXCLUDED, folder / "excluded.parquet")
    return folder


def read_boxes(shard: Path, cohort: Path, folder: Path, text: str, **reader: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    path = folder / "reader.csv"
    path.write_text(text, encoding="utf-8")
    readers = [ReaderSettings(name="A", table=str(path), **reader)]
    settings = PromptSettings(margins_mm=[0.0, 10.0], readers=readers)
    make_prompts(settings, shard, folder / "prompts.parquet", folder / "excluded.parquet", cohort)
    prompts = read_table(folder / "prompts.parquet", PROMPTS)
    return prompts[prompts["origin"] == "reader:A"], read_table(folder / "excluded.parquet", EXCLUDED)


def test_a_readers_boxes_in_film_pixels_and_in_millimetres(shard: Path, cohort: Path, tmp_path: Path) -> None:
    rows = "lesion_id,y0,x0,y1,x1\none/a,160,80,320,240\nelsewhere,1,1,2,2\n"
    prompts, excluded = read_boxes(shard, cohort, tmp_path, rows)
    assert prompts["prompt_id"].to_list() == ["one/a@box+0mm@reader:A", "one/a@box+10mm@reader:A"]
    assert prompts[BOX].iloc[0].to_list() == [20, 10, 40, 30]  # the film has eight pixels a canonical one
    assert excluded.empty
    rows = "lesion_id;y0;x0;y1;x1\none/a;16;5;32;15\n"
    prompts, _ = read_boxes(shard, cohort, tmp_path, rows, unit="mm")
    assert prompts[BOX].iloc[0].to_list() == pytest.approx([20, 10, 40, 30])


def test_a_readers_boxes_on_a_film_of_oblong_pixels_are_in_those_of_its_file(
    shard: Path, cohort: Path, tmp_path: Path
) -> None:
    images = read_table(shard / "images.parquet", CANONICAL_IMAGES)
    oblong = images.assign(stored_height=2 * images["film_height"], stored_width=images["film_width"])
    write_table(oblong, CANONICAL_IMAGES, shard / "images.parquet")
    prompts, _ = read_boxes(shard, cohort, tmp_path, "lesion_id,y0,x0,y1,x1\none/a,320,80,640,240\n")
    assert prompts[BOX].iloc[0].to_list() == [20, 10, 40, 30]
    assert not prompts[["flag_box_clipped", "flag_box_misses"]].any(axis=None)
    prompts, _ = read_boxes(shard, cohort, tmp_path, "lesion_id,y0,x0,y1,x1\none/a,16,5,32,15\n", unit="mm")
    assert prompts[BOX].iloc[0].to_list() == pytest.approx([20, 10, 40, 30])


def test_boxes_by_image_find_their_lesion_and_unusable_ones_are_recorded(
    shard: Path, cohort: Path, tmp_path: Path
) -> None:
    rows = (
        "image_id,y0,x0,y1,x1\n"
        "one,480,320,700,570\n"  # on one_b
        "one,500,330,700,570\n"  # a second box on it
        "one,0,0,8,8\n"  # on no lesion of two
        "two,700,500,760,570\n"  # beside the only lesion of its image
        "one,50,50,40,60\n"
        "one,5,,40,60\n"
    )
    prompts, excluded = read_boxes(shard, cohort, tmp_path, rows)
    tight = prompts[prompts["margin_mm"] == 0]
    assert tight["lesion_id"].to_list() == ["one_b", "one_b", "two_a"]
    assert tight["draw"].to_list() == [0, 1, 0]
    assert tight["flag_box_misses"].to_list() == [False, False, True]
    assert excluded["reason"].to_list() == [str(LesionReason.BOX_INVALID)] * 3
    assert excluded["detail"].str.contains("row 4").iloc[0]
    assert set(excluded["level"]) == {"row"}


def test_a_box_on_a_lesion_that_the_run_could_not_use_goes_to_no_other(
    shard: Path, cohort: Path, tmp_path: Path
) -> None:
    images = read_table(shard / "images.parquet", CANONICAL_IMAGES)
    some_left_out = images.assign(fully_annotated=images["image_id"] != "two")
    write_table(some_left_out, CANONICAL_IMAGES, shard / "images.parquet")
    two = read_table(shard / "lesions.parquet", CANONICAL_LESIONS).set_index("lesion_id").loc["two_a", BOX]
    on_it = ",".join(str(8 * value) for value in two)
    rows = f"image_id,y0,x0,y1,x1\ntwo,700,500,760,570\ntwo,{on_it}\n"
    prompts, excluded = read_boxes(shard, cohort, tmp_path, rows)
    tight = prompts[prompts["margin_mm"] == 0]
    assert tight[["lesion_id", "draw", "flag_box_misses"]].to_numpy().tolist() == [["two_a", 0, False]]
    assert excluded["detail"].str.contains("the image has others that the run could not use").to_list() == [True]
    # a row that names its lesion is a miss of that lesion
    prompts, excluded = read_boxes(shard, cohort, tmp_path, "lesion_id,y0,x0,y1,x1\ntwo_a,700,500,760,570\n")
    assert prompts["flag_box_misses"].all()
    assert excluded.empty


def test_boxes_beyond_the_film_are_clipped_and_flagged(
    shard: Path, cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "lesion_id,y0,x0,y1,x1\none/a,-160,80,320,240\none_b,0.1,0.2,0.3,0.4\ntwo_a,10,10,10.4,30\n"
    prompts, excluded = read_boxes(shard, cohort, tmp_path, rows)
    assert prompts["flag_box_clipped"].to_list() == [True, True]
    assert prompts[BOX].iloc[0].to_list() == [0, 10, 40, 30]
    assert excluded["detail"].str.extract("(normalised|one pixel)")[0].to_list() == ["normalised", "one pixel"]
    said = capsys.readouterr().err
    assert "box flagged: 1 x box clipped (one/a)" in said
    assert "box left out: 2 x box is empty, outside the image or not in pixels (one_b, two_a)" in said


@pytest.mark.parametrize("unit", ["film_px", "mm"])
def test_a_readers_table_of_another_kind_is_refused(shard: Path, cohort: Path, tmp_path: Path, unit: str) -> None:
    names = ("one/a", "one_b", "two_a")
    normalised = "".join(f"{name},0.1,0.2,0.3,0.4\n" for name in names)
    with pytest.raises(StudyError, match=r"boxes of reader A.*3 of 3 boxes look normalised"):
        read_boxes(shard, cohort, tmp_path, f"lesion_id,y0,x0,y1,x1\n{normalised}", unit=unit)
    sizes = "".join(f"{name},40,30,20,10\n" for name in names)
    with pytest.raises(StudyError, match=r"boxes of reader A.*3 of 3 boxes have no extent"):
        read_boxes(shard, cohort, tmp_path, f"lesion_id,y0,x0,y1,x1\n{sizes}", unit=unit)


def test_lesions_that_no_source_prompts_are_recorded(shard: Path, cohort: Path, tmp_path: Path) -> None:
    table = tmp_path / "reader.csv"
    table.write_text("lesion_id,y0,x0,y1,x1\none/a,160,80,320,240\none_b,5,,40,60\n", encoding="utf-8")
    settings = PromptSettings(reference=False, readers=[ReaderSettings(name="A", table=str(table))])
    make_prompts(settings, shard, tmp_path / "prompts.parquet", tmp_path / "excluded.parquet", cohort)
    prompted = set(read_table(tmp_path / "prompts.parquet", PROMPTS)["lesion_id"])
    excluded = read_table(tmp_path / "excluded.parquet", EXCLUDED)
    lost = excluded[excluded["level"] == "lesion"]
    assert prompted == {"one/a"}
    assert prompted | set(lost["lesion_id"]) == set(
        read_table(shard / "lesions.parquet", CANONICAL_LESIONS)["lesion_id"]
    )
    assert "one_b" in set(lost["lesion_id"])
    assert set(lost["reason"]) == {str(PromptReason.NO_PROMPT)}
    assert excluded.loc[excluded["level"] == "row", "lesion_id"].to_list() == ["one_b"]


def test_a_table_of_another_study_is_refused(shard: Path, cohort: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"1 values of lesion_id are not in the study.*stranger"):
        read_boxes(shard, cohort, tmp_path, "lesion_id,y0,x0,y1,x1\nstranger,1,1,2,2\n")
    with pytest.raises(StudyError, match="lacks the columns x1"):
        read_boxes(shard, cohort, tmp_path, "lesion_id,y0,x0,y1\none_b,1,1,2\n")
    settings = PromptSettings(readers=[ReaderSettings(name="A", table="absent.csv")])
    with pytest.raises(ConfigError, match="--cohort"):
        make_prompts(settings, shard, tmp_path / "prompts.parquet")
    with pytest.raises(StudyError, match="does not exist"):
        make_prompts(settings, shard, tmp_path / "prompts.parquet", cohort=cohort)


def test_another_models_masks_prompt_with_the_boxes_around_them(shard: Path, tmp_path: Path) -> None:
    folder, rows = tmp_path / "masks", []
    for lesion_id, region in (("one/a", (slice(10, 22), slice(5, 9))), ("one_b", (slice(0), slice(0)))):
        mask = np.zeros((96, 72), dtype=bool)
        mask[region] = True
        file = f"mask/{lesion_id.replace('/', '-')}.png"
        write_mask(folder / file, mask)
        keys = {"lesion_id": lesion_id, "image_id": "one", "patient_id": "p", "model": "sam_vit_b", "prompt_id": "x"}
        facts = {"mask_file": file, "iteration": 1, "area_mm2": 1.0, "predicted_iou": 0.5, "field_of_view": "image"}
        rows.append({**keys, **facts, "choice": "first", "head_choice": "single"})
    write_table(pd.DataFrame(rows), MASKS, folder / "masks.parquet")
    settings = PromptSettings(margins_mm=[0.0, 4.0], default_margin_mm=0.0, kinds=["box", "point"])
    make_prompts(settings, shard, tmp_path / "p.parquet", tmp_path / "e.parquet", masks=folder)
    prompts, excluded = read_table(tmp_path / "p.parquet", PROMPTS), read_table(tmp_path / "e.parquet", EXCLUDED)
    assert prompts["prompt_id"].iloc[0] == "one/a@box+0mm@model:sam_vit_b"
    assert prompts[BOX].iloc[0].to_list() == [10, 5, 22, 9]
    assert prompts[BOX].iloc[1].to_list() == [5, 0, 27, 17]
    (point,) = read_points(prompts["points"].iloc[2])
    assert 10 <= point[0] < 22
    assert 5 <= point[1] < 9
    assert sorted(excluded["lesion_id"]) == ["one_b", "two_a"]
    assert set(excluded["reason"]) == {str(LesionReason.MASK_EMPTY), str(LesionReason.MASK_NOT_FOUND)}
    assert default_prompts(prompts, 0.0).empty  # such masks never go on


def test_what_goes_on_is_exact_of_the_first_kind_and_of_the_reference(
    shard: Path, cohort: Path, tmp_path: Path
) -> None:
    path = tmp_path / "reader.csv"
    path.write_text("lesion_id,y0,x0,y1,x1\none/a,160,80,320,240\n", encoding="utf-8")
    parts: dict[str, Any] = {"readers": [ReaderSettings(name="A", table=str(path))], "margins_mm": [0.0, 10.0]}
    settings = PromptSettings(**parts, kinds=["box_point", "box"], draws=1, jitter_share=0.2)
    make_prompts(settings, shard, tmp_path / "prompts.parquet", cohort=cohort)
    found = default_prompts(read_table(tmp_path / "prompts.parquet", PROMPTS), 10.0)
    assert sorted(found["prompt_id"]) == [f"{lesion}@box_point+10mm" for lesion in ("one/a", "one_b", "two_a")]
    settings = PromptSettings(**parts, reference=False)
    make_prompts(settings, shard, tmp_path / "prompts.parquet", cohort=cohort)
    found = default_prompts(read_table(tmp_path / "prompts.parquet", PROMPTS), 10.0)
    assert found["prompt_id"].to_list() == ["one/a@box+10mm@reader:A"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kinds": ["box", "box"]}, "expected each once"),
        ({"draws": 2}, "no box is jittered"),
        ({"draws": 1, "jitter_mm": 1.0, "jitter_share": 0.1}, "one of them"),
        ({"jitter_mm": 1.0}, "draws is 0"),
        ({"reference": False}, "at least one source"),
        ({"readers": [{"name": "a/b", "table": "x"}]}, "readers.0.name"),
    ],
)
def test_prompt_settings_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate_settings(PromptSettings, settings, "test")


def test_models_that_prompt_each_other_in_a_circle_are_refused() -> None:
    models: dict[str, Any] = {"run": ["small", "sam_vit_b", "medsam_vit_b"]}
    circle = {"small": ["medsam_vit_b"], "sam_vit_b": ["small"], "medsam_vit_b": ["sam_vit_b"]}
    for prompted_by, message in (
        (circle, "circle"),
        ({"small": ["small"]}, "circle"),
        ({"small": ["sam_vit_l"]}, "expected one of run"),
        ({"sam_vit_b": ["small", "small"]}, "expected each model once"),
    ):
        with pytest.raises(ConfigError, match=message):
            validate_settings(SegmentationSettings, {**models, "prompted_by": prompted_by}, "test")
    SegmentationSettings(**models, prompted_by={"sam_vit_b": ["small"], "medsam_vit_b": ["small", "sam_vit_b"]})
