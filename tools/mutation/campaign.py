"""Mutants through the image stage's own workers: every one is converted or excluded with a reason, and nothing else.

The mutants of a run follow from its seed and their number, so a mutant that fails is made again from the two.
"""

from __future__ import annotations

import random
import resource
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mammoflow.config.images import ImagesSettings
from mammoflow.errors import MammoflowError
from mammoflow.imaging.case import Case, CaseResult, prepare_case
from mammoflow.reasons.files import FileReason
from mammoflow.reasons.imaging import ImagingReason
from mammoflow.reasons.lesions import LesionReason
from mammoflow.run.workers import Lost, WorkerError, map_isolated
from mammoflow.tables.cohort import IMAGES, LESIONS
from mammoflow.tables.files import empty_table
from tools.mutation.mutators import WEIGHTS
from tools.mutation.seeds import Seed, seeds
from tools.mutation.structure import take_apart

LONGEST_S = 10.0
WORKER_BYTES = 4 * 2**30  # as in the stage
TOGETHER = 250  # mutants that lie on the disk at a time
MOST_MUTATIONS = 4
SETTINGS = ImagesSettings(longest_side_px=128, patch_mm=20)
REASONS = frozenset(str(reason) for kind in (FileReason, LesionReason, ImagingReason) for reason in kind)


@dataclass(frozen=True)
class Mutant:
    """A damaged file and what was done to it."""

    number: int
    seed: Seed
    mutations: tuple[str, ...]
    data: bytes


@dataclass
class Outcome:
    """What came of the mutants.

    Attributes
    ----------
    mutants
        How many were tried.
    by_reason, by_seed
        Converted, or the reason of the exclusion, and its count; the same for each seed.
    lost
        Workers that a mutant ended, and how; the film is then excluded as unreadable.
    faults
        What must not be: mutants that took too long, raised an error, or were neither converted nor excluded.
    stalled
        Mutants that ran out of time once and not when they were tried again, as happens on a busy machine.
    slowest_s, slowest
        Longest time of a mutant, and which.
    peak_bytes, parent_bytes
        Largest memory of a worker and of the process that runs them.
    wall_s
        Duration of the run.
    """

    mutants: int = 0
    by_reason: Counter[str] = field(default_factory=Counter)
    by_seed: dict[str, Counter[str]] = field(default_factory=dict)
    lost: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    stalled: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    slowest: str = ""
    peak_bytes: int = 0
    parent_bytes: int = 0
    wall_s: float = 0.0

    def record(self) -> dict[str, Any]:
        """Return everything as plain values for a JSON file."""
        return {
            "mutants": self.mutants,
            "by_reason": dict(self.by_reason.most_common()),
            "by_seed": {name: dict(counts.most_common()) for name, counts in self.by_seed.items()},
            "lost": dict(self.lost.most_common()),
            "faults": self.faults,
            "stalled": self.stalled,
            "slowest_s": round(self.slowest_s, 3),
            "slowest": self.slowest,
            "worker_peak_mib": round(self.peak_bytes / 2**20),
            "parent_peak_mib": round(self.parent_bytes / 2**20),
            "wall_s": round(self.wall_s, 1),
        }


def make_mutant(originals: list[Seed], run_seed: int, number: int) -> Mutant:
    """Make a mutant from its number: one to four mutations of one of the originals."""
    draw = random.Random(f"{run_seed}/{number}")
    seed = originals[number % len(originals)]
    parts = take_apart(seed.data)
    count = min(MOST_MUTATIONS, 1 + int(draw.expovariate(1.2)))
    chosen = draw.choices(list(WEIGHTS), list(WEIGHTS.values()), k=count)
    done = []
    for mutate in chosen:
        mutate(draw, parts)
        done.append(mutate.__name__)
    return Mutant(number, seed, tuple(done), parts.whole())


def _case(folder: Path, mutant: Mutant) -> Case:
    """Return the work of a film: the mutant itself, or a whole film whose mask is the mutant."""

    def row(columns: object, **values: object) -> dict[str, Any]:
        return (
            dict.fromkeys(empty_table(columns).columns) | {"patient_id": "p", "image_id": "i", "view": "MLO"} | values
        )

    name = f"{mutant.number}.dcm"
    if mutant.seed.mask:
        lesions = [row(LESIONS, lesion_id="l", mask_path=name)]
        return Case(SETTINGS, folder, folder / "out", row(IMAGES, image_path="whole.dcm"), lesions)
    image = row(IMAGES, image_path=name, default_spacing_mm=0.5)
    return Case(SETTINGS, folder, folder / "out", image, [])


def run_campaign(count: int, run_seed: int, folder: Path, first: int = 0) -> Iterator[Outcome]:
    """Try mutants one after the other in a worker; yield the outcome so far after every few hundred.

    Parameters
    ----------
    count
        Mutants.
    run_seed
        Of the random numbers.
    folder
        For the files; those of mutants at fault are kept in `faults/`.
    first
        Number of the first mutant.
    """
    originals = seeds()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "whole.dcm").write_bytes(originals[0].data)
    _check_originals(originals, folder)
    outcome = Outcome()
    start = time.monotonic()
    for low in range(first, first + count, TOGETHER):
        mutants = [make_mutant(originals, run_seed, n) for n in range(low, min(low + TOGETHER, first + count))]
        _try(mutants, folder, outcome)
        outcome.wall_s = time.monotonic() - start
        outcome.parent_bytes = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        yield outcome


def _check_originals(originals: list[Seed], folder: Path) -> None:
    """Convert what the mutants are made from, which also starts the worker's server, so that no mutant pays for it."""
    outcome = Outcome()
    _try([Mutant(number, seed, (), seed.data) for number, seed in enumerate(originals)], folder, outcome)
    if outcome.by_reason != {"converted": len(originals)}:
        first = outcome.faults[0] if outcome.faults else outcome.by_seed
        raise RuntimeError(f"expected every original to be converted, found {dict(outcome.by_reason)}: {first}")


def _try(mutants: list[Mutant], folder: Path, outcome: Outcome) -> None:
    """Run some mutants; what stops the workers altogether is a fault of its mutant, and the rest goes on."""
    for mutant in mutants:
        (folder / f"{mutant.number}.dcm").write_bytes(mutant.data)
    waiting = list(mutants)
    while waiting:
        done, before = 0, time.monotonic()
        cases = [_case(folder, mutant) for mutant in waiting]
        try:
            for index, answer in _answers(cases):
                # With one worker the answers come in order, and the time between two is what the later one took.
                spent = time.monotonic() - before
                if _out_of_time(answer):
                    start = time.monotonic()
                    (_, answer) = next(iter(_answers(cases[index : index + 1])))
                    if not _out_of_time(answer):
                        outcome.stalled.append(_name(waiting[index]))
                    spent = time.monotonic() - start
                _count(waiting[index], answer, spent, folder, outcome)
                done, before = index + 1, time.monotonic()
        except (WorkerError, MammoflowError) as error:
            _fault(waiting[done], f"{type(error).__name__}: {error}", folder, outcome)
            done += 1
        waiting = waiting[done:]
    for mutant in mutants:
        (folder / f"{mutant.number}.dcm").unlink()


def _answers(cases: list[Case]) -> Iterator[tuple[int, CaseResult | Lost]]:
    """Run cases as the image stage does, in one worker."""
    return map_isolated(prepare_case, cases, 1, LONGEST_S, WORKER_BYTES, preload="mammoflow.imaging.case")


def _out_of_time(answer: CaseResult | Lost) -> bool:
    return isinstance(answer, Lost) and answer.detail.startswith("took longer")


def _count(mutant: Mutant, answer: CaseResult | Lost, seconds: float, folder: Path, outcome: Outcome) -> None:
    outcome.mutants += 1
    told = _name(mutant)
    if seconds > outcome.slowest_s:
        outcome.slowest_s, outcome.slowest = seconds, told
    if isinstance(answer, Lost):
        # The stage excludes such a film as unreadable, with this text; running out of time is what must not happen.
        outcome.lost[answer.detail] += 1
        reason = str(FileReason.UNREADABLE)
        if _out_of_time(answer):
            _fault(mutant, answer.detail, folder, outcome)
    else:
        outcome.peak_bytes = max(outcome.peak_bytes, answer.peak_bytes)
        reasons = {
            row["reason"] for row in answer.excluded if row["level"] == ("lesion" if mutant.seed.mask else "image")
        }
        converted = answer.image is not None
        reason = "converted" if converted else next(iter(reasons), "nothing")
        if converted == bool(reasons) or not reasons <= REASONS:
            _fault(mutant, f"converted: {converted}, reasons: {sorted(reasons)}", folder, outcome)
    outcome.by_reason[reason] += 1
    outcome.by_seed.setdefault(mutant.seed.name, Counter())[reason] += 1


def _name(mutant: Mutant) -> str:
    return f"mutant {mutant.number} ({mutant.seed.name}: {', '.join(mutant.mutations)})"


def _fault(mutant: Mutant, text: str, folder: Path, outcome: Outcome) -> None:
    outcome.faults.append(f"{_name(mutant)}: {text}")
    (folder / "faults").mkdir(exist_ok=True)
    (folder / "faults" / f"{mutant.number}.dcm").write_bytes(mutant.data)
