"""Promptable models see the colours of pictures where `segmentation.colour` is rgb, each as its publication does."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from sam2.sam2_image_predictor import SAM2ImagePredictor
from segment_anything import SamPredictor
from skimage.transform import resize

from mammoflow.classification.cases import read_cases
from mammoflow.classification.inputs import whole_image_embedding
from mammoflow.classification.recorded_model import check_promptable
from mammoflow.classification.samples import Files, Job, PromptableSource
from mammoflow.config.inference import EncoderUse
from mammoflow.config.prompted import SegmentSettings
from mammoflow.config.prompts import PromptSettings
from mammoflow.config.recipes import RecipeSettings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError, StudyError
from mammoflow.planning.preflight import check_files
from mammoflow.prediction.api import predict
from mammoflow.segmentation.embedding.embeddings import embedding_key
from mammoflow.segmentation.loading import build_model, load_promptable
from mammoflow.segmentation.networks.sam import SamModel
from mammoflow.segmentation.prompted.stage import segment
from mammoflow.segmentation.prompting.prompts import make_prompts
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.training_stage import train_segmenter
from mammoflow.storage.arrays import ArrayStore
from mammoflow.storage.files import array_digest, read_image, write_image
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.masks import SEGMENTATION_SCORES
from mammoflow.weights.registry import ModelSpec

CPU = torch.device("cpu")
SIZE = (301, 220)
MODELS = ["sam_vit_b", "medsam_vit_b", "lite_medsam", "sam2.1_hiera_tiny"]
GREY_IMAGE = "image2"
"""A training image without colours."""

Picture = np.ndarray


@pytest.fixture
def model(request: pytest.FixtureRequest) -> PromptableModel:
    if request.param.startswith("sam2"):
        thin: PromptableModel = request.getfixturevalue("hiera")
        return thin
    torch.manual_seed(4)
    built = build_model(request.param, None, "random", CPU)
    assert isinstance(built, PromptableModel)
    return built


@pytest.fixture(scope="module")
def rgb() -> Picture:
    """A small random picture, smooth enough that scaling leaves something of it."""
    noise = np.random.default_rng(8).uniform(0, 255, (*SIZE, 3)).astype(np.float32)
    return (20 + 0.8 * cv2.GaussianBlur(noise, (0, 0), 1)).clip(0, 255).astype(np.uint8)


def of_predictor(predictor: Any, encoder: torch.nn.Module, rgb: Picture) -> torch.Tensor:
    """Return what the encoder of a published predictor is given; it need not compute anything with it."""
    seen: list[torch.Tensor] = []

    def stop(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(inputs[0])
        raise StopIteration

    hook = encoder.register_forward_pre_hook(stop)
    with suppress(StopIteration):
        predictor.set_image(rgb)
    hook.remove()
    return seen[0][0]


def of_script(resized: Picture) -> torch.Tensor:
    """Scale as the published scripts of MedSAM and LiteMedSAM do."""
    scaled = (resized - resized.min()) / np.clip(resized.max() - resized.min(), a_min=1e-8, a_max=None)
    return torch.tensor(scaled).float().permute(2, 0, 1)


def upstream_input(model: PromptableModel, rgb: Picture) -> torch.Tensor:
    """Return the network's input (3, side, side) as upstream computes it."""
    network: Any = model.network
    if model.name == "sam_vit_b":
        return of_predictor(SamPredictor(network), network.image_encoder, rgb)
    if model.name.startswith("sam2"):
        return of_predictor(SAM2ImagePredictor(network), network.image_encoder, rgb)
    if model.name == "medsam_vit_b":
        side = network.image_encoder.img_size
        stretched = resize(rgb, (side, side), order=3, preserve_range=True, anti_aliasing=True)
        return of_script(stretched.astype(np.uint8))
    scale = 256 / max(SIZE)
    rows, columns = (int(length * scale + 0.5) for length in SIZE)
    scaled = of_script(cv2.resize(rgb, (columns, rows), interpolation=cv2.INTER_AREA))
    return torch.nn.functional.pad(scaled, (0, 256 - columns, 0, 256 - rows))


@pytest.mark.parametrize("model", MODELS, indirect=True)
def test_preprocessing_of_colours_is_upstreams_and_of_equal_channels_that_of_grey(
    model: PromptableModel, rgb: Picture
) -> None:
    ours, expected = model.preprocess(rgb.astype(np.uint16) * 257), upstream_input(model, rgb)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)
    assert not torch.equal(ours[0], ours[1])

    grey = rgb[..., 0].astype(np.uint16) * 257
    difference = (model.preprocess(grey) - model.preprocess(np.stack([grey] * 3, axis=2))).abs()
    level = float(ours.max() - ours.min()) / (int(rgb.max()) - int(rgb.min()))
    # MedSAM's script cuts off decimals, so an interpolation across equal channels may lose a level
    assert float(difference.max()) <= (1.5 * level if model.name == "medsam_vit_b" else 1e-6)
    assert float(difference.mean()) <= 0.01 * level


@pytest.fixture
def coloured(discs: Path) -> Path:
    """The discs with a random colour picture of each image but one."""
    images = read_table(discs / "images.parquet", CANONICAL_IMAGES)
    generator = np.random.default_rng(1)
    files, digests = [], []
    for row in images.to_dict("records"):
        colours = generator.integers(0, 256, (row["height"], row["width"], 3), dtype=np.uint8)
        grey, file = row["image_id"] == GREY_IMAGE, f"colour/{row['image_id']}.png"
        write_image(discs / file, colours)
        files.append(None if grey else file)
        digests.append(None if grey else array_digest(colours))
    images = images.assign(colour_file=files, colour_digest=digests)
    write_table(images, CANONICAL_IMAGES, discs / "images.parquet")
    return discs


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of axes of each image that is given to SAM: 2 for grey levels, 3 for colours."""
    seen: list[int] = []
    preprocess: Callable[[SamModel, Picture], torch.Tensor] = SamModel.preprocess

    def noted(model: SamModel, image: Picture) -> torch.Tensor:
        seen.append(image.ndim)
        return preprocess(model, image)

    monkeypatch.setattr(SamModel, "preprocess", noted)
    return seen


def use(colour: Any) -> EncoderUse:
    return EncoderUse("fp32", colour)


def test_colours_reach_the_network_of_the_segmentation(
    coloured: Path, sam_weights: Path, encoded: list[int], tmp_path: Path
) -> None:
    for name, schema in (("images", CANONICAL_IMAGES), ("lesions", CANONICAL_LESIONS)):
        table = read_table(coloured / f"{name}.parquet", schema)
        write_table(table[table["image_id"].isin(["image0", GREY_IMAGE])], schema, coloured / f"{name}.parquet")
    prompts, store = tmp_path / "prompts.parquet", tmp_path / "store"
    make_prompts(PromptSettings(margins_mm=[10.0]), coloured, prompts)
    spec, dice = ModelSpec("thin", "sam_vit_b", sam_weights), {}
    for colour, expected in (("grey", [2, 2]), ("rgb", [3])):  # the grey picture has one key for both
        encoded.clear()
        values = {"device": "cpu", "precision": "fp32", "iterations": 1, "colour": colour}
        settings = SegmentSettings.model_validate(values)
        segment(settings, spec, coloured, [prompts], store, 10.0, tmp_path / colour, threads=1)
        assert sorted(encoded) == expected
        scores = read_table(tmp_path / colour / "scores.parquet", SEGMENTATION_SCORES)
        dice[colour] = scores[scores["model"] == "thin"].groupby("image_id")["predicted_iou"].mean()
    assert dice["rgb"]["image0"] != dice["grey"]["image0"]
    assert dice["rgb"][GREY_IMAGE] == dice["grey"][GREY_IMAGE]

    row = read_table(coloured / "images.parquet", CANONICAL_IMAGES).set_index("image_id").loc["image0"]
    model = load_promptable(spec, CPU, use("rgb"))
    stored = {
        name: ArrayStore(store).read(embedding_key(row[name], model.embedding_digest))
        for name in ("digest", "colour_digest")
    }
    (expected_arrays,) = model.encode([read_image(coloured / row["colour_file"]).astype(np.uint16) * 257])
    assert stored["digest"] is not None
    assert stored["colour_digest"] is not None
    np.testing.assert_allclose(stored["colour_digest"]["image"], expected_arrays["image"], atol=1e-3)
    assert np.abs(stored["digest"]["image"] - expected_arrays["image"]).max() > 0.05


def test_classifiers_of_embeddings_see_colours(coloured: Path, sam_weights: Path, tmp_path: Path) -> None:
    cases, vectors, notes = read_cases([coloured]), {}, {}
    for colour in ("grey", "rgb"):
        source = PromptableSource(ModelSpec("thin", "sam_vit_b", sam_weights), use(colour), tmp_path / "store", 2.0)
        job = Job(tmp_path / "cache", 1, CPU)
        samples = whole_image_embedding.read(
            whole_image_embedding.Options(), cases, Files([coloured], model=source), job
        )
        vectors[colour] = np.stack([samples[row]["vector"].numpy() for row in range(len(samples))])
        notes[colour] = samples.notes["promptable_model"]
    same = (vectors["grey"] == vectors["rgb"]).all(axis=1)
    assert cases.images["image_id"][same].tolist() == [GREY_IMAGE]
    assert notes["rgb"] == {**notes["grey"], "colour": "rgb"}

    trained = {"promptable_model": notes["rgb"]}
    check_promptable("one", trained, {"promptable_model": notes["rgb"]})
    with pytest.raises(ConfigError, match=r"with segmentation\.colour: rgb, and it is grey here; expected rgb"):
        check_promptable("one", trained, {"promptable_model": notes["grey"]})


def test_a_model_that_was_tuned_on_colours_sees_colours_everywhere(
    coloured: Path, sam_weights: Path, encoded: list[int], tmp_path: Path
) -> None:
    output = tmp_path / "tuning" / "mine"
    options = {"method": "all", "epochs": 1, "batch_size": 4, "device": "cpu"}
    recipe = RecipeSettings.model_validate({"recipe": "tune", "options": options})
    start = ModelSpec("thin", "sam_vit_b", sam_weights)
    train_segmenter(recipe, "sam_vit_b", start, [coloured], tmp_path / "store", 2.0, output, 1, use("rgb"))
    assert sorted(encoded) == [2, 3, 3, 3, 3, 3]  # of training and validation
    weights = output / "model.safetensors"
    assert json.loads((output / "record.json").read_text(encoding="utf-8"))["colour"] == "rgb"
    mine = ModelSpec("mine", "sam_vit_b", weights)
    assert load_promptable(mine, CPU, use("rgb")).colour == "rgb"
    with pytest.raises(ConfigError, match=r"were tuned on colours; expected segmentation\.colour: rgb"):
        load_promptable(mine, CPU, use("grey"))

    segmentation = {"run": ["mine"], "default_model": "mine", "models": {"mine": {"architecture": "sam_vit_b"}}}
    segmentation["models"]["mine"]["weights"] = str(weights)  # type: ignore[index]
    with pytest.raises(ConfigError, match=r"segmentation\.models\.mine\.weights with segmentation\.colour: grey"):
        check_files(StudyConfig.model_validate({"segmentation": segmentation}))

    photograph = np.random.default_rng(5).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    Image.fromarray(photograph).save(tmp_path / "photograph.png")
    asked: dict[str, Any] = {"model": "mine", "weights": weights, "architecture": "sam_vit_b", "spacing_mm": 0.5}
    encoded.clear()
    answered = predict(tmp_path / "photograph.png", [(10, 10, 60, 50)], device="cpu", threads=1, **asked)
    assert encoded == [3]
    assert answered.facts["model"]["colour"] == "rgb"
    with pytest.raises(ConfigError, match="found window, but mine sees colours"):
        predict(tmp_path / "photograph.png", [(10, 10, 60, 50)], field_of_view="window", **asked)


def test_what_has_no_colours_is_refused(discs: Path, sam_weights: Path, tmp_path: Path) -> None:
    spec, prompts = ModelSpec("thin", "sam_vit_b", sam_weights), tmp_path / "prompts.parquet"
    make_prompts(PromptSettings(margins_mm=[10.0]), discs, prompts)
    settings = SegmentSettings(device="cpu", colour="rgb")
    with pytest.raises(StudyError, match=r"has no column colour_file.*expected a run with images\.colour: keep"):
        segment(settings, spec, discs, [prompts], tmp_path / "store", 10.0, tmp_path / "out", threads=1)
    recipe = RecipeSettings.model_validate({"recipe": "tune", "options": {"device": "cpu"}})
    with pytest.raises(StudyError, match=r"colour: rgb, but none of 4 training images has a colour picture"):
        train_segmenter(recipe, "sam_vit_b", spec, [discs], tmp_path / "store", 2.0, tmp_path / "mine", 1, use("rgb"))
    with pytest.raises(ConfigError, match=r"model small with segmentation\.colour: rgb: small sees grey levels only"):
        load_promptable(ModelSpec("small", "small"), CPU, use("rgb"))


SAM: dict[str, Any] = {"run": ["lite_medsam"], "default_model": "lite_medsam", "colour": "rgb"}
TEACHER = {"recipe": "automatic", "options": {"labels": {"kind": "boxes", "model": "small"}}}
TUNED = {"recipe": "tune", "from": "small"}
KEEP = {"images": {"colour": "keep"}}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"segmentation": SAM}, r"segmentation\.colour is rgb, but images\.colour is refuse"),
        ({**KEEP, "segmentation": {**SAM, "run": ["lite_medsam", "small"]}}, "segmentation.run names small, and small"),
        ({**KEEP, "segmentation": {**SAM, "models": {"own": {"train": TUNED}}}}, "segmentation.models trains own"),
        (
            {**KEEP, "segmentation": {**SAM, "models": {"net": {"architecture": "unet_16", "train": TEACHER}}}},
            "models.net.train.options.labels names small",
        ),
        (
            {**KEEP, "segmentation": {**SAM, "fields_of_view": ["image", "window"]}},
            "colour is rgb and fields_of_view is .* windows are cut from grey patches",
        ),
        (
            {**KEEP, "segmentation": SAM, "robustness": {"models": ["lite_medsam"]}},
            r"robustness\.models names 'lite_medsam', which sees colours",
        ),
        (
            {**KEEP, "segmentation": SAM, "robustness": {"classifiers": ["perceptron_frozen"]}},
            r"which takes masks or embeddings of lite_medsam, which sees colours",
        ),
        ({**KEEP, "segmentation": SAM}, ""),
    ],
)
def test_the_configuration_names_what_does_not_go_with_colours(config: dict[str, Any], message: str) -> None:
    if message:
        with pytest.raises(ValidationError, match=message):
            StudyConfig.model_validate(config)
        return
    found = StudyConfig.model_validate(config)
    assert found.robustness.chosen_models(found.segmentation) == []
    assert "perceptron_frozen" not in found.robustness.chosen_classifiers(found.classification, found.segmentation)
    assert found.stages()["segmentation/lite_medsam"].encoder_use == EncoderUse("auto", "rgb")  # type: ignore[attr-defined]
