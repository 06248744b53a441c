"""Case tables and configurations of any content: each ends in a result or in an error of this project.

The examples are the same in every run. `pytest -m slow tests/unit/test_fuzz.py` tries many more.
"""

from __future__ import annotations

import functools
import string
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mammoflow.cohort.anonymous_ids import IdMaker, anonymous
from mammoflow.cohort.reader import open_reader
from mammoflow.cohort.selection import select_cases
from mammoflow.cohort.table_files import read_text_table
from mammoflow.config.base import validate_settings
from mammoflow.config.cohort import DatasetSettings
from mammoflow.config.mapping import read_mapping
from mammoflow.config.study import StudyConfig
from mammoflow.errors import MammoflowError

SUPPRESSED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
FEW = settings(max_examples=25, derandomize=True, database=None, suppress_health_check=SUPPRESSED)
MANY = settings(FEW, max_examples=1000)

ODD = ["", " ", "nan", "NA", "None", "-1", "0", "1", "1e400", "-0.0", "inf", "1,5", "2.0", "=1+1", "'", '"', "\x0b",
       "\u202e", "\ufeff", "e\u0301", "../x.png", "/etc/passwd", "a" * 300, "benign", "malignant", "MLO", "L", "4a",
       "é", "links", "yes", "x.png", "m.png", "0.07", "{x}", "\r", "2024-13-45", "%s", "\U0001f480"]  # fmt: skip
COLUMNS = ["patient", "image", "mask", "label", "side", "view", "birads", "density", "spacing", "x0", "y0", "x1", "y1",
           "usable", "lesion", "finding", "image_id", "type", "split", "Patient ", "label", ""]  # fmt: skip
cells = st.one_of(st.sampled_from(ODD), st.text(max_size=12))
rows = st.lists(st.lists(cells, min_size=1, max_size=8), max_size=6)
headers = st.lists(st.one_of(st.sampled_from(COLUMNS), st.text(max_size=6)), max_size=5)


def csv_text(header: list[str], table: list[list[str]], delimiter: str) -> str:
    """Write rows as they are, quoted only now and then, as people and programs do."""
    quoted = [[f'"{cell}"' if delimiter in cell else cell for cell in row] for row in [header, *table]]
    return "\n".join(delimiter.join(row) for row in quoted)


def only_own_errors(work: Callable[[], object]) -> str:
    """Do work; an error of this project counts as a result, and is returned as its message."""
    try:
        work()
    except MammoflowError as error:
        return str(error)
    return "read"


def study_of(header: list[str], table: list[list[str]], delimiter: str, encoding: str, folder: Path) -> None:
    """Write a study with a plain beginning of each row, so that some rows of some tables can be used."""
    whole = ["patient", "image", "mask", "label", *header]
    plain = [[f"P{number}", "x.png", "m.png", "benign", *row] for number, row in enumerate(table)]
    text = csv_text(whole, plain, delimiter)
    (folder / "cases.csv").write_bytes(text.encode(encoding, "replace"))
    cv2.imwrite(str(folder / "x.png"), np.zeros((6, 5), np.uint8))
    cv2.imwrite(str(folder / "m.png"), np.eye(6, 5, dtype=np.uint8) * 255)


def check_table(
    header: list[str], table: list[list[str]], delimiter: str, encoding: str, options: dict[str, Any]
) -> None:
    def work() -> None:
        values = {"reader": "table", "name": "mine", "folder": str(folder), "tables": ["cases.csv"], **options}
        reader = open_reader(validate_settings(DatasetSettings, values, "the test"), folder)
        anonymous(select_cases(reader), IdMaker(b"a key of sixteen bytes"))

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study_of(header, table, delimiter, encoding, folder)
        only_own_errors(work)


def check_bytes(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        for suffix in (".csv", ".xlsx", ".parquet"):
            path = Path(name) / f"cases{suffix}"
            path.write_bytes(content)
            only_own_errors(functools.partial(read_text_table, path))


def check_yaml(text: str) -> None:
    def work() -> None:
        validate_settings(StudyConfig, read_mapping(path), str(path))

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "study.yaml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        only_own_errors(work)


def places(values: dict[str, Any], before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return each key of a configuration with the keys above it."""
    found: list[tuple[str, ...]] = []
    for key, value in values.items():
        found.append((*before, key))
        if isinstance(value, dict):
            found += places(value, (*before, key))
    return found


PLACES = places(StudyConfig().model_dump(mode="json"))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(ODD), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)
tables = (
    headers,
    rows,
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-16", "cp1252"]),
    st.fixed_dictionaries({}, optional={"ids_differ": st.booleans(), "spacing_mm": st.just(0.1)}),
)
MAGIC = [b"PK\x03\x04", b"PAR1", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"%PDF-1.4", b"\xff\xfe", b"\xef\xbb\xbf", b""]
contents = st.builds(
    lambda start, rest, end: start + rest + end, st.sampled_from(MAGIC), st.binary(), st.sampled_from(MAGIC)
)
TOKENS = [*"{}[]:,-?&*!|>'\"%@`#", "a", "cohort", "run", ": ", "\n", "\n  ", "!!int", "!!python/object:os.system",
          "1:59", "0x", "2020-99-99", "<<: "]  # fmt: skip
yaml_texts = st.one_of(
    st.text(alphabet=string.printable + "é\u2028\x85", max_size=80),
    st.lists(st.sampled_from(TOKENS), max_size=25).map("".join),
)


def check_value(place: tuple[str, ...], value: object) -> None:
    nested: object = value
    for key in reversed(place):
        nested = {key: nested}
    only_own_errors(lambda: validate_settings(StudyConfig, nested, "the test"))
    only_own_errors(lambda: check_yaml(yaml.safe_dump(nested, allow_unicode=True)))


test_any_case_table = FEW(given(*tables)(check_table))
test_any_bytes_as_a_case_table = FEW(given(contents)(check_bytes))
test_any_text_as_a_configuration = FEW(given(yaml_texts)(check_yaml))
test_any_value_at_any_key = FEW(given(st.sampled_from(PLACES), values)(check_value))
test_many_case_tables = pytest.mark.slow(MANY(given(*tables)(check_table)))
test_many_bytes_as_case_tables = pytest.mark.slow(MANY(given(contents)(check_bytes)))
test_many_texts_as_configurations = pytest.mark.slow(MANY(given(yaml_texts)(check_yaml)))
test_many_values_at_any_key = pytest.mark.slow(
    settings(MANY, max_examples=300)(given(st.sampled_from(PLACES), values)(check_value))
)


def test_the_check_lets_other_errors_out() -> None:
    with pytest.raises(KeyError):
        only_own_errors(lambda: {}["absent"])
