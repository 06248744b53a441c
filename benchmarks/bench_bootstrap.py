"""10,000 resamples of patients for 20 models of 1,700 rows: all metrics of each, on one core.

    python benchmarks/bench_bootstrap.py [--models N] [--rows N] [--patients N] [--resamples N]

The metrics are those of `mammoflow.evaluation.metrics.measure`, the AUC among them. Beside it is the time of the loop
that it replaces: one call of scikit-learn for each resample, timed on a few and scaled up. Then come the tables of the
comparison that resample patients: calibration, decision curves and reclassification of the same models.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.calibration import calibration_table
from mammoflow.evaluation.candidates import CLASSIFIER, READER, Candidate
from mammoflow.evaluation.decision_curve import decision_curve_table
from mammoflow.evaluation.inputs import plain_columns
from mammoflow.evaluation.metrics import FloatArray, measure, patient_codes
from mammoflow.evaluation.reclassification import reclassification_table
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
    codes, number = patient_codes(patients)
    weights = bootstrap.draws(number)
    drawn = time.process_time() - start
    for score in scores:
        values = measure(label, score, (score > 0.5).astype(float), weights, codes)
    total = time.process_time() - start

    start = time.process_time()
    for row in range(1, 1 + TIMED_CALLS):
        roc_auc_score(label, scores[-1], sample_weight=weights[row, codes])
    loop = (time.process_time() - start) / TIMED_CALLS * options.resamples * options.models
    difference = abs(values["auc"][1] - roc_auc_score(label, scores[-1], sample_weight=weights[1, codes]))

    print(f"{options.models} models, {options.rows} rows, {len(set(patients))} patients, {options.resamples} resamples")
    print(f"draw {drawn:.2f} s, all metrics {total:.2f} s of one core (target {TARGET_S:g} s)")
    print(f"scikit-learn, the AUC alone, one resample after the other: {loop:.0f} s, {loop / total:.0f} times as long")
    print(f"largest difference of one AUC: {difference:.1e}")
    for name, seconds in timed_tables(label, scores, patients, options.resamples).items():
        print(f"{name}: {seconds:.2f} s of one core")


def timed_tables(label: FloatArray, scores: list[FloatArray], patients: np.ndarray, resamples: int) -> dict[str, float]:
    """Return the processor time of each table of the comparison that resamples patients."""
    random = np.random.default_rng(1)
    index = pd.Index([f"L{row}" for row in range(len(label))], name="lesion_id")
    birads = np.clip(np.round(3 + label + random.normal(0, 0.8, len(label))), 1, 5)
    lesions = pd.DataFrame(
        {"malignant": label.astype(int), "patient_id": [f"P{patient}" for patient in patients], "birads": birads}, index
    )
    lesions = plain_columns(lesions, lesions.columns)  # as the comparison does
    reader = pd.DataFrame({"score": birads, "predicted": (birads > 3).astype(float)}, index)
    reader.iloc[:20] = np.nan
    models = [
        pd.DataFrame({"score": expit(score), "predicted": (score > 0.5).astype(float)}, index) for score in scores
    ]
    candidates = [Candidate("BI-RADS > 3", READER, {0: reader})]
    candidates += [Candidate(f"model {place}", CLASSIFIER, {0: model}) for place, model in enumerate(models)]
    settings = ComparisonSettings(bootstrap=resamples)
    rule = PatientBootstrap.of(settings)
    tables = {
        "calibration": lambda: calibration_table(candidates, lesions, rule, ""),
        "decision curves": lambda: decision_curve_table(candidates, lesions, settings, ""),
        "reclassification": lambda: reclassification_table(candidates, lesions, rule, ""),
    }
    rule.draws(len(np.unique(patients)))
    times = {}
    for name, table in tables.items():
        start = time.process_time()
        table()
        times[name] = time.process_time() - start
    return times


if __name__ == "__main__":
    main()
