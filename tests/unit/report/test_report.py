from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mammoflow.config.evaluation import ReportSettings
from mammoflow.errors import StudyError
from mammoflow.evaluation.stage import published_table
from mammoflow.report.stage import write_report
from mammoflow.tables.files import write_csv

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
    """Write the page of a run that is compared."""
    settings_folder = run.root / "settings"
    # another test file may have written settings of the same run
    (settings_folder / "features").mkdir(parents=True, exist_ok=True)
    (settings_folder / "features" / "gabor.yaml").write_text("orientations: 6\n", encoding="utf-8")
    # the longest name of a default job: it must not make the page wider than a telephone
    search = settings_folder / "segmentation_searches" / "efficientnet_whole_image_radiomics.yaml"
    earlier = settings_folder / "classifiers" / "of_an_earlier_configuration.yaml"
    for path in (search, earlier):
        path.parent.mkdir(exist_ok=True)
        path.write_text("epochs: 12\n", encoding="utf-8")
    output = run.root / "report" / "report.html"
    chosen = settings or ReportSettings()
    write_report(chosen, run.cohort, run.root / "comparison", run.images, run.segmentation, output)
    return output


def part(html: str, start: str, end: str) -> str:
    """Return a part of a page without the content of its pictures."""
    found = html[html.index(start) :]
    return re.sub(r"data:[^\"]+", "", found[: found.index(end)])


def cells(html: str) -> list[list[str]]:
    """Return the text of every row's cells."""
    rows = re.findall(r"<tr.*?</tr>", html, flags=re.DOTALL)
    return [
        [re.sub(r"<[^>]+>|\s+", " ", cell).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row, flags=re.DOTALL)]
        for row in rows
    ]


@pytest.fixture(scope="module")
def report(run: Any) -> Path:
    return make_report(run)


@pytest.fixture(scope="module")
def report_with_points(run_with_points: Any, compare_tables: Callable[..., None]) -> Path:
    compare_tables(output=run_with_points.root / "comparison", **run_with_points.inputs())
    return make_report(run_with_points)


@pytest.fixture(scope="module")
def page(report: Path) -> Page:
    return Page(report.read_text(encoding="utf-8"))


def test_the_page_asks_for_nothing_outside_itself(page: Page) -> None:
    targets = [attributes.get("src") for _, attributes in page.tags if "src" in attributes]
    targets += [attributes.get("href") for _, attributes in page.tags if "href" in attributes]
    assert targets
    assert all(target and target.startswith(("data:", "#")) for target in targets)
    assert all("src" not in script for script in page.all("script"))
    policy = next(each["content"] for each in page.all("meta") if each.get("http-equiv") == "Content-Security-Policy")
    assert str(policy).startswith("default-src 'none'; img-src data:; ")


def test_links_inside_the_page_have_their_targets(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {link[1:] for each in page.all("a") if (link := str(each["href"])).startswith("#")}
    assert links
    assert links <= set(ids)
    assert "robustness" not in ids  # the report was not given one


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
    found = re.findall(r'data-model="(.*?)">(.*?)</tr>', headline, flags=re.DOTALL)
    rows = {unescape(name): row for name, row in found}
    assert [*rows] == table["model"].tolist()
    for expected in table.to_dict("records"):
        row = rows[expected["model"]]
        assert f"{expected['n']} ({expected['n_malignant']})" in row
        if expected["n"]:
            assert f"{expected['accuracy']:.3f}" in row
            assert f"{expected['accuracy_low']:.2f}–{expected['accuracy_high']:.2f}" in row
        else:
            assert "n/a" in row


def test_published_row_is_next_to_the_case_tables_of_its_own_study_alone(report: Path, page: Page, run: Any) -> None:
    said = "gives accuracy .51, precision .48, recall .69 and F1 .57"
    assert said not in page.text
    assert "as published" not in page.text
    published = run.root / "comparison" / "birads_published.csv"
    before = published.read_bytes()
    write_csv(published, published_table({"name": "CBIS-DDSM", "reader": "cbis-ddsm"}))
    output = report.parent / "of-cbis-ddsm.html"
    write_report(ReportSettings(), run.cohort, run.root / "comparison", run.images, run.segmentation, output)
    published.write_bytes(before)
    text = Page(output.read_text(encoding="utf-8")).text
    assert said in text
    assert "No selection of rows from the four official CBIS-DDSM case tables gives these values" in text
    for figure in ("1696", "0.739", "0.690", "0.697", "0.840"):
        assert figure in text


def test_every_table_has_a_caption_and_every_picture_a_description(page: Page) -> None:
    names = [name for name, _ in page.tags]
    assert names.count("table") == names.count("caption") > 5
    assert all(len(str(image.get("alt"))) > 10 for image in page.all("img"))


def test_all_scores_of_the_masks_that_go_on_stand_on_the_page(report: Path, run: Any) -> None:
    table = pd.read_csv(run.root / "comparison" / "segmentation.csv")
    table = table[(table["split"] == "test") & (table["selection"] == "chosen")]
    shown = part(report.read_text(encoding="utf-8"), 'id="segmentation-scores"', "</details>")
    rows = {(row[0].split(" (")[0].strip(), row[1]): row for row in cells(shown)[1:]}
    assert len(rows) == len(table) == 12
    assert table["surface_left_out"].max() > 0
    for expected in table.to_dict("records"):
        row = rows[(expected["model"].replace("_", " "), f"box +{expected['margin_mm']:g} mm")]
        empty = f" {expected['surface_left_out']} empty" if expected["surface_left_out"] else ""
        assert re.sub(r"\s+", " ", row[3]) == f"{expected['missed']}{empty}"
        for place, name, digits in ((4, "precision", 3), (5, "recall", 3), (6, "pixel_accuracy", 4), (7, "hd95_mm", 2)):
            assert row[place].startswith(f"{expected[name]:.{digits}f} ")
        for place, name, digits in ((6, "pixel_accuracy", 4), (8, "surface_distance_mm", 2)):
            bounds = f"{expected[f'{name}_low']:.{digits}f}–{expected[f'{name}_high']:.{digits}f}"
            # What is the same in every lesion has no interval, since that would have zero width.
            assert bounds.replace("nan–nan", "no interval") in row[place]
        assert row[7].endswith(f"median {expected['hd95_mm_median']:.2f}")
        assert row[8].startswith(f"{expected['surface_distance_mm']:.2f} ")
        assert row[9].startswith(f"{expected['area_error_mm2']:+.1f} ".replace("-", "−"))
        assert row[10].startswith(f"{expected['area_error_share']:+.3f} ".replace("-", "−"))


def test_correlations_of_lesions_and_of_patients_stand_on_the_page(report: Path, run: Any) -> None:
    table = pd.read_csv(run.root / "comparison" / "dice_diameter_correlation.csv")
    shown = part(report.read_text(encoding="utf-8"), 'aria-label="Correlation of Dice and diameter"', "</table>")
    rows = {(row[0], row[1]): row for row in cells(shown)[1:]}
    assert len(rows) == len(table) == 4
    for expected in table.to_dict("records"):
        row = rows[(expected["model"].replace("_", " "), expected["split"])]
        for place, name in ((3, "r"), (4, "rho")):
            assert row[place].startswith(f"{expected[name]:.2f} ".replace("-", "−"))
            assert f"by patient {expected[f'patients_{name}']:.2f} ".replace("-", "−") in row[place]


def test_ways_to_choose_stand_with_their_oracles_at_the_prompts_of_the_masks(report: Path, run: Any) -> None:
    table = pd.read_csv(run.root / "comparison" / "segmentation_choices.csv")
    table = table[(table["margin_mm"] == 10) & (table["split"] == "test")]
    shown = part(report.read_text(encoding="utf-8"), 'id="segmentation-choices"', "</details>")
    headings = [row[0] for row in cells(shown) if len(row) == 1]
    assert headings == [
        "small, box +10 mm: iterations, logits fed back",
        "sam2.1 hiera tiny, box +10 mm: iterations, logits fed back",
    ]
    rows = [row for row in cells(shown)[1:] if len(row) > 1]
    ordered = pd.concat([table[table["model"] == model] for model in ("small", "sam2.1_hiera_tiny")])
    assert len(rows) == len(ordered) == 10
    for row, (_, expected) in zip(rows, ordered.iterrows(), strict=True):
        assert row[0] == expected["choice"] + ("  oracle" if expected["mark"] == "oracle" else "")
        assert row[1:3] == [str(expected["n"]), str(expected["patients"])]
        assert row[3].startswith(f"{expected['dice']:.3f} ")
        first = expected["choice"] == "iteration 1"
        assert row[4].startswith("reference" if first else f"{expected['dice_difference']:+.3f} ")
    assert [row[0] for row in rows if "oracle" in row[0]] == ["best by the reference  oracle"] * 2


def test_subgroups_of_the_segmentation_stand_with_n(report: Path, run: Any) -> None:
    table = pd.read_csv(run.root / "comparison" / "segmentation_subgroups.csv", dtype={"group": str})
    table = table[(table["margin_mm"] == 10) & (table["model"] != "ellipse")]
    shown = part(report.read_text(encoding="utf-8"), 'id="segmentation-subgroups"', "</details>")
    headings = [row[0] for row in cells(shown) if len(row) == 1]
    assert headings == ["Lesion type", "Longest diameter", "Breast density", "Source", "Label"]
    rows = [row for row in cells(shown)[1:] if len(row) > 1]
    found = sorted((row[0], row[1], row[2], row[4].split()[0]) for row in rows)
    assert found == sorted(
        (
            row["group"],
            f"{row['model'].replace('_', ' ')} box +10 mm",
            str(row["n"]),
            f"{row['dice']:.3f}".replace("nan", "n/a"),
        )
        for row in table.to_dict("records")
    )


def test_captions_say_units_misses_and_what_distances_leave_out(page: Page) -> None:
    for words in (
        "It has precision and recall 0",
        "both are in millimetres",
        "They are not defined for an empty mask, so their means and the median leave empty masks out",
        "in mm² and as share of the reference's area",
        "A missed lesion scores 0 and is counted",
        "uses the reference mask for the choice. It is an upper bound",
    ):
        assert words in page.text


def test_pictures_name_case_and_prompt_and_no_patient(report: Path, run: Any) -> None:
    gallery = part(report.read_text(encoding="utf-8"), 'id="lesions"', 'id="features"')
    assert not re.search(r"P\d{3}", gallery)
    names = re.findall(r'<h4 class="model">(.*?)<', gallery)
    assert [name.strip() for name in names] == ["small", "sam2.1 hiera tiny"]
    assert re.findall(r'<h5 class="rank">(.*?)</h5>', gallery) == ["Best", "Middle", "Worst"] * 2
    diameters = pd.read_csv(run.root / "comparison" / "dice_by_diameter.csv")
    test = diameters[diameters["split"] == "test"]
    for model in ("small", "sam2.1_hiera_tiny"):
        best = test[test["model"] == model].sort_values("dice").iloc[-1]
        facts = rf"(mass|calcification), (malignant|benign), BI-RADS \d, {best['diameter_mm']:.0f} mm"
        alt = rf'alt="Case {best["case"]}: {facts}; '
        said = rf"{model.replace('_', ' ')}, box \+10 mm, Dice {best['dice']:.2f}\. "
        assert re.search(alt + said + r'Drawn: reference outline, predicted outline, prompt\."', gallery)
    assert gallery.count('class="outline outline-prompt"') == 12 + 1  # and the legend
    assert "outline-point" not in gallery
    assert "oracle" not in gallery


def test_points_are_drawn_and_masks_chosen_by_the_reference_are_marked(
    report_with_points: Path, run_with_points: Any
) -> None:
    html = report_with_points.read_text(encoding="utf-8")
    gallery = part(html, 'id="lesions"', 'id="features"')
    _, small, pointed = gallery.split('<h4 class="model">')
    assert "oracle" not in small
    assert "outline-point" not in small
    pictures = pointed.count('class="frame"')
    assert pictures == pointed.count('<span class="pill">oracle</span>') > 0
    assert len(re.findall(r"; sam2.1 hiera tiny, point, Dice [\d.]+, oracle\. Drawn: .*?, prompt", pointed)) == pictures
    # A plus is two strokes, a minus is one.
    strokes = re.findall(r'class="outline outline-point" d="(.*?)"', pointed)
    assert [stroke.count("M") for stroke in strokes] == [2, 1] * pictures
    assert "point + on the lesion, − beside it" in gallery
    table = cells(part(html, 'id="segmentation-table"', "</table>"))
    assert [row[:3] for row in table if "oracle" in row[0]] == [["sam2.1 hiera tiny  oracle", "point", ""]]
    assert "oracle" in part(html, 'aria-label="Correlation of Dice and diameter"', "</table>")
    choices = cells(part(html, 'id="segmentation-choices"', "</details>"))
    assert ["sam2.1 hiera tiny, point: iterations, logits fed back"] in choices


def test_flow_diagram_names_every_bad_file(page: Page) -> None:
    for text in ("tables/row_17.dcm", "malignancy is unknown", "broken/P900_R_CC.dcm", "file is truncated"):
        assert text in page.text
    assert "P004_L_CC_1" in page.text


def test_features_are_of_training_lesions_and_corrected_for_their_number(page: Page, report: Path) -> None:
    section = part(report.read_text(encoding="utf-8"), 'id="features"', 'id="cohort"')
    assert "labelled training lesions" in section
    assert "false discovery rate over all 8 features" in section
    rows = pd.read_csv(report.parents[1] / "comparison" / "features.csv", index_col="feature")
    shown = next(row for row in cells(section) if row[0] == "gabor similarity")
    assert shown[-1] == f"{rows.loc['gabor_similarity', 'false_discovery_rate']:.2g}"


def test_provenance_names_settings_and_versions(page: Page) -> None:
    for text in ("Settings of features/gabor", "orientations: 6", "scikit-learn", "trained on cpu"):
        assert text in page.text
    assert "of_an_earlier_configuration" not in page.text


def test_weights_stand_with_licence_and_digest(report: Path) -> None:
    table = part(report.read_text(encoding="utf-8"), 'id="weights-table"', "</table>")
    rows = {(row[0], row[1]): row[2:] for row in cells(table) if len(row) == 6}
    segmentation = [values for (_, use), values in rows.items() if use == "segmentation"]
    assert segmentation
    assert all(values == ["shipped", "MIT", "a package", "5e" * 8] for values in segmentation)
    started = [values for (_, use), values in rows.items() if use == "first weights"]
    assert started == [["random weights", "", "", ""]] * 3


def test_a_study_of_patients_with_boxes_alone(write_run: Callable[..., Any], tmp_path: Path) -> None:
    run = write_run(
        tmp_path, compared=True, figures="drawn", patients=12, phantom=False, with_birads=False, with_masks=False
    )
    study = json.loads((run.cohort / "study.json").read_text())
    study["name"] = "boxes <script>alert(1)</script> & more"
    (run.cohort / "study.json").write_text(json.dumps(study))
    html = make_report(run, ReportSettings(title="Ours", overlays=4)).read_text(encoding="utf-8")
    page = Page(html)
    words = re.sub(r"data:[^\"]+", "", html).replace('class="pill">phantom</span>: the data are synthetic', "")
    assert "hantom" not in words
    assert "<script>alert" not in html
    assert "boxes <script>" in page.text
    assert "no reference masks" in page.text
    gallery = part(html, 'id="lesions"', 'id="features"')
    assert gallery.count("<strong>No Dice</strong>") == 4 * 2
    assert "Reference box (solid)" in gallery
    assert len(re.findall(r"\. Drawn: reference box, predicted outline, prompt\.", gallery)) == 4 * 2
    assert 'class="rank"' not in gallery
    assert 'id="segmentation-scores"' not in html
    assert "the study gives none, n = 0" in page.text


def test_no_overlays_where_none_are_asked_for(run: Any, report: Path, tmp_path: Path) -> None:
    write_report(
        ReportSettings(overlays=0), run.cohort, run.root / "comparison", run.images, run.masks, tmp_path / "report.html"
    )
    assert 'class="gallery' not in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert report.read_text(encoding="utf-8").count('class="frame"') == 6 * 2


def test_one_model_has_no_heading_of_its_own(run: Any, report: Path, tmp_path: Path) -> None:
    output = tmp_path / "report.html"
    write_report(ReportSettings(), run.cohort, run.root / "comparison", run.images, run.masks, output)
    gallery = part(output.read_text(encoding="utf-8"), 'id="lesions"', 'id="features"')
    assert gallery.count('class="frame"') == 6
    assert 'class="model"' not in gallery
    assert re.findall(r'<h4 class="rank">(.*?)</h4>', gallery) == ["Best", "Middle", "Worst"]


def test_a_missing_table_is_named(run: Any, report: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"comparison\.csv"):
        write_report(ReportSettings(), run.cohort, tmp_path, run.images, run.masks, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_the_same_run_gives_the_same_page(run: Any, report: Path, tmp_path: Path) -> None:
    again = tmp_path / "report.html"
    write_report(ReportSettings(), run.cohort, run.root / "comparison", run.images, run.segmentation, again)
    assert again.read_bytes() == report.read_bytes()
