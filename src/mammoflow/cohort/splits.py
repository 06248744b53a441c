"""Patient-safe division into train, validation and test, and the hard stop against leakage.

Within each stratum (patients with and without a malignant lesion) patients are put in the order of a hash of seed and
id, and the first ones are taken. The order of rows plays no part, and a few new patients move only patients at the
borders.
"""

from __future__ import annotations

import math

import pandas as pd

from mammoflow.config.cohort import SplitSettings
from mammoflow.errors import LeakageError, StudyError
from mammoflow.store import text_digest


def split_patients(patients: pd.DataFrame, settings: SplitSettings) -> dict[str, str]:
    """Put every patient into train, validation or test.

    Parameters
    ----------
    patients
        One row a patient: `patient_id`; `malignant`, whether any lesion is; `official_train` and `official_test`,
        whether the patient stands on that official side.
    settings
        Method, fractions and seed.

    Returns
    -------
    dict
        Patient to split.

    Raises
    ------
    StudyError
        If the official split is asked for and patients have none, or a split would stay empty.
    """
    if settings.method == "official":
        test = _official_test(patients)
    else:
        test = _draw(patients, settings.test_fraction, settings.seed, "test")
    rest = patients[~patients["patient_id"].isin(test)]
    validation = _draw(rest, settings.validation_fraction, settings.seed, "validation")
    splits = {
        patient: "test" if patient in test else "validation" if patient in validation else "train"
        for patient in patients["patient_id"]
    }
    empty = [name for name in ("train", "validation", "test") if name not in splits.values()]
    if empty:
        raise StudyError(
            f"the {settings.method} split of {len(patients)} patients leaves no patient in {', '.join(empty)}; "
            "use more patients, other fractions, or cohort.split.method: random"
        )
    return splits


def check_no_leak(table: pd.DataFrame) -> None:
    """Stop if a patient, or a film whatever patient it is filed under, stands on two sides of the split.

    Parameters
    ----------
    table
        Rows with `split`, `patient_id`, and `image_path` where there is one.

    Raises
    ------
    LeakageError
        Naming the first cases.
    """
    for key in ("patient_id", "image_path"):
        if key not in table.columns:
            continue
        sides = table.groupby(key)["split"].agg(lambda splits: sorted(set(splits)))
        shared = sides[sides.map(len) > 1]
        if len(shared):
            cases = "; ".join(f"{name} in {' and '.join(found)}" for name, found in shared.head(5).items())
            raise LeakageError(
                f"{len(shared)} {key} values stand in more than one split: {cases}. Expected every patient and film "
                "on one side only; nothing was written. Check the patient and image columns of the case table"
            )


def shard_of(patient_id: str, shards: int) -> int:
    """Return the shard of a patient, which depends on nothing but the id and the number of shards."""
    return int(text_digest(patient_id)[:16], 16) % shards


def _official_test(patients: pd.DataFrame) -> set[str]:
    without = patients[~(patients["official_train"] | patients["official_test"])]
    if len(without):
        raise StudyError(
            f"cohort.split.method is official, but {len(without)} patients have no official split, the first "
            f"{without['patient_id'].iloc[0]!r}; use cohort.split.method: random"
        )
    return set(patients.loc[patients["official_test"], "patient_id"])


def _draw(patients: pd.DataFrame, fraction: float, seed: int, purpose: str) -> set[str]:
    drawn: set[str] = set()
    for _, stratum in patients.groupby("malignant"):
        ordered = sorted(stratum["patient_id"], key=lambda patient: text_digest(purpose, str(seed), str(patient)))
        drawn.update(ordered[: _share(len(ordered), fraction)])
    return drawn


def _share(patients: int, fraction: float) -> int:
    """Return how many of a stratum's patients are drawn: the nearest number, at least one, never all."""
    return min(max(1, math.floor(patients * fraction + 0.5)), max(0, patients - 1))
