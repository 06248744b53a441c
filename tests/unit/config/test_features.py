from __future__ import annotations

import pytest

from mammoflow.config.base import validate_settings
from mammoflow.config.documentation import settings_text
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"ring_mm": [90.0, 60.0]}, "ring_mm"),
        ({"inner_mm": 70.0}, "inner_mm 70.0"),
        ({"wavelengths_mm": [2.0, 2.0]}, "wavelengths_mm .*expected each once"),
        ({"wavelengths_mm": [2.0, -1.0]}, "wavelengths_mm.1"),
        ({"orientation": 6}, "orientation: unknown key"),
        ({"minimum_share": 10.0}, "minimum_share"),
    ],
)
def test_gabor_settings_that_cannot_work_are_named(values, named):
    with pytest.raises(ConfigError, match=named):
        validate_settings(StudyConfig, {"features": {"families": {"gabor": values}}}, "the configuration")


@pytest.mark.parametrize("name", ["glmc", "shape"])
def test_unknown_radiomics_class_is_named_with_those_that_exist(name):
    with pytest.raises(ConfigError, match=rf"found '{name}'.*'shape2D'"):
        validate_settings(
            StudyConfig, {"features": {"families": {"radiomics": {"classes": [name]}}}}, "the configuration"
        )


def test_ring_has_to_fit_the_patch():
    with pytest.raises(
        ConfigError, match=r"features\.families\.gabor\.ring_mm ends at 90\.0, expected at most images\.patch_mm 80\.0"
    ):
        validate_settings(StudyConfig, {"images": {"patch_mm": 80.0}}, "config")


def test_ring_of_a_family_that_does_not_run_need_not_fit():
    values = {"images": {"patch_mm": 80.0}, "features": {"run": ["radiomics"]}}
    study = validate_settings(StudyConfig, values, "the configuration")
    assert [name for name in study.stages() if name.startswith("features/")] == ["features/radiomics"]


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        (
            {"run": ["gabr"]},
            r"features\.run\.0: 'gabr' is no feature family; expected one of descriptors, gabor, radiomics",
        ),
        ({"run": ["gabor", "gabor"]}, r"features\.run: .*expected each once"),
        ({"families": {"gabr": {}}}, r"features\.families\.gabr: .*is no feature family; expected one of descriptors"),
        ({"families": {"descriptors": {"device": "cuda"}}}, r"features\.families\.descriptors\.device: unknown key"),
        ({"families": []}, r"features\.families: found \[\].*expected a mapping"),
    ],
)
def test_mistake_in_a_family_names_its_key(features, expected):
    with pytest.raises(ConfigError, match=expected):
        validate_settings(StudyConfig, {"features": features}, "the configuration")


def test_each_family_has_a_settings_file_with_the_device_of_the_run():
    values = {"device": "cuda", "features": {"run": ["gabor", "descriptors"]}}
    stages = validate_settings(StudyConfig, values, "the configuration").stages()
    assert "device: cuda" in settings_text(stages["features/gabor"])
    assert "device" not in settings_text(stages["features/descriptors"])


def test_options_of_a_family_that_is_left_out_are_its_defaults():
    study = validate_settings(StudyConfig, {"features": {"families": {"radiomics": {"bin_count": 16}}}}, "config")
    assert study.features.families["radiomics"].model_dump()["bin_count"] == 16
    assert study.features.families == StudyConfig().features.families | {
        "radiomics": study.features.families["radiomics"]
    }
