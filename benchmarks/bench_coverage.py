"""How often intervals hold the truth with few patients: a simulation, as a table in Markdown.

    python benchmarks/bench_coverage.py [--studies N] [--seed N]

In a made-up study each patient has malignant lesions with a chance of one half, and one to four lesions. Scores of
lesions of one patient are alike in part (intraclass correlation 0.6). The model's true AUC and recall are known, so an
interval either holds them or not. Further models with the same true AUC, and with one that is smaller by 0.14, give
differences of two AUCs; studies on which both rank all lesions alike have no interval and do not count. The percentile
bootstrap over patients, 1,000 resamples, is beside the intervals of `mammoflow.evaluation.estimates` and
`mammoflow.evaluation.delong`.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from itertools import product

import numpy as np
from scipy.stats import norm

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.delong import area_difference, components
from mammoflow.evaluation.estimates import Scored, metric_estimates
from mammoflow.evaluation.metrics import measure
from mammoflow.run.runtime import set_threads

PATIENTS = (18, 40, 138)
AREAS = (0.84, 0.95)
RECALL = 0.93
CORRELATION = 0.6
METRICS = ("auc", "recall", "accuracy", "f1")
DIFFERENCES = {"AUC, equal models": 0.0, "AUC, unequal models": 0.14}
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


def rival(random: np.random.Generator, scored: Scored, separation: float, own_separation: float) -> Scored:
    """Draw what a second model says of a study; what both say of a lesion beyond its label is alike in part."""
    codes = scored.patients
    own = random.normal(size=codes.max() + 1)[codes]
    residual = scored.scores[0] - separation * scored.label
    noise = np.sqrt(CORRELATION) * own + np.sqrt(1 - CORRELATION) * random.normal(size=len(codes))
    score = own_separation * scored.label + np.sqrt(0.5) * (residual + noise)
    return Scored(scored.label, [score], scored.calls, codes)


def true_values(area: float, threshold: float) -> dict[str, float]:
    """Return what the metrics would be on all patients there could be; half of the lesions are malignant."""
    specificity = float(norm.cdf(threshold))
    overlap = 2 * RECALL / (RECALL + 1 + (1 - specificity))
    return {"auc": area, "recall": RECALL, "accuracy": (RECALL + specificity) / 2, "f1": overlap, **DIFFERENCES}


def percentile_intervals(scored: Scored, others: dict[str, Scored], seed: int) -> dict[str, tuple[float, float]]:
    """Return the percentile intervals of the bootstrap over patients."""
    weights = PatientBootstrap(RESAMPLES, 0.95, seed).weights(scored.patients)
    values = measure(scored.label, scored.scores[0], scored.calls[0], weights)
    for name, other in others.items():
        values[name] = values["auc"] - measure(other.label, other.scores[0], other.calls[0], weights)["auc"]
    return {name: tuple(np.nanquantile(values[name][1:], [0.025, 0.975])) for name in (*METRICS, *DIFFERENCES)}


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
            others = {}
            for name, difference in DIFFERENCES.items():
                own = float(np.sqrt(2) * norm.ppf(area - difference))
                other = rival(np.random.default_rng([options.seed, patients, study]), scored, separation, own)
                ranked = [components(one.label, one.scores) for one in (scored, other)]
                found[name, "closed"].append(area_difference(scored.label, *ranked, scored.patients).interval(0.95))
                others[name] = other
            for name, bounds in percentile_intervals(scored, others, study).items():
                found[name, "percentile"].append(bounds)
        for name in (*METRICS, *DIFFERENCES):
            closed, percentile = (np.array(found[name, kind]) for kind in ("closed", "percentile"))
            cells = [str(patients), f"{area:.2f}", name, f"{truth[name]:.3f}"]
            for bounds in (closed, percentile):
                known = bounds[np.isfinite(bounds).all(axis=1)]
                holds = (known[:, 0] <= truth[name]) & (truth[name] <= known[:, 1])
                cells += [f"{holds.mean():.3f}", f"{np.ptp(known, axis=1).mean():.2f}"]
            cells.append(f"{(np.ptp(percentile, axis=1) < 1e-9).mean():.2f}")
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
