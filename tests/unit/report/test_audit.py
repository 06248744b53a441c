"""The audit's command, files and page."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from mammoflow.cli import main
from mammoflow.cohort.audit.study_flow import Step, StudyFlow
from mammoflow.config.evaluation import ReportSettings
from mammoflow.errors import StudyError
from mammoflow.report.audit_diagram import NARROW, WIDE, Frame, flow_diagram
from mammoflow.report.stage import audit_section
from mammoflow.tables.cohort import LESIONS, ROWS
from mammoflow.tables.files import read_table, write_table

TABLES = {
    "birads_by_pathology",
    "conflicting_findings",
    "counts",
    "excluded",
    "exclusion_reasons",
    "films_stored_twice",
    "flagged_images",
    "flagged_lesions",
    "flags",
    "flow",
    "identical_pixels",
    "lesion_flags",
    "patients_in_both_official_splits",
    "several_lesions",
    "spacing",
    "similar_patients",
    "split_leaks",
}


def prepare(run: Any, folder: Path) -> Path:
    """Copy the cohort of the made-up run, with its rows as a case table would have them."""
    cohort = Path(shutil.copytree(run.cohort, folder / "cohort"))
    lesions = read_table(cohort / "lesions.parquet", LESIONS)
    rows = lesions.assign(label=lesions["malignant"].map({1: "malignant", 0: "benign"}), image_name=None)
    write_table(rows.reindex(columns=list(ROWS.columns)), ROWS, cohort / "rows.parquet")
    return cohort


@pytest.fixture(scope="module")
def written(run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    cohort = prepare(run, folder)
    arguments = ["audit", "--cohort", str(cohort), "--output", str(folder / "audit")]
    for shard in run.images:
        arguments += ["--images", str(shard)]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "Patients in more than one split of this run" in result.output
    assert str(folder / "audit" / "audit.html") in result.output
    return folder / "audit"


def test_the_command_writes_page_record_and_tables(written: Path, run: Any) -> None:
    assert {path.stem for path in written.glob("*.csv")} == TABLES
    record = json.loads((written / "audit.json").read_text())
    assert record["study"]["phantom"] is True
    assert record["published"]["rows"] > 0
    usable = sum(len(pd.read_parquet(shard / "lesions.parquet")) for shard in run.images)
    assert record["flow"]["steps"][-1]["lesions"] == usable
    assert sum(counts["lesions"] for counts in record["flow"]["splits"].values()) == usable


def test_every_table_says_phantom_in_every_row(written: Path) -> None:
    for name in TABLES:
        table = pd.read_csv(written / f"{name}.csv")
        assert (table["note"] == "phantom").all(), name
        assert table.columns[-1] == "note"


def test_the_page_stands_alone_and_says_phantom(written: Path) -> None:
    html = (written / "audit.html").read_text(encoding="utf-8")
    assert html.count("<script") == 1
    assert "<script>" in html
    assert "Content-Security-Policy" in html
    assert all(link.startswith(("#", "data:")) for link in re.findall(r'(?:href|src)="([^"]*)"', html))
    ids = re.findall(r' id="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in re.findall(r'href="(#[^"]+)"', html)} <= set(ids)
    assert "<title>Phantom study: Audit of the study" in html
    assert html.count('class="pill">phantom') > 5
    assert html.count("<table") == html.count("<caption")


def test_the_section_names_every_question_and_fits_into_the_report(written: Path) -> None:
    section = audit_section(written)
    assert section is not None
    findings = json.loads((written / "audit.json").read_text())["findings"]
    for finding in findings:
        assert f'data-finding="{finding["key"]}"' in section
    assert audit_section(None) is None
    with pytest.raises(StudyError, match=r"section\.html.*run the audit again"):
        audit_section(written / "nowhere")


def test_the_report_holds_the_audit(written: Path, run: Any, tmp_path: Path) -> None:
    from mammoflow.report.stage import write_report

    page = tmp_path / "report.html"
    settings = ReportSettings(overlays=0)
    write_report(settings, run.cohort, run.root / "comparison", run.images, run.masks, page, written)
    html = page.read_text(encoding="utf-8")
    assert 'id="audit-findings"' in html
    assert 'class="wide-flow"' in html
    ids = re.findall(r' id="([^"]*)"', html)
    assert len(ids) == len(set(ids))


def test_lists_are_cut_and_say_so(run: Any, tmp_path: Path) -> None:
    cohort = prepare(run, tmp_path)
    settings = tmp_path / "audit.yaml"
    settings.write_text("title: <b>Ours</b>\nlisted: 0\n")
    arguments = ["audit", "--settings", str(settings), "--cohort", str(cohort), "--output", str(tmp_path / "out")]
    assert CliRunner().invoke(main, arguments, catch_exceptions=False).exit_code == 0
    html = (tmp_path / "out" / "audit.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;Ours&lt;/b&gt;" in html
    assert "0 of 1 are listed here; <code>excluded.csv</code> lists all" in html
    assert "not looked at" in html


def test_a_cohort_without_rows_is_one_message(run: Any, tmp_path: Path) -> None:
    cohort = prepare(run, tmp_path)
    (cohort / "rows.parquet").unlink()
    result = CliRunner().invoke(main, ["audit", "--cohort", str(cohort), "--output", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "rows.parquet does not exist" in result.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".mammoflow.json"]


@pytest.mark.parametrize("frame", [WIDE, NARROW], ids=lambda frame: frame.name)
def test_the_diagram_holds_every_number(frame: Frame) -> None:
    reasons = {f"reason {number} & more": number + 1 for number in range(12)}
    steps = [Step("rows of the tables", 4321, 3000, 1500), Step("what is left", 4243, 2900, 1400, reasons)]
    counts = {"lesions": 4243, "images": 2900, "patients": 1400, "malignant": 1234}
    svg = flow_diagram(StudyFlow(steps, {"train": counts, "validation": counts, "test": counts}), frame)
    for text in ("4,321 lesions", "78 lesions left out", "Test split", "reason 3 &amp; more", "4 further reasons"):
        assert text in re.sub(r"</text><text[^>]*>\s*", " ", svg), text
    assert sum(reasons.values()) == 78
    assert "reason 9" not in svg


@pytest.mark.browser
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_in_chromium(browser: Any, written: Path, width: int, height: int) -> None:
    said: list[str] = []
    asked: list[str] = []
    tab = browser.new_page(viewport={"width": width, "height": height})
    tab.on("console", lambda message: said.append(message.text))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto((written / "audit.html").as_uri())
    assert not said
    assert not [url for url in asked if not url.startswith(("file:", "data:"))]
    tab.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shown, hidden = (".wide-flow", ".narrow-flow") if width > 760 else (".narrow-flow", ".wide-flow")
    assert tab.locator(shown).is_visible()
    assert not tab.locator(hidden).is_visible()
    # No line of text leaves its box, and none is smaller than can be read.
    outside = """svg => [...document.querySelectorAll(svg + ' g')].flatMap(group => {
        const box = group.querySelector('rect').getBoundingClientRect();
        return [...group.querySelectorAll('text')].filter(text => {
            const own = text.getBoundingClientRect();
            return own.left < box.left || own.right > box.right || own.bottom > box.bottom || own.height < 10;
        }).map(text => text.textContent);
    })"""
    assert tab.evaluate(outside, shown) == []
    rows = tab.locator("#audit-findings tr[data-finding]")
    assert rows.count() >= 13
    assert all(rows.nth(place).locator("td").last.is_visible() for place in range(rows.count()))
    meanings = tab.evaluate(
        "[...document.querySelectorAll('#audit-findings td.wrapped')].every("
        "cell => cell.getBoundingClientRect().right <= innerWidth)"
    )
    assert meanings
    tab.close()
