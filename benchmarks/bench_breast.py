"""Breast region and pectoral muscle against the drawn ones, on all films of the default phantom study.

Each film as it is, and with each kind of artefact drawn over it (`mammoflow.cohort.phantom.artefacts`). What the
phantom itself draws over the breast, borders at the film's edge, is no breast in the truth either. Run:
`python benchmarks/bench_breast.py [--every N]`; it prints one JSON line a kind: number of films, mean and least
intersection over union, films below 0.97, processor milliseconds a film. For the muscle on MLO views it is Dice.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

import mammoflow.cohort.phantom.film as phantom
from mammoflow.cohort.phantom.artefacts import ARTEFACTS, hidden
from mammoflow.cohort.phantom.film import Film, draw_film
from mammoflow.cohort.phantom.population import draw_study
from mammoflow.config.phantom import PhantomSettings
from mammoflow.imaging.breast import breast_region
from mammoflow.imaging.pectoral import find_pectoral

Mask = npt.NDArray[np.bool_]
AIM = 0.97


def films(every: int) -> Iterator[tuple[int, Film, Mask]]:
    """Yield number, film and the pixels that no border hides."""
    drawn: list[Mask] = []
    borders = phantom._borders

    def remember(rng: np.random.Generator, film: npt.NDArray[np.float32], spacing_mm: float) -> None:
        before = film.copy()
        borders(rng, film, spacing_mm)
        strips = cv2.morphologyEx((film != before).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        drawn[:] = [strips == 0]

    phantom._borders = remember
    try:
        breasts = draw_study(PhantomSettings(patients=60, normal_share=0.0))
        views = [(breast, view) for breast in breasts for view in breast.views]
        for number in range(0, len(views), every):
            film = draw_film(*views[number])
            yield number, film, drawn[0]
    finally:
        phantom._borders = borders


def as_filmed(film: Film, mask: Mask, seen: Mask) -> Mask:
    """Mirror a mask of a right breast, as its film is, and leave out what is hidden."""
    return np.ascontiguousarray(mask[:, ::-1] if film.breast.laterality == "R" else mask) & seen


def report(kind: str, scores: list[float], seconds: list[float]) -> None:
    """Print a line."""
    values = np.array(scores)
    record = {
        "films": len(scores),
        "mean": values.mean(),
        "least": values.min(),
        "below_aim": int((values < AIM).sum()),
    }
    record["ms"] = 1000 * float(np.mean(seconds))
    print(json.dumps({"kind": kind} | {key: round(float(value), 4) for key, value in record.items()}), flush=True)


def main() -> None:
    """Run all kinds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="take every so many films")
    every = parser.parse_args().every
    cv2.setNumThreads(1)
    scores: dict[str, list[float]] = {}
    seconds: dict[str, list[float]] = {}

    def add(kind: str, score: float, spent: float) -> None:
        scores.setdefault(kind, []).append(score)
        seconds.setdefault(kind, []).append(spent)

    for number, film, seen in films(every):
        breast = as_filmed(film, film.geometry.breast, seen)
        for kind in ("as drawn", *ARTEFACTS):
            pixels, truth = film.pixels, breast
            if kind in ARTEFACTS:
                pixels = ARTEFACTS[kind](np.random.default_rng(number), film.pixels, breast, film.breast.spacing_mm)
                truth = breast & ~hidden(kind, np.random.default_rng(number), breast.shape)
            start = time.process_time()
            region = breast_region(pixels)
            spent = time.process_time() - start
            add(kind, float((region & truth).sum() / (region | truth).sum()), spent)
        if film.view == "MLO":
            region = breast_region(film.pixels)
            muscle = as_filmed(film, (film.geometry.muscle_mm > 0) & film.geometry.breast, seen)
            start = time.process_time()
            found = find_pectoral(film.pixels, region)
            spent = time.process_time() - start
            mask = found.mask if found is not None else np.zeros_like(muscle)
            add("pectoral muscle, Dice", float(2 * (mask & muscle).sum() / (mask.sum() + muscle.sum())), spent)
    for kind in scores:
        report(kind, scores[kind], seconds[kind])


if __name__ == "__main__":
    main()
