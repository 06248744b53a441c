"""The rearranged parts of SAM's mask decoder against the published module."""

from __future__ import annotations

import pytest
import torch
from segment_anything.modeling import MaskDecoder, TwoWayTransformer
from torch import Tensor, nn

from mammoflow.segmentation.layers.mask_decoder import run_mask_decoder
from mammoflow.segmentation.layers.two_way import folds

WIDTH, GRID = 32, 6


@pytest.fixture
def decoder() -> MaskDecoder:
    """Make a thin mask decoder none of whose biases and scales is neutral."""
    torch.manual_seed(3)
    transformer = TwoWayTransformer(depth=2, embedding_dim=WIDTH, num_heads=4, mlp_dim=48)
    made = MaskDecoder(transformer_dim=WIDTH, transformer=transformer, iou_head_hidden_dim=16)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)
    return made


def inputs(prompts: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return one image, its positions, three prompts' tokens and masks."""
    generator = torch.Generator().manual_seed(5)
    sizes = [(1, WIDTH, GRID, GRID), (1, WIDTH, GRID, GRID), (3, prompts, WIDTH), (3, WIDTH, GRID, GRID)]
    image, position, sparse, dense = (torch.randn(size, generator=generator) for size in sizes)
    return image, position, sparse, dense


# few tokens are folded, many are not worth it
@pytest.mark.parametrize(("prompts", "folded"), [(2, False), (0, False), (2, True), (11, False)])
def test_masks_and_gradients_are_those_of_the_published_module(
    decoder: MaskDecoder, prompts: int, folded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if folded:
        # the thin decoder folds up to four tokens; two prompts make seven
        monkeypatch.setattr("mammoflow.segmentation.layers.two_way.folds", lambda transformer, tokens: True)
    else:
        assert not folds(decoder.transformer, 5 + prompts)
    image, position, sparse, dense = inputs(prompts)
    dense.requires_grad_(True)
    expected, expected_iou = decoder.predict_masks(image, position, sparse, dense)
    (expected.sum() + expected_iou.sum()).backward()
    gradients = [dense.grad, *(parameter.grad for parameter in decoder.parameters())]
    dense.grad = None
    decoder.zero_grad()
    masks, iou, _ = run_mask_decoder(decoder, image.expand(3, -1, -1, -1), position, sparse, dense)
    (masks.sum() + iou.sum()).backward()
    torch.testing.assert_close(masks, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(iou, expected_iou, rtol=1e-4, atol=1e-5)
    for found, wanted in zip([dense.grad, *(item.grad for item in decoder.parameters())], gradients, strict=True):
        # the bias of the keys moves nothing: its gradient is missing or rounding
        pair = [tensor for tensor in (found, wanted) if tensor is not None]
        if len(pair) == 2:
            torch.testing.assert_close(*pair, rtol=1e-3, atol=1e-4 + 1e-3 * float(pair[1].abs().max()))
        else:
            assert all(tensor.abs().max() < 1e-4 for tensor in pair)


def test_prompts_of_several_images_keep_to_their_own(decoder: MaskDecoder) -> None:
    image, position, sparse, dense = inputs(0)
    images = torch.cat([image, image.flip(-1), -image])
    together, _, _ = run_mask_decoder(decoder, images, position, sparse, dense)
    for index in range(3):
        part = slice(index, index + 1)
        alone, _ = decoder.predict_masks(images[part], position, sparse[part], dense[part])
        torch.testing.assert_close(together[part], alone, rtol=1e-4, atol=1e-5)


def test_full_size_folds_boxes_and_changed_layers_do_not() -> None:
    transformer = TwoWayTransformer(depth=2, embedding_dim=256, num_heads=8, mlp_dim=64)
    assert folds(transformer, 7)
    assert not folds(transformer, 17)

    class Changed(nn.Linear):
        pass

    transformer.layers[1].cross_attn_image_to_token.q_proj = Changed(256, 128)
    assert not folds(transformer, 7)
