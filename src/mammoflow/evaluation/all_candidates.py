"""Everything that a comparison holds against each other, computed from one run."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.evaluation.candidates import (
    ORACLE_MASKS,
    Candidate,
    birads_candidate,
    classifier_candidates,
    seen_by_features,
)
from mammoflow.evaluation.feature_models import feature_candidate
from mammoflow.evaluation.floors import floor_candidates
from mammoflow.evaluation.inputs import Run


def all_candidates(settings: ComparisonSettings, run: Run, lesions: pd.DataFrame) -> list[Candidate]:
    """Return everything that the table compares, in the order of its rows: reader, classifiers, features, floors."""
    notes = (ORACLE_MASKS,) if run.oracle else ()
    return [
        birads_candidate(lesions, settings.birads_zero),
        *classifier_candidates(run),
        *(
            replace(feature_candidate(family, table, lesions, notes), seen=seen_by_features(run, table))
            for family, table in run.features.items()
        ),
        *floor_candidates(lesions),
    ]
