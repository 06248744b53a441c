"""The table of saliency maps: how often their maximum is on the lesion, and how much of them lies there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.inputs import Run

GROUPS = {"all": (0, 1), "malignant": (1,), "benign": (0,)}


def saliency_table(run: Run, lesions: pd.DataFrame, bootstrap: PatientBootstrap) -> pd.DataFrame:
    """Return how the maps of each classifier and method lie on the reference masks of the labelled test lesions.

    The columns `pointing_game` and `energy_inside` are means over lesions, each lesion with its mean over the seeds.
    Chance is what a maximum anywhere and a constant map would give. `pointing_centre` is what the centre of the picture
    gives; pictures that are cut around the lesion have it near their centre. Differences are to chance, lesion by
    lesion.

    Parameters
    ----------
    run
        Its maps.
    lesions
        Labelled lesions, indexed by lesion: `split`, `mask_file`.
    bootstrap
        Resamples patients.

    Returns
    -------
    DataFrame
        One row for each classifier, method and group of lesions. `n` counts the lesions whose map has a maximum,
        `nowhere_positive` those whose map has none, `without_mask` test lesions without a reference mask, and
        `not_shown` those that have one and no map.
    """
    test = lesions[lesions["split"] == "test"]
    table = run.saliency[run.saliency["lesion_id"].isin(test.index)]
    rows = [
        {"model": model, "method": method, "group": group, **values}
        for (model, method), maps in table.groupby(["model", "method"], sort=False)
        for group, values in _groups(maps, test, bootstrap)
    ]
    return pd.DataFrame(rows)


def _groups(
    maps: pd.DataFrame, test: pd.DataFrame, bootstrap: PatientBootstrap
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the values of one classifier and method for each group of lesions."""
    numbers = ["pointing_hit", "pointing_chance", "centre_hit", "energy_inside", "mask_share", "malignant"]
    by_lesion = maps.groupby("lesion_id")[numbers].mean().astype("float64")
    by_lesion["patient_id"] = maps.groupby("lesion_id")["patient_id"].first()
    for group, labels in GROUPS.items():
        described = test[test["malignant"].isin(labels)]
        part = by_lesion[by_lesion.index.isin(described.index)]
        scored = part[part["energy_inside"].notna()]
        patients = scored["patient_id"].tolist()
        columns = {
            "pointing_game": scored["pointing_hit"],
            "pointing_difference": scored["pointing_hit"] - scored["pointing_chance"],
            "energy_inside": scored["energy_inside"],
            "energy_difference": scored["energy_inside"] - scored["mask_share"],
        }
        estimates: dict[str, float] = {}
        for name, values in columns.items():
            estimates |= bootstrap.mean(values.to_numpy(), patients).columns(name)
        without_mask = int(described["mask_file"].isna().sum())
        yield (
            group,
            {
                "n": len(scored),
                "patients": len(set(patients)),
                "seeds": maps["seed"].nunique(),
                **estimates,
                "pointing_chance": scored["pointing_chance"].mean(),
                "pointing_centre": scored["centre_hit"].mean(),
                "mask_share": scored["mask_share"].mean(),
                "nowhere_positive": len(part) - len(scored),
                "without_mask": without_mask,
                "not_shown": len(described) - without_mask - len(part),
            },
        )
