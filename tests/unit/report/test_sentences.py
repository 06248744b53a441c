"""The sentences on tests, and the methods paragraph."""

from __future__ import annotations

from typing import Any

import pytest

from mammoflow.config.foreign import CHOSEN_THRESHOLD, FOREIGN, NO_THRESHOLD
from mammoflow.report.methods import methods_paragraphs, threshold_exceptions
from mammoflow.report.sections import SECTIONS, sections_of
from mammoflow.report.verdicts import against_reader, verdicts

SETTINGS: dict[str, Any] = {"confidence": 0.95, "non_inferiority_margin": None}
READER = "models against BI-RADS"


COUNTS = [
    {"split": "test", "patients": 20, "images": 40, "lesions": 40, "malignant": 24, "unlabelled": 0},
    {"split": "all", "patients": 61, "images": 121, "lesions": 122, "malignant": 58, "unlabelled": 1},
]
HEADLINE: list[dict[str, Any]] = [
    {"model": "BI-RADS > 3", "family": "reader", "n": 40, "n_malignant": 24, "patients": 20},
    {"model": "net", "family": "classifier", "n": 40, "n_malignant": 24, "patients": 20},
]


COMPARISON = {"confidence": 0.9, "bootstrap": 10000, "fewest_patients": 5, "birads_zero": "left_out"}


def statistics(headline: list[dict[str, Any]], **settings: Any) -> str:
    """Return the paragraph on statistics."""
    provenance = {"comparison": COMPARISON | settings, "packages": {"mammoflow": "1.2"}, "python": "3.11.9"}
    return dict(methods_paragraphs({"name": "Ours"}, COUNTS, headline, [], provenance, {}))["Statistics"]


def segmented(prompts: dict[str, str], **more: Any) -> str:
    """Return the paragraph on segmentation of models with their prompts."""
    of_test = {"split": "test", "selection": "chosen", "lesions": 39}
    rows = [
        {**of_test, "model": model, "prompts": kind, "margin_mm": None if kind == "none" else 10.0}
        for model, kind in prompts.items()
    ]
    provenance = {"comparison": COMPARISON, "packages": {}, "python": "3.11.9"}
    return dict(methods_paragraphs({"name": "Ours"}, COUNTS, HEADLINE, rows, provenance, {}, **more))["Segmentation"]


def row(model: str, hypothesis: str = READER, **values: Any) -> dict[str, Any]:
    known = {"hypothesis": hypothesis, "model_a": model, "model_b": "BI-RADS > 3", "n": 40.0, "patients": 20.0}
    figures = {"difference": 0.05, "low": -0.01, "high": 0.11, "p": 0.1, "p_holm": 0.2, "note": ""}
    return {**known, **figures, "not_inferior": None, "non_inferiority_p": None, **values}


def test_without_a_primary_comparison_all_p_values_are_adjusted() -> None:
    said = verdicts([row("a"), row("b", p=0.001, p_holm=0.002, difference=-0.2)], SETTINGS, {})
    assert said[0].startswith("Primary comparison: none was named beforehand")
    assert said[1] == (
        "All models against BI-RADS, adjusted by Holm: 1 of 2 differs at 0.05: b difference in AUC −0.200 (95 % "
        "interval −0.01 to +0.11, n = 40 lesions of 20 patients), Holm-adjusted p = 0.002; 1 does not."
    )


def test_the_primary_comparison_and_non_inferiority_are_named_with_their_marks() -> None:
    primary = row("net", "primary", p=0.0004, p_holm=0.0004, not_inferior=True, non_inferiority_p=0.01)
    primary["note"] = "phantom; seen: masks or weights are of x, which was trained on 1 of 20 test patients"
    said = verdicts([primary, row("other")], {**SETTINGS, "non_inferiority_margin": 0.05}, {"net": "Net"})
    assert said[0].startswith(
        "Primary comparison, named beforehand: Net against BI-RADS (test patients seen), difference"
    )
    assert said[0].endswith("p < 0.001, not adjusted (DeLong over patients).")
    assert said[1] == (
        "Non-inferiority of Net to BI-RADS (test patients seen) is shown with the margin 0.05 in AUC, named beforehand "
        "(one-sided p = 0.010, level 0.025)."
    )
    assert "none of 1 differs at 0.05" in said[2]
    assert set(against_reader([primary, row("other"), row("floor", "exploratory")])) == {"net", "other"}


def test_too_few_patients_are_said() -> None:
    empty = dict.fromkeys(("low", "high", "p", "p_holm"))
    said = verdicts([row("net", "primary", **empty)], {**SETTINGS, "non_inferiority_margin": 0.05}, {})
    assert "too few patients for a test" in said[0]
    assert "too few patients for a test" in said[1]
    assert len(said) == 2


def test_without_an_assessment_only_a_primary_comparison_of_models_is_said() -> None:
    settings = {**SETTINGS, "non_inferiority_margin": 0.05}
    empty = dict.fromkeys(("low", "high", "p", "p_holm"))
    assert verdicts([row("net", **empty), row("other", **empty)], settings, {}, assessed=False) == []
    assert verdicts([row("net", "primary", **empty)], settings, {}, assessed=False) == []
    models = row("net", "primary", model_b="other", not_inferior=True, non_inferiority_p=0.01)
    said = verdicts([models, row("net", **empty)], settings, {}, assessed=False)
    assert said[0].startswith("Primary comparison, named beforehand: net against other, difference")
    assert said[1].startswith("Non-inferiority of net to other is shown")
    assert len(said) == 2


@pytest.mark.parametrize(
    ("n", "against", "said", "not_said"),
    [
        (40, None, ("P values of all models against BI-RADS are adjusted", "margin of 0.05"), ("all other models",)),
        (40, "BI-RADS > 3", ("P values of all other models against BI-RADS", "its p value is not adjusted"), ()),
        (40, "other", ("P values of all models against BI-RADS", "net against other, was named"), ("all other",)),
        (0, None, ("No primary comparison was named. No interval",), ("Holm", "Non-inferiority")),
        (0, "BI-RADS > 3", ("without an assessment it has no test. No",), ("Holm", "Non-inferiority", "p value")),
        (0, "other", ("its p value is not adjusted. No", "margin of 0.05"), ("Holm",)),
    ],
)
def test_the_methods_name_the_tests_that_exist(
    n: int, against: str | None, said: tuple[str, ...], not_said: tuple[str, ...]
) -> None:
    primary = {"model": "net", "against": against} if against else None
    text = statistics([{**HEADLINE[0], "n": n}, *HEADLINE[1:]], primary=primary, non_inferiority_margin=0.05)
    assert all(words in text for words in said), text
    assert not any(words in text for words in not_said), text


@pytest.mark.parametrize("leaking", [False, True])
def test_the_methods_paragraph_has_the_numbers_of_the_run(leaking: bool) -> None:
    study = {"name": "Ours", "phantom": True, "split": {"method": "random", "leaking": leaking}}
    # five masks of each lesion: one for each prompt
    masks = {"n": 5 * 39, "lesions": 39, "margin_mm": 10.0}
    segmentation = [{"model": "small", "split": "test", "selection": "chosen", **masks}]
    comparison = {
        "confidence": 0.9, "bootstrap": 10000, "fewest_patients": 5, "birads_zero": "left_out",
        "primary": {"model": "net", "against": "BI-RADS > 3"}, "non_inferiority_margin": 0.05,
    }  # fmt: skip
    provenance = {
        "comparison": comparison,
        "packages": {"mammoflow": "1.2"},
        "python": "3.11.9",
        "training": {
            "net": {
                "seeds": {"0": {}, "1": {}, "2": {}},
                "settings": {"threshold": {"method": "sensitivity", "value": 0.9}},
            }
        },
    }
    text = " ".join(said for _, said in methods_paragraphs(study, COUNTS, HEADLINE, segmentation, provenance, {}))
    for words in (
        "122 phantom lesions (58 malignant, 1 without a label) on 121 images of 61 patients",
        "40 phantom lesions (24 malignant) of 20 patients in the test split",
        "no evidence about patients",
        "by small with boxes enlarged by 10 mm",
        "on 39 test lesions",
        "1 classifier (net)",
        "trained with 3 seeds",
        "BI-RADS 0 is left out",
        "90 % coverage",
        "10,000 bootstrap resamples",
        "net against BI-RADS > 3, was named beforehand",
        "margin of 0.05 in AUC",
        "by the Youden index, except those of net (sensitivity of 0.9)",
        "mammoflow 1.2 and Python 3.11.9",
    ):
        assert words in text
    assert ("leaking split" in text) == leaking


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        ({"small": "box"}, "segmented by small with boxes enlarged by 10 mm on each side. "),
        ({"unet": "none", "small": "box"}, "by small with boxes enlarged by 10 mm on each side and by unet without"),
        ({"unet": "none", "yolo": "none"}, "Lesions were segmented by unet and yolo without prompts. "),
    ],
)
def test_automatic_models_are_segmented_without_prompts(prompts: dict[str, str], said: str) -> None:
    assert said in segmented(prompts)


def test_the_floor_is_named_where_the_table_has_it() -> None:
    assert "ellipse inscribed in the box" in segmented({"small": "box", "ellipse": "box"})
    assert segmented({"unet": "none"}).endswith("a missed lesion counts as 0.")


@pytest.mark.parametrize(
    ("origins", "margin", "distances"),
    [
        (["header", "default"], "by 10 mm on", "distances in millimetres on 39"),
        (["pixels", "pixels"], "by 10 pixels on", "distances in pixels on 39"),
        (["header", "pixels"], "by 10 mm on", "in millimetres (in pixels where an image has no pixel spacing) on 39"),
    ],
)
def test_lengths_have_the_unit_of_the_images(origins: list[str], margin: str, distances: str) -> None:
    text = segmented({"small": "box"}, origins=origins)
    assert margin in text
    assert distances in text


@pytest.mark.parametrize(
    ("note", "exceptions"),
    [
        (f"{FOREIGN}; threshold 0.5 as given", ", except those of Vendor AI (threshold as given)"),
        (f"{FOREIGN}; {NO_THRESHOLD}", ", except those of Vendor AI (no threshold)"),
        (f"{FOREIGN}; {CHOSEN_THRESHOLD}", ""),
    ],
)
def test_thresholds_of_other_tools_are_exceptions(note: str, exceptions: str) -> None:
    headline = [*HEADLINE, {**HEADLINE[1], "model": "Vendor AI", "note": note}]
    assert f"chosen on the validation split by the Youden index{exceptions}. Nothing" in statistics(headline)
    assert threshold_exceptions(headline, {}, {}) == exceptions
    records = {"net": {"settings": {"threshold": {"method": "fixed", "value": 0.3}}}}
    assert threshold_exceptions(HEADLINE, records, {}) == ", except those of net (fixed of 0.3)"


def test_a_classifier_of_every_fold_is_one_exception() -> None:
    record = {"settings": {"threshold": {"method": "fixed", "value": 0.3}}}
    records = {"net": record, "net, fold 1": record, "net, fold 2": record}
    assert threshold_exceptions(HEADLINE, records, {}) == ", except those of net (fixed of 0.3)"


def test_a_page_has_the_sections_that_it_has_values_for() -> None:
    values = {section.needs: [] for section in SECTIONS if section.needs}
    shown = [section.id for section in sections_of(values)]
    assert shown == ["summary", "comparison", "use", "segmentation", "features", "cohort", "methods", "provenance"]
    assert "cases" in [section.id for section in sections_of({**values, "gallery": object()})]
