"""Paths that a user chooses work, or are refused with the key and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mammoflow.config.base import validate_settings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError

TABLE = {"reader": "table", "name": "mine", "folder": "study", "tables": ["cases.csv"]}


def configuration(values: dict[str, Any]) -> StudyConfig:
    return validate_settings(StudyConfig, values, "the test")


def nested(key: str, value: object) -> dict[str, Any]:
    """Return a configuration with a value under a dotted key."""
    for part in reversed(key.split(".")):
        value = {part: value}
    assert isinstance(value, dict)
    return value


def dataset(**values: object) -> dict[str, Any]:
    return {"cohort": {"dataset": {**TABLE, **values}}}


PLACES: dict[str, Any] = {
    "results": lambda path: {"results": path},
    "store": lambda path: {"store": path},
    "cohort.dataset.folder": lambda path: dataset(folder=path),
    "cohort.dataset.tables.0": lambda path: dataset(tables=[path]),
    "cohort.dataset.options.joins.0.table": lambda path: dataset(options={"joins": [{"table": path, "column": "a"}]}),
    "cohort.more_datasets.0.folder": lambda path: {"cohort": {"more_datasets": [{**TABLE, "folder": path}]}},
    "prompts.readers.0.table": lambda path: {"prompts": {"readers": [{"name": "A", "table": path}]}},
    "segmentation.models.mine.weights": lambda path: {
        "segmentation": {"models": {"mine": {"architecture": "small", "weights": path}}}
    },
    "segmentation.models.mine.train.more_images.0": lambda path: {
        "segmentation": {
            "models": {"mine": {"architecture": "small", "train": {"recipe": "small", "more_images": [path]}}}
        }
    },
    "classification.classifiers.context_crop.weights": lambda path: nested(
        "classification.classifiers.context_crop.weights", path
    ),
    "prefetch.folder": lambda path: nested("prefetch.folder", path),
    "download.folder": lambda path: nested("download.folder", path),
    "download.index": lambda path: nested("download.index", path),
}


@pytest.mark.parametrize("key", PLACES)
def test_a_path_with_braces_is_refused_with_its_key(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configuration(PLACES[key]("a/{3F2504E0}/b"))
    assert f"{key}: found 'a/{{3F2504E0}}/b'; expected a path without the braces" in str(caught.value)
    assert "symbolic link" in str(caught.value)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("a{", "braces"),
        ("a}}b", "braces"),
        ("a\nb", "line breaks"),
        ("a\tb", "tabs"),
        ("a\u2028b", "line breaks"),
        ("x" * 300, "the longest name here has 300"),
        ("ü" * 150, "the longest name here has 300"),
        ("x/" * 2000, "at most 3000 bytes"),
    ],
)
def test_a_path_that_cannot_be_passed_on_is_refused(path: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configuration({"results": path})
    assert "results: found " in str(caught.value)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("key", PLACES)
def test_every_other_path_stays_as_it_is(key: str) -> None:
    path = '-x my results/o\'neil "a" & $HOME; `a` (b) *?[c] #größe/日本 \\ % | > < ! ~ , : = @'
    place: Any = configuration(PLACES[key](path)).model_dump(by_alias=True)
    for part in key.split("."):
        place = place[int(part)] if part.isdigit() else place[part]
    assert place == path


def test_home_is_expanded_and_a_folder_called_tilde_has_its_own_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    config = configuration({"results": "~/runs", "store": "./~", **dataset(folder="~/a study")})
    assert (config.results, config.cohort.dataset.folder) == ("/home/anna/runs", "/home/anna/a study")
    assert config.store == "./~"
    assert configuration({"store": config.store}).store == "./~"
    with pytest.raises(ConfigError, match=r"results: found '~nobody-of-this-name/x'; expected .*\./~nobody"):
        configuration({"results": "~nobody-of-this-name/x"})


def test_a_path_is_written_in_one_way() -> None:
    assert configuration({"results": "./out//a/"}).results == "out/a"
    assert configuration({"results": "../out"}).results == "../out"


@pytest.mark.parametrize(
    "values",
    [
        {"run": "a" * 101},
        {"segmentation": {"models": {"m" * 101: {"architecture": "small", "weights": "a"}}}},
        {"classification": {"classifiers": {"c" * 101: {"input": "masked_crop", "network": "efficientnet_b0"}}}},
        {"classification": {"searches": {"s" * 101: {"classifier": "context_crop", "space": {"dropout": [0.0]}}}}},
    ],
)
def test_a_name_that_is_too_long_for_a_folder_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="at most 100 characters"):
        configuration(values)


@pytest.mark.parametrize("name", ["a{b}", "a b", "a/b", "../a", "-a", "$a", ""])
@pytest.mark.parametrize(
    "place",
    [
        lambda name: {"run": name},
        lambda name: {"segmentation": {"models": {name: {"architecture": "small", "weights": "a"}}}},
        lambda name: {
            "classification": {"classifiers": {name: {"input": "masked_crop", "network": "efficientnet_b0"}}}
        },
    ],
)
def test_a_name_that_is_no_folder_is_refused(place: Any, name: str) -> None:
    with pytest.raises(ConfigError):
        configuration(place(name))


def test_the_run_is_below_the_results(tmp_path: Path) -> None:
    from mammoflow.planning.models import run_folder

    assert run_folder(configuration({"results": str(tmp_path / "my results"), "run": "a"})) == tmp_path / "my results/a"


@pytest.mark.parametrize("key", ["results", "store"])
@pytest.mark.parametrize("path", ["/", "//", "/.", "/results/.."])
def test_the_root_of_the_file_system_is_no_folder_of_results(key: str, path: str) -> None:
    with pytest.raises(ConfigError, match=rf"{key}.*below the root of the file system"):
        validate_settings(StudyConfig, {key: path}, "test")
