"""Which of the three heads counts, in the first iteration and in what is fed on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammoflow.config.prompted import Heads, SegmentSettings
from mammoflow.config.prompts import PromptSettings
from mammoflow.segmentation.prompted.batches import Batches
from mammoflow.segmentation.prompted.refinement import RefinementPlan, choose_head, refine
from mammoflow.segmentation.prompted.stage import segment
from mammoflow.segmentation.prompting.arrays import PromptArrays
from mammoflow.segmentation.prompting.prompts import make_prompts
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.prompts import Prompts
from mammoflow.storage.files import read_mask
from mammoflow.tables.files import read_table
from mammoflow.tables.masks import MASKS, SEGMENTATION_SCORES
from mammoflow.weights.registry import ModelSpec

SIZE = (96, 72)
BOXES = np.array([[10, 20, 40, 60], [5, 5, 70, 90], [30, 30, 50, 41.5]], dtype=np.float32)


@pytest.fixture(scope="module")
def arrays(small_model: PromptableModel) -> dict[str, np.ndarray]:
    image = np.random.default_rng(1).integers(0, 65536, SIZE, dtype=np.uint16)
    return dict(small_model.encode([image])[0])


def test_choice_of_the_head() -> None:
    predicted = np.array([[0.5, 0.9, 0.2], [0.7, 0.7, 0.1]])
    dice = np.array([[0.1, 0.2, 0.3], [np.nan] * 3])
    assert choose_head("predicted_iou", predicted, dice).tolist() == [2, 1]
    assert choose_head("head_3", predicted, dice).tolist() == [3, 3]
    assert choose_head("oracle", predicted, dice).tolist() == [3, 1]  # without a reference by the predicted IoU


@pytest.mark.parametrize("heads", ["predicted_iou", "head_2", "oracle"])
def test_the_chosen_head_is_the_first_mask_and_what_is_fed_on(
    heads: Heads, small_model: PromptableModel, arrays: dict[str, np.ndarray]
) -> None:
    truth = np.zeros((3, *SIZE), dtype=bool)
    truth[:, 20:50, 10:35] = True

    def dice(positions: np.ndarray, masks: np.ndarray) -> np.ndarray:
        reference = truth[positions]
        return 2 * (masks & reference).sum((1, 2)) / np.maximum(masks.sum((1, 2)) + reference.sum((1, 2)), 1)

    asked = PromptArrays.of_boxes(BOXES)
    (refined,) = refine(
        small_model, arrays, asked, SIZE, RefinementPlan(2, "logits", heads), Batches(8, "prompts"), dice
    )
    three = small_model.decode(arrays, Prompts.of(BOXES, several_masks=True), SIZE)
    scores = np.stack([dice(np.arange(3), three.logits[:, head] > 0) for head in range(3)], axis=1)
    best = {"predicted_iou": three.predicted_iou.argmax(1), "head_2": np.array([1] * 3), "oracle": scores.argmax(1)}
    rows, expected = np.arange(3), best[heads]
    assert refined.heads.tolist() == (expected + 1).tolist()
    np.testing.assert_array_equal(refined.masks[0], three.logits[rows, expected] > 0)
    np.testing.assert_allclose(refined.head_predicted_iou, three.predicted_iou)
    np.testing.assert_allclose(refined.head_dice, scores)
    np.testing.assert_allclose(refined.predicted_iou[0], three.predicted_iou[rows, expected])
    fed = Prompts.of(BOXES, mask_logits=three.low_res_logits[rows, expected][:, None])
    second = small_model.decode(arrays, fed, SIZE)
    np.testing.assert_array_equal(refined.masks[1], second.logits[:, 0] > 0)


@pytest.mark.parametrize("feed", ["logits", "box", "both"])
def test_points_are_refined_with_and_without_a_box_in_one_call(
    feed: str, small_model: PromptableModel, arrays: dict[str, np.ndarray]
) -> None:
    boxes = BOXES.copy()
    boxes[1] = np.nan
    points = np.array([[[20, 40], [0, 0]], [[30, 30], [0, 0]], [[40, 35], [60, 80]]], dtype=np.float32)
    labels = np.array([[1, -1], [1, -1], [1, 0]])
    asked = PromptArrays(boxes, points, labels)
    plan = RefinementPlan(2, feed)  # type: ignore[arg-type]
    parts = list(refine(small_model, arrays, asked, SIZE, plan, Batches(8, "prompts")))
    assert sorted(position for part in parts for position in part.prompts.tolist()) == [0, 1, 2]
    assert all(part.masks.shape[0] == 2 for part in parts)
    alone = next(part for part in parts if part.prompts.tolist() == [1])
    expected = small_model.decode(arrays, Prompts.of(points=points[1:2, :1], labels=labels[1:2, :1]), SIZE)
    np.testing.assert_array_equal(alone.masks[0], expected.logits[:, 0] > 0)


def run(shard: Path, weights: Path, folder: Path, **settings: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    prompts = folder / "prompts.parquet"
    make_prompts(PromptSettings(margins_mm=[10.0]), shard, prompts)
    stage = SegmentSettings(device="cpu", iterations=2, **settings)  # type: ignore[arg-type]
    segment(stage, ModelSpec("small", "small", weights), shard, [prompts], folder / "store", 10.0, folder / "out", 1)
    scores = read_table(folder / "out" / "scores.parquet", SEGMENTATION_SCORES)
    return scores, read_table(folder / "out" / "masks.parquet", MASKS)


def test_an_oracle_among_heads_is_the_best_head_and_is_marked(shard: Path, small_weights: Path, tmp_path: Path) -> None:
    scores, masks = run(shard, small_weights, tmp_path, heads="oracle")
    model = scores[scores["model"] == "small"]
    assert (model["head_choice"] == "oracle").all()
    assert (masks["head_choice"] == "oracle").all()
    assert set(model.loc[model["iteration"] == 2, "head"]) == {0}
    first = model[(model["iteration"] == 1) & model["dice"].notna()]
    heads = first[[f"head_{head}_dice" for head in (1, 2, 3)]].to_numpy()
    np.testing.assert_allclose(first["dice"], heads.max(axis=1))
    assert first[[f"head_{head}_predicted_iou" for head in (1, 2, 3)]].notna().all(axis=None)
    for mask in masks.itertuples():
        score = model[(model["prompt_id"] == mask.prompt_id) & (model["iteration"] == 1)].iloc[0]
        found = read_mask(tmp_path / "out" / mask.mask_file)
        assert found.sum() * 0.4 == pytest.approx(score["area_mm2"])


def test_by_default_the_single_head_counts(shard: Path, small_weights: Path, tmp_path: Path) -> None:
    scores, masks = run(shard, small_weights, tmp_path)
    model = scores[scores["model"] == "small"]
    assert (model["head_choice"] == "single").all()
    assert set(model["head"]) == {0}
    assert model["head_1_predicted_iou"].isna().all()
    assert set(masks["choice"]) == {"first"}
