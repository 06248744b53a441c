"""YAML of the configuration: keys that occur twice, and words that YAML takes for booleans and numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mammoflow.config.reading import read_config
from mammoflow.config.yaml_text import keep_words, load_yaml
from mammoflow.errors import ConfigError
from mammoflow.planning.workflow import read_configuration, typed_values

DATASET = "cohort: {dataset: {reader: table, name: S, folder: %s, tables: [a.csv], options: {labels: %s}}}"


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb: 2\na: 3",
        "a: {b: 1, b: 2}",
        "a:\n  b:\n    c: 1\n    d: 2\n    c: 1",
        "a: [{b: 1, b: 2}]",
        "{1: a, 1: b}",
        "{yes: a, yes: b}",
        "x: &x {q: 1}\na: {<<: *x, q: 2, q: 3}",
    ],
)
def test_a_key_that_occurs_twice_is_an_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"(?s)occurs twice, first in line \d.*one of the two values would be lost"):
        read_config([file])


def test_merged_mappings_may_be_overridden() -> None:
    assert load_yaml("x: &x {q: 1, r: 2}\na: {<<: *x, q: 3}", "f")["a"] == {"q": 3, "r": 2}  # type: ignore[index]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("{1: malignant, yes: malignant}", {"1": "malignant", "yes": "malignant"}),
        ("{1: malignant, yes: benign}", {"1": "malignant", "yes": "benign"}),
        ("{yes: malignant, no: benign}", {"yes": "malignant", "no": "benign"}),
        ("{true: malignant, on: benign, 2.0: benign}", {"true": "malignant", "on": "benign", "2": "benign"}),
        ("{0: benign, no: malignant}", {"0": "benign", "no": "malignant"}),
        ("{'yes': malignant, 0: benign}", {"yes": "malignant", "0": "benign"}),
    ],
)
def test_words_and_numbers_are_keys_of_labels(tmp_path: Path, labels: str, expected: dict[str, str]) -> None:
    file, study = tmp_path / "a.yaml", tmp_path / "study"
    text = DATASET % (study, labels)
    file.write_text(text, encoding="utf-8")
    config = read_config([file])
    assert config.cohort.dataset.options.labels == expected  # type: ignore[attr-defined]
    # Snakemake reads the same file by a loader that takes 1, yes and true for one key.
    study.mkdir()
    (study / "a.csv").write_text("image\n", encoding="utf-8")
    again = read_configuration(typed_values(yaml.load(text, yaml.FullLoader), [], [file]), [])
    assert again.cohort.dataset.options.labels == expected  # type: ignore[attr-defined]


def test_values_of_the_command_line_stay() -> None:
    texts = load_yaml("{a: {yes: 1, x: 2}, b: 3, c: [{no: 1}]}", "f")
    values = {"a": {True: 1, "x": 5}, "b": 4, "c": [{False: 1}], "d": 5}
    kept = keep_words(values, texts)  # type: ignore[arg-type]
    assert kept == {"a": {"yes": 1, "x": 5}, "b": 4, "c": [{"no": 1}], "d": 5}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a:\n\tb: 1", "YAML allows no tabs"),
        ("a: Müller".encode("cp1252"), "is not UTF-8"),
        ("a: 1".encode("utf-16"), "is not UTF-8"),
        (b"a: [1", "cannot be read as YAML"),
    ],
)
def test_what_is_no_yaml_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_config([file])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run: no", r"run: found False; .*YAML reads no, false, off as false: put the word in quotation marks"),
        ("run: 2024", r"run: found 2024; .*to YAML this is a number: put it in quotation marks"),
        ("run: 2024-01-02", r"run: found datetime\.date.*to YAML this is a date"),
        ("on: 1", r"on: unknown key"),
        (DATASET % ("x", "{null: benign}"), r"the key None is blank to YAML"),
        (DATASET % ("x", "{2024-01-02: benign}"), r"is a date to YAML.*put it in quotation marks"),
        (DATASET % ("x", "{1: cancer}"), r"labels\.1: found 'cancer'"),
    ],
)
def test_words_that_yaml_changes_are_explained(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_config([file])
