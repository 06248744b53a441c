"""What is generated from the settings models, and the environments from the pins, is what is committed."""

from __future__ import annotations

import difflib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from mammoflow.config.documentation import config_schema, default_config, settings_text
from mammoflow.config.study import StudyConfig
from mammoflow.features.dictionary import dictionary_text

ROOT = Path(__file__).resolve().parents[3]


def assert_same(path: Path, expected: str) -> None:
    """Fail with the difference between a committed file and what would be generated."""
    found = path.read_text(encoding="utf-8") if path.is_file() else ""
    difference = difflib.unified_diff(found.splitlines(), expected.splitlines(), str(path), "generated", lineterm="")
    text = "\n".join(difference)
    if text:
        pytest.fail(f"run `make generate` and commit:\n{text}", pytrace=False)


@pytest.fixture(scope="module")
def environments() -> ModuleType:
    spec = importlib.util.spec_from_file_location("environments", ROOT / "tools" / "environments.py")
    if spec is None or spec.loader is None:
        pytest.fail("tools/environments.py cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


def test_the_default_configuration() -> None:
    assert_same(ROOT / "config.yaml", default_config())


def test_the_schema() -> None:
    assert_same(ROOT / "workflow" / "schemas" / "config.schema.json", config_schema())


def test_the_feature_dictionary() -> None:
    assert_same(ROOT / "docs" / "feature-dictionary.md", dictionary_text())


def test_the_conda_environments(environments: ModuleType) -> None:
    pins = environments.read_pins((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    files = environments.environment_files(pins)
    assert {path.name for path in (ROOT / "envs").iterdir()} == set(files)
    for name, text in files.items():
        assert_same(ROOT / "envs" / name, text)


def test_an_environment_holds_what_its_stages_need(environments: ModuleType) -> None:
    pins = environments.read_pins((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    files = environments.environment_files(pins)
    features = yaml.safe_load(files["features.yaml"])["dependencies"][-1]["pip"]
    names = {pin.partition("==")[0] for pin in features}
    assert {"numpy", "simpleitk", "pywavelets", "setuptools", "cython", "torch"} <= names
    assert "pyradiomics" not in names
    assert "pyradiomics==3.0.1" in files["features.post-deploy.sh"]
    tables = {pin.partition("==")[0] for pin in yaml.safe_load(files["tables.yaml"])["dependencies"][-1]["pip"]}
    assert "torch" not in tables
    assert {"scikit-learn", "matplotlib", "jinja2"} <= tables


def test_every_requirement_is_pinned_by_hash_and_names_no_place(environments: ModuleType) -> None:
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    pins = environments.read_pins(text)
    assert len(pins) > 100
    assert all(pin.hashes for pin in pins.values())
    assert "://" not in text
    assert not [line for line in text.splitlines() if line.startswith("-")]


def test_the_default_configuration_is_the_defaults_of_the_models() -> None:
    assert StudyConfig.model_validate(yaml.safe_load(default_config())) == StudyConfig()


def test_every_key_stands_below_its_comment() -> None:
    """Of several entries of one kind the first one is explained: later ones may repeat its keys without comments."""
    lines = default_config().splitlines()
    keys = [index for index, line in enumerate(lines) if ":" in line and not line.lstrip().startswith("#")]
    assert len(keys) > 60
    bare = {lines[index].partition(":")[0] for index in keys if not lines[index - 1].lstrip().startswith("#")}
    explained = {lines[index].partition(":")[0] for index in keys if lines[index - 1].lstrip().startswith("#")}
    entries = {f"    {name}" for name in StudyConfig().classification.classifiers}
    assert bare <= explained | entries
    assert not [name for name in bare if not name.startswith("    ")]


def test_the_schema_refuses_what_the_models_refuse() -> None:
    schema = json.loads(config_schema())
    assert schema["additionalProperties"] is False
    assert schema["properties"]["phantom"]["$ref"].endswith("PhantomSettings")


@pytest.mark.parametrize("stage", sorted(StudyConfig().stages()))
def test_a_settings_file_gives_the_settings_back(stage: str) -> None:
    settings = StudyConfig().stages()[stage]
    assert type(settings).model_validate(yaml.safe_load(settings_text(settings))) == settings
