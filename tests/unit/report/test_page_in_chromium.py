"""The report in a browser: tables, gallery, colours, paper, both widths, and no request to the network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mammoflow.config.evaluation import ReportSettings
from mammoflow.report.stage import write_report

pytestmark = [pytest.mark.browser, pytest.mark.long(25)]

WINDOWS = {"wide": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
RINGS = "mask: predicted\ninner_mm: 30.0\nring_mm: [60.0, 90.0]\n"


@pytest.fixture(scope="module")
def report(run: Any) -> Path:
    settings = run.root / "settings" / "features"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "gabor.yaml").write_text(RINGS, encoding="utf-8")
    output = Path(run.root / "in_browser" / "report.html")
    write_report(ReportSettings(), run.cohort, run.root / "comparison", run.images, run.segmentation, output)
    return output


@pytest.fixture(scope="module")
def tabs(browser: Any, report: Path) -> Iterator[dict[str, Any]]:
    """Return the page in a wide window and on a phone; each knows what the console said and what it asked for."""
    contexts = {name: browser.new_context(viewport=viewport) for name, viewport in WINDOWS.items()}
    opened = {}
    for name, context in contexts.items():
        tab = opened[name] = context.new_page()
        tab.said, tab.asked = [], []
        tab.on("console", lambda message, tab=tab: tab.said.append(message.text))
        tab.on("pageerror", lambda error, tab=tab: tab.said.append(str(error)))
        tab.on("request", lambda request, tab=tab: tab.asked.append(request.url))
        tab.goto(report.as_uri())
    yield opened
    for context in contexts.values():
        context.close()


@pytest.fixture
def tab(tabs: dict[str, Any]) -> Any:
    return tabs["wide"]


def visible(tab: Any, selector: str) -> list[str]:
    """Return the text of the elements that are shown."""
    script = "all => all.filter(each => each.checkVisibility()).map(each => each.textContent.trim())"
    return list(tab.locator(selector).evaluate_all(script))


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_first_screen_has_the_finding_and_nothing_is_asked_of_the_network(
    tabs: dict[str, Any], window: str, scheme: str
) -> None:
    tab = tabs[window]
    tab.emulate_media(color_scheme=scheme)
    assert not tab.said
    assert not [url for url in tab.asked if not url.startswith(("file:", "data:"))]
    sentence = tab.locator(".finding-sentence")
    place = sentence.bounding_box()
    assert place["y"] + place["height"] <= WINDOWS[window]["height"]
    assert sentence.inner_text().startswith("phantom: not evidence about patients")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    light = sum(int(value) for value in re.findall(r"\d+", ground)[:3]) > 380
    tab.emulate_media(color_scheme="light")
    assert light == (scheme == "light")


def test_the_headline_table_fits_a_laptop_and_says_that_it_scrolls_on_a_phone(tabs: dict[str, Any], run: Any) -> None:
    tab, phone = tabs["wide"], tabs["phone"]
    rows = visible(tab, "#headline-table tr[data-model]")
    assert len(rows) == len(pd.read_csv(run.root / "comparison" / "comparison.csv"))
    panel = tab.locator(".panel:has(#headline-table)")
    assert panel.evaluate("box => box.classList.contains('fits')")
    assert visible(tab, ".panel:has(#headline-table) .hint") == []
    hint = phone.locator(".panel:has(#headline-table) .hint")
    assert hint.is_visible()
    assert hint.bounding_box()["y"] < phone.locator("#headline-table").bounding_box()["y"]


def test_tables_sort_by_click_and_by_key_and_return_to_their_order(tab: Any) -> None:
    def values() -> list[float]:
        cells = tab.locator("#headline-table tbody:nth-of-type(3) tr[data-model] td:nth-of-type(2)")
        found = [re.match(r"[\d.]+", text) for text in cells.all_inner_texts()]
        return [float(each.group()) if each else -1.0 for each in found]

    before = values()
    head = tab.locator("#headline-table thead th").nth(2)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert values() == sorted(before, reverse=True) != before
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    defined = [value for value in values() if value >= 0]
    assert defined == sorted(defined)
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") is None
    assert values() == before


def test_tables_filter_by_words_and_by_the_values_of_a_column(tab: Any) -> None:
    rows = "#headline-table tr[data-model]"
    tab.get_by_label("Filter rows: Every model against BI-RADS on the test split").fill("gabor")
    shown = visible(tab, rows)
    assert shown
    assert all("Gabor" in row for row in shown)
    assert f"{len(shown)} of " in tab.locator(".panel:has(#headline-table) .count").inner_text()
    tab.get_by_label("Filter rows: Every model against BI-RADS on the test split").fill("")
    tab.locator(".panel:has(#auc-tests-table) select").last.select_option("exploratory")
    hypotheses = visible(tab, "#auc-tests-table tbody td:nth-of-type(2)")
    assert set(hypotheses) == {"exploratory"}


def test_a_table_downloads_as_its_csv(tab: Any, run: Any) -> None:
    link = tab.locator(".panel:has(#headline-table) a.csv")
    with tab.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == "comparison.csv"
    assert Path(download.value.path()).read_bytes() == (run.root / "comparison" / "comparison.csv").read_bytes()


def test_a_curve_lights_up_by_pointer_and_by_key(tab: Any) -> None:
    figure = tab.locator("#figure-roc")
    button = figure.locator(".series-list button").first
    button.focus()
    assert "lit" in str(figure.get_attribute("class"))
    names = figure.locator("g.series.on").evaluate_all("all => all.map(each => each.dataset.name)")
    assert set(names) == {button.inner_text()}
    button.blur()
    assert "lit" not in str(figure.get_attribute("class"))


def test_layers_of_the_gallery_switch(tab: Any) -> None:
    card = tab.locator(".case-card:not([hidden])").first
    drawn = "each => getComputedStyle(each).display !== 'none'"
    for layer, selector in (("reference", ".outline-reference"), ("model-0", ".model-0"), ("model-1", ".model-1")):
        switch, outline = tab.locator(f"[data-layer={layer}]"), card.locator(f".case-frame {selector}").first
        for _ in range(2):
            assert outline.evaluate(drawn) == switch.is_checked()
            switch.click()
    near = card.locator("svg[data-near]").get_attribute("viewBox")
    tab.locator("[data-layer=rings]").check()
    assert card.locator(".outline-ring").count() == 3
    assert card.locator(".outline-ring").first.evaluate(drawn)
    assert tab.locator("[data-layer=wide]").is_checked()
    assert card.locator("svg[data-near]").get_attribute("viewBox") != near
    tab.locator("[data-layer=rings]").uncheck()
    tab.locator("[data-layer=wide]").uncheck()


def test_cases_filter_by_outcome_and_order_by_dice(tab: Any, run: Any) -> None:
    model = "Gabor features"
    outcomes, models, order = (tab.locator(".case-tools select").nth(place) for place in range(3))
    models.select_option(label=model)
    table = pd.read_csv(run.root / "comparison" / "discordant.csv")
    table = table[(table["model"] == model) & (table["seed"] == table["seed"].min())]
    for outcome, right in (("better", "model"), ("worse", "BI-RADS")):
        outcomes.select_option(outcome)
        cases = tab.locator(".case-card:not([hidden])").evaluate_all(
            "all => all.map(each => Number(each.dataset.case))"
        )
        assert sorted(cases) == sorted(table.loc[table["right"] == right, "case"])
    outcomes.select_option("")
    order.select_option("worst:0")
    dice = tab.locator(".case-card:not([hidden])").evaluate_all(
        "all => all.map(each => each.dataset.dice.split(',')[0])"
    )
    assert [float(value) for value in dice] == sorted(float(value) for value in dice)
    order.select_option("")


def test_a_case_opens_and_the_next_follows_by_key(tab: Any) -> None:
    opener = tab.locator(".case-card:not([hidden]) .opener").first
    opener.focus()
    opener.press("Enter")
    dialog = tab.locator("#case-view")
    assert dialog.is_visible()
    first = dialog.get_attribute("aria-label")
    assert dialog.locator("tbody tr").count() > 5
    assert set(dialog.locator("tbody td:last-child").all_inner_texts()) <= {"right", "wrong", ""}
    tab.keyboard.press("ArrowRight")
    assert dialog.get_attribute("aria-label") != first
    tab.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_the_switch_of_colours_is_kept_over_the_system(tab: Any) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = tab.evaluate(ground)
    tab.get_by_label("Use dark colours").click()
    assert tab.evaluate(ground) != light
    tab.get_by_label("Use light colours").click()
    assert tab.evaluate(ground) == light


def test_nothing_is_folded_away_on_paper(tab: Any) -> None:
    closed = tab.locator("details:not([open])").count()
    assert closed > 5
    tab.emulate_media(media="print")
    folded = tab.locator("details:not([open])")
    expect = pytest.importorskip("playwright.sync_api").expect
    expect(folded).to_have_count(0)
    assert visible(tab, "#subgroups-table, #segmentation-iterations table, #discordant table")
    assert visible(tab, ".tools, .hint, nav, .opener + button") == []
    assert tab.locator(".case-card[hidden]").count() == 0
    tab.emulate_media(media="screen")
    expect(folded).to_have_count(closed)


def test_axe_finds_nothing(tabs: dict[str, Any]) -> None:
    tab, phone = tabs["wide"], tabs["phone"]
    phone.emulate_media(color_scheme="dark")
    package = pytest.importorskip("axe_playwright_python")
    script = (Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    # Rows of one table look alike, and so do the cases: a few of each are looked at. Contrast takes long on cells, so
    # some sections are measured in both colours.
    fewer = (
        "document.querySelectorAll('tr:nth-of-type(n+8), .case-card:nth-of-type(n+14)').forEach(row => row.remove())"
    )
    everything = "axe.run({resultTypes: ['violations'], rules: {'color-contrast': {enabled: false}}})"
    some = "['#finding', 'nav', '#headline-table thead', '#cases .legend', '#case-11', '#methods', 'figcaption']"
    contrast = f"axe.run({some}, {{resultTypes: ['violations'], runOnly: ['color-contrast']}})"
    for page, run in ((tab, everything), (tab, contrast), (phone, contrast)):
        page.evaluate(fewer)
        page.evaluate(script)
        found = page.evaluate(f"{run}.then(result => result.violations)")
        assert [(each["id"], [node["html"][:120] for node in each["nodes"][:3]]) for each in found] == []
