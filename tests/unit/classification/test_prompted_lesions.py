from __future__ import annotations

import numpy as np
import pytest
import torch
from segment_anything.build_sam import _build_sam

from mammoflow.classification.prompted_lesions import box_weights
from mammoflow.segmentation.embedding.network_square import SQUARE, SquarePlace, place_in_square
from mammoflow.segmentation.networks.sam import MedSamModel
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.prompts import Prompts
from mammoflow.segmentation.small.architecture import INPUT_CHANNELS, build_small_network
from mammoflow.segmentation.small.model import SmallModel


@pytest.fixture(scope="module")
def small() -> PromptableModel:
    torch.manual_seed(0)
    return SmallModel("small", build_small_network().eval(), "random")


@pytest.mark.parametrize("size", [(256, 256), (300, 200), (90, 160), (1024, 655)])
def test_frame_is_the_models_own_scaling(small: PromptableModel, size: tuple[int, int]) -> None:
    frame = place_in_square(small, size)
    rows, columns = (round(side * 256 / max(size)) for side in size)
    expected = [rows / size[0] / 256, 0, columns / size[1] / 256, 0]
    found = [frame.row_scale * 1, frame.row_offset, frame.column_scale, frame.column_offset]
    np.testing.assert_allclose(
        np.array(found) * [size[0], 1, size[1], 1], np.array(expected) * [size[0], 1, size[1], 1], atol=5e-4
    )


def test_frame_of_a_model_that_stretches_and_sends_probabilities_back() -> None:
    network = _build_sam(encoder_embed_dim=16, encoder_depth=1, encoder_num_heads=2, encoder_global_attn_indexes=[])
    model = MedSamModel("medsam_vit_b", network.eval(), "random")
    frame = place_in_square(model, (300, 200))
    assert (frame.row_scale * 300, frame.column_scale * 200) == pytest.approx((1, 1), abs=1e-3)
    assert (frame.row_offset, frame.column_offset) == pytest.approx((0, 0), abs=1e-3)


def test_a_box_in_the_square_decodes_as_on_the_image(small: PromptableModel) -> None:
    size = (300, 200)
    with torch.inference_mode():
        embedding = small.embed(torch.rand(1, INPUT_CHANNELS, 256, 256))
        boxes = np.array([[20, 30, 80, 120], [100, 200, 190, 290]], np.float32)
        direct = small.predict(embedding, Prompts(torch.from_numpy(boxes)), size)
        square = torch.from_numpy(place_in_square(small, size).boxes(boxes)) * SQUARE
        through = small.predict(embedding, Prompts(square), (SQUARE, SQUARE))
    torch.testing.assert_close(through.low_res_logits, direct.low_res_logits, atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(through.tokens, direct.tokens, atol=2e-3, rtol=1e-3)


def test_coverage_counts_the_covered_share_of_each_cell() -> None:
    mask = np.zeros((8, 4), dtype=np.bool_)
    mask[2:6, 1:3] = True
    # the image fills the left half of the square
    coverage = SquarePlace(1 / 8, 0, 1 / 8, 0).coverage(mask, 4, 4)
    expected = np.zeros((4, 4))
    expected[1:3, 0:2] = 0.5
    np.testing.assert_allclose(coverage / 255, expected, atol=0.07)
    assert coverage.sum() / 255 == pytest.approx(mask.sum() / 4, rel=0.02)


def test_box_weights_are_areas() -> None:
    boxes = torch.tensor([[0.125, 0.25, 0.5, 0.375], [0.51, 0.51, 0.52, 0.53]])
    weights = box_weights(boxes, 4, 8)
    assert weights.shape == (2, 4, 8)
    np.testing.assert_allclose(weights[0].sum(), (0.5 - 0.125) * 8 * (0.375 - 0.25) * 4, rtol=1e-5)
    assert torch.nonzero(weights[0])[:, 0].unique().tolist() == [1]
    assert torch.nonzero(weights[0])[:, 1].unique().tolist() == [1, 2, 3]
    np.testing.assert_allclose(weights[1].sum(), 0.01 * 8 * 0.02 * 4, rtol=1e-4)  # smaller than a cell, never lost
