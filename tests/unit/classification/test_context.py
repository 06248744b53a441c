from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mammoflow.classification.cases import read_cases
from mammoflow.classification.context import (
    LARGEST_DEVIATIONS,
    MIDDLE,
    ContextFiles,
    ContextSamples,
    cached_side,
    changed,
    context_crop,
    read_squares,
)
from mammoflow.classification.samples import Job
from mammoflow.config.pictures import ContextCropOptions
from mammoflow.storage.files import write_image, write_mask

STILL = {"rotation_degrees": 0.0, "scale": 0.0, "shift_mm": 0.0, "contrast": 0.0, "brightness": 0.0, "flips": "none"}
SIZE = (120, 200)
SPACING_MM = (0.5, 0.25)


def options_of(**values: Any) -> ContextCropOptions:
    return ContextCropOptions(**{"size_mm": 20.0, "image_px": 40, **values})


@pytest.fixture
def files(tmp_path: Path) -> ContextFiles:
    """Return a film with square spots of 1 mm, and a mask around one that is not in the annotated box."""
    grey = np.random.default_rng(0).integers(20000, 20100, SIZE).astype(np.uint16)
    grey[58:62, 96:104] = 60000  # 2 mm, at (30, 25) mm
    grey[68:72, 96:104] = 28000  # 5 mm below it
    grey[58:62, 116:124] = 28000  # 5 mm to its right
    mask = np.zeros(SIZE, dtype=np.bool_)
    mask[56:64, 92:108] = True
    breast = np.zeros(SIZE, dtype=np.bool_)
    breast[:, 20:] = True
    write_image(tmp_path / "image.png", grey)
    write_mask(tmp_path / "mask.png", mask)
    write_mask(tmp_path / "breast.png", breast)
    write_mask(tmp_path / "empty.png", np.zeros(SIZE, dtype=np.bool_))
    box = (60.0, 100.0, 80.0, 140.0)
    return ContextFiles(tmp_path / "image.png", tmp_path / "breast.png", tmp_path / "mask.png", box, SPACING_MM)


def other_mask(files: ContextFiles, name: str | None) -> ContextFiles:
    mask = files.image.parent / name if name else None
    return ContextFiles(files.image, files.breast, mask, files.box, files.spacing_mm)


@pytest.mark.parametrize("image_px", [32, 40, 80, 160])
def test_the_square_has_its_size_in_millimetres_whatever_rows_and_columns_measure(
    files: ContextFiles, image_px: int
) -> None:
    options = options_of(**STILL, image_px=image_px)
    picture, boxed, _ = context_crop(files, options)
    side = options.image_px
    assert (picture.shape, picture.dtype, boxed) == ((1, side, side), np.uint16, False)
    bright = picture[0] > MIDDLE + 3000
    pixels_of_mm = side / options.size_mm
    places = np.argwhere(bright).mean(axis=0) + 0.5
    # the three spots have their middle at 5/3 mm below and right of the centre
    np.testing.assert_allclose(places, side / 2 + 5 / 3 * pixels_of_mm, atol=1.0)
    assert bright.sum() == pytest.approx(3 * (2 * pixels_of_mm) ** 2, rel=0.6)


def test_grey_levels_have_mean_0_and_deviation_1_and_are_cut_off(files: ContextFiles) -> None:
    picture, *_ = context_crop(files, options_of(**STILL))
    units = (picture[0].astype(np.float64) - MIDDLE) / ((MIDDLE - 1) / LARGEST_DEVIATIONS)
    assert abs(units.max() - LARGEST_DEVIATIONS) < 0.01  # the brightest spot lies beyond
    assert units.mean() == pytest.approx(0, abs=0.1)  # but for what is cut off
    breast, *_ = context_crop(files, options_of(**STILL, standardise="breast"))
    assert (breast[0] == MIDDLE).mean() < 0.5
    assert not np.array_equal(breast, picture)


def test_air_beside_the_breast_does_not_flatten_the_tissue(files: ContextFiles) -> None:
    image = np.random.default_rng(0).normal(30000, 500, SIZE)
    image[:, :90] = 0  # the square's middle is at column 100
    write_image(files.image, np.clip(image, 0, 65535).astype(np.uint16))
    breast = np.zeros(SIZE, dtype=np.bool_)
    breast[:, 90:] = True
    write_mask(files.breast, breast)
    deviations = {}
    for standardise in ("crop", "tissue"):
        picture, *_ = context_crop(files, options_of(**STILL, standardise=standardise))
        deviations[standardise] = float(picture[0][:, 25:].std()) / ((MIDDLE - 1) / LARGEST_DEVIATIONS)
        assert picture[0][:, :10].max() < MIDDLE
    assert deviations["tissue"] == pytest.approx(1, abs=0.15)
    assert deviations["crop"] < 0.2


@pytest.mark.parametrize("standardise", ["tissue", "breast"])
def test_a_square_outside_the_breast_region_is_standardised_by_itself(files: ContextFiles, standardise: str) -> None:
    breast = np.zeros(SIZE, dtype=np.bool_)
    breast[:, :20] = standardise == "tissue"  # the square begins at column 60
    write_mask(files.breast, breast)
    picture, _, outside = context_crop(files, options_of(**STILL, standardise=standardise))
    expected, _, inside = context_crop(files, options_of(**STILL, standardise="crop"))
    np.testing.assert_array_equal(picture, expected)
    assert (outside, inside) == (True, False)


def test_lesions_outside_the_breast_region_are_counted(study: Any, tmp_path: Path) -> None:
    cases = read_cases(study.images).only(np.arange(3, 6))
    write_mask(Path(cases.images["folder"][0]) / cases.images["breast_file"][0], np.zeros((64, 48), dtype=np.bool_))
    for standardise, notes in (("tissue", {"lesions_outside_breast": 1}), ("crop", {})):
        options = options_of(standardise=standardise, centre="box", size_mm=8.0)
        samples = read_squares(options, cases, study.files(), Job(tmp_path, 1, torch.device("cpu")))
        assert samples.notes == {"sees_reference_mask": False, **notes}


def test_nothing_inside_the_film_is_masked_and_outside_lies_the_mean(files: ContextFiles) -> None:
    picture, *_ = context_crop(files, options_of(**STILL, size_mm=70.0))
    outside = np.zeros((40, 40), dtype=np.bool_)
    outside[:2], outside[-2:], outside[:, :5], outside[:, -5:] = True, True, True, True
    assert (picture[0][outside] == MIDDLE).all()
    assert (picture[0][10:-10, 10:-10] != MIDDLE).all()


@pytest.mark.parametrize("name", ["empty.png", None])
def test_without_a_mask_the_annotated_box_takes_its_place(files: ContextFiles, name: str | None) -> None:
    options = options_of(**STILL, mask_channel=True)
    picture, boxed, _ = context_crop(other_mask(files, name), options)
    at_box, *_ = context_crop(files, options_of(**STILL, mask_channel=True, centre="box"))
    assert boxed
    np.testing.assert_array_equal(picture[0], at_box[0])
    shown = np.zeros((40, 40))
    shown[10:30, 10:30] = 1  # the box is 10 mm x 10 mm
    np.testing.assert_allclose(picture[1] / 65535, shown, atol=0.51)
    assert not np.array_equal(picture[1], at_box[1])  # the mask itself


def samples_of(files: ContextFiles, options: ContextCropOptions) -> ContextSamples:
    pictures = np.stack([context_crop(files, options)[0]] * 4)
    labels, split = np.array([0, 1, 0, 1], np.float32), np.array(["train"] * 4, dtype=object)
    return ContextSamples(pictures, labels, split, {}, options)


def test_training_brings_in_no_empty_corner(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(1000, 60000, (300, 300)).astype(np.uint16)
    write_image(tmp_path / "image.png", image)
    files = ContextFiles(tmp_path / "image.png", tmp_path / "none", None, (140, 140, 160, 160), (0.5, 0.5))
    options = options_of(scale=0.2, shift_mm=3.0, contrast=0.0, brightness=0.0)
    picture, *_ = context_crop(files, options)
    assert picture.shape[-1] == cached_side(options) > 40
    # a picture whose values are their own places: none lies beyond the prepared square
    ramp = np.linspace(0, 65535, picture.shape[-1]).astype(np.uint16)
    for places in (np.tile(ramp, (len(ramp), 1)), np.tile(ramp[:, None], (1, len(ramp)))):
        drawn = np.stack([changed(places[None], options, np.random.default_rng(seed)) for seed in range(300)])
        assert drawn.min() > 0
        assert drawn.max() < 1


def test_still_training_shows_what_validation_shows(files: ContextFiles) -> None:
    samples = samples_of(files, options_of(**STILL))
    torch.testing.assert_close(samples.drawn(0, np.random.default_rng(0))["picture"], samples[0]["picture"])
    turning = samples_of(files, options_of(**{**STILL, "rotation_degrees": 180.0, "scale": 0.1}))
    torch.testing.assert_close(turning[0]["picture"], samples[0]["picture"], atol=0.03, rtol=0)


@pytest.mark.parametrize("flips", ["none", "horizontal", "both"])
def test_flips_are_those_that_are_asked_for(files: ContextFiles, flips: str) -> None:
    samples = samples_of(files, options_of(**{**STILL, "flips": flips}))
    plain = samples[0]["picture"]
    possible = {"none": [()], "horizontal": [(), (2,)], "both": [(), (2,), (1,), (1, 2)]}[flips]
    drawn = [samples.drawn(0, np.random.default_rng(seed))["picture"] for seed in range(30)]
    found = {place for one in drawn for place, axes in enumerate(possible) if torch.equal(one, plain.flip(axes))}
    assert all(any(torch.equal(one, plain.flip(axes)) for axes in possible) for one in drawn)
    assert found == set(range(len(possible)))


def test_rotation_scale_and_shift_are_as_large_as_asked_for(files: ContextFiles) -> None:
    def first_moments(**values: float) -> np.ndarray:
        options = options_of(**{**STILL, **values})
        places = np.indices((cached_side(options),) * 2, dtype=np.float64)
        ramps = np.stack([places[1], places[0]]).round().astype(np.uint16)
        drawn = [changed(ramps, options, np.random.default_rng(seed))[1] * 65535 for seed in range(200)]
        return np.array([[one.mean(), np.diff(one[:, 20]).mean(), np.diff(one[20]).mean()] for one in drawn])

    shifted = first_moments(shift_mm=2.0)[:, 0]
    assert 3.5 < np.ptp(shifted) / 2 <= 4.0  # 2 mm are 4 pixels
    scaled = first_moments(scale=0.2)[:, 1]
    assert 0.83 <= scaled.min() < 0.86
    assert 1.18 < scaled.max() <= 1.26
    turned = first_moments(rotation_degrees=30.0)[:, 2]
    assert np.abs(turned).max() == pytest.approx(np.sin(np.pi / 6), abs=0.03)


def test_what_is_drawn_follows_from_the_generator_alone_and_stays_in_range(files: ContextFiles) -> None:
    samples = samples_of(files, options_of(mask_channel=True))
    drawn = [samples.drawn(0, np.random.default_rng([3, seed]))["picture"] for seed in range(20)]
    again = samples.drawn(0, np.random.default_rng([3, 7]))["picture"]
    assert torch.equal(again, drawn[7])
    assert len({one.numpy().tobytes() for one in drawn}) == 20
    for one in drawn:
        assert (one.dtype, one.shape) == (torch.float32, (3, 40, 40))
        assert one.min() >= 0
        assert one.max() <= 1
        assert torch.equal(one[0], one[1])


def test_the_mask_moves_with_the_grey_levels(files: ContextFiles) -> None:
    samples = samples_of(files, options_of(mask_channel=True, contrast=0.0, brightness=0.0))
    for seed in range(20):
        picture = samples.drawn(0, np.random.default_rng(seed))["picture"].numpy()
        inside = picture[2] > 0.5
        assert picture[0][inside].max() > 0.99  # the brightest spot is in the middle of the mask
        spot = np.argwhere(picture[0] > 0.99).mean(axis=0)
        assert np.abs(spot - np.argwhere(inside).mean(axis=0)).max() < 3


def test_levels_are_those_of_the_squares_without_their_margin(files: ContextFiles) -> None:
    plain, with_mask = (samples_of(files, options_of(mask_channel=channel)) for channel in (False, True))
    mean, deviation = plain.levels(np.arange(3))
    assert mean.shape == deviation.shape == (1, 1, 1)
    assert float(mean) == pytest.approx(float(plain[0]["picture"].mean()), rel=1e-5)
    assert float(deviation) == pytest.approx(float(plain[0]["picture"].std()), rel=1e-3)
    mean, deviation = with_mask.levels(np.arange(3))
    assert mean.flatten().tolist() == pytest.approx([float(mean[0]), float(mean[0]), 0.5])
    assert deviation.shape == (3, 1, 1)


def test_options_that_cannot_be_are_refused() -> None:
    for values in ({"size_mm": 0.0}, {"scale": 1.0}, {"centre": "prompt"}, {"flips": "vertical"}):
        with pytest.raises(ValidationError):
            options_of(**values)
