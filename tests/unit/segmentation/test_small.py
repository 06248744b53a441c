"""The small model: its input, its prompts, its regions, and a short training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from mammoflow.config.recipes import RecipeSettings
from mammoflow.config.small import SmallTrainingSettings
from mammoflow.errors import StudyError
from mammoflow.segmentation.loading import build_model, load_promptable
from mammoflow.segmentation.models.small import WEIGHTS
from mammoflow.segmentation.protocol.prompts import Prompts
from mammoflow.segmentation.small.architecture import (
    GRID,
    INPUT_CHANNELS,
    SIDE,
    build_small_network,
    small_input,
)
from mammoflow.segmentation.small.learner import SmallLearner, make_learner, make_plan
from mammoflow.segmentation.small.model import SmallModel
from mammoflow.segmentation.small.network import OUTSIDE, SmallPrompts, cut, place_regions, prompt_maps, put_back
from mammoflow.segmentation.small.windows import (
    CUT_SHARE,
    JITTERED_SHARE,
    LARGEST_MARGIN_MM,
    MARGIN_POWER,
    WINDOW,
    Batch,
    LesionSample,
    draw_boxes,
    draw_points,
    draw_window,
    load_samples,
)
from mammoflow.segmentation.training_stage import train_segmenter
from mammoflow.storage.files import file_digest, write_image, write_mask
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.training.loop import fit
from mammoflow.weights.registry import ModelSpec
from mammoflow.weights.seen_patients import RECORD_FILE, seen_patients


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
            | {"patch_spacing_mm": 1.0, "patch_y0": 0.0, "patch_x0": 0.0, "malignant": index % 2}
        )
    for rows, schema, file in ((images, CANONICAL_IMAGES, "images"), (lesions, CANONICAL_LESIONS, "lesions")):
        required = [name for name, column in schema.columns.items() if column.required]
        table = pd.DataFrame(rows).reindex(columns=required)
        write_table(table, schema, folder / f"{file}.parquet")
    return folder


def test_input_does_not_move_with_gain_and_offset_of_the_film() -> None:
    generator = np.random.default_rng(2)
    image = np.zeros((80, 60), np.float32)
    image[5:70, 4:50] = generator.normal(20000, 3000, (65, 46))
    first, second = small_input(image), small_input(np.where(image > 0, image * 1.7, 0).astype(np.float32))
    assert first.shape == (INPUT_CHANNELS, 80, 60)
    assert np.allclose(first, second, atol=1e-3)
    assert np.all(first[:-1, image == 0] == 0)
    assert np.all(first[-1] == 1)
    assert not small_input(np.zeros((20, 20), np.float32))[:-1].any()


def regions_of(boxes: list[list[float]]) -> tuple[SmallPrompts, torch.Tensor]:
    prompts = SmallPrompts.of_boxes(torch.tensor(boxes))
    return prompts, place_regions(prompts)


def test_region_is_a_square_around_the_box_and_grows_with_it() -> None:
    _, regions = regions_of([[100.0, 110.0, 140.0, 120.0], [0.0, 0.0, 4.0, 4.0]])
    assert regions[0].tolist() == pytest.approx([92.0, 87.0, 148.0, 143.0])
    assert regions[1].tolist() == pytest.approx([-8.0, -8.0, 12.0, 12.0])


def test_region_of_points_lies_around_the_positive_ones() -> None:
    points = torch.tensor([[[50.0, 60.0], [70.0, 60.0], [200.0, 200.0]]])
    prompts = SmallPrompts(torch.full((1, 4), torch.nan), points, torch.tensor([[1.0, 1.0, 0.0]]))
    assert place_regions(prompts)[0].tolist() == pytest.approx([28.0, 28.0, 92.0, 92.0])


def test_a_cut_keeps_a_linear_ramp_and_a_put_back_undoes_it() -> None:
    rows, columns = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")
    ramp = (0.5 * rows + 0.25 * columns)[None, None].float()
    regions = torch.tensor([[40.0, 60.0, 140.0, 160.0]])
    grid = cut(ramp, regions, GRID, 1, 2)
    centres = (torch.arange(GRID) + 0.5) * 100 / GRID
    expected = 0.5 * (60 + centres[:, None]) + 0.25 * (40 + centres[None])
    assert torch.allclose(grid[0, 0], expected, atol=1e-3)
    back = put_back(grid, regions)
    assert back.shape == (1, 1, SIDE, SIDE)
    assert torch.allclose(back[0, 0, 62:158, 42:138], ramp[0, 0, 62:158, 42:138], atol=0.02)
    assert bool((back[0, 0, :59] == OUTSIDE).all())
    assert bool((back[0, 0, :, 142:] == OUTSIDE).all())


def test_a_cut_of_the_embedding_shows_the_same_place() -> None:
    fine = torch.zeros(1, 1, SIDE, SIDE)
    fine[..., 80:96, 120:144] = 1
    coarse = torch.nn.functional.avg_pool2d(fine, 4)
    regions = torch.tensor([[100.0, 60.0, 164.0, 124.0]])
    near, far = cut(fine, regions, 16, 1, 4), cut(coarse, regions, 16, 4, 2)
    assert float((near - far).abs().mean()) < 0.03


def test_prompt_maps_draw_ellipse_box_points_and_size() -> None:
    boxes = torch.tensor([[100.0, 110.0, 140.0, 120.0]])
    points = torch.tensor([[[120.0, 115.0], [100.0, 95.0]]])
    prompts = SmallPrompts(boxes, points, torch.tensor([[1, 0]]))
    regions = place_regions(prompts)
    ellipse, inside, earlier, positive, negative, width, height = prompt_maps(prompts, regions)[0]
    cell = 56 / GRID
    centres = (np.arange(GRID) + 0.5) * cell
    x, y = 92 + centres[None], 87 + centres[:, None]
    assert np.array_equal((ellipse > 0).numpy(), ((x - 120) / 20) ** 2 + ((y - 115) / 5) ** 2 < 1)
    assert np.array_equal(inside.numpy() > 0, (abs(x - 120) < 20) & (abs(y - 115) < 5))
    assert not earlier.any()
    for drawn, point in ((positive, (120, 115)), (negative, (100, 95))):
        row, column = np.unravel_index(int(drawn.argmax()), drawn.shape)
        assert 92 + (column + 0.5) * cell == pytest.approx(point[0], abs=cell)
        assert 87 + (row + 0.5) * cell == pytest.approx(point[1], abs=cell)
    assert float(width[0, 0]) == pytest.approx(np.log(40 / 16), rel=1e-5)
    assert float(height[0, 0]) == pytest.approx(np.log(10 / 16), rel=1e-5)


def test_a_prompt_without_a_box_draws_no_box() -> None:
    prompts = SmallPrompts(torch.full((1, 4), torch.nan), torch.tensor([[[120.0, 115.0]]]), torch.tensor([[1]]))
    maps = prompt_maps(prompts, place_regions(prompts))
    assert bool(maps.isfinite().all())
    assert not maps[:, [0, 1, 2, 4, 5, 6]].any()
    assert maps[:, 3].any()


@pytest.fixture(scope="module")
def model() -> SmallModel:
    torch.manual_seed(8)
    return SmallModel("small", build_small_network().eval(), "weights")


@pytest.fixture(scope="module")
def embedding(model: SmallModel) -> dict[str, torch.Tensor]:
    with torch.inference_mode():
        return model.embed(torch.randn(1, INPUT_CHANNELS, SIDE, SIDE))


def test_boxes_decoded_together_equal_boxes_decoded_alone(
    model: SmallModel, embedding: dict[str, torch.Tensor]
) -> None:
    boxes = torch.tensor([[10.0, 10.0, 200.0, 200.0], [40.0, 60.0, 60.0, 90.0], [5.0, 200.0, 90.0, 256.0]])
    earlier = torch.randn(3, 1, SIDE, SIDE)
    with torch.inference_mode():
        together = model.predict(embedding, Prompts(boxes, mask_logits=earlier, several_masks=True), (SIDE, SIDE))
        for index in range(3):
            one = slice(index, index + 1)
            prompts = Prompts(boxes[one], mask_logits=earlier[one], several_masks=True)
            alone = model.predict(embedding, prompts, (SIDE, SIDE))
            assert torch.allclose(together.low_res_logits[index], alone.low_res_logits[0], atol=1e-4)
            assert torch.allclose(together.predicted_iou[index], alone.predicted_iou[0], atol=1e-5)
    assert together.low_res_logits.shape == (3, 3, SIDE, SIDE)
    assert bool((together.low_res_logits[1, :, 200:, 200:] == OUTSIDE).all())


def test_boxes_are_in_pixels_of_the_image(model: SmallModel, embedding: dict[str, torch.Tensor]) -> None:
    boxes = torch.tensor([[40.0, 60.0, 60.0, 90.0]])
    with torch.inference_mode():
        small = model.predict(embedding, Prompts(boxes), (SIDE, 128)).low_res_logits
        large = model.predict(embedding, Prompts(boxes * 4), (4 * SIDE, 512)).low_res_logits
        assert torch.allclose(small, large, atol=1e-4)
        assert model.upscale(small, (4 * SIDE, 512)).shape == (1, 1, 4 * SIDE, 512)


def test_every_kind_of_prompt_changes_the_answer(model: SmallModel, embedding: dict[str, torch.Tensor]) -> None:
    boxes, points = torch.tensor([[40.0, 60.0, 80.0, 90.0]]), torch.tensor([[[50.0, 70.0]]])
    inside, outside = torch.tensor([[1]]), torch.tensor([[0]])
    earlier = torch.full((1, 1, SIDE, SIDE), -5.0)
    earlier[..., 65:80, 45:70] = 5.0
    kinds = [
        Prompts(boxes),
        Prompts(boxes, points, inside),
        Prompts(boxes, points, outside),
        Prompts(points=points, labels=inside),
        Prompts(boxes, mask_logits=earlier),
        Prompts(mask_logits=earlier),
    ]
    with torch.inference_mode():
        answers = [model.predict(embedding, prompts, (SIDE, SIDE)).low_res_logits for prompts in kinds]
    assert all(bool(answer.isfinite().all()) for answer in answers)
    for index, first in enumerate(answers):
        assert not any(torch.allclose(first, second, atol=1e-3) for second in answers[index + 1 :])


def test_a_mask_alone_prompts_with_the_box_around_it(model: SmallModel, embedding: dict[str, torch.Tensor]) -> None:
    earlier = torch.full((1, 1, SIDE, SIDE), -5.0)
    earlier[..., 65:80, 45:70] = 5.0
    boxes = torch.tensor([[45.0, 65.0, 70.0, 80.0]])
    with torch.inference_mode():
        alone = model.predict(embedding, Prompts(mask_logits=earlier), (SIDE, SIDE)).low_res_logits
        both = model.predict(embedding, Prompts(boxes, mask_logits=earlier), (SIDE, SIDE)).low_res_logits
    assert torch.equal(alone, both)


def test_boxes_hold_the_lesion_and_margins_are_millimetres() -> None:
    mask = disc(WINDOW, 64, 64, 10)
    drawn = np.stack([draw_boxes(mask, (1.0, 1.0), 4, np.random.default_rng(seed)) for seed in range(400)])
    margins = (drawn[..., 2:] - drawn[..., :2] - 20).mean(axis=-1) / 2
    tight = np.all(drawn[:, 0] == [54, 54, 74, 74], axis=1)
    assert tight.mean() == pytest.approx((1 - JITTERED_SHARE) * (1 - CUT_SHARE), abs=0.06)
    for stratum in range(3):
        expected = LARGEST_MARGIN_MM * ((stratum + 0.5) / 3) ** MARGIN_POWER
        assert np.median(margins[:, 1 + stratum]) == pytest.approx(expected, abs=0.8)
    finer = np.stack([draw_boxes(mask, (0.5, 0.5), 4, np.random.default_rng(seed)) for seed in range(400)])
    even = np.ptp(np.abs(drawn[:, 1:] - [54, 54, 74, 74]), axis=-1) < 1e-3
    assert even.mean() == pytest.approx((1 - JITTERED_SHARE) * (1 - CUT_SHARE), abs=0.04)
    widest = (finer[:, 3, 2:] - finer[:, 3, :2] - 20).mean(axis=-1) / 2
    assert np.median(widest) == pytest.approx(2 * np.median(margins[:, 3]), rel=0.1)


def test_boxes_end_with_the_image_and_never_inside_the_lesion() -> None:
    mask = disc(WINDOW, 64, 64, 10)
    inside = np.zeros((WINDOW, WINDOW), bool)
    inside[30:, 50:] = True
    drawn = np.concatenate(
        [draw_boxes(mask, (1.0, 1.0), 4, np.random.default_rng(seed), inside) for seed in range(200)]
    )
    assert drawn[:, 0].min() == 50
    assert drawn[:, 1].min() >= 30
    assert (drawn[:, 0] == 50).mean() > 0.4
    # the image goes on beyond the right and the lower edge of the window
    assert drawn[:, 2:].max() > 64 + 10 + 18
    # an image that ends inside the lesion by interpolation: the lesion's own border counts
    inside[:, :56] = False
    tight = draw_boxes(mask, (1.0, 1.0), 1, np.random.default_rng(1), inside)
    assert tight[0, 0] == 54
    # where nothing of the image is known the box is no larger than the lesion
    kept = draw_boxes(mask, (1.0, 1.0), 4, np.random.default_rng(3), np.zeros_like(inside))
    assert kept[:, :2].min() >= 54
    assert kept[:, 2:].max() <= 74


def test_boxes_of_windows_end_where_their_image_does() -> None:
    mask = disc(SIDE, 100, 8, 6)
    channels = np.stack([*[np.where(mask, 2.0, -1.0)] * 3, np.ones(mask.shape)]).astype(np.float16)
    sample = LesionSample("l", "p", "s", "train", channels, mask.astype(np.uint8), (1.0, 1.0))
    lopsided = 0
    for seed in range(40):
        _, target, boxes, _, _ = draw_window(sample, 4, np.random.default_rng(seed))
        if np.isnan(boxes).any():
            continue
        rows, columns = np.nonzero(target[0] > 0.5)
        margins = np.array([columns.min(), rows.min()]) - boxes[-1, :2]
        others = boxes[-1, 2:] - np.array([columns.max(), rows.max()]) - 1
        lopsided += np.abs(margins - others).max() > 5
    assert lopsided > 20


def test_points_lie_where_their_labels_say() -> None:
    mask = disc(WINDOW, 60, 70, 12)
    box = np.array([40, 30, 100, 90], np.float32)
    seen = set()
    for seed in range(40):
        points, labels = draw_points(mask, box, np.random.default_rng(seed))
        assert labels[0] == 1
        for (x, y), label in zip(points, labels, strict=True):
            seen.add(int(label))
            if label >= 0:
                assert mask[int(y), int(x)] == bool(label)
    assert seen == {-1, 0, 1}


def test_window_shows_the_lesion_where_its_mask_says() -> None:
    mask = disc(SIDE, 100, 70, 8)
    channels = np.stack([*[np.where(mask, 2.0, -1.0)] * 3, np.ones(mask.shape)]).astype(np.float16)
    sample = LesionSample("l", "p", "s", "train", channels, mask.astype(np.uint8), (1.0, 1.0))
    without_box = 0
    for seed in range(60):
        pixels, target, boxes, points, labels = draw_window(sample, 3, np.random.default_rng(seed))
        assert pixels.shape == (INPUT_CHANNELS, WINDOW, WINDOW)
        assert pixels[-1].min() >= 0
        assert pixels[-1].max() == 1
        assert boxes.shape == (3, 4)
        inside, outside = pixels[0][target[0] > 0.9], pixels[0][target[0] < 0.1]
        assert inside.mean() > outside.mean() + 1.2
        boxless = np.isnan(boxes).any(axis=1)
        without_box += int(boxless.sum())
        assert (labels[boxless, 0] == 1).all()
        for (x, y), label in zip(points.reshape(-1, 2), labels.ravel(), strict=True):
            if label >= 0:
                assert (target[0, int(y), int(x)] > 0.5) == bool(label)
    assert without_box > 0


def test_loading_brings_images_and_masks_to_the_networks_grid(tmp_path: Path) -> None:
    samples = load_samples([shard(tmp_path / "00")]).lesions
    assert [sample.patient_id for sample in samples] == ["P_0", "P_1", "P_2", "P_3"]
    first = samples[0]
    assert first.channels.shape == (INPUT_CHANNELS, SIDE, SIDE)
    assert first.channels[-1].sum() == SIDE * round(160 * 1.28)
    assert first.spacing_mm == pytest.approx((200 / 256, 200 / 256))
    rows, columns = np.nonzero(first.mask)
    assert rows.mean() + 0.5 == pytest.approx(60 * 1.28, abs=0.7)
    assert columns.mean() + 0.5 == pytest.approx(80 * 1.28, abs=0.7)


def train(settings: SmallTrainingSettings, folders: list[Path], output: Path) -> None:
    recipe = RecipeSettings(recipe="small", options=settings)
    train_segmenter(recipe, "small", None, folders, output.parent / "store", 10.0, output, threads=1)


def test_training_writes_weights_that_load_and_names_its_patients(tmp_path: Path) -> None:
    folders = [shard(tmp_path / "00"), shard(tmp_path / "01", split="test")]
    settings = SmallTrainingSettings(epochs=2, batch_size=2, prompts=1)
    train(settings, folders, tmp_path / "small")
    record = json.loads((tmp_path / "small/record.json").read_text())
    assert record["patients"] == ["discs/P_0", "discs/P_1", "discs/P_2", "discs/P_3"]
    assert record["lesions"] == {"discs": 4}
    assert (record["lesions_without_mask"], record["phantom"], record["epochs"]) == (0, False, 2)
    assert record["weights_sha256"] == file_digest(tmp_path / "small/model.safetensors")
    assert (tmp_path / "small/history.csv").read_text().startswith("epoch,train_loss,learning_rate\n1,")
    state = load_file(tmp_path / "small/model.safetensors")
    trained = build_model("small", state, "weights", torch.device("cpu"))
    torch.manual_seed(0)
    fresh = build_model("small", None, "weights", torch.device("cpu"))
    key = "mask_decoder.masks.weight"
    assert not torch.equal(trained.network.state_dict()[key], fresh.network.state_dict()[key])
    assert not (tmp_path / ".training").exists()


def fit_weights(samples: list[LesionSample], folder: Path, **changes: Any) -> dict[str, torch.Tensor]:
    settings = SmallTrainingSettings(**{"epochs": 3, "batch_size": 2, "prompts": 1, **changes})
    plan = make_plan(settings, torch.device("cpu"))
    learner = make_learner(samples, settings)
    fit(learner, plan, folder, "small")
    return dict(learner.network.state_dict())


def test_a_stopped_training_continues_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = load_samples([shard(tmp_path / "00")]).lesions
    epochs: list[int] = []
    loss = SmallLearner.loss

    def failing(learner: SmallLearner, batch: Batch, epoch: int, step: int) -> torch.Tensor:
        if epoch == 2 and len(epochs) == 4:
            raise RuntimeError("power cut")
        epochs.append(epoch)
        return loss(learner, batch, epoch, step)

    monkeypatch.setattr(SmallLearner, "loss", failing)
    with pytest.raises(RuntimeError, match="power cut"):
        fit_weights(samples, tmp_path / "state")
    epochs.append(-1)
    stopped = fit_weights(samples, tmp_path / "state")
    assert epochs == [0, 0, 1, 1, -1, 2, 2]
    whole = fit_weights(samples, tmp_path / "other")
    assert all(torch.equal(stopped[name], whole[name]) for name in whole)


def test_the_schedule_ends_at_a_four_hundredth_and_the_average_is_kept() -> None:
    plan = make_plan(SmallTrainingSettings(epochs=3), torch.device("cpu"))
    assert plan.schedule.rate(0, 1000) == pytest.approx(1 / 20)
    assert plan.schedule.rate(1000, 1000) == pytest.approx(1 / 400)
    assert plan.schedule.rate(49, 1000) == pytest.approx(1.0, abs=0.01)
    assert (plan.patience, plan.averaging) == (None, 0.995)


def test_half_a_batch_has_half_the_windows(tmp_path: Path) -> None:
    settings = SmallTrainingSettings(epochs=1, batch_size=3, prompts=2)
    learner = make_learner(load_samples([shard(tmp_path / "00")]).lesions, settings)
    batch = next(iter(learner.batches(0)))
    halves = learner.split(batch)
    assert [learner.size(part) for part in (batch, *halves)] == [3, 2, 1]
    assert torch.equal(torch.cat([part.boxes for part in halves]), batch.boxes)
    assert len(learner.split(halves[1])) == 1


def test_no_lesion_is_lost_however_small_and_those_without_a_mask_are_counted(tmp_path: Path) -> None:
    folder = shard(tmp_path / "00")
    tiny = np.zeros((800, 640), bool)
    tiny[301, 200] = True
    write_image(folder / "image/P_1.png", np.full((800, 640), 20000, np.uint16))
    write_mask(folder / "mask/P_1.png", tiny)
    write_mask(folder / "mask/P_2.png", np.zeros((200, 160), bool))
    lesions = read_table(folder / "lesions.parquet", CANONICAL_LESIONS)
    lesions.loc[lesions["lesion_id"] == "P_3", "mask_file"] = None
    write_table(lesions, CANONICAL_LESIONS, folder / "lesions.parquet")
    loaded = load_samples([folder])
    assert [sample.lesion_id for sample in loaded.lesions] == ["P_0", "P_1"]
    assert loaded.without_mask == 2
    rows, columns = np.nonzero(loaded.lesions[1].mask)
    assert (rows.tolist(), columns.tolist()) == ([int(301 * 256 / 800)], [int(200 * 256 / 800)])


def test_training_without_a_training_lesion_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no training lesion"):
        train(SmallTrainingSettings(), [shard(tmp_path / "00", split="test")], tmp_path / "small")


def test_shipped_weights_are_those_of_the_record_and_fit_the_network() -> None:
    record = json.loads(WEIGHTS.with_name(RECORD_FILE).read_text())
    assert file_digest(WEIGHTS) == record["weights_sha256"]
    assert WEIGHTS.stat().st_size < 11_000_000
    assert load_promptable(ModelSpec("small", "small"), torch.device("cpu")).name == "small"


def test_real_patients_of_the_shipped_record_are_told() -> None:
    assert len(seen_patients(WEIGHTS)) == 470
