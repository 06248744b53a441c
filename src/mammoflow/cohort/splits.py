"""Division into train, validation and test by patient, and the hard stop against leakage.

Patients with a malignant lesion, those without one, and those of whom no label is known are strata: so patients without
a label move no other patient to another side. Within each stratum, patients are put in the order of a hash of seed
and id, and a block of that order is taken: the first ones, or one of k equal blocks. So the order of rows plays no
part, and a few new patients move only patients at the borders of the blocks. Where several data sets are read, each is
spread evenly over the order. Validation is drawn in the same way from what is left when the test side is gone.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress

import pandas as pd

from mammoflow.config.split import SplitSettings
from mammoflow.config.split_names import SPLITS
from mammoflow.errors import LeakageError, StudyError
from mammoflow.storage.files import text_digest

MALIGNANT, BENIGN, UNLABELLED = "malignant", "benign", "unlabelled"
"""Strata of the draw."""

WITHOUT_TRAINING = (
    "cohort.split.method: apply, which puts every patient on the test side and trains nothing (with "
    "classification.from_run, a finished run whose classifiers are applied, or classification.run: [])"
)
"""What to write for a study that cannot be divided, or in which no classifier can be trained."""


def split_patients(patients: pd.DataFrame, settings: SplitSettings) -> dict[str, str]:
    """Put every patient into train, validation or test.

    Parameters
    ----------
    patients
        One row per patient: `patient_id`; `source`, the data set; `malignant`, whether any lesion is; `labelled`,
        whether the label of any image is known; `official_train` and `official_test`, whether the patient is on that
        official side.
    settings
        Method, fractions, fold and seed; any method but `by_image`.

    Returns
    -------
    dict
        Patient to split.

    Raises
    ------
    StudyError
        If the official split is asked for and patients have none, there are fewer patients of a kind than folds, or a
        side would stay empty.
    """
    units = patients.set_index("patient_id")
    return _divide(units, _test_side(units, settings), settings, "patients")


def split_images(images: pd.DataFrame, settings: SplitSettings) -> dict[str, str]:
    """Put every image into train, validation or test, whatever its patient: the published protocol, which leaks.

    Parameters
    ----------
    images
        One row per image: `image_id`; `source`; `malignant`, whether any lesion on it is; `labelled`, whether its label
        is known.
    settings
        Fractions and seed.

    Returns
    -------
    dict
        Image to split.

    Raises
    ------
    StudyError
        If a side would stay empty.
    """
    units = images.set_index("image_id")
    return _divide(units, _draw(units, settings.test_fraction, settings.seed, "test"), settings, "images")


def fold_of_patients(patients: pd.DataFrame, settings: SplitSettings) -> dict[str, int]:
    """Return the fold, from 0, in which each patient is on the test side.

    The assignment depends on ids, strata, seed and the number of folds, and not on the fold that a run takes: so the
    test sides of the runs over all folds share no patient and together hold all.

    Raises
    ------
    StudyError
        If a stratum has patients, but fewer than there are folds.
    """
    return _folds(patients.set_index("patient_id"), settings)


def sides_of_folds(patients: pd.DataFrame, settings: SplitSettings) -> pd.DataFrame:
    """Return the side of every patient in every fold, the table FOLDS: each fold draws its own validation.

    Raises
    ------
    StudyError
        If a stratum has fewer patients than there are folds, or a side of a fold would stay empty.
    """
    sides = [
        {"patient_id": patient, "fold": fold, "split": split}
        for fold in range(settings.folds)
        for patient, split in split_patients(patients, settings.of_fold(fold)).items()
    ]
    return pd.DataFrame(sides)


def beside_official_test(rows: pd.DataFrame, test_patients: set[str]) -> pd.Series:
    """Tell which rows have to leave: those of official test patients that are not official test rows themselves.

    Parameters
    ----------
    rows
        Images or lesions with `patient_id` and `official_split`.
    test_patients
        Patients on the official test side.
    """
    return rows["patient_id"].isin(test_patients) & (rows["official_split"] != "test")


def check_no_leak(table: pd.DataFrame, by_image: bool = False, folds: pd.DataFrame | None = None) -> None:
    """Stop if a patient, or a film whatever patient it is filed under, is on two sides of the split.

    Parameters
    ----------
    table
        Rows with `split`, `patient_id`, and `image_path` where there is one; `study` where there are several.
    by_image
        Whether the split is the published one, by image: then patients are not looked at, films still are.
    folds
        Table FOLDS, the side of each patient in each fold, where one run makes every fold: each is looked at too.

    Raises
    ------
    LeakageError
        Naming the first cases.
    """
    splits = {"split": table["split"]}
    for fold, of_fold in folds.groupby("fold") if folds is not None else ():
        splits[f"split of fold {fold}"] = table["patient_id"].map(of_fold.set_index("patient_id")["split"])
    for key in ("image_path",) if by_image else ("patient_id", "image_path"):
        if key not in table.columns:
            continue
        names = table[key]
        if key == "image_path" and "study" in table.columns:
            # The place on the disk, since one study may be inside another one, or linked there.
            names = _with_study(table, key).map(os.path.realpath, na_action="ignore")
        for split, sides in splits.items():
            several = sides.groupby(names).transform("nunique") > 1
            if several.any():
                shared = sides[several].groupby(names[several]).agg(lambda found: sorted(set(found)))
                shown = names if "study" not in table.columns else _with_study(table, key)
                cases = "; ".join(
                    f"{' = '.join(dict.fromkeys(shown[names == name].head(2)))} in {' and '.join(found)}"
                    for name, found in shared.head(5).items()
                )
                raise LeakageError(
                    f"{len(shared)} {key} values are in more than one {split}: {cases}. Expected every patient and "
                    "film on one side only; nothing was written. Check the patient and image columns of the case table"
                )


def shard_of(patient_id: str, shards: int) -> int:
    """Return the shard of a patient, which depends on nothing but the id and the number of shards."""
    return int(text_digest(patient_id)[:16], 16) % shards


def _with_study(table: pd.DataFrame, key: str) -> pd.Series:
    """Return patients as they are, and each film with the folder of its study before its path."""
    return table[key] if key == "patient_id" else table["study"].str.cat(table[key], sep="/")


def _test_side(units: pd.DataFrame, settings: SplitSettings) -> set[str]:
    if settings.method == "official":
        return _official_test(units)
    if settings.method == "leave_one_source_out":
        return set(units.index[units["source"] == settings.test_source])
    if settings.method == "kfold":
        return {unit for unit, fold in _folds(units, settings).items() if fold == settings.fold}
    return _draw(units, settings.test_fraction, settings.seed, "test")


def _divide(units: pd.DataFrame, test: set[str], settings: SplitSettings, kind: str) -> dict[str, str]:
    """Draw validation from what is not test; stop where a side stays empty."""
    # Each fold draws its own validation; else the same patients would validate in nearly all folds and seldom train.
    purpose = f"validation of fold {settings.fold}" if settings.method == "kfold" else "validation"
    rest = units[~units.index.isin(test)]
    validation = _draw(rest, settings.validation_fraction, settings.seed, purpose)
    splits = {unit: "test" if unit in test else "validation" if unit in validation else "train" for unit in units.index}
    empty = [name for name in SPLITS if name not in splits.values()]
    if empty:
        malignant = int(units["malignant"].sum())
        raise StudyError(
            f"the {settings.method} split leaves no {kind[:-1]} in {' and '.join(empty)}: found {len(units)} {kind}, "
            f"{malignant} with a malignant lesion and {len(units) - malignant} without, {len(test)} of them on the "
            "test side; expected at least one on each side, and of each kind that is divided one stays in train. "
            f"Use more {kind}, another cohort.split.method, or {WITHOUT_TRAINING}"
        )
    return splits


def _official_test(units: pd.DataFrame) -> set[str]:
    without = units[~(units["official_train"] | units["official_test"])]
    if len(without):
        raise StudyError(
            f"cohort.split.method is official, but {len(without)} of {len(units)} patients have no official split, the "
            f"first {without.index[0]!r} of {without['source'].iloc[0]!r}; expected train or test for each; use "
            "cohort.split.method: random"
        )
    return set(units.index[units["official_test"]])


def _folds(units: pd.DataFrame, settings: SplitSettings) -> dict[str, int]:
    strata = dict(_drawing_order(units, settings.seed, "fold"))
    sizes = {stratum: len(ordered) for stratum, ordered in strata.items() if stratum != UNLABELLED}
    smallest = min(sizes, key=lambda stratum: sizes[stratum], default=UNLABELLED)
    if smallest in sizes and sizes[smallest] < settings.folds:
        kind = "with a malignant lesion" if smallest == MALIGNANT else "without a malignant lesion"
        raise StudyError(
            f"cohort.split.folds is {settings.folds}, but only {sizes[smallest]} of {len(units)} patients are {kind}; "
            f"expected at least one such patient in each fold; {_fewer_folds(units, settings, sizes[smallest])}"
        )
    return {
        unit: place * settings.folds // len(ordered)
        for ordered in strata.values()
        for place, unit in enumerate(ordered)
    }


def _fewer_folds(units: pd.DataFrame, settings: SplitSettings, most: int) -> str:
    """Say what to write where at most so many folds have a patient of each kind; with fewer folds, train is smaller."""
    if most < 2 or not _can_divide(units, settings, most):
        return f"use {WITHOUT_TRAINING}"
    return f"set cohort.split.folds to {most}{' or less' if most > 2 and _can_divide(units, settings, 2) else ''}"


def _can_divide(units: pd.DataFrame, settings: SplitSettings, folds: int) -> bool:
    """Tell whether no side of any fold would stay empty."""
    with suppress(StudyError):
        for fold in range(folds):
            of_fold = settings.model_copy(update={"folds": folds, "fold": fold})
            _divide(units, _test_side(units, of_fold), of_fold, "patients")
        return True
    return False


def _draw(units: pd.DataFrame, fraction: float, seed: int, purpose: str) -> set[str]:
    drawn: set[str] = set()
    for _, ordered in _drawing_order(units, seed, purpose):
        drawn.update(ordered[: _share(len(ordered), fraction)])
    return drawn


def _drawing_order(units: pd.DataFrame, seed: int, purpose: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each stratum with its units in the order of a hash, every data set spread evenly over it."""
    names = pd.Series(BENIGN, index=units.index).mask(units["malignant"], MALIGNANT)
    for name, stratum in units.groupby(names.where(units["labelled"], UNLABELLED)):
        places: list[tuple[float, str, str]] = []
        for _, part in stratum.groupby("source"):
            hashed = sorted((text_digest(purpose, str(seed), str(unit)), str(unit)) for unit in part.index)
            places += [((rank + 0.5) / len(hashed), digest, unit) for rank, (digest, unit) in enumerate(hashed)]
        yield str(name), [unit for _, _, unit in sorted(places)]


def _share(count: int, fraction: float) -> int:
    """Return how many of a stratum are drawn: the nearest number, at least one, never all."""
    return min(max(1, math.floor(count * fraction + 0.5)), max(0, count - 1))
