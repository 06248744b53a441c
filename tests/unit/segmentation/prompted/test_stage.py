from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mammoflow.config.prompted import SegmentSettings
from mammoflow.config.prompts import PromptSettings
from mammoflow.errors import ConfigError, StudyError
from mammoflow.segmentation.loading import load_promptable
from mammoflow.segmentation.prompted import decoding
from mammoflow.segmentation.prompted import stage as stage_module
from mammoflow.segmentation.prompted.empty_images import images_without_lesions
from mammoflow.segmentation.prompted.masks import MaskWriter
from mammoflow.segmentation.prompted.refinement import Refined, RefinementPlan
from mammoflow.segmentation.prompted.stage import segment
from mammoflow.segmentation.prompted.views import View
from mammoflow.segmentation.prompting.prompts import make_prompts
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.prompts import Prompts
from mammoflow.storage.files import read_image, read_mask
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.masks import EMPTY_SCORES, MASKS, SEGMENTATION_SCORES
from mammoflow.tables.prompts import PROMPTS
from mammoflow.weights.registry import ModelSpec

MARGINS = [0.0, 10.0]


def run(
    shard: Path, weights: Path, output: Path, settings: SegmentSettings | None = None, margin: float = 10.0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    prompts = output.parent / "prompts.parquet"
    if not prompts.exists():
        make_prompts(PromptSettings(margins_mm=MARGINS), shard, prompts)
    store = output.parent / "store"
    model = ModelSpec("small", "small", weights)
    segment(settings or SegmentSettings(device="cpu"), model, shard, [prompts], store, margin, output, threads=1)
    scores = read_table(output / "scores.parquet", SEGMENTATION_SCORES)
    return scores, read_table(output / "masks.parquet", MASKS)


def test_every_prompt_and_iteration_has_a_row_beside_the_ellipse(
    shard: Path, small_weights: Path, tmp_path: Path
) -> None:
    scores, masks = run(shard, small_weights, tmp_path / "out")
    model, floor = scores[scores["model"] == "small"], scores[scores["model"] == "ellipse"]
    assert len(model) == 3 * 2 * 3
    assert len(floor) == 3 * 2
    assert not scores.duplicated(["prompt_id", "model", "iteration"]).any()
    assert set(model.loc[model["chosen"], "iteration"]) == {1}
    assert (model.groupby("prompt_id")["chosen"].sum() == 1).all()
    assert floor["predicted_iou"].isna().all()
    assert model["predicted_iou"].notna().all()
    assert sorted(masks["lesion_id"]) == ["one/a", "one_b", "two_a"]
    assert masks["prompt_id"].str.endswith("@box+10mm").all()
    assert (masks["patient_id"] == "patient of " + masks["image_id"]).all()


def test_masks_have_names_that_fit_whatever_the_ids_are(shard: Path, small_weights: Path, tmp_path: Path) -> None:
    lesions, long = read_table(shard / "lesions.parquet", CANONICAL_LESIONS), "肿块" * 20
    names = {"one/a": long, "two_a": "../../two"}
    write_table(lesions.replace({"lesion_id": names}), CANONICAL_LESIONS, shard / "lesions.parquet")
    _, masks = run(shard, small_weights, tmp_path / "out")
    files = masks.set_index("lesion_id")["mask_file"]
    assert set(files.index) == {long, "one_b", "../../two"}
    assert files["one_b"] == "mask/one_b.png"
    assert sorted(f"mask/{path.name}" for path in (tmp_path / "out" / "mask").iterdir()) == sorted(files)


def test_masks_of_one_area_at_other_places_give_another_table(tmp_path: Path) -> None:
    table = pd.DataFrame([dict.fromkeys(MASKS.columns, "a") | {"choice": "first", "head_choice": "single"}])
    table = table.assign(field_of_view="image")
    prompts = pd.DataFrame([{"y0": 0.0, "x0": 0.0, "y1": 8.0, "x1": 8.0, "points": ""}])
    undefined, written = np.full((1, 3), np.nan), []
    for first in (0, 4, 0):
        masks = np.zeros((1, 1, 8, 8), bool)
        masks[0, 0, first : first + 2, 2:4] = True
        refined = Refined(np.arange(1), masks, np.ones((1, 1)), np.zeros(1, np.int64), undefined, undefined)
        writer = MaskWriter(tmp_path, frozenset({"a"}))
        writer.write(table, prompts, refined, np.zeros(1, np.int64), 1.0)
        write_table(pd.DataFrame(writer.rows), MASKS, tmp_path / "masks.parquet")
        written.append((tmp_path / "masks.parquet").read_bytes())
    assert written[0] != written[1]
    assert written[0] == written[2]


def test_tables_of_an_automatic_model_of_the_same_name_are_removed(
    shard: Path, small_weights: Path, tmp_path: Path
) -> None:
    names = ("detections.parquet", "maps.parquet")
    (tmp_path / "out").mkdir()
    for name in names:
        (tmp_path / "out" / name).write_text("of an automatic model")
    run(shard, small_weights, tmp_path / "out")
    assert not any((tmp_path / "out" / name).exists() for name in names)


def test_scores_and_areas_are_those_of_the_masks_on_disk(shard: Path, small_weights: Path, tmp_path: Path) -> None:
    settings = SegmentSettings(device="cpu", choose="predicted_iou")
    scores, masks = run(shard, small_weights, tmp_path / "out", settings)
    chosen = scores[scores["chosen"] & (scores["model"] == "small")].set_index("prompt_id")
    for row in masks.itertuples():
        mask = read_mask(tmp_path / "out" / row.mask_file)
        score = chosen.loc[row.prompt_id]
        assert mask.shape == (96, 72)
        assert row.iteration == score["iteration"]
        assert row.area_mm2 == pytest.approx(mask.sum() * 0.8 * 0.5) == pytest.approx(score["area_mm2"])
        if row.lesion_id == "two_a":
            assert np.isnan(score["dice"])
            continue
        reference = read_mask(shard / "mask" / f"{row.lesion_id.replace('/', '-')}.png")
        assert score["dice"] == pytest.approx(2 * (mask & reference).sum() / (mask.sum() + reference.sum()))
        assert score["missed"] == (not (mask & reference).any())


def test_ellipse_of_the_tight_box_around_a_rectangle_scores_as_geometry_says(
    shard: Path, small_weights: Path, tmp_path: Path
) -> None:
    scores, _ = run(shard, small_weights, tmp_path / "out")
    floor = scores[(scores["model"] == "ellipse") & (scores["margin_mm"] == 0)].set_index("lesion_id")
    assert floor.loc["one/a", "dice"] == pytest.approx(2 * np.pi / 4 / (1 + np.pi / 4), abs=0.01)
    assert floor.loc["one/a", "area_mm2"] == pytest.approx(np.pi / 4 * 20 * 20 * 0.4, rel=0.02)
    assert not floor["missed"].any()
    assert np.isnan(floor.loc["two_a", "dice"])


def test_oracle_takes_the_best_iteration_by_the_reference(shard: Path, small_weights: Path, tmp_path: Path) -> None:
    scores, _ = run(shard, small_weights, tmp_path / "out", SegmentSettings(device="cpu", choose="oracle"))
    model = scores[(scores["model"] == "small") & scores["dice"].notna()]
    best = model.groupby("prompt_id")["dice"].max()
    found = model[model["chosen"]].set_index("prompt_id")["dice"]
    pd.testing.assert_series_equal(found.sort_index(), best.sort_index())


def test_a_second_run_gives_the_same_tables_and_encodes_nothing(
    shard: Path, small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    load = stage_module.load_promptable

    def counted(*arguments: Any, **options: Any) -> PromptableModel:
        model = load(*arguments, **options)
        start = model.start_encoding
        monkeypatch.setattr(model, "start_encoding", lambda inputs: calls.append(len(inputs)) or start(inputs))
        return model

    monkeypatch.setattr(stage_module, "load_promptable", counted)
    first = run(shard, small_weights, tmp_path / "out")
    assert sum(calls) == 2  # the image without lesions is never encoded
    second = run(shard, small_weights, tmp_path / "again")
    third = run(shard, small_weights, tmp_path / "margins", margin=0.0)
    assert sum(calls) == 2
    pd.testing.assert_frame_equal(first[0], second[0])
    pd.testing.assert_frame_equal(first[1], second[1])
    assert third[1]["prompt_id"].str.endswith("@box+0mm").all()


def test_prompts_of_a_large_image_are_decoded_in_fewer_at_a_time(
    shard: Path, small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    decode = PromptableModel.decode

    def noted(model: PromptableModel, arrays: Any, prompts: Prompts, size: Any) -> Any:
        assert prompts.boxes is not None
        decoded.append(len(prompts.boxes))
        return decode(model, arrays, prompts, size)

    monkeypatch.setattr(PromptableModel, "decode", noted)
    found = []
    for name, room in (("out", decoding.RESULT_BYTES), ("less", 1)):
        decoded.clear()
        monkeypatch.setattr(decoding, "RESULT_BYTES", room)
        found.append(run(shard, small_weights, tmp_path / name))
        assert max(decoded) == (4 if name == "out" else 1)
    columns = ["prompt_id", "model", "iteration", "chosen"]
    key = columns[:3]
    first, second = (scores.sort_values(key).reset_index(drop=True) for scores, _ in found)
    pd.testing.assert_frame_equal(first[columns], second[columns])
    np.testing.assert_allclose(second["dice"], first["dice"], atol=0.01)


def test_logits_and_masks_of_prompts_decoded_together_have_a_bound() -> None:
    film = View((0.0, 0.0), (1.0, 1.0), (4096, 3072), (4096, 3072), 0.05)
    window = View((100.0, 100.0), (4.0, 4.0), (1024, 1024), (4096, 3072), 0.01)
    assert decoding.most_together(film, RefinementPlan(1)) == 7
    assert decoding.most_together(film, RefinementPlan(3, heads="predicted_iou")) == 2
    assert decoding.most_together(window, RefinementPlan(3)) == 11
    assert (
        decoding.most_together(View.whole({"height": 1024, "width": 768, "row_spacing_mm": 1.0}), RefinementPlan(3))
        >= 64
    )
    assert decoding.most_together(replace(film, size=(40960, 30720)), RefinementPlan(3)) == 1


def test_an_empty_shard_gives_empty_tables(empty_shard: Path, small_weights: Path, tmp_path: Path) -> None:
    scores, masks = run(empty_shard, small_weights, tmp_path / "out")
    assert scores.empty
    assert masks.empty


def test_prompts_that_do_not_fit_are_refused_before_any_work(shard: Path, small_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"default margin 7\.0 mm"):
        run(shard, small_weights, tmp_path / "out", margin=7.0)
    path = tmp_path / "prompts.parquet"
    write_table(read_table(path, PROMPTS).assign(lesion_id="stranger"), PROMPTS, path)
    with pytest.raises(StudyError, match="stranger"):
        run(shard, small_weights, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("heads", ["single", "oracle"])
def test_an_image_without_a_lesion_is_prompted_at_its_middle(
    heads: str, shard: Path, small_weights: Path, tmp_path: Path
) -> None:
    lesions = read_table(shard / "lesions.parquet", CANONICAL_LESIONS)
    images = read_table(shard / "images.parquet", CANONICAL_IMAGES)
    normal = images["image_id"].iloc[-1]
    write_table(lesions[lesions["image_id"] != normal], CANONICAL_LESIONS, shard / "lesions.parquet")
    settings = SegmentSettings(device="cpu", iterations=1, heads=heads, empty_images=True)  # type: ignore[arg-type]
    scores, _ = run(shard, small_weights, tmp_path / "out", settings)
    assert normal not in set(scores["image_id"])
    empty = read_table(tmp_path / "out" / "empty.parquet", EMPTY_SCORES)
    assert empty["image_id"].tolist() == [normal]
    row = empty.iloc[0]
    assert row["empty"] == (row["area_mm2"] == 0)
    # the same prompt, asked for by itself
    model = load_promptable(ModelSpec("small", "small", small_weights), torch.device("cpu"))
    grey = read_image(shard / images["image_file"].iloc[-1])
    asked = Prompts.of(points=np.array([[[36.0, 48.0]]]), labels=np.ones((1, 1), int), several_masks=heads == "oracle")
    decoded = model.decode(model.encode([grey])[0], asked, (96, 72))
    head = int(decoded.predicted_iou[0].argmax())
    assert row["predicted_iou"] == pytest.approx(decoded.predicted_iou[0, head], abs=1e-4)
    assert row["area_mm2"] == pytest.approx((decoded.logits[0, head] > 0).sum() * 0.8 * 0.5)
    # not asked for, and where it is not known that there is no lesion
    run(shard, small_weights, tmp_path / "none", SegmentSettings(device="cpu", iterations=1))
    assert read_table(tmp_path / "none" / "empty.parquet", EMPTY_SCORES).empty
    unknown = images.assign(fully_annotated=images["image_id"] != normal)
    assert images_without_lesions(unknown, lesions[lesions["image_id"] != normal]).empty
