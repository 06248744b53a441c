from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mammoflow.config.evaluation import ComparisonSettings, ReportSettings
from mammoflow.errors import StudyError
from mammoflow.evaluation.stage import compare
from mammoflow.report.stage import write_report

PHANTOM = "Phantom results: not evidence about patients"


class Page(HTMLParser):
    """What a test asks of a page: text by tag, attributes by tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def make_report(run: Any, settings: ReportSettings | None = None) -> Path:
    compare(ComparisonSettings(bootstrap=100), output=run.root / "comparison", **run.inputs())
    settings_folder = run.root / "settings"
    settings_folder.mkdir(exist_ok=True)
    (settings_folder / "gabor.yaml").write_text("orientations: 6\n", encoding="utf-8")
    output = run.root / "report" / "report.html"
    write_report(settings or ReportSettings(), run.cohort, run.root / "comparison", run.images, run.masks, output)
    return output


@pytest.fixture(scope="module")
def report(run: Any) -> Path:
    return make_report(run)


@pytest.fixture(scope="module")
def page(report: Path) -> Page:
    return Page(report.read_text(encoding="utf-8"))


def test_the_page_asks_for_nothing_outside_itself(page: Page) -> None:
    targets = [attributes.get("src") for _, attributes in page.tags if "src" in attributes]
    targets += [attributes.get("href") for _, attributes in page.tags if "href" in attributes]
    assert targets
    assert all(target and target.startswith(("data:", "#")) for target in targets)
    assert not page.all("script")


def test_links_inside_the_page_have_their_targets(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {str(link["href"]).removeprefix("#") for link in page.all("a")}
    assert links <= set(ids)


def test_phantoms_are_named_in_title_banner_and_tables(page: Page, report: Path) -> None:
    title = re.search(r"<title>(.*?)</title>", report.read_text(encoding="utf-8"))
    assert title is not None
    assert title.group(1).startswith("Phantom study: ")
    assert PHANTOM in page.text
    assert "Research software, not a medical device" in page.text


def test_headline_table_has_every_row_with_n_and_interval(page: Page, report: Path, run: Any) -> None:
    table = pd.read_csv(run.root / "comparison" / "comparison.csv")
    html = report.read_text(encoding="utf-8")
    headline = html[html.index('id="headline-table"') : html.index("</table>", html.index('id="headline-table"'))]
    rows = dict(re.findall(r'data-model="(.*?)">(.*?)</tr>', headline, flags=re.DOTALL))
    assert [name.replace("&gt;", ">") for name in rows] == table["model"].tolist()
    for expected in table.to_dict("records"):
        row = rows[expected["model"].replace(">", "&gt;")]
        assert f"{expected['n']} ({expected['n_malignant']})" in row
        if expected["n"]:
            assert f"{expected['accuracy']:.3f}" in row
            assert f"{expected['accuracy_low']:.2f}–{expected['accuracy_high']:.2f}" in row
        else:
            assert "n/a" in row


def test_published_row_stands_beside_the_case_tables(page: Page) -> None:
    assert "gives accuracy .51, precision .48, recall .69 and F1 .57" in page.text
    assert "No cut of the four official CBIS-DDSM case tables gives that" in page.text
    for figure in ("1696", "0.739", "0.690", "0.697", "0.840"):
        assert figure in page.text


def test_every_table_has_a_caption_and_every_picture_a_description(page: Page) -> None:
    names = [name for name, _ in page.tags]
    assert names.count("table") == names.count("caption") > 5
    assert all(len(str(image.get("alt"))) > 10 for image in page.all("img"))


def test_flow_diagram_names_every_bad_file(page: Page) -> None:
    for text in ("tables/row_17.dcm", "malignancy is unknown", "broken/P900_R_CC.dcm", "file is truncated"):
        assert text in page.text
    assert "P004_L_CC_1" in page.text


def test_provenance_names_settings_and_versions(page: Page) -> None:
    for text in ("Settings of gabor", "orientations: 6", "scikit-learn", "trained on cpu"):
        assert text in page.text


def test_a_study_of_patients_with_boxes_alone(write_run: Callable[..., Any], tmp_path: Path) -> None:
    run = write_run(tmp_path, patients=12, phantom=False, with_birads=False, with_masks=False)
    study = json.loads((run.cohort / "study.json").read_text())
    study["name"] = "boxes <script>alert(1)</script> & more"
    (run.cohort / "study.json").write_text(json.dumps(study))
    html = make_report(run, ReportSettings(title="Ours", overlays=4)).read_text(encoding="utf-8")
    page = Page(html)
    assert "hantom" not in re.sub(r"data:[^\"]+", "", html).replace('class="pill">phantom</span> synthetic', "")
    assert not page.all("script")
    assert "boxes <script>" in page.text
    assert "no reference masks" in page.text
    assert html.count("<strong>No Dice</strong>") == 4
    assert "the study gives none, n = 0" in page.text


def test_no_overlays_where_none_are_asked_for(run: Any, report: Path, tmp_path: Path) -> None:
    write_report(
        ReportSettings(overlays=0), run.cohort, run.root / "comparison", run.images, run.masks, tmp_path / "report.html"
    )
    assert 'class="gallery' not in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert report.read_text(encoding="utf-8").count('class="frame"') == 6


def test_a_missing_table_is_named(run: Any, report: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"comparison\.csv"):
        write_report(ReportSettings(), run.cohort, tmp_path, run.images, run.masks, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_the_same_run_gives_the_same_page(run: Any, report: Path, tmp_path: Path) -> None:
    again = tmp_path / "report.html"
    write_report(ReportSettings(), run.cohort, run.root / "comparison", run.images, run.masks, again)
    assert again.read_bytes() == report.read_bytes()


@pytest.mark.browser
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_in_chromium(report: Path, run: Any, width: int, height: int) -> None:
    chromium = Path("/usr/bin/chromium")
    if not chromium.exists():
        pytest.skip("no Chromium at /usr/bin/chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    said: list[str] = []
    asked: list[str] = []
    with playwright.sync_playwright() as session:
        browser = session.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": width, "height": height})
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(report.as_uri())
        assert not said
        assert not [url for url in asked if not url.startswith(("file:", "data:"))]
        rows = tab.locator("#headline-table tr[data-model]")
        assert rows.count() == len(pd.read_csv(run.root / "comparison" / "comparison.csv"))
        assert all(rows.nth(place).is_visible() for place in range(rows.count()))
        assert tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert tab.evaluate("document.images.length") >= 12
        tab.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        outline = tab.locator(".gallery .outline-reference").first
        assert outline.is_visible()
        tab.locator("#show-reference").uncheck()
        assert not outline.is_visible()
        browser.close()
