from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.signal import fftconvolve
from skimage.filters import gabor_kernel

from mammoflow.features.gabor_bank import GaborBank, GaborFilter, shortest_wavelength_px

CPU = torch.device("cpu")
ANGLES = [math.radians(angle) for angle in range(0, 180, 30)]
WAVELENGTHS = [5.0, 10.0, 20.0]


def bank_of(wavelengths: list[float], device: torch.device = CPU) -> GaborBank:
    return GaborBank([GaborFilter(wavelength, angle) for wavelength in wavelengths for angle in ANGLES], device)


def grating(wavelength: float, angle: float, side: int = 128, amplitude: float = 1.0) -> npt.NDArray[np.float32]:
    y, x = np.mgrid[:side, :side]
    wave = np.cos(2 * np.pi / wavelength * (x * np.cos(angle) + y * np.sin(angle)) + 0.7)
    return (amplitude * wave).astype(np.float32)


@pytest.mark.parametrize(("angle", "bandwidth", "aspect"), [(0.0, 1.0, 1.0), (30.0, 1.0, 0.5), (120.0, 1.5, 1.0)])
def test_response_is_that_of_scikit_images_kernel_convolved_in_space(angle, bandwidth, aspect):
    image = np.random.default_rng(1).normal(500, 100, (96, 110)).astype(np.float32)
    one = GaborFilter(8.0, math.radians(angle), bandwidth, aspect)
    kernel = gabor_kernel(1 / 8, math.radians(angle), bandwidth, one.sigma_along_px, one.sigma_across_px, n_stds=6)
    envelope = abs(kernel)
    kernel = kernel - envelope * kernel.real.sum() / envelope.sum()
    expected = abs(fftconvolve(image.astype(float), kernel, mode="same"))

    found = GaborBank([one], CPU).magnitudes(image)[0]

    inside = (slice(35, -35), slice(35, -35))
    np.testing.assert_allclose(found[inside], expected[inside], rtol=2e-3, atol=1e-2)


def test_width_follows_from_the_bandwidth_as_in_scikit_image():
    one = GaborFilter(10.0, 0.0, bandwidth_octaves=1.0)
    kernel = gabor_kernel(0.1, bandwidth=1.0)
    centre = kernel.shape[0] // 2
    falloff = abs(kernel[centre, centre + 5]) / abs(kernel[centre, centre])
    assert math.exp(-(5**2) / (2 * one.sigma_along_px**2)) == pytest.approx(falloff, rel=1e-6)


@pytest.mark.parametrize("wavelength", WAVELENGTHS)
@pytest.mark.parametrize("angle", ANGLES)
def test_grating_is_answered_most_by_its_own_filter_with_half_its_amplitude(wavelength, angle):
    magnitudes = bank_of(WAVELENGTHS).magnitudes(grating(wavelength, angle, amplitude=8.0))
    means = magnitudes[:, 40:-40, 40:-40].mean(axis=(1, 2))
    own = WAVELENGTHS.index(wavelength) * len(ANGLES) + ANGLES.index(angle)
    assert means.argmax() == own
    assert means[own] == pytest.approx(4.0, rel=0.02)


def test_turning_the_image_turns_the_responses():
    image = np.random.default_rng(2).normal(size=(90, 90)).astype(np.float32)
    upright = bank_of([6.0]).magnitudes(image)
    turned = bank_of([6.0]).magnitudes(np.rot90(image, -1).copy())
    for index in range(6):
        np.testing.assert_allclose(turned[(index + 3) % 6], np.rot90(upright[index], -1), atol=1e-5)


def test_brightness_is_not_answered():
    image = np.random.default_rng(3).normal(size=(64, 64)).astype(np.float32)
    bank = bank_of(WAVELENGTHS)
    np.testing.assert_allclose(bank.magnitudes(image + 100), bank.magnitudes(image), atol=1e-4)
    assert bank.magnitudes(np.full((64, 64), 4e4, dtype=np.float32)).max() == 0


def test_slow_brightness_change_is_hardly_answered():
    # Half of the image is brighter: far from the step the local mean is taken off, not that of the whole image.
    image = np.zeros((64, 256), dtype=np.float32)
    image[:, 128:] = 1000
    assert bank_of([6.0]).magnitudes(image)[:, :, 20:90].max() < 1e-2


def test_statistics_are_those_of_the_magnitudes():
    image = np.random.default_rng(4).normal(size=(70, 50)).astype(np.float32)
    regions = np.zeros((3, 70, 50), dtype=bool)
    regions[0, 10:30, 5:20] = regions[1, ::3, ::2] = True
    bank = bank_of([5.0, 9.0])
    magnitudes = bank.magnitudes(image)
    found = bank.statistics(image, list(regions))
    assert found.shape == (3, 12, 2)
    for region in (0, 1):
        values = magnitudes[:, regions[region]].astype(float)
        np.testing.assert_allclose(found[region], np.stack([values.mean(1), values.std(1)], axis=1), rtol=1e-5)
    assert np.isnan(found[2]).all()


@pytest.mark.parametrize("bandwidth", [0.5, 1.0, 2.0])
def test_shortest_wavelength_answers_half_at_the_nyquist_frequency(bandwidth):
    one = GaborFilter(shortest_wavelength_px(bandwidth), 0.0, bandwidth)
    row = one.transfer((1, 4096), CPU)[0]
    assert float(row[2047]) == pytest.approx(0.5, abs=5e-3)
    assert shortest_wavelength_px(1.0) == pytest.approx(8 / 3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_and_cpu_agree():
    image = np.random.default_rng(5).normal(size=(200, 220)).astype(np.float32)
    regions = [np.ones((200, 220), dtype=bool)]
    on_cpu = bank_of(WAVELENGTHS).statistics(image, regions)
    on_gpu = bank_of(WAVELENGTHS, torch.device("cuda")).statistics(image, regions)
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-4)
