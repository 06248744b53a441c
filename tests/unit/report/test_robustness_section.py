"""The report's section on robustness: its sentences, the lowest differences, the figure, and the levels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mammoflow.config.evaluation import ReportSettings
from mammoflow.config.robustness import LEVELS
from mammoflow.errors import StudyError
from mammoflow.evaluation.robustness_results import write_results
from mammoflow.report.robustness import DEGRADATIONS, lowest_differences, reading, robustness_section
from mammoflow.report.stage import write_report

NAN = float("nan")
SEEN = "seen: small was trained on 2 of the patients"


def row(degradation: str, level: float, difference: float, low: float = NAN, high: float = NAN) -> dict[str, Any]:
    """Return a row of a segmentation model whose undegraded Dice is .842."""
    value = 0.842 + difference
    return {
        "model": "small", "kind": "segmentation", "degradation": degradation, "level": level, "n": 40, "patients": 25,
        "score": "Dice", "undegraded": 0.842, "value": value, "low": value - 0.05, "high": value + 0.05,
        "difference": difference, "difference_low": low, "difference_high": high, "note": SEEN,
    }  # fmt: skip


def classifier(degradation: str, level: float, difference: float) -> dict[str, Any]:
    found = row(degradation, level, difference) | {"model": "context_crop", "kind": "classification", "score": "AUC"}
    return found | {"note": "", "n": 38, "patients": 24}


ROWS = [
    row("none", 0, 0.0),
    row("blur", 0.5, -0.02, -0.05, 0.01),
    row("blur", 2, -0.142, -0.18, -0.1),
    row("spacing", -0.09, 0.004),
    classifier("none", 0, 0.0),
    classifier("blur", 0.5, NAN),
    classifier("blur", 2, NAN),
    classifier("spacing", -0.09, NAN),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of a made-up robustness, as the job writes them."""
    written = tmp_path / "robustness"
    write_results(written / "robustness.csv", ROWS, {"phantom": True}, {"context_crop": "Context & crop"})
    return written


def rows(*found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return rows as the section reads them: empty fields are None, and degradations have words."""
    read = [{key: None if value != value else value for key, value in each.items()} for each in found]
    return [each | {"title": each["degradation"], "shown_level": f"{each['level']:g}"} for each in read]


def test_the_page_has_sentence_figure_and_tables(run: Any, folder: Path, tmp_path: Path) -> None:
    inputs = (run.cohort, run.root / "comparison", run.images, run.masks)
    settings = ReportSettings(overlays=0, gallery=0)
    write_report(settings, *inputs, tmp_path / "report.html", robustness=folder)
    page = re.sub(r'"data:[^"]+', '"', (tmp_path / "report.html").read_text(encoding="utf-8"))
    assert '<a href="#robustness">' in page
    section = page[page.index('<section id="robustness"') :]
    section = section[: section.index("</section>")]
    assert (
        "Dice: the largest loss is that of small with blur (2 mm), from 0.842 to 0.700, a difference of −0.142 "
        "(95 % interval −0.18 to −0.10) on 40 lesions of 25 patients; the interval is below 0 for 1 of the 2 "
        "differences that have one."
    ) in section
    assert "AUC: there is no difference, because no lesions of both classes have a score" in section
    assert "<code>robustness/curves.*</code>" in section
    assert "<code>robustness/robustness.csv</code>" in section
    assert 'data-name="Context &amp; crop"' in section
    assert "Scores on degraded test images (phantom)" in section
    tables = {
        name: section[section.index(f'<table id="{name}-table"') :] for name in ("robustness", "robustness-levels")
    }
    lowest, every = (
        re.findall(r'<tr><th scope="row">(.*?)</tr>', text.partition("</table>")[0], flags=re.DOTALL)
        for text in tables.values()
    )
    shown = [re.sub(r"<[^>]+>|\s+", " ", each).split() for each in lowest]
    assert [" ".join(words) for words in shown[:2]] == [
        "blur 2 mm 0.842 0.700 0.65–0.75 −0.142 −0.18 to −0.10 40 25",
        "pixel spacing −9 % 0.842 0.846 0.80–0.90 +0.004 no interval 40 25",
    ]
    assert (len(lowest), len(every)) == (4, 6)
    heading = re.search(r'scope="rowgroup"><span>(.*?)</span></th>', tables["robustness"])
    assert heading is not None
    assert heading[1] == 'small, Dice <span class="pill">test patients seen</span>'
    assert section.count('<span class="pill">phantom</span>') == 4  # text, figure, two tables


def test_every_degradation_has_words() -> None:
    assert set(DEGRADATIONS) == set(LEVELS)
    assert [DEGRADATIONS[name][1](level) for name, level in (("gaussian_noise", 0.02), ("spacing", 0.09))] == [
        "2 %",
        "+9 %",
    ]


def test_the_lowest_difference_of_each_degradation_comes_first_and_undefined_ones_last() -> None:
    found = rows(row("blur", 1, 0.1), row("blur", 2, 0.0), row("jpeg", 10, NAN), row("gamma", 2, -0.1))
    assert [(each["degradation"], each["level"]) for each in lowest_differences(found)] == [
        ("gamma", 2), ("blur", 2), ("jpeg", 10),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            rows(row("blur", 1, 0.0), row("jpeg", 10, 0.02, 0.01, 0.03)),
            "Dice: no model has a lower score; the lowest difference is that of small with blur (1), from 0.842 to "
            "0.842, a difference of +0.000 (no interval) on 40 lesions of 25 patients; the interval is below 0 for 0 "
            "of the 1 differences that have one.",
        ),
        (
            rows(row("blur", 1, -0.1), row("jpeg", 10, NAN)),
            "Dice: the largest loss is that of small with blur (1), from 0.842 to 0.742, a difference of −0.100 (no "
            "interval) on 40 lesions of 25 patients; none of the 1 differences has an interval.",
        ),
        (
            rows(row("blur", 1, -0.1, -0.25, 0.05)),
            "Dice: the largest loss is that of small with blur (1), from 0.842 to 0.742, a difference of −0.100 (95 % "
            "interval −0.25 to 0.05, which includes 0) on 40 lesions of 25 patients; the interval is below 0 for 0 of "
            "the 1 differences that have one.",
        ),
        (
            rows(row("blur", 1, NAN)),
            "Dice: there is no difference, because no lesion has a score with and without a degradation.",
        ),
    ],
)
def test_the_sentence_holds_for_gains_for_few_patients_and_without_scores(
    found: list[dict[str, Any]], words: str
) -> None:
    assert reading(found, {}, 0.95) == words


def test_a_table_without_degradations_has_no_sentence(tmp_path: Path) -> None:
    write_results(tmp_path / "robustness.csv", ROWS[:1], {}, {})
    found = robustness_section(tmp_path, {}, 0.95)
    assert found is not None
    assert (found.sentences, found.lowest[0][1]) == ([], [])


def test_a_table_of_an_earlier_version_is_refused(folder: Path) -> None:
    table = pd.read_csv(folder / "robustness.csv").drop(columns="undegraded")
    table.to_csv(folder / "robustness.csv", index=False)
    with pytest.raises(StudyError, match=r"robustness\.csv has no column 'undegraded'; run the robustness again"):
        robustness_section(folder, {}, 0.95)
