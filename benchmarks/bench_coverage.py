"""How often intervals hold the truth with few patients: a simulation, as a table in Markdown.

    python benchmarks/bench_coverage.py [--studies N] [--seed N]

In a made-up study each patient has malignant lesions with a chance of one half, and one to four lesions. Scores of
lesions of one patient are alike in part (intraclass correlation 0.6). The model's true AUC and recall are known, so an
interval either holds them or not. The percentile bootstrap over patients, 1,000 resamples, is beside the intervals of
`mammoflow.evaluation.estimates`.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from itertools import product

import numpy as np
from scipy.stats import norm

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.estimates import Scored, metric_estimates
from mammoflow.evaluation.metrics import measure
from mammoflow.run.runtime import set_threads

PATIENTS = (18, 40, 138)
AREAS = (0.84, 0.95)
RECALL = 0.93
CORRELATION = 0.6
METRICS = ("auc", "recall", "accuracy", "f1")
RESAMPLES = 1000
LESIONS = (1, 2, 2, 2, 3, 4)
FEWEST_PATIENTS = 5


def made_up(random: np.random.Generator, patients: int, separation: float, threshold: float) -> Scored:
    """Draw one study."""
    codes = np.repeat(np.arange(patients), random.choice(LESIONS, patients))
    malignant = random.random(patients) < 0.5
    while min(malignant.sum(), (~malignant).sum()) < FEWEST_PATIENTS:
        malignant = random.random(patients) < 0.5
    label = malignant[codes].astype(float)
    shared = np.sqrt(CORRELATION) * random.normal(size=patients)[codes]
    score = separation * label + shared + np.sqrt(1 - CORRELATION) * random.normal(size=len(codes))
    return Scored(label, [score], [(score > threshold).astype(float)], codes)


def true_values(area: float, threshold: float) -> dict[str, float]:
    """Return what the metrics would be on all patients there could be; half of the lesions are malignant."""
    specificity = float(norm.cdf(threshold))
    overlap = 2 * RECALL / (RECALL + 1 + (1 - specificity))
    return {"auc": area, "recall": RECALL, "accuracy": (RECALL + specificity) / 2, "f1": overlap}


def percentile_intervals(scored: Scored, seed: int) -> dict[str, tuple[float, float]]:
    """Return the percentile intervals of the bootstrap over patients."""
    weights = PatientBootstrap(RESAMPLES, 0.95, seed).weights(scored.patients)
    values = measure(scored.label, scored.scores[0], scored.calls[0], weights)
    return {name: tuple(np.nanquantile(values[name][1:], [0.025, 0.975])) for name in METRICS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000, help="Made-up studies for each row of the table.")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    set_threads(1)
    rule = PatientBootstrap(RESAMPLES, 0.95, 0, fewest_patients=FEWEST_PATIENTS)
    print(f"{options.studies} made-up studies for each row, nominal coverage 95 %, seed {options.seed}\n")
    headings = ("patients", "true AUC", "figure", "true value", "coverage", "width", "percentile", "width", "no width")
    print(f"| {' | '.join(headings)} |")
    print("|---|---|---|---|---|---|---|---|---|")
    for patients, area in product(PATIENTS, AREAS):
        random = np.random.default_rng([options.seed, patients, round(100 * area)])
        separation = float(np.sqrt(2) * norm.ppf(area))
        threshold = separation - float(norm.ppf(RECALL))
        truth = true_values(area, threshold)
        found: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
        for study in range(options.studies):
            scored = made_up(random, patients, separation, threshold)
            for name, estimate in metric_estimates(scored, rule, METRICS).items():
                found[name, "closed"].append((estimate.low, estimate.high))
            for name, bounds in percentile_intervals(scored, study).items():
                found[name, "percentile"].append(bounds)
        for name in METRICS:
            closed, percentile = (np.array(found[name, kind]) for kind in ("closed", "percentile"))
            cells = [str(patients), f"{area:.2f}", name, f"{truth[name]:.3f}"]
            for bounds in (closed, percentile):
                holds = (bounds[:, 0] <= truth[name]) & (truth[name] <= bounds[:, 1])
                cells += [f"{holds.mean():.3f}", f"{np.ptp(bounds, axis=1).mean():.2f}"]
            cells.append(f"{(np.ptp(percentile, axis=1) < 1e-9).mean():.2f}")
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
