"""Every promptable model against the predictor that its authors published: same random weights, same real image, fp32.

The upstream networks stay as upstream builds them; the project's models are built from copies of their weights, with
the attention that takes the place of SAM's. Then each model in bf16 against itself in fp32: the masks that it decodes
on the canonical grid, as a stage does, from embeddings that went through half precision.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from sam2.build_sam import build_sam2
from sam2.sam2_image_predictor import SAM2ImagePredictor
from segment_anything import SamPredictor, sam_model_registry
from segment_anything.build_sam import _build_sam
from segment_anything.modeling import Sam
from skimage import data
from skimage.transform import resize
from torch import nn
from torch.nn import functional

from mammoflow.config.inference import EncoderUse
from mammoflow.segmentation.loading import build_model, load_promptable
from mammoflow.segmentation.models.sam import ENCODERS
from mammoflow.segmentation.models.sam2 import ARCHITECTURES, CONFIGURATIONS
from mammoflow.segmentation.networks.rgb_input import to_rgb
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.prompts import Prompts
from mammoflow.weights.registry import ModelSpec

Grey = npt.NDArray[np.uint16]
Logits = npt.NDArray[np.float32]
Boxes = npt.NDArray[np.float32]

CPU = torch.device("cpu")
TOLERANCE = 1e-4
LEAST_DICE = 0.995
"""Of a mask from an encoder in bf16 with the mask from the same encoder in fp32."""


@pytest.fixture(scope="module")
def film() -> Grey:
    """A real film at a fifth of its size where the data are at hand, else a photograph; neither is square."""
    root = Path(os.environ.get("MAMMOFLOW_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
    files = sorted((root / "cbis-ddsm" / "full").rglob("*.png"))
    if not files:
        return data.camera()[:300, :220].astype(np.uint16) * np.uint16(257)
    grey = cv2.imread(str(files[0]), cv2.IMREAD_GRAYSCALE)
    small = cv2.resize(grey, (round(300 * grey.shape[1] / grey.shape[0]), 300), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint16) * np.uint16(257)


def boxes_on(film: Grey) -> Boxes:
    height, width = film.shape
    parts = np.array([[0.1, 0.2, 0.5, 0.6], [0.05, 0.05, 0.9, 0.3], [0.45, 0.4, 0.6, 0.47]])
    return (parts * [width, height, width, height]).astype(np.float32)


def seeded(network: nn.Module, seed: int) -> nn.Module:
    """Give weights to what networks leave at 0 before training: positions, absolute and relative."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        if "rel_pos" in name or "pos_embed" in name:
            nn.init.normal_(parameter, std=0.1, generator=generator)
    return network.eval()


def thin_sam(*_: Any) -> Sam:
    """SAM's own builder at its own resolution with a thin encoder; its windows of 14 tokens do not divide the 64."""
    network: Sam = _build_sam(
        encoder_embed_dim=48, encoder_depth=2, encoder_num_heads=2, encoder_global_attn_indexes=[1]
    )
    return network


def own_logits(model: PromptableModel, film: Grey) -> Logits:
    size = (film.shape[0], film.shape[1])
    with torch.inference_mode():
        embedding = model.embed(model.preprocess(film)[None])
        low = model.predict(embedding, Prompts.of(boxes_on(film)), size).low_res_logits
        return model.upscale(low, size)[:, 0].numpy()


def sam_predictor_logits(network: Sam, film: Grey) -> Logits:
    predictor = SamPredictor(network)
    predictor.set_image(to_rgb(film))
    boxes = predictor.transform.apply_boxes_torch(torch.from_numpy(boxes_on(film)), film.shape)
    logits, _, _ = predictor.predict_torch(None, None, boxes, multimask_output=False, return_logits=True)
    return logits[:, 0].numpy()


def medsam_probabilities(network: Sam, film: Grey) -> Logits:
    """MedSAM's published inference, step by step: resize, minimum to maximum, box by box, sigmoid, resize."""
    rgb = np.repeat((film // 257).astype(np.uint8)[..., None], 3, axis=2)
    square = resize(rgb, (1024, 1024), order=3, preserve_range=True, anti_aliasing=True).astype(np.uint8)
    scaled = (square - square.min()) / np.clip(int(square.max()) - int(square.min()), 1e-8, None)
    height, width = film.shape
    boxes = torch.from_numpy(boxes_on(film) / np.array([width, height, width, height]) * 1024).float()
    found = []
    with torch.inference_mode():
        image = network.image_encoder(torch.tensor(scaled).float().permute(2, 0, 1)[None])
        for box in boxes:
            sparse, dense = network.prompt_encoder(points=None, boxes=box[None, None], masks=None)
            low, _ = network.mask_decoder(image, network.prompt_encoder.get_dense_pe(), sparse, dense, False)
            probability = functional.interpolate(torch.sigmoid(low), (height, width), mode="bilinear")
            found.append(probability[0, 0].numpy())
    return np.stack(found)


def check(name: str, found: Logits, expected: Logits, threshold: float = 0.0) -> None:
    difference = float(np.abs(found - expected).max())
    changed = int(((found > threshold) != (expected > threshold)).sum())
    share = float((expected > threshold).mean())
    print(f"\n{name}: largest difference {difference:.1e}, pixels changed {changed}, of them in masks {share:.2f}")
    assert difference <= TOLERANCE
    assert changed == 0
    assert 0 < share < 1


def probability(logits: Logits) -> Logits:
    return (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)


@pytest.fixture
def thin_networks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for architecture in ("vit_b", "vit_l", "vit_h"):
        monkeypatch.setitem(sam_model_registry, architecture, thin_sam)
    return


def compare_sam(name: str, film: Grey, seed: int) -> None:
    architecture = ENCODERS[name]
    torch.manual_seed(seed)
    network = seeded(sam_model_registry[architecture](), seed)
    model = build_model(name, network.state_dict(), "random", CPU)
    check(name, own_logits(model, film), sam_predictor_logits(network, film))


def compare_medsam(film: Grey, seed: int) -> None:
    torch.manual_seed(seed)
    network = seeded(sam_model_registry["vit_b"](), seed)
    model = build_model("medsam_vit_b", network.state_dict(), "random", CPU)
    found = probability(own_logits(model, film))
    check("medsam_vit_b", found, medsam_probabilities(network, film), threshold=0.5)


def compare_sam2(name: str, film: Grey, seed: int) -> None:
    torch.manual_seed(seed)
    network = seeded(build_sam2(CONFIGURATIONS[name], ckpt_path=None, device="cpu"), seed)
    predictor = SAM2ImagePredictor(network)
    predictor.set_image(to_rgb(film))
    logits, _, _ = predictor.predict(box=boxes_on(film), multimask_output=False, return_logits=True)
    model = build_model(name, network.state_dict(), "random", CPU)
    check(name, own_logits(model, film), logits[:, 0])


def compare_precisions(build: Callable[[], PromptableModel], film: Grey, boxes: Boxes | None = None) -> None:
    """Hold the masks in bf16 to those in fp32; no mask may be a speck or fill the film."""
    masks, prompts = {}, Prompts.of(boxes_on(film) if boxes is None else boxes)
    for precision in ("fp32", "bf16"):
        model = build()
        model.use_precision(precision)
        decoded = model.decode(model.encode([film])[0], prompts, (film.shape[0], film.shape[1]))
        masks[model.precision] = decoded.logits[:, 0] > 0
    exact, rounded = masks["fp32"], masks["bf16"]
    pixels = exact.sum(axis=(1, 2))
    dice = 2 * (exact & rounded).sum(axis=(1, 2)) / (pixels + rounded.sum(axis=(1, 2)))
    print(f"\n{model.name}: Dice of bf16 with fp32 {dice.round(4)}, pixels {pixels} of {film.size}")
    assert pixels.min() >= 100
    assert pixels.max() < 0.98 * film.size
    assert dice.min() >= LEAST_DICE


def random_sam(name: str, seed: int) -> PromptableModel:
    torch.manual_seed(seed)
    network = seeded(sam_model_registry[ENCODERS[name]](), seed)
    return build_model(name, network.state_dict(), "random", CPU)


def random_sam2(name: str, seed: int) -> PromptableModel:
    torch.manual_seed(seed)
    network = seeded(build_sam2(CONFIGURATIONS[name], ckpt_path=None, device="cpu"), seed)
    return build_model(name, network.state_dict(), "random", CPU)


def test_sam_gives_its_predictors_logits_and_masks(thin_networks: None, film: Grey) -> None:
    compare_sam("sam_vit_b", film, 3)


def test_medsam_gives_what_its_published_inference_gives(thin_networks: None, film: Grey) -> None:
    compare_medsam(film, 4)


@pytest.mark.parametrize("name", ["sam_vit_b", "medsam_vit_b"])
def test_bf16_leaves_masks_alone(thin_networks: None, name: str, film: Grey) -> None:
    compare_precisions(lambda: random_sam(name, 2), film)


def test_bf16_leaves_masks_of_the_shipped_model_alone() -> None:
    """On bright masses in uneven tissue: with boxes on nothing the trained model answers with nothing."""
    rows, columns = np.mgrid[:300, :220]
    generator = np.random.default_rng(8)
    grey = cv2.GaussianBlur(generator.normal(size=rows.shape), (0, 0), 6) * 60000 + 15000
    boxes = np.array([[30, 40, 80, 110], [120, 150, 190, 200], [60, 210, 100, 250]], dtype=np.float32)
    for x0, y0, x1, y1 in boxes:
        distance = ((columns - (x0 + x1) / 2) / (x1 - x0)) ** 2 + ((rows - (y0 + y1) / 2) / (y1 - y0)) ** 2
        grey += 30000 * (distance < 0.2)
    film = np.clip(grey, 0, 65535).astype(np.uint16)
    compare_precisions(lambda: load_promptable(ModelSpec("small", "small"), CPU, EncoderUse("fp32")), film, boxes=boxes)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sam_vit_b", "medsam_vit_b"])
def test_full_size_bf16_sam(name: str, film: Grey) -> None:
    compare_precisions(lambda: random_sam(name, 5), film)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(name for name, known in ARCHITECTURES.items() if known.precision == "auto"))
def test_full_size_bf16_sam2(name: str, film: Grey) -> None:
    compare_precisions(lambda: random_sam2(name, 5), film)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sam_vit_b", "sam_vit_l", "sam_vit_h"])
def test_full_size_sam(name: str, film: Grey) -> None:
    compare_sam(name, film, 5)


@pytest.mark.slow
def test_full_size_medsam(film: Grey) -> None:
    compare_medsam(film, 6)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CONFIGURATIONS))
def test_full_size_sam2(name: str, film: Grey) -> None:
    compare_sam2(name, film, 7)
