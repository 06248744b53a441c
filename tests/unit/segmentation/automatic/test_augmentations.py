"""Random changes by name: each keeps background at 0 and moves the reference with its image."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from mammoflow.cli import main
from mammoflow.config.augmentation import AUGMENTATIONS, STANDARD, AugmentationName, augmentation_names
from mammoflow.config.automatic import AutomaticTrainingSettings
from mammoflow.config.base import validate_settings
from mammoflow.errors import ConfigError, StudyError
from mammoflow.report.augmentations import draw_augmentations
from mammoflow.segmentation.automatic.augmentation import augment, density_change

from .test_few_labels import learner_on
from .tiny_images import SIZE, Disc, study, write_shard

MOVING = {"flips", "rotation", "scale", "shear", "elastic"}


def film() -> tuple[np.ndarray, np.ndarray]:
    """Return a breast (3, rows, columns) with background on the right, and a bright lesion in it."""
    lesion = Disc(34, 18, radius=7).mask()
    channels = np.where(lesion, 2.0, -1.0)
    channels[:, 38:] = 0
    return np.repeat(channels[None].astype(np.float32), 3, axis=0), lesion


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if name != "cutmix"])
def test_a_change_moves_the_reference_with_its_image(name: AugmentationName) -> None:
    channels, lesion = film()
    generator = np.random.default_rng(3)
    changed, (mask, background) = augment(channels, [lesion, channels[0] == 0], generator, [name])
    assert changed.shape == channels.shape
    assert changed.dtype == np.float32
    assert not np.array_equal(changed, channels)
    assert (np.array_equal(mask, lesion)) == (name not in MOVING)
    inside = changed[0] != 0
    assert np.count_nonzero(inside & background) <= 0.05 * SIZE[0] * SIZE[1]  # edge pixels of the moved breast
    if name not in MOVING:
        assert np.array_equal(changed == 0, channels == 0)
    high = changed[0] > (changed[0][inside].max() + changed[0][inside].min()) / 2
    if name not in ("density", "noise"):
        assert np.count_nonzero(high & mask) / np.count_nonzero(high | mask) > 0.8


def test_a_blur_takes_no_level_from_the_background() -> None:
    channels = np.full((1, 20, 20), -1.5, dtype=np.float32)
    channels[:, :, 12:] = 0
    blurred, _ = augment(channels, [], np.random.default_rng(0), ["blur"])
    assert np.allclose(blurred, channels, atol=1e-5)


@pytest.mark.parametrize("name", sorted(MOVING))
def test_a_move_draws_no_rim_between_breast_and_background(name: AugmentationName) -> None:
    channels = np.full((3, *SIZE), -2.0, dtype=np.float32)
    channels[:, :, 30:] = 0
    for seed in range(3):
        moved, _ = augment(channels, [], np.random.default_rng(seed), [name])
        assert np.minimum(np.abs(moved), np.abs(moved + 2)).max() < 1e-3
        assert 0.7 < np.count_nonzero(moved) / np.count_nonzero(channels) < 1.5


def test_standard_is_the_same_as_its_names_and_none_changes_nothing() -> None:
    channels, lesion = film()
    one = augment(channels, [lesion], np.random.default_rng(5))
    other = augment(channels, [lesion], np.random.default_rng(5), STANDARD)
    assert np.array_equal(one[0], other[0])
    same, (mask,) = augment(channels, [lesion], np.random.default_rng(5), [])
    assert np.array_equal(same, channels)
    assert np.array_equal(mask, lesion)
    assert augmentation_names("standard") == STANDARD
    assert augmentation_names("none") == ()
    assert set(AUGMENTATIONS) == set(get_args(AugmentationName))


def test_simulated_density_changes_the_depth_of_the_breast_alone() -> None:
    breast = np.zeros((64, 48), dtype=np.bool_)
    breast[:, :30] = True
    changes = [density_change(breast, np.random.default_rng(seed)) for seed in range(20)]
    assert all(not change[:, 30:].any() for change in changes)
    middle = np.mean([np.abs(change[20:44, 10:20]).mean() for change in changes])
    edge = np.mean([np.abs(change[:, 29]).mean() for change in changes])
    assert middle > 3 * edge
    assert {bool(change.sum() > 0) for change in changes} == {True, False}


def test_cutmix_exchanges_rectangles_of_every_second_batch(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "00", study(12))
    plain, mixed = (
        list(learner_on(shard, batch_size=8, augmentation=names).batches(0)) for names in ("none", ["cutmix"])
    )
    assert torch.equal(plain[0].inputs, mixed[0].inputs)
    assert not torch.equal(plain[1].inputs, mixed[1].inputs)
    again = list(learner_on(shard, batch_size=8, augmentation=["cutmix"]).batches(0))
    assert torch.equal(again[1].inputs, mixed[1].inputs)


def test_an_unknown_change_is_refused_with_its_key() -> None:
    with pytest.raises(ConfigError, match="augmentation"):
        validate_settings(AutomaticTrainingSettings, {"augmentation": ["flips", "melt"]}, "options")


def test_copy_paste_adds_lesions_to_labelled_images_alone(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "00", study(12))
    options: dict[str, Any] = {"augmentation": "none", "batch_size": 20, "few_labels": {"fraction": 0.5}}
    plain, pasted = (learner_on(shard, **options, copy_paste=share) for share in (0.0, 1.0))
    areas = [float(next(iter(learner.batches(0))).targets.sum()) for learner in (plain, pasted)]
    assert areas[1] > 1.3 * areas[0]
    others = [next(iter(learner.sampler.unlabelled_batches(0))).inputs for learner in (plain, pasted)]
    assert torch.equal(*others)


def test_the_picture_shows_every_change_of_one_film(
    tmp_path: Path, not_rendered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    context: AbstractContextManager[None] = not_rendered()
    shard = write_shard(tmp_path / "00", study())
    with context:
        shown = draw_augmentations([shard], tmp_path / "changes.png", "", 64, 0, "unet_16")
    assert shown.endswith("_a")
    assert (tmp_path / "changes.png").is_file()
    with pytest.raises(StudyError, match="P0_b is no training image with a lesion"):
        draw_augmentations([shard], tmp_path / "other.png", "P0_b", 64, 0, "unet_16")
    with pytest.raises(ConfigError, match="small needs prompts"):
        draw_augmentations([shard], tmp_path / "other.png", "", 64, 0, "small")
    arguments = ["augmentations", "--images", str(shard), "--output", str(tmp_path / "changes.png")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code != 0
    assert "exists; expected a new file" in str(result.exception) + result.output
