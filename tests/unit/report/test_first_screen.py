from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mammoflow.config.foreign import FOREIGN
from mammoflow.report.content import by_family, score_the_same_lesions
from mammoflow.report.first_screen import (
    discordant_rows,
    finding,
    marks_of_study,
    model_marks,
    run_facts,
    validation_areas,
)

SETTINGS: dict[str, Any] = {"confidence": 0.95, "power": 0.8, "seed": 3}
READER = "BI-RADS > 3"


def row(model: str, auc: float | None, family: str = "classifier", note: str = "") -> dict[str, Any]:
    counts = {"n": 80, "n_malignant": 35, "patients": 34}
    low, high = (None, None) if auc is None else (auc - 0.1, auc + 0.1)
    return {"model": model, "family": family, **counts, "auc": auc, "auc_low": low, "auc_high": high, "note": note}


def pair(model: str, low: float | None, high: float | None, **more: Any) -> dict[str, Any]:
    areas = {"auc_a": 0.75, "auc_b": 0.8, "difference": -0.05, "detectable": None if low is None else 0.27}
    return {"model_a": model, "model_b": READER, "n": 80, **areas, "low": low, "high": high, **more}


HEADLINE = [row(READER, 0.8, "reader"), row("best_on_test", 0.95), row("best_on_validation", 0.75)]
VALIDATION = [row("best_on_test", 0.6), row("best_on_validation", 0.9), row(READER, 0.99, "reader")]
TESTS = [pair("best_on_test", 0.1, 0.2), pair("best_on_validation", -0.24, 0.14)]


def test_the_model_is_chosen_on_validation_and_the_sentence_says_all() -> None:
    found = finding(HEADLINE, VALIDATION, TESTS, SETTINGS, {}, marks_of_study(True, True))
    assert found.model == "best_on_validation"
    assert found.sentence == (
        "On 80 test lesions (35 malignant) of 34 patients, the AUC of best on validation (highest AUC on validation of "
        "2 models) is 0.750 (95 % interval 0.65 to 0.85), and that of BI-RADS 0.800 on 80 lesions of both: a "
        "difference of −0.050 (95 % interval −0.24 to +0.14), an interval that includes no difference; a true "
        "difference smaller than 0.27 could not be detected with a power of 80 %."
    )
    assert found.marks == ("phantom: not evidence about patients", "leaking split: every figure is too high")


def test_a_study_that_could_detect_no_difference_says_so() -> None:
    tests = [pair("best_on_validation", -1.0, 0.9) | {"detectable": 6.1}]
    found = finding(HEADLINE, VALIDATION, tests, SETTINGS, {}, ())
    assert "a true difference of any size could not be detected with a power of 80 %" in found.sentence


def test_the_primary_comparison_comes_first() -> None:
    settings = SETTINGS | {"primary": {"model": "best_on_test", "against": READER}}
    found = finding(HEADLINE, VALIDATION, TESTS, settings, {"best_on_test": "The Net"}, ())
    assert "the AUC of The Net (the model of the primary comparison)" in found.sentence
    assert "includes no difference" not in found.sentence


def test_nothing_is_chosen_where_validation_says_nothing() -> None:
    found = finding(HEADLINE, [row("best_on_test", None)], TESTS, SETTINGS, {}, ())
    assert found.model == ""
    assert "No model is named here" in found.sentence
    assert "BI-RADS alone has an AUC of 0.800" in found.sentence


def test_a_model_that_lacks_a_fold_or_is_another_tool_is_not_chosen() -> None:
    rows = [row("a", 0.9), row("a", None), row("b", 0.7), row("b", 0.5), row("tool", 0.99, note=f"x; {FOREIGN}")]
    assert validation_areas(rows) == pytest.approx({"b": 0.6})


@pytest.mark.parametrize(
    ("note", "marks"),
    [
        ("phantom; oracle: sees the reference mask", ("oracle: uses the reference",)),
        ("seen: masks or weights are of m", ("test patients seen",)),
        (f"{FOREIGN}; matched", (FOREIGN,)),
        ("its outputs are nearly constant", ()),
    ],
)
def test_marks_of_the_model(note: str, marks: tuple[str, ...]) -> None:
    assert model_marks(row("m", 0.7, note=note)) == marks


@pytest.mark.parametrize("pairs", [[], [pair("best_on_validation", None, None)]])
def test_a_study_too_small_for_an_interval_says_so(pairs: list[dict[str, Any]]) -> None:
    sentence = finding(HEADLINE, VALIDATION, pairs, SETTINGS, {}, ()).sentence
    assert "too few patients for an interval" in sentence or "no difference to BI-RADS can be given" in sentence


def test_facts_of_the_run(tmp_path: Path) -> None:
    provenance = {"comparison": SETTINGS, "training": {"net": {"seeds": {"0": {"device": "cpu"}, "7": {}}}}}
    assert dict(run_facts(tmp_path, provenance))["Date"] == "not recorded"
    record = {
        "started": "2026-01-02",
        "git_revision": "abc",
        "git_changes": True,
        "configuration": ["a.yaml", "b.yaml"],
    }
    (tmp_path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    facts = dict(run_facts(tmp_path, provenance))
    assert facts["Revision"] == "abc with changes"
    assert facts["Configuration files"] == "a.yaml, b.yaml"
    assert (facts["Seeds"], facts["Devices"], facts["Seed of the bootstrap"]) == ("net: 0, 7", "cpu", "3")


def test_discordant_rows_are_of_one_seed_with_malignant_lesions_first() -> None:
    rows = [
        {"model": model, "seed": seed, "right": right, "malignant": malignant, "case": case}
        for case, (model, seed, right, malignant) in enumerate(
            [
                ("m", 0, "model", 0),
                ("m", 0, "model", 1),
                ("m", 1, "model", 1),
                ("m", 0, "BI-RADS", 1),
                ("o", 0, "model", 1),
            ]
        )
    ]
    (_, right, first), (_, wrong, second) = discordant_rows(rows, "m")
    assert (right, [row["case"] for row in first]) == (2, [1, 0])
    assert (wrong, [row["case"] for row in second]) == (1, [3])


def test_other_tools_have_a_heading_of_their_own() -> None:
    groups = by_family([row(READER, 0.8, "reader"), row("net", 0.7), row("tool", 0.7, note=FOREIGN)], {})
    assert [(heading, [each["model"] for each in rows]) for heading, rows in groups[1:]] == [
        ("Trained classifiers", ["net"]),
        ("Scores of other tools", ["tool"]),
    ]


@pytest.mark.parametrize(("common", "same"), [([80, 80, 0], True), ([60, 60, 0], False), ([0, 0, 0], False)])
def test_models_that_score_equally_many_lesions_may_score_different_ones(common: list[int], same: bool) -> None:
    models = [row(READER, 0.8, "reader"), row("net", 0.7), row("undefined", None) | {"n": 0}]
    shared = [one | {"n": n} for one, n in zip(models, common, strict=True)]
    assert score_the_same_lesions(models, shared) == same
