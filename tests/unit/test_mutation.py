"""A short run of the mutated DICOM files; the long one is `python -m tools.mutation`."""

from __future__ import annotations

import importlib
from pathlib import Path
from random import Random
from types import ModuleType

import pytest

from mammoflow.imaging.case import CaseResult
from mammoflow.run.workers import Lost

ROOT = Path(__file__).resolve().parents[2]
COUNT = 304  # nineteen of each original


@pytest.fixture
def mutation(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("tools.mutation.campaign")


def test_every_mutant_is_converted_or_excluded_with_a_reason(mutation: ModuleType, tmp_path: Path) -> None:
    *_, outcome = mutation.run_campaign(COUNT, 7, tmp_path)
    assert outcome.faults == []
    assert outcome.mutants == COUNT == sum(outcome.by_reason.values())
    assert set(outcome.by_reason) <= mutation.REASONS | {"converted"}
    assert len(outcome.by_reason) >= 5
    assert 0.1 < outcome.by_reason["converted"] / COUNT < 0.7
    assert len(outcome.by_seed) == len(mutation.seeds())
    assert outcome.slowest_s < mutation.LONGEST_S
    assert outcome.peak_bytes < 2**30
    assert not list(tmp_path.glob("[0-9]*.dcm"))


def test_a_mutant_is_made_again_from_its_number(mutation: ModuleType) -> None:
    originals = mutation.seeds()
    again = [mutation.make_mutant(originals, 7, number) for number in (3, 40, 41)]
    assert again == [mutation.make_mutant(originals, 7, number) for number in (3, 40, 41)]
    assert again[1].data != mutation.make_mutant(originals, 8, 40).data


def test_files_are_taken_apart_and_put_together(mutation: ModuleType) -> None:
    structure = importlib.import_module("tools.mutation.structure")
    for seed in mutation.seeds():
        parts = structure.take_apart(seed.data)
        pixels = [element for element in parts.body_elements if element.tag == structure.PIXEL_DATA]
        assert len(pixels) == 1
        assert max(element.end for element in parts.body_elements) == len(parts.body)
        again = structure.take_apart(parts.whole())
        assert (again.meta, again.body) == (parts.meta, parts.body)
        assert parts.deflated or parts.whole() == seed.data
        if "nested" in seed.name and parts.explicit:
            assert sum(element.tag == structure.ITEM for element in parts.body_elements) >= 4


def test_each_mutator_changes_files(mutation: ModuleType) -> None:
    structure = importlib.import_module("tools.mutation.structure")
    for mutate in mutation.WEIGHTS:
        changed = 0
        for number, seed in enumerate(mutation.seeds()):
            parts = structure.take_apart(seed.data)
            before = (bytes(parts.meta), bytes(parts.body))
            mutate(Random(number), parts)
            changed += (bytes(parts.meta), bytes(parts.body)) != before
        assert changed >= 8, mutate.__name__


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (Lost("took longer than 10 s"), True),
        (Lost("ended its process with exit code -6"), False),
        (CaseResult(), True),
        (CaseResult(excluded=[{"level": "image", "reason": "no idea"}]), True),
        (CaseResult(excluded=[{"level": "image", "reason": "file is truncated"}]), False),
        (CaseResult(image={}), False),
    ],
)
def test_what_counts_as_a_fault(mutation: ModuleType, tmp_path: Path, answer: CaseResult | Lost, fault: bool) -> None:
    outcome = mutation.Outcome()
    mutant = mutation.make_mutant(mutation.seeds(), 7, 0)
    mutation._count(mutant, answer, 0.1, tmp_path, outcome)
    assert bool(outcome.faults) == fault
    assert (tmp_path / "faults" / "0.dcm").is_file() == fault
