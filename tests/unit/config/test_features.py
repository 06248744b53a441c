from __future__ import annotations

import pytest

from mammoflow.config.base import validate_settings
from mammoflow.config.features import GaborSettings, RadiomicsSettings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"ring_mm": [90.0, 60.0]}, "ring_mm"),
        ({"inner_mm": 70.0}, "inner_mm 70.0"),
        ({"wavelengths_mm": [2.0, 2.0]}, "each wavelength once"),
        ({"wavelengths_mm": [2.0, -1.0]}, "wavelengths_mm.1"),
        ({"orientation": 6}, "orientation: unknown key"),
        ({"minimum_share": 10.0}, "minimum_share"),
    ],
)
def test_gabor_settings_that_cannot_work_are_named(values, named):
    with pytest.raises(ConfigError, match=named):
        validate_settings(GaborSettings, values, "settings")


@pytest.mark.parametrize("name", ["glmc", "shape"])
def test_unknown_radiomics_class_is_named_with_those_that_exist(name):
    with pytest.raises(ConfigError, match=rf"found '{name}'.*'shape2D'"):
        validate_settings(RadiomicsSettings, {"classes": [name]}, "settings")


def test_ring_has_to_fit_the_patch():
    with pytest.raises(ConfigError, match=r"gabor\.ring_mm ends at 90\.0, expected at most images\.patch_mm 80\.0"):
        validate_settings(StudyConfig, {"images": {"patch_mm": 80.0}}, "config")
