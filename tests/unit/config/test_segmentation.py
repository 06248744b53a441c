"""The mapping of segmentation models: names, weights, trainings, and what is refused before the first job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mammoflow.config.architectures import ARCHITECTURE_MODULES
from mammoflow.config.base import read_settings, validate_settings
from mammoflow.config.documentation import documented_options, settings_text
from mammoflow.config.members import Family
from mammoflow.config.recipes import RECIPES, RecipeSettings
from mammoflow.config.study import StudyConfig
from mammoflow.config.training import TRAINERS
from mammoflow.errors import ConfigError

TUNED = {"recipe": "tune", "from": "small"}


def config(**segmentation: Any) -> StudyConfig:
    return validate_settings(StudyConfig, {"segmentation": segmentation}, "the configuration")


def test_an_architecture_is_named_or_follows_from_the_name_or_from_the_start_of_the_training() -> None:
    settings = config(
        models={
            "mine": {"architecture": "sam_vit_b", "weights": "x.pth"},
            "first": {"train": {**TUNED, "from": "mine"}},
            "second": {"train": {**TUNED, "from": "first"}},
        }
    ).segmentation
    assert [settings.architecture_of(name) for name in ("small", "mine", "second")] == [
        "small",
        "sam_vit_b",
        "sam_vit_b",
    ]
    assert settings.trained_models() == ["first", "second"]
    assert settings.is_prompted("second")


def test_each_model_has_its_settings_file_and_each_training_too(tmp_path: Path) -> None:
    study = config(run=["small", "tuned"], models={"tuned": {"train": {**TUNED, "options": {"epochs": 3}}}})
    stages = study.stages()
    assert {"segmentation/small", "segmentation/tuned", "segmentation_models/tuned"} <= set(stages)
    assert "segmentation_models/small" not in stages
    path = tmp_path / "tuned.yaml"
    path.write_text(settings_text(stages["segmentation_models/tuned"]))
    job = read_settings(RecipeSettings, path)
    assert job == stages["segmentation_models/tuned"]
    assert job.options.epochs == 3  # type: ignore[attr-defined]


def test_a_training_computes_on_the_devices_of_the_run_unless_its_options_name_one() -> None:
    models = {"a": {"train": TUNED}, "b": {"train": {**TUNED, "options": {"device": "cpu"}}}}
    study = validate_settings(StudyConfig, {"device": "cuda", "segmentation": {"models": models}}, "test")
    devices = {name: study.stages()[f"segmentation_models/{name}"].options.device for name in models}  # type: ignore[attr-defined]
    assert devices == {"a": "cuda", "b": "cpu"}


def test_segmentation_has_no_seed_so_that_no_seed_reruns_it() -> None:
    with pytest.raises(ConfigError, match=r"segmentation\.seed: unknown key"):
        config(seed=7)
    values = {
        "classification": {"classifiers": {"perceptron_frozen": {"seeds": [7]}}},
        "phantom": {"seed": 7},
        "prompts": {"seed": 7},
    }
    seeded = validate_settings(StudyConfig, values, "test")
    assert seeded.stages()["segmentation/small"] == StudyConfig().stages()["segmentation/small"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"run": ["mine"]}, "run names 'mine'; expected one of .*small"),
        ({"run": ["small", "small"]}, "expected each model once"),
        ({"run": ["sam_vit_b"]}, "default_model is 'small', expected one of run"),
        ({"models": {"sam_vit_b": {"train": TUNED}}}, "is the name of published weights"),
        ({"models": {"sam_vit_b": {"architecture": "sam_vit_l"}}}, "is the name of published weights"),
        ({"models": {"small": {"weights": "x"}}}, "the package ships the weights of small"),
        ({"models": {"ellipse": {"architecture": "small", "weights": "x"}}}, "models names 'ellipse'"),
        ({"models": {"a/b": {"architecture": "small", "weights": "x"}}}, "models names 'a/b'"),
        ({"models": {"a": {"architecture": "vit", "weights": "x"}}}, r"models\.a\.architecture is 'vit'"),
        ({"models": {"a": {"weights": "x"}}}, r"models\.a\.architecture is ''"),
        ({"models": {"a": {"architecture": "small"}}}, "neither weights nor train"),
        ({"models": {"a": {"weights": "x", "train": TUNED}}}, "both weights and train"),
        ({"models": {"a": {"train": {**TUNED, "from": "b"}}}}, r"models\.a\.train\.from is 'b'; expected one of"),
        ({"models": {"a": {"train": {**TUNED, "from": "a"}}}}, "goes in a circle: a <- a"),
        (
            {"models": {"a": {"train": {**TUNED, "from": "b"}}, "b": {"train": {**TUNED, "from": "a"}}}},
            "goes in a circle",
        ),
        ({"models": {"a": {"architecture": "sam_vit_b", "train": TUNED}}}, "starts from small; expected small"),
        (
            {"models": {"a": {"train": {**TUNED, "options": {"method": "lora"}}}}},
            r"models\.a\.train\.options\.method is lora, but small has no attention; expected decoder or all",
        ),
        ({"models": {"a": {"train": {**TUNED, "options": {"method": "some"}}}}}, "Input should be 'decoder'"),
        (
            {"models": {"a": {"train": {**TUNED, "options": {"epoch": 1}}}}},
            r"segmentation\.models\.a\.train\.options\.epoch: unknown key",
        ),
        (
            {"models": {"a": {"train": {**TUNED, "options": {"seed": 2**31 + 1}}}}},
            r"options\.seed: found 2147483649; expected: .*2147483648",
        ),
        ({"models": {"a": {"train": {"recipe": "cook"}}}}, "'cook' is no training recipe; expected one of"),
        ({"models": {"a": {"architecture": "small", "train": {"recipe": "tune"}}}}, r"train\.from is empty"),
        ({"models": {"a": {"train": {"recipe": "small", "from": "small"}}}}, "starts from random weights"),
        (
            {"models": {"a": {"architecture": "sam_vit_b", "train": {"recipe": "small"}}}},
            "expected architecture: small",
        ),
    ],
)
def test_models_that_cannot_be_are_refused_by_the_configuration(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config(**values)


DRAWS = {"architecture": "lesion_diffusion", "train": {"recipe": "lesion_diffusion"}}


def drawn(**options: Any) -> dict[str, Any]:
    """Return an automatic model whose training takes synthetic lesions of the model `lesions`."""
    given = {"copy_paste": 0.3, "synthetic_lesions": {"model": "lesions"}, **options}
    return {"architecture": "unet_16", "train": {"recipe": "automatic", "options": given}}


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ({"a": drawn()}, r"models\.a\.train\.options\.synthetic_lesions\.model is 'lesions'; .*which are none"),
        ({"a": drawn(), "lesions": drawn()}, "with architecture: lesion_diffusion, which are none"),
        ({"a": drawn(copy_paste=0), "lesions": DRAWS}, r"options\.copy_paste is 0.0; expected a share above 0"),
        ({"a": drawn(labels={"kind": "points"}), "lesions": DRAWS}, r"options\.labels\.kind is points; expected masks"),
        (
            {"a": drawn(few_labels={"fraction": 0.1}), "lesions": DRAWS},
            "has fraction 0.1 and draw 0, but lesions, .* 1",
        ),
        ({"a": drawn(sources=["A"]), "lesions": DRAWS}, r"sources is \['A'\], but lesions, .* has \[\]; expected the"),
        ({"lesions": {**DRAWS, "architecture": "unet"}}, r"lesions\.train\.recipe is lesion_diffusion, but unet makes"),
        (
            {"lesions": {**DRAWS, "train": {"recipe": "automatic"}}},
            "recipe is automatic, but lesion_diffusion makes no masks",
        ),
    ],
)
def test_synthetic_lesions_that_cannot_be_are_refused(models: dict[str, Any], words: str) -> None:
    assert config(models={"a": drawn(), "lesions": DRAWS})
    with pytest.raises(ConfigError, match=words):
        config(models=models)


def test_a_model_that_draws_lesions_segments_no_image() -> None:
    with pytest.raises(ConfigError, match="run names 'lesions', which draws lesions and makes no masks"):
        config(run=["small", "lesions"], models={"lesions": DRAWS})


def test_a_trainer_that_needs_unlabelled_lesions_is_refused_where_the_recipe_gives_none(
    add_member: Callable[[Family, str, str], Path],
) -> None:
    add_member(TRAINERS, "semi", "UNLABELLED = True\n")
    with pytest.raises(ConfigError, match=r"models\.a\.train\.trainer is semi, .* the recipe tune gives none"):
        config(models={"a": {"train": {**TUNED, "trainer": "semi"}}})


def test_an_architecture_of_a_new_module_is_known_by_its_name(add_member: Callable[[Family, str, str], Path]) -> None:
    source = (
        "from mammoflow.config.architectures import Architecture\n"
        "ARCHITECTURES = {'net': Architecture(None, memory_mb=1000, prompted=False)}\n"
    )
    add_member(ARCHITECTURE_MODULES, "fresh", source)
    settings = config(run=["small", "mine"], models={"mine": {"architecture": "net", "weights": "x.pth"}}).segmentation
    assert settings.architecture_of("mine") == "net"
    assert not settings.is_prompted("mine")
    # an architecture without published weights may give its name to a model, which then has weights of its own
    assert config(models={"net": {"weights": "x.pth"}}).segmentation.architecture_of("net") == "net"
    with pytest.raises(ConfigError, match="trains promptable models, but net is automatic"):
        config(models={"a": {"architecture": "net", "train": {"recipe": "small"}}})
    with pytest.raises(ConfigError, match="takes no prompts"):
        config(
            run=["small", "mine"],
            models={"mine": {"architecture": "net", "weights": "x.pth"}},
            prompted_by={"mine": ["small"]},
        )
    with pytest.raises(ConfigError, match=r"mine, an automatic model, but .*decode prompts with it"):
        config(run=["mine"], default_model="mine", models={"mine": {"architecture": "net", "weights": "x.pth"}})


def test_classifiers_that_decode_boxes_are_refused_without_a_kind_of_box() -> None:
    with pytest.raises(ConfigError, match=r"prompts\.kinds is \['point'\], but perceptron_frozen.* expected box"):
        validate_settings(StudyConfig, {"prompts": {"kinds": ["point"]}}, "test")
    without = {"prompts": {"kinds": ["point"]}, "classification": {"run": ["efficientnet_masked_crop"]}}
    assert validate_settings(StudyConfig, without, "test").prompts.kinds == ["point"]
    both = {"prompts": {"kinds": ["point", "box"]}}
    assert validate_settings(StudyConfig, both, "test").prompts.kinds == ["point", "box"]


def test_options_of_a_recipe_are_documented() -> None:
    text = documented_options(RECIPES, "tune")
    assert "# What is trained: the mask decoder; all weights;" in text
    assert RECIPES.options("tune").model_validate(yaml.safe_load(text)) == RECIPES.options("tune")()
    with pytest.raises(ConfigError, match="'cook' is no training recipe; expected one of"):
        documented_options(RECIPES, "cook")
