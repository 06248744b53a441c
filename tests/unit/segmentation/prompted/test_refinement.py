from __future__ import annotations

import numpy as np
import pytest
import torch

from mammoflow.config.prompted import Feed
from mammoflow.segmentation.prompted.batches import Batches
from mammoflow.segmentation.prompted.refinement import RefinementPlan, choose_iteration, refine
from mammoflow.segmentation.prompting.arrays import PromptArrays
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.prompts import Prompts
from mammoflow.segmentation.scoring.scores import mask_boxes

SIZE = (96, 72)
BOXES = np.array([[10, 20, 40, 60], [5, 5, 70, 90], [30, 30, 50, 41.5]], dtype=np.float32)
ASKED = PromptArrays.of_boxes(BOXES)


@pytest.fixture(scope="module")
def arrays(small_model: PromptableModel) -> dict[str, np.ndarray]:
    image = np.random.default_rng(1).integers(0, 65536, SIZE, dtype=np.uint16)
    return dict(small_model.encode([image])[0])


@pytest.mark.parametrize("feed", ["logits", "box", "both"])
def test_each_iteration_is_fed_as_the_setting_says(
    feed: Feed, small_model: PromptableModel, arrays: dict[str, np.ndarray]
) -> None:
    """Held to the same chain written out prompt by prompt on the differentiable core."""
    (refined,) = refine(small_model, arrays, ASKED, SIZE, RefinementPlan(3, feed), Batches(8, "prompts"))
    embedding = small_model.load_embedding(arrays)
    for index, original in enumerate(BOXES):
        box, logits = original[None], None
        for iteration in range(3):
            with torch.inference_mode():
                prediction = small_model.predict(embedding, Prompts(torch.from_numpy(box), mask_logits=logits), SIZE)
                mask = small_model.upscale(prediction.low_res_logits, SIZE)[0].numpy() > 0
            assert np.mean(refined.masks[iteration, index] == mask[0]) > 0.999
            assert refined.predicted_iou[iteration, index] == pytest.approx(
                prediction.predicted_iou.item(), rel=1e-3, abs=1e-4
            )
            logits = None if feed == "box" else prediction.low_res_logits
            box = box if feed == "logits" else mask_boxes(mask, otherwise=box)


def test_prompts_decoded_apart_give_what_they_give_together(
    small_model: PromptableModel, arrays: dict[str, np.ndarray]
) -> None:
    (together,) = refine(small_model, arrays, ASKED, SIZE, RefinementPlan(2), Batches(8, "prompts"))
    apart = list(refine(small_model, arrays, ASKED, SIZE, RefinementPlan(2), Batches(1, "prompts")))
    assert [part.prompts.tolist() for part in apart] == [[0], [1], [2]]
    masks = np.concatenate([part.masks for part in apart], axis=1)
    assert np.mean(masks == together.masks) > 0.999
    np.testing.assert_allclose(
        np.concatenate([part.predicted_iou for part in apart], axis=1), together.predicted_iou, atol=1e-4
    )


def test_choice_of_the_iteration() -> None:
    predicted = np.array([[0.5, 0.9, 0.2], [0.7, 0.9, 0.1], [0.6, 0.1, 0.3]], dtype=np.float32)
    dice = np.array([[0.1, np.nan, 0.3], [0.2, np.nan, 0.9], [0.8, np.nan, 0.9]])
    assert choose_iteration("first", predicted, dice).tolist() == [0, 0, 0]
    assert choose_iteration("predicted_iou", predicted, dice).tolist() == [1, 0, 2]
    assert choose_iteration("oracle", predicted, dice).tolist() == [2, 0, 1]
