from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammoflow.evaluation.birads import CASE_TABLES, PUBLISHED, BiradsZero, birads_scores
from mammoflow.evaluation.candidates import birads_candidate
from mammoflow.evaluation.metrics import measure

POLICIES: tuple[BiradsZero, ...] = ("as_written", "positive", "left_out")


def read_case_tables(folder: Path) -> pd.DataFrame:
    parts = []
    for kind, side in product(("mass", "calc"), ("train", "test")):
        table = pd.read_csv(folder / "cbis-ddsm" / f"{kind}_case_description_{side}_set.csv")
        parts.append(table[["patient_id", "assessment", "pathology"]].assign(kind=kind, side=side))
    return pd.concat(parts, ignore_index=True)


def score_rows(rows: pd.DataFrame, zero: BiradsZero) -> dict[str, float]:
    scores = birads_scores(rows["assessment"], zero)
    kept = scores["score"].notna()
    label = (rows["pathology"] == "MALIGNANT").to_numpy(dtype=float)[kept]
    values = measure(label, *(scores.loc[kept, name].to_numpy() for name in scores), np.ones((1, kept.sum())))
    return {"n": int(kept.sum())} | {name: float(value[0]) for name, value in values.items()}


def test_policies_for_category_zero() -> None:
    assessment = pd.Series([0, 2, 3, 4, 5, None], dtype="Int64")
    as_written = birads_scores(assessment, "as_written")
    assert as_written["predicted"].tolist()[:5] == [0, 0, 0, 1, 1]
    assert as_written["score"].tolist()[:5] == [0, 2, 3, 4, 5]
    positive = birads_scores(assessment, "positive")
    assert positive["predicted"].tolist()[:5] == [1, 0, 0, 1, 1]
    assert 3 < positive["score"][0] < 4
    left_out = birads_scores(assessment, "left_out")
    assert left_out["score"].isna().tolist() == [True, False, False, False, False, True]
    assert left_out["predicted"].isna().tolist() == left_out["score"].isna().tolist()
    assert np.isnan(as_written["predicted"][5])


@pytest.mark.parametrize("zero", POLICIES)
def test_the_threshold_of_the_table_is_the_score_from_which_on_a_lesion_is_called(zero: BiradsZero) -> None:
    lesions = pd.DataFrame({"birads": pd.array([0, 1, 2, 3, 4, 5, 6, None], dtype="Int64")})
    reader = birads_candidate(lesions, zero)
    scores = reader.runs[0].dropna()
    assert ((scores["score"] >= reader.threshold) == (scores["predicted"] == 1)).all()
    assert scores["predicted"].sum() == 3 + (zero == "positive")


@pytest.mark.parametrize("expected", CASE_TABLES, ids=lambda row: row["rows"])
def test_real_case_tables_give_the_stated_figures(real_data: Path, expected: dict[str, float]) -> None:
    tables = read_case_tables(real_data)
    mass = tables["kind"] == "mass"
    cuts = {
        "mass, all": mass,
        "mass, official test": mass & (tables["side"] == "test"),
        "all four tables": tables["kind"].notna(),
    }
    found = score_rows(tables[cuts[str(expected["rows"])]], "as_written")
    assert found["n"] == expected["n"]
    for metric in ("accuracy", "precision", "recall", "f1", "auc"):
        assert found[metric] == pytest.approx(expected[metric], abs=0.00051)


def test_no_cut_of_the_real_tables_gives_the_published_figures(real_data: Path) -> None:
    tables = read_case_tables(real_data)
    kinds, sides = (["mass"], ["calc"], ["mass", "calc"]), (["train"], ["test"], ["train", "test"])
    for kind, side, zero, above in product(kinds, sides, POLICIES, (1, 2, 3, 4)):
        rows = tables[tables["kind"].isin(kind) & tables["side"].isin(side)]
        rows = rows if zero != "left_out" else rows[rows["assessment"] != 0]
        called = (rows["assessment"] > above) | ((rows["assessment"] == 0) & (zero == "positive"))
        malignant = rows["pathology"] == "MALIGNANT"
        hits = (called & malignant).sum()
        found = {
            "accuracy": (called == malignant).mean(),
            "precision": hits / called.sum(),
            "recall": hits / malignant.sum(),
            "f1": 2 * hits / (called.sum() + malignant.sum()),
        }
        assert any(abs(found[metric] - value) > 0.0051 for metric, value in PUBLISHED.items()), (
            kind,
            side,
            zero,
            above,
        )
