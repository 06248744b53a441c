"""Pages about other modalities speak of images, and of BI-RADS only where there are assessments."""

from __future__ import annotations

import html
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mammoflow.config.evaluation import ReportSettings
from mammoflow.config.study import StudyConfig
from mammoflow.report.absences import without_millimetres
from mammoflow.report.stage import write_report
from mammoflow.report.wording import in_words_of
from mammoflow.tables.files import write_csv

FOREIGN = re.compile(r"BI-RADS|mammogra|\bfilms?\b|\bbreast\b|radiologist", re.IGNORECASE)


class Words(HTMLParser):
    """The text of a page, without styles, scripts and the files of the run."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [value for name, value in attrs if name in ("alt", "aria-label") and value]

    def handle_data(self, data: str) -> None:
        if not self.tags or self.tags[-1] not in ("style", "script"):
            self.found.append(data)


STUDY = "Films & breast archive"
COMMAND = "snakemake --configfile film.yaml"
SETTINGS = "images:\n  breast_region: film"
"""What the user of the run wrote."""


@pytest.fixture(scope="module")
def endoscopy(run: Any, tmp_path_factory: Any) -> str:
    """The page of a run whose lesions have no assessment."""
    comparison = Path(shutil.copytree(run.root / "comparison", tmp_path_factory.mktemp("wording") / "comparison"))
    table = pd.read_csv(comparison / "comparison.csv")
    figures = [name for name in table.select_dtypes("number").columns if name not in ("n", "seeds")]
    table[figures] = table[figures].astype(float)
    table.loc[0, figures], table.loc[0, "n"] = None, 0
    write_csv(comparison / "comparison.csv", table)
    output = comparison.parent / "report" / "report.html"
    cohort = Path(shutil.copytree(run.cohort, comparison.parent / "cohort"))
    study = json.loads((cohort / "study.json").read_text(encoding="utf-8"))
    (cohort / "study.json").write_text(json.dumps({**study, "name": STUDY}), encoding="utf-8")
    (comparison.parent / "run.json").write_text(json.dumps({"command": COMMAND}), encoding="utf-8")
    (comparison.parent / "settings").mkdir()
    (comparison.parent / "settings" / "images.yaml").write_text(SETTINGS, encoding="utf-8")
    settings = ReportSettings(modality="endoscopy", gallery=0, overlays=0, saliency=0)
    write_report(settings, cohort, comparison, run.images, run.segmentation, output)
    return output.read_text(encoding="utf-8")


def test_a_report_of_another_modality_does_not_speak_of_mammography(endoscopy: str) -> None:
    main = endoscopy[: endoscopy.index('id="provenance-heading"')]
    for own in (html.escape(STUDY), COMMAND):
        main = main.replace(own, "")
    found = [text.strip() for text in Words(main).found if FOREIGN.search(text)]
    assert not [text for text in found if not text.startswith("mammoflow")], found
    assert "<h2" in main
    assert "BI-RADS, AUC of the assessment" not in main


def test_what_the_user_wrote_stays_as_it_is(endoscopy: str) -> None:
    named = html.escape(STUDY)
    assert endoscopy.count(named) == 4
    assert f"<title>Phantom study: mammoflow report, {named}</title>" in endoscopy
    assert f'The cohort is <span translate="no">{named}</span>: ' in endoscopy
    assert f"<dd>{COMMAND}</dd>" in endoscopy
    assert f'<pre tabindex="0">{SETTINGS}</pre>' in endoscopy


def test_lengths_in_pixels_are_said_on_the_page() -> None:
    (said,) = without_millimetres(["pixels", "default", "pixels"])
    assert said.startswith("2 of 3 images have no pixel spacing. Their lengths and areas are in pixels")
    assert without_millimetres(["default", "pixel"]) == []


def test_only_text_changes_and_assessments_keep_their_name() -> None:
    page = '<style>.film{}</style><p class="film" alt="A film">BI-RADS of a film. BI-RADS 3</p><script>"film"</script>'
    assert in_words_of("mammography", False, page) == page
    assert in_words_of("auto", False, page) == page
    assert in_words_of("ultrasound", True, page) == (
        '<style>.film{}</style><p class="film" alt="A image">BI-RADS of a image. BI-RADS 3</p><script>"film"</script>'
    ).replace("A image", "An image").replace("a image", "an image")
    assert ">The reader of an image. The reader 3<" in in_words_of("ct", False, page)


@pytest.mark.parametrize(
    "kept",
    [
        '<pre tabindex="0">a film\nBI-RADS > 3</pre>',
        '<code class="small" title="a film">/films/a film.png</code>',
        '<span translate="no">Breast films</span>',
        '<dl class="facts" translate="no"><dt>breast region</dt><dd>film</dd></dl>',
    ],
)
def test_settings_paths_and_marked_texts_are_kept(kept: str) -> None:
    assert in_words_of("ct", False, f"<p>A film {kept} of <span>a film</span></p>") == (
        f"<p>An image {kept} of <span>an image</span></p>"
    )


def test_the_run_gives_its_modality_to_audit_and_report() -> None:
    stages = StudyConfig.model_validate({"modality": "ct"}).stages()
    assert stages["report"].modality == stages["audit"].modality == "ct"
    own = StudyConfig.model_validate({"modality": "ct", "report": {"modality": "mr"}}).stages()
    assert own["report"].modality == "mr"
