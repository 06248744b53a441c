from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from pydantic import ValidationError
from radiomics.featureextractor import RadiomicsFeatureExtractor
from scipy.ndimage import gaussian_laplace

from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError, ExcludedCase
from mammoflow.features import fastrad_backend
from mammoflow.features.families.radiomics import Options, open_family
from mammoflow.features.lesion_patch import LesionPatch
from mammoflow.features.radiomics_images import derived_images
from mammoflow.planning.features import feature_gpus

from .conftest import disc_mask

SHAPE = (60, 71)
MASK = disc_mask(SHAPE, (0.5, 0.5), (15.0, 17.0), 6.3)


def grey() -> np.ndarray:
    return np.random.default_rng(0).integers(1000, 60000, SHAPE).astype(np.float32)


def patch(mask: np.ndarray = MASK) -> LesionPatch:
    return LesionPatch(grey(), mask, np.ones(SHAPE, dtype=bool), 0.5)


def stock(image_type: str, classes: list[str], **settings: object) -> dict[str, float]:
    """Return what PyRadiomics gives on the whole film."""
    image, region = (
        sitk.GetImageFromArray(array[None]) for array in (grey().astype(np.float64), MASK.astype(np.uint8))
    )
    for volume in (image, region):
        volume.SetSpacing((0.5, 0.5, 1.0))
    plain = RadiomicsFeatureExtractor(force2D=True, additionalInfo=False, **settings)
    plain.disableAllFeatures()
    plain.disableAllImageTypes()
    plain.enableImageTypeByName(image_type)
    for name in classes:
        plain.enableFeatureClassByName(name)
    return {name: float(value) for name, value in plain.execute(image, region).items()}


def test_wavelets_are_those_of_pyradiomics_on_the_whole_film():
    expected = stock("Wavelet", ["firstorder", "glcm"], binCount=32)
    found = open_family(Options(classes=["firstorder", "glcm"], wavelet=True), "cpu")(patch())
    for name, value in expected.items():
        assert found[f"radiomics_{name}"] == pytest.approx(value, rel=1e-6), name
    assert len([name for name in found if "_wavelet-" in name]) == len(expected)


def test_bins_of_a_fixed_width_are_those_of_pyradiomics():
    expected = stock("Original", ["glcm", "gldm"], binWidth=2500)
    family = open_family(Options(classes=["glcm", "gldm"], bin_width=2500.0), "cpu")
    found = family(patch())
    for name, value in expected.items():
        assert found[f"radiomics_{name}"] == pytest.approx(value, rel=1e-6), name
    levels = np.floor(grey()[MASK] / 2500)
    assert found["lesion_grey_levels"] == levels.max() - levels.min() + 1
    assert "lesion_grey_levels" in family.description


def test_laplacian_of_a_gaussian_is_that_of_scipy():
    y, x = np.mgrid[:80, :90]
    smooth = (20000 + 9000 * np.exp(-(((y - 40) / 9) ** 2 + ((x - 45) / 7) ** 2))).astype(np.float32)
    name, found = list(derived_images(smooth, 0.5, [2.0], wavelet=False))[1]
    # ITK's filter is a recursive approximation; normalised over scales it is sigma^2 times the Laplacian.
    expected = 4**2 * gaussian_laplace(smooth.astype(np.float64), 4.0)
    assert name == "log-sigma-2-0-mm-2D"
    np.testing.assert_allclose(found, expected, atol=0.01 * np.abs(expected).max())


def test_columns_name_image_and_class_and_shape_is_there_once():
    family = open_family(Options(classes=["shape2D", "firstorder"], log_sigmas_mm=[1.5], wavelet=True), "cpu")
    row = family(patch())
    assert set(row) == set(family.columns)
    assert "radiomics_log-sigma-1-5-mm-2D_firstorder_Mean" in row
    assert not [name for name in family.columns if "shape2D" in name and "_original_" not in name]


def test_a_deviation_that_is_given_twice_is_refused():
    with pytest.raises(ValidationError, match=r"found .*; expected each once"):
        Options(log_sigmas_mm=[2, 2.0])
    assert Options(log_sigmas_mm=[2, 3.0]).log_sigmas_mm == [2.0, 3.0]


def test_pyradiomics_reserves_no_gpu_and_fastrad_does():
    config = StudyConfig.model_validate({"device": "cuda"})
    assert feature_gpus(config, "radiomics") == 0
    assert feature_gpus(config, "gabor") == 1
    fast = {"device": "cuda", "features": {"families": {"radiomics": {"backend": "fastrad"}}}}
    assert feature_gpus(StudyConfig.model_validate(fast), "radiomics") == 1


def test_fastrad_that_is_not_installed_is_told_with_the_command(monkeypatch):
    monkeypatch.setattr(fastrad_backend, "PACKAGE", "no_such_package")
    with pytest.raises(ConfigError, match=r"fastrad is not installed.*pip install fastrad"):
        open_family(Options(backend="fastrad"), "cpu")


@pytest.mark.skipif(importlib.util.find_spec("fastrad") is None, reason="fastrad is not installed")
@pytest.mark.parametrize("binning", [{"bin_count": 32}, {"bin_width": 2000.0}])
def test_fastrad_gives_the_values_of_pyradiomics(binning):
    expected = open_family(Options(**binning), "cpu")(patch())
    found = open_family(Options(backend="fastrad", **binning), "cpu")(patch())
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-6), name


@pytest.mark.skipif(importlib.util.find_spec("fastrad") is None, reason="fastrad is not installed")
def test_fastrad_refuses_what_pyradiomics_refuses():
    line = np.zeros(SHAPE, dtype=bool)
    line[20:30, 30] = True
    with pytest.raises(ExcludedCase, match="10 x 1 pixels"):
        open_family(Options(backend="fastrad", classes=["glcm"]), "cpu")(patch(line))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 2)])
def test_one_and_two_pixels_have_a_reason_and_no_zero(rows, columns):
    mask = np.zeros(SHAPE, dtype=bool)
    mask[20 : 20 + rows, 30 : 30 + columns] = True
    with pytest.raises(ExcludedCase, match="features are not defined"):
        open_family(Options(), "cpu")(patch(mask))
