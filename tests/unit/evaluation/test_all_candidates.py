from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.config.feature_models import FeatureModelSettings
from mammoflow.config.row_names import built_in_rows
from mammoflow.errors import ConfigError
from mammoflow.evaluation.all_candidates import all_candidates
from mammoflow.evaluation.auc_tests import auc_test_table, best_model, pairs_to_test
from mammoflow.evaluation.inputs import Run, read_run

SETTINGS = ComparisonSettings(ensembles={"both": ["efficientnet_masked_crop", "perceptron_frozen"]})
CLASSIFIERS = ["efficientnet_masked_crop", "efficientnet_whole_image", "perceptron_frozen"]


@pytest.fixture(scope="module")
def tables(run: Any) -> Run:
    return read_run(**run.inputs())


def names(settings: ComparisonSettings, run: Run, lesions: pd.DataFrame | None = None) -> list[str]:
    table = run.lesions.set_index("lesion_id") if lesions is None else lesions
    return [one.model for one in all_candidates(settings, run, table)]


def test_rows_are_in_the_order_of_the_table(tables: Run) -> None:
    assert names(SETTINGS, tables) == [
        "BI-RADS > 3",
        *CLASSIFIERS,
        "perceptron_frozen (mean of 3 seeds)",
        "both",
        "Reader's words",
        *(f"{model} + {what}" for model in [*CLASSIFIERS, "both"] for what in ("BI-RADS", "reader's words")),
        "Gabor features",
        "Gabor features, boosted",
        "Radiomics features",
        "Radiomics features, boosted",
        "All features",
        "majority class",
        "assessment alone",
        "shape alone",
        "margins alone",
        "size alone",
    ]


def test_joined_views_stand_beside_their_model_and_are_fused(tables: Run) -> None:
    settings = SETTINGS.model_copy(update={"joined_views": ["both", "perceptron_frozen"]})
    without = names(SETTINGS, tables)
    found = [name for name in names(settings, tables) if name not in without]
    joined = ["both (views joined)", "perceptron_frozen (views joined)"]
    assert found == [*joined, *(f"{name} + {what}" for name in joined for what in ("BI-RADS", "reader's words"))]


def test_two_rows_of_one_name_stop_the_comparison(tables: Run) -> None:
    model = FeatureModelSettings(name="perceptron_frozen", families=["gabor"], method="ridge")
    with pytest.raises(ConfigError, match=r"2 rows have the name 'perceptron_frozen'"):
        names(ComparisonSettings(feature_models=[model], fusion=False), tables)


def test_the_configuration_knows_the_names_of_all_rows_that_nobody_asks_for(tables: Run) -> None:
    lesions = tables.lesions.set_index("lesion_id").assign(hidden_suspicion=0.5)
    leaking = replace(tables, study=tables.study | {"split": {"leaking": True}})
    found = [name for name in names(ComparisonSettings(), leaking, lesions) if not name.startswith(tuple(CLASSIFIERS))]
    assert sorted(found) == sorted(built_in_rows([*tables.features]))


def test_names_do_not_depend_on_the_split(tables: Run) -> None:
    lesions = tables.lesions.set_index("lesion_id")
    for split in ("train", "validation", "test"):
        assert names(SETTINGS, tables, lesions.assign(split=split)) == names(SETTINGS, tables)


def test_fusions_are_those_that_the_settings_name(tables: Run) -> None:
    none = names(ComparisonSettings(fusion=False), tables)
    assert not any(" + " in name or name == "Reader's words" for name in none)
    few = names(ComparisonSettings(fusion=["perceptron_frozen"]), tables)
    assert [name for name in few if " + " in name] == [
        "perceptron_frozen + BI-RADS",
        "perceptron_frozen + reader's words",
    ]


def test_a_leaking_split_has_the_floor_of_the_patient(tables: Run) -> None:
    leaking = replace(tables, study=tables.study | {"split": {"method": "by_image", "leaking": True}})
    assert names(SETTINGS, leaking) == [*names(SETTINGS, tables), "patient identity alone"]


def test_a_phantom_study_has_the_ceiling_where_its_lesions_carry_it(tables: Run) -> None:
    lesions = tables.lesions.set_index("lesion_id")
    hidden = lesions["malignant"].astype("float64") + np.linspace(0, 2, len(lesions))
    found = all_candidates(SETTINGS, tables, lesions.assign(hidden_suspicion=hidden))
    assert (found[-1].model, found[-1].family) == ("ceiling: hidden suspicion", "ceiling")
    assert found[-1].runs[0]["score"].to_numpy() == pytest.approx(hidden.to_numpy())


def test_tested_pairs_are_those_that_the_documentation_names(tables: Run) -> None:
    lesions = tables.lesions.set_index("lesion_id")
    candidates = all_candidates(SETTINGS, tables, lesions)
    test = lesions[lesions["split"] == "test"]
    best = best_model([(candidates, lesions)])
    assert best in {one.model for one in candidates if one.family in ("classifier", "features")}
    settings = SETTINGS.model_copy(update={"fewest_patients": 2})
    table = auc_test_table(pairs_to_test(candidates, settings, best), test, settings, "phantom")
    against_best = table[table["hypothesis"] == "models against the best model"]
    assert set(against_best["model_b"]) == {best}
    floors = {one.model for one in candidates if one.family == "floor"}
    exploratory = table[table["hypothesis"] == "exploratory"]
    assert floors <= set(exploratory["model_a"])
    assert exploratory["p_holm"].isna().all()
    pairs = set(zip(table["model_a"], table["model_b"], strict=True))
    assert len({frozenset(pair) for pair in pairs}) == len(table)
    assert {(one.model, "BI-RADS > 3") for one in candidates[1:]} <= pairs
    assert best == "both"
    assert ("Radiomics features, boosted", "both") in pairs
    assert ("perceptron_frozen", "Radiomics features, boosted") in pairs
    assert ("perceptron_frozen", "size alone") in pairs
    assert ("both + reader's words", "Reader's words") in pairs
    assert ("Reader's words", "Reader's words") not in pairs
    row = table.set_index(["model_a", "model_b"]).loc[("perceptron_frozen", "size alone")]
    assert row["difference"] == pytest.approx(row["auc_a"] - row["auc_b"])
    assert row["low"] < row["difference"] < row["high"]
    assert 0 < row["p"] < 1
    assert (row["n"], row["patients"], row["note"]) == (20, 10, "phantom")
    assert row["seen_test_patients"] == 0


def test_models_on_features_of_the_reference_mask_are_oracles(tables: Run) -> None:
    features = {**tables.features, "gabor": tables.features["gabor"].assign(mask_model="")}
    run = replace(tables, features=features)
    notes = {one.model: one.notes for one in all_candidates(SETTINGS, run, run.lesions.set_index("lesion_id"))}
    mark = "oracle: sees the reference mask"
    for name in ("Gabor features", "Gabor features, boosted", "All features"):
        assert mark in notes[name]
    assert mark not in notes["Radiomics features"]
