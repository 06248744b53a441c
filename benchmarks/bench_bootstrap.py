"""10,000 resamples of patients for 20 models of 1,700 rows: all metrics of each, on one core.

    python benchmarks/bench_bootstrap.py [--models N] [--rows N] [--patients N] [--resamples N]

The metrics are those of `mammoflow.evaluation.metrics.measure`, the AUC among them. Beside it is the time of the loop
that it replaces: one call of scikit-learn for each resample, timed on a few and scaled up.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from sklearn.metrics import roc_auc_score

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.metrics import measure
from mammoflow.run.runtime import set_threads

TARGET_S = 5.0
TIMED_CALLS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("models", 20), ("rows", 1700), ("patients", 900), ("resamples", 10000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    set_threads(1)
    random = np.random.default_rng(0)
    patients = random.integers(options.patients, size=options.rows)
    label = (random.random(options.rows) < 0.46).astype(float)
    scores = [label + random.normal(0, 1.2, options.rows) for _ in range(options.models)]
    bootstrap = PatientBootstrap(options.resamples, 0.95, 0)

    start = time.process_time()
    weights = bootstrap.weights(patients)
    drawn = time.process_time() - start
    for score in scores:
        values = measure(label, score, (score > 0.5).astype(float), weights)
    total = time.process_time() - start

    start = time.process_time()
    for row in range(1, 1 + TIMED_CALLS):
        roc_auc_score(label, scores[-1], sample_weight=weights[row])
    loop = (time.process_time() - start) / TIMED_CALLS * options.resamples * options.models
    difference = abs(values["auc"][1] - roc_auc_score(label, scores[-1], sample_weight=weights[1]))

    print(f"{options.models} models, {options.rows} rows, {len(set(patients))} patients, {options.resamples} resamples")
    print(f"draw {drawn:.2f} s, all metrics {total:.2f} s of one core (target {TARGET_S:g} s)")
    print(f"scikit-learn, the AUC alone, one resample after the other: {loop:.0f} s, {loop / total:.0f} times as long")
    print(f"largest difference of one AUC: {difference:.1e}")


if __name__ == "__main__":
    main()
