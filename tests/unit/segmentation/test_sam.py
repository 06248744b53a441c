"""SAM, MedSAM and the small model behind the protocol; `test_exactness.py` holds them to the published predictors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from segment_anything.build_sam import _build_sam
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide
from skimage import data

from mammoflow.errors import WeightsError
from mammoflow.segmentation.layers.mask_decoder import run_mask_decoder
from mammoflow.segmentation.loading import build_model
from mammoflow.segmentation.networks.rgb_input import to_rgb
from mammoflow.segmentation.networks.sam import MedSamModel, SamModel
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.prompts import Prompts

BOXES = np.array([[40.0, 60.0, 120.0, 180.0], [10.0, 5.0, 200.0, 90.0], [100.5, 100.0, 130.0, 140.5]], np.float32)


@pytest.fixture(scope="module")
def film() -> npt.NDArray[np.uint16]:
    """A real photograph that is not square, as 16-bit grey levels."""
    return (data.camera()[:300, :220].astype(np.uint16)) * 257


@pytest.fixture(scope="module")
def network() -> Sam:
    """SAM's own builder at SAM's own resolution, with a thin encoder so that it runs in a second."""
    torch.manual_seed(3)
    network: Sam = _build_sam(
        encoder_embed_dim=48, encoder_depth=2, encoder_num_heads=2, encoder_global_attn_indexes=[1]
    )
    return network


def embedding_in_full_precision(model: PromptableModel, film: npt.NDArray[np.uint16]) -> dict[str, torch.Tensor]:
    with torch.inference_mode():
        return model.embed(model.preprocess(film)[None])


def logits_of(model: PromptableModel, film: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    size = (film.shape[0], film.shape[1])
    with torch.inference_mode():
        prediction = model.predict(embedding_in_full_precision(model, film), Prompts(torch.from_numpy(BOXES)), size)
        return model.upscale(prediction.low_res_logits, size)[:, 0].numpy()


def test_decoder_with_one_image_for_each_prompt_equals_upstream_one_by_one(network: Sam) -> None:
    torch.manual_seed(5)
    images = torch.randn(3, 256, 64, 64)
    encoder, decoder = network.prompt_encoder, network.mask_decoder
    with torch.inference_mode():
        sparse, dense = encoder(points=None, boxes=torch.from_numpy(BOXES), masks=None)
        masks, iou, tokens = run_mask_decoder(decoder, images, encoder.get_dense_pe(), sparse, dense)
        for index in range(3):
            expected, expected_iou = decoder.predict_masks(
                images[index : index + 1], encoder.get_dense_pe(), sparse[index : index + 1], dense[index : index + 1]
            )
            assert torch.allclose(masks[index], expected[0], atol=1e-4)
            assert torch.allclose(iou[index], expected_iou[0], atol=1e-5)
    assert tokens.shape == (3, 4, 256)


def test_inference_face_equals_the_core_up_to_half_precision(film: npt.NDArray[np.uint16]) -> None:
    torch.manual_seed(6)
    model = build_model("small", None, "weights", torch.device("cpu"))
    arrays = model.encode([film, film[::-1].copy()])
    assert arrays[0]["image"].dtype == np.float16
    assert not np.array_equal(arrays[0]["image"], arrays[1]["image"])
    size = (film.shape[0], film.shape[1])
    decoded = model.decode(arrays[0], Prompts.of(BOXES), size)
    assert np.abs(decoded.logits[:, 0] - logits_of(model, film)).max() < 0.05
    again = model.decode(arrays[0], Prompts.of(BOXES, mask_logits=decoded.low_res_logits), size)
    assert again.logits.shape == decoded.logits.shape == (3, 1, 300, 220)
    assert not np.allclose(again.logits, decoded.logits)


def test_gradients_reach_the_encoder_through_a_prompt(film: npt.NDArray[np.uint16]) -> None:
    torch.manual_seed(7)
    model = build_model("small", None, "weights", torch.device("cpu"))
    embedding = model.embed(model.preprocess(film)[None])
    prediction = model.predict(embedding, Prompts.of(BOXES, several_masks=True), (300, 220))
    assert prediction.low_res_logits.shape == (3, 3, 256, 256)
    prediction.low_res_logits.square().mean().backward()
    gradient = next(model.network.image_encoder.parameters()).grad  # type: ignore[union-attr,operator]
    assert gradient is not None
    assert float(gradient.abs().sum()) > 0


def test_digest_tells_models_weights_and_preprocessing_apart(network: Sam) -> None:
    digests = {
        SamModel("sam_vit_b", network, "a").digest,
        SamModel("sam_vit_b", network, "b").digest,
        MedSamModel("medsam_vit_b", network, "a").digest,
    }
    assert len(digests) == 3


def test_unknown_name_and_foreign_weights_are_clear_errors() -> None:
    with pytest.raises(ValueError, match="is no architecture; expected one of"):
        build_model("sam_vit_x", None, "", torch.device("cpu"))
    with pytest.raises(WeightsError, match="do not fit"):
        build_model("small", {"weight": torch.zeros(1)}, "", torch.device("cpu"))


@pytest.mark.parametrize("size", [(61, 40), (40, 61), (50, 50), (300, 7), (129, 200)])
def test_resizing_is_that_of_the_package(network: Sam, size: tuple[int, int]) -> None:
    model = SamModel("sam_vit_b", network, "digest")
    upstream = ResizeLongestSide(model.side)
    image = np.random.default_rng(3).integers(0, 65536, size, dtype=np.uint16)
    resized = torch.as_tensor(upstream.apply_image(to_rgb(image))).permute(2, 0, 1)
    expected = (resized - network.pixel_mean.cpu()) / network.pixel_std.cpu()
    rows, columns = model.scaled_size(size)
    assert (rows, columns) == upstream.get_preprocess_shape(*size, model.side)
    assert torch.equal(model.preprocess(image)[:, :rows, :columns], expected)
