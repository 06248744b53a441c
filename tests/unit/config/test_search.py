"""Settings of a search: every point is a valid classifier, or the run stops before its first job and names the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mammoflow.config.base import read_settings, validate_settings
from mammoflow.config.classification import ClassifierSettings
from mammoflow.config.documentation import settings_text
from mammoflow.config.search import SearchSettings
from mammoflow.config.search_job import SearchJob
from mammoflow.config.search_space import candidates, is_whole, with_values
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError

LEARNING_RATE = {"low": 1e-5, "high": 1e-2, "log": True}


def config_of(space: dict[str, Any], classifier: str = "context_crop", **search: Any) -> StudyConfig:
    searches = {"rates": {"classifier": classifier, "space": space, **search}}
    return validate_settings(StudyConfig, {"device": "cpu", "classification": {"searches": searches}}, "test")


def test_there_is_no_search_by_default() -> None:
    assert StudyConfig().classification.searches == {}
    assert not [job for job in StudyConfig().stages() if job.startswith("searches/")]


def test_the_settings_file_of_a_search_gives_its_job_back(tmp_path: Path) -> None:
    job = config_of({"learning_rate": LEARNING_RATE, "hidden": [[], [8]]}).stages()["searches/rates"]
    file = tmp_path / "rates.yaml"
    file.write_text(settings_text(job), encoding="utf-8")
    read = read_settings(SearchJob, file)
    assert read == job
    assert (read.device, read.classifier.input) == ("cpu", "context_crop")


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ({"learning_rat": LEARNING_RATE}, r"searches\.rates\.space\.learning_rat: unknown key"),
        ({"input_options.size": [38.0]}, r"searches\.rates\.space\.input_options\.size: unknown key"),
        ({"dropout.rate": [0.1]}, r"searches\.rates\.space\.dropout: found"),
        ({"dropout": [0.2, 1.5]}, r"searches\.rates\.space\.dropout: found 1\.5"),
        ({"learning_rate": {"low": 0.0, "high": 1.0}}, r"searches\.rates\.space\.learning_rate: found 0\.0"),
        ({"epochs": {"low": 1.5, "high": 8}}, r"searches\.rates\.space\.epochs: found 1\.5"),
        ({"learning_rate": {"low": 1e-2, "high": 1e-3}}, "expected low below high"),
        ({"weight_decay": {"low": 0.0, "high": 1.0, "log": True}}, "expected low above 0, or log: false"),
        ({"keep": ["best_auc", "last"], "patience": [None, 3]}, "patience is 3 and keep is last"),
        ({"network": ["resnet_small"]}, "makes another classifier"),
        ({"threshold.method": ["youden"]}, "the AUC of one training does not depend"),
        ({"few_labels.fraction": [0.1, 1.0]}, "chooses other labels"),
        ({"labels": ["true", "shuffled"]}, "chooses other labels"),
        ({"dropout": [0.2, 0.2]}, "expected different values"),
        ({"dropout": []}, "expected different values"),
        ({"vectors": [[], ["no_family"]]}, r"searches\.rates\.space\.vectors names 'no_family'"),
        ({}, r"searches\.rates\.space"),
    ],
)
def test_a_space_that_the_classifier_refuses_stops_the_run(space: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        config_of(space)


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ({"classifier": "no_such"}, r"searches\.rates\.classifier is 'no_such'; expected one of classifiers"),
        ({"sampler": "grid", "trials": 3}, "the grid has 4 points and trials is 3"),
        ({"sampler": "grid", "space": {"learning_rate": LEARNING_RATE}}, "space.learning_rate is a range"),
        ({"epochs": 3, "space": {"epochs": [2, 4]}}, "expected one of them, or epochs: null"),
        ({"inner_folds": 1}, "inner_folds: found 1"),
        ({"seed": 10**15}, r"seed: found 1000000000000000; expected: .*2147483648"),
    ],
)
def test_a_search_that_cannot_be_made_stops_the_run(search: dict[str, Any], expected: str) -> None:
    space = search.pop("space", {"dropout": [0.1, 0.2], "batch_size": [8, 16]})
    with pytest.raises(ConfigError, match=expected):
        config_of(space, search.pop("classifier", "context_crop"), **search)


def test_the_name_of_a_search_is_that_of_a_folder() -> None:
    searches = {"../rates": {"classifier": "context_crop", "space": {"dropout": [0.1]}}}
    with pytest.raises(ConfigError, match=r"searches names '\.\./rates'"):
        validate_settings(StudyConfig, {"classification": {"searches": searches}}, "test")


def test_values_are_put_at_their_keys_and_the_others_stay() -> None:
    settings = StudyConfig().classification.classifiers["context_crop"]
    changed: Any = with_values(settings, {"dropout": 0.5, "input_options.size_mm": 38.0, "hidden": [4]})
    plain = settings.model_dump()
    plain |= {"dropout": 0.5, "hidden": [4], "input_options": {**plain["input_options"], "size_mm": 38.0}}
    assert changed.model_dump() == plain
    assert isinstance(changed, ClassifierSettings)


def test_candidates_show_every_value_and_pairs_of_one_mapping() -> None:
    settings = StudyConfig().classification.classifiers["context_crop"]
    values = {
        "classifier": "context_crop", "epochs": 2,
        "space": {"dropout": [0.1, 0.2, 0.3], "learning_rate": LEARNING_RATE, "input_options.size_mm": [38.0, 48.0]},
    }  # fmt: skip
    points: list[Any] = list(candidates(validate_settings(SearchSettings, values, "test"), settings))
    found = [(point.dropout, point.learning_rate, point.input_options.size_mm) for point in points]
    assert found[0] == (0.1, 1e-5, 38.0)
    pairs = {(dropout, rate, 38.0) for dropout in (0.1, 0.2, 0.3) for rate in (1e-5, 1e-2)}
    around_largest = {(dropout, 1e-2, 48.0) for dropout in (0.1, 0.2, 0.3)} | {(0.3, 1e-5, 48.0), (0.3, 1e-2, 38.0)}
    assert set(found) == pairs | around_largest | {(0.1, 1e-5, 48.0)}
    assert len(set(found)) == len(found)
    assert {point.epochs for point in points} == {2}


@pytest.mark.parametrize(
    ("ends", "present", "whole"),
    [((1, 8), 12, True), ((0, 1), 0.2, False), ((1.0, 8), 12, False), ((1, 8), None, True)],
)
def test_a_range_is_of_whole_numbers_where_the_key_takes_these(
    ends: tuple[float, float], present: object, whole: bool
) -> None:
    search = SearchSettings.model_validate(
        {"classifier": "any", "space": yaml.safe_load(f"{{key: {{low: {ends[0]}, high: {ends[1]}}}}}")}
    )
    space: Any = search.space["key"]
    assert is_whole(space, present) == whole


@pytest.mark.parametrize("hidden", [{"few_labels": {"fraction": 0.1}}, {"labels": "shuffled"}])
def test_a_classifier_that_hides_labels_is_not_searched(hidden: dict[str, Any]) -> None:
    searches = {"rates": {"classifier": "few", "space": {"learning_rate": LEARNING_RATE}}}
    few = {"input": "context_crop", "network": "resnet_small", **hidden}
    values = {"classification": {"searches": searches, "classifiers": {"few": few}}}
    with pytest.raises(
        ConfigError, match=r"searches\.rates\.classifier is 'few'.*expected fraction: 1 and labels: true"
    ):
        validate_settings(StudyConfig, values, "test")
