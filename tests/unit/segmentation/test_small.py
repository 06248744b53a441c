"""The small model: its input, its prompts, its windows, and a short training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from mammoflow.config.small import SmallTrainingSettings
from mammoflow.errors import StudyError
from mammoflow.segmentation.sam import SamModel, build_sam_model
from mammoflow.segmentation.small.architecture import SIDE, box_logits, small_input
from mammoflow.segmentation.small.network import OUTSIDE, decode_boxes, place_windows
from mammoflow.segmentation.small.record import RECORD, trained_patients
from mammoflow.segmentation.small.samples import WINDOW, LesionSample, draw_boxes, draw_window, load_samples
from mammoflow.segmentation.small.stage import train_small
from mammoflow.segmentation.weights import SMALL_WEIGHTS, load_model
from mammoflow.store import file_digest, write_image, write_mask
from mammoflow.tables import CANONICAL_IMAGES, CANONICAL_LESIONS, empty_table, write_table


def disc(side: int, y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side] + 0.5
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def shard(folder: Path, patients: int = 4, split: str = "train") -> Path:
    """Write an image shard of bright discs on noise, one lesion a patient, films of 200 x 160 at 1 mm."""
    generator = np.random.default_rng(1)
    images, lesions = [], []
    for index in range(patients):
        mask = disc(200, 60 + 20 * index, 80, 9)[:, :160]
        film = generator.normal(20000, 2000, (200, 160)) + 15000 * mask
        name = f"P_{index}"
        write_image(folder / f"image/{name}.png", film.clip(0, 65535).astype(np.uint16))
        write_mask(folder / f"mask/{name}.png", mask)
        common = {"image_id": name, "patient_id": name, "source": "discs", "laterality": "L", "view": "CC"}
        common |= {"official_split": "", "split": split, "shard": 0}
        images.append(
            common
            | {"image_path": "", "film_height": 200, "film_width": 160, "film_spacing_mm": 1.0, "height": 200}
            | {"width": 160, "row_spacing_mm": 1.0, "column_spacing_mm": 1.0, "image_file": f"image/{name}.png"}
            | {"breast_file": "", "breast_area_mm2": 1.0, "digest": name}
        )
        lesions.append(
            common
            | {"lesion_id": name, "finding_id": name, "lesion_type": "mass", "mask_file": f"mask/{name}.png"}
            | {"y0": 1.0, "x0": 1.0, "y1": 2.0, "x1": 2.0, "patch_file": "", "patch_breast_file": ""}
            | {"patch_spacing_mm": 1.0, "patch_y0": 0.0, "patch_x0": 0.0}
        )
    for rows, schema, file in ((images, CANONICAL_IMAGES, "images"), (lesions, CANONICAL_LESIONS, "lesions")):
        table = pd.concat([empty_table(schema), pd.DataFrame(rows)], ignore_index=True)
        write_table(table, schema, folder / f"{file}.parquet")
    return folder


def test_box_prompt_is_zero_on_the_inscribed_ellipse_and_highest_at_its_centre() -> None:
    logits = box_logits(torch.tensor([[10.0, 20.0, 30.0, 60.0]]), (SIDE, SIDE))[0, 0]
    assert logits.shape == (SIDE, SIDE)
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    inside = ((columns - 20) / 10) ** 2 + ((rows - 40) / 20) ** 2 < 1
    assert np.array_equal((logits > 0).numpy(), inside)
    assert float(logits.max()) == pytest.approx(4.0, abs=0.3)
    assert np.unravel_index(int(logits.argmax()), logits.shape) in {(39, 19), (39, 20), (40, 19), (40, 20)}
    assert float(logits.min()) == -4.0


def test_input_does_not_move_with_gain_and_offset_of_the_film() -> None:
    generator = np.random.default_rng(2)
    image = np.zeros((80, 60), np.float32)
    image[5:70, 4:50] = generator.normal(20000, 3000, (65, 46))
    first, second = small_input(image), small_input(np.where(image > 0, image * 1.7, 0).astype(np.float32))
    assert first.shape == (3, 80, 60)
    assert np.allclose(first, second, atol=1e-3)
    assert np.all(first[:, image == 0] == 0)
    assert not small_input(np.zeros((20, 20), np.float32)).any()


def model_and_embedding() -> tuple[SamModel, torch.Tensor]:
    torch.manual_seed(8)
    model = build_sam_model("small", None, "weights", torch.device("cpu"))
    assert isinstance(model, SamModel)
    with torch.inference_mode():
        return model, model.embed(torch.randn(1, 3, SIDE, SIDE))["image"]


def test_window_lies_around_its_box_inside_the_frame_and_grows_with_it() -> None:
    boxes = torch.tensor([[120.0, 104.0, 136.0, 120.0], [0.0, 230.0, 20.0, 256.0], [0.0, 0.0, 256.0, 200.0]])
    sides, offsets = place_windows(boxes)
    assert sides.tolist() == [24, 24, 64]
    assert offsets.tolist() == [[28 - 12, 32 - 12], [40, 0], [0, 0]]


def test_a_box_as_large_as_the_frame_is_decoded_as_sam_does() -> None:
    model, image = model_and_embedding()
    boxes = torch.tensor([[2.0, 3.0, 250.0, 240.0]])
    encoder, decoder = model.network.prompt_encoder, model.network.mask_decoder
    with torch.inference_mode():
        masks, iou, _ = decode_boxes(model.network, image, boxes, None)
        sparse, dense = encoder(points=None, boxes=boxes, masks=box_logits(boxes, (SIDE, SIDE)))
        expected, expected_iou = decoder.predict_masks(image, encoder.get_dense_pe(), sparse, dense)
    assert torch.allclose(masks, expected, atol=1e-4)
    assert torch.allclose(iou, expected_iou, atol=1e-5)


def test_boxes_decoded_together_equal_boxes_decoded_alone_in_their_order() -> None:
    model, image = model_and_embedding()
    boxes = torch.tensor([[10.0, 10.0, 200.0, 200.0], [40.0, 60.0, 60.0, 90.0], [5.0, 200.0, 90.0, 256.0]])
    previous = torch.randn(3, 1, SIDE, SIDE)
    with torch.inference_mode():
        together = decode_boxes(model.network, image.expand(3, -1, -1, -1), boxes, previous)
        for index in range(3):
            alone = decode_boxes(model.network, image, boxes[index : index + 1], previous[index : index + 1])
            for many, one in zip(together, alone, strict=True):
                assert torch.allclose(many[index], one[0], atol=1e-4)
    outside = together[0][1, :, 200:, 200:]
    assert bool((outside == OUTSIDE).all())


def test_what_lies_beyond_the_window_changes_nothing() -> None:
    model, image = model_and_embedding()
    boxes = torch.tensor([[40.0, 60.0, 60.0, 90.0]])
    changed = image.clone()
    changed[:, :, 40:, 40:] += 5
    with torch.inference_mode():
        first = decode_boxes(model.network, image, boxes, None)[0]
        second = decode_boxes(model.network, changed, boxes, None)[0]
        changed[:, :, 18, 12] += 5
        third = decode_boxes(model.network, changed, boxes, None)[0]
    assert torch.equal(first, second)
    assert not torch.allclose(first, third)


def test_boxes_hold_the_lesion_and_margins_are_millimetres() -> None:
    mask = disc(WINDOW, 48, 48, 10)
    generator = np.random.default_rng(3)
    boxes = draw_boxes(mask, (1.0, 1.0), 4000, generator, (1000, 1000))
    margins = (boxes[:, 2] - boxes[:, 0] - 20) / 2
    assert np.mean(margins < 2) > 0.2
    assert 10 < np.quantile(margins, 0.6) < 14
    finer = draw_boxes(mask, (0.5, 0.5), 4000, np.random.default_rng(3), (1000, 1000))
    assert np.median((finer[:, 2] - finer[:, 0] - 20) / 2) == pytest.approx(2 * np.median(margins), rel=0.1)


def test_window_shows_the_lesion_where_its_mask_says() -> None:
    mask = disc(SIDE, 100, 70, 8)
    channels = np.stack([np.where(mask, 2.0, -1.0)] * 3).astype(np.float16)
    sample = LesionSample("l", "p", "s", "train", channels, mask.astype(np.uint8), (1.0, 1.0))
    for seed in range(20):
        pixels, target, boxes = draw_window(sample, 3, np.random.default_rng(seed))
        assert pixels.shape == (3, WINDOW, WINDOW)
        assert boxes.shape == (3, 4)
        inside, outside = pixels[0][target[0] > 0.9], pixels[0][target[0] < 0.1]
        assert inside.mean() > outside.mean() + 1.5


def test_loading_brings_images_and_masks_to_the_networks_grid(tmp_path: Path) -> None:
    samples = load_samples([shard(tmp_path / "00")])
    assert [sample.patient_id for sample in samples] == ["P_0", "P_1", "P_2", "P_3"]
    first = samples[0]
    assert first.channels.shape == (3, SIDE, SIDE)
    assert first.spacing_mm == pytest.approx((200 / 256, 200 / 256))
    rows, columns = np.nonzero(first.mask)
    assert rows.mean() + 0.5 == pytest.approx(60 * 1.28, abs=0.7)
    assert columns.mean() + 0.5 == pytest.approx(80 * 1.28, abs=0.7)


def test_training_writes_weights_that_load_and_names_its_patients(tmp_path: Path) -> None:
    folders = [shard(tmp_path / "00"), shard(tmp_path / "01", split="test")]
    settings = SmallTrainingSettings(epochs=2, batch_size=2, prompts=1)
    train_small(settings, folders, tmp_path / "small", threads=1)
    record = json.loads((tmp_path / "small/record.json").read_text())
    assert record["patients"] == ["discs/P_0", "discs/P_1", "discs/P_2", "discs/P_3"]
    assert record["lesions"] == {"discs": 4}
    state = load_file(tmp_path / "small/small.safetensors")
    trained = build_sam_model("small", state, "weights", torch.device("cpu"))
    torch.manual_seed(0)
    fresh = build_sam_model("small", None, "weights", torch.device("cpu"))
    key = "mask_decoder.mask_tokens.weight"
    assert not torch.equal(trained.network.state_dict()[key], fresh.network.state_dict()[key])
    assert not (tmp_path / ".training").exists() or not any((tmp_path / ".training").iterdir())


def test_training_without_a_training_lesion_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no training lesion"):
        train_small(SmallTrainingSettings(), [shard(tmp_path / "00", split="test")], tmp_path / "small", threads=1)


def test_shipped_weights_are_those_of_the_record_and_fit_the_network() -> None:
    record = json.loads(RECORD.read_text())
    assert file_digest(SMALL_WEIGHTS) == record["weights_sha256"]
    assert SMALL_WEIGHTS.stat().st_size < 10_000_000
    assert load_model("small", None, torch.device("cpu")).name == "small"


def test_real_patients_of_the_record_are_told_and_phantoms_are_not(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    record.write_text(json.dumps({"patients": ["A study, of masses/P_1", "phantom (training)/P_2"]}))
    assert trained_patients(record) == {"P_1"}
    assert trained_patients(tmp_path / "none.json") == frozenset()
    assert len(trained_patients()) == 470
