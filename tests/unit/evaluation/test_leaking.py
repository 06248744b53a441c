"""A split that leaks on purpose is marked wherever a result of it can be read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from mammoflow.config.evaluation import ComparisonSettings, ReportSettings
from mammoflow.errors import LeakageError
from mammoflow.evaluation.drawing import marked_figures, put_title
from mammoflow.evaluation.stage import NOT_RESULTS, compare
from mammoflow.report.content import division
from mammoflow.report.stage import write_report

SETTINGS = ComparisonSettings(bootstrap=100, fusion=["perceptron_frozen"])

SEGMENTATION_TABLES = (
    "segmentation",
    "segmentation_choices",
    "segmentation_subgroups",
    "dice_by_diameter",
    "dice_diameter_correlation",
)


@pytest.fixture
def leaking_run(write_run: Callable[..., Any], tmp_path: Path) -> Any:
    """A run in which the study says that its split was drawn by image, and a patient is on two sides."""
    run = write_run(tmp_path, patients=12, phantom=False)
    study = json.loads((run.cohort / "study.json").read_text())
    study |= {"split": {"method": "by_image", "leaking": True}, "notes": ["labels follow BI-RADS; no biopsy"]}
    (run.cohort / "study.json").write_text(json.dumps(study))
    files = [*tmp_path.rglob("lesions.parquet"), *tmp_path.rglob("images.parquet"), *run.predictions]
    for path in files:
        table = pd.read_parquet(path)
        table.loc[table["image_id"] == "P004_L_MLO", "split"] = "train"
        table.to_parquet(path)
    return run


def test_every_table_figure_caption_and_the_page_say_that_the_split_leaks(
    leaking_run, not_rendered, tmp_path, monkeypatch
):
    titles: list[str] = []
    draw = Figure.suptitle
    monkeypatch.setattr(Figure, "suptitle", lambda figure, text, **style: titles.append(text) or draw(figure, text))
    with not_rendered():
        compare(SETTINGS, output=tmp_path / "comparison", **leaking_run.inputs())
    for path in (tmp_path / "comparison").glob("*.csv"):
        table = pd.read_csv(path)
        assert ("leaking" in table.columns) == (path.stem not in NOT_RESULTS), path.name
        if "leaking" in table.columns:
            assert table["leaking"].all(), path.name
        if path.stem in SEGMENTATION_TABLES:
            assert len(table) > 0
            assert (table["note"] == "leaking split; labels follow BI-RADS, no biopsy").all(), path.name
    headline = pd.read_csv(tmp_path / "comparison" / "comparison.csv", index_col="model")
    assert headline.loc["patient identity alone", "n"] == 7
    assert "1 test lesions are of patients" in headline.loc["patient identity alone", "note"]
    assert headline["note"].str.startswith("leaking split").all()
    assert len(titles) == len(list((tmp_path / "comparison" / "figures").glob("*.png")))
    assert all(title.replace("\n", " ").endswith("(leaking split)") for title in titles)

    page = tmp_path / "report.html"
    write_report(
        ReportSettings(overlays=0, gallery=0),
        leaking_run.cohort,
        tmp_path / "comparison",
        leaking_run.images,
        leaking_run.masks,
        page,
    )
    html = page.read_text(encoding="utf-8")
    banner, headline = html.index("Leaking split: images were divided, not patients"), html.index("<h1>")
    assert banner < headline
    captions = re.findall(r"<caption>.*?</caption>", html, flags=re.DOTALL)
    unmarked = [caption for caption in captions if "leaking split" not in caption]
    assert len(captions) > 8
    assert unmarked == []
    figures = re.findall(r"<figcaption>.*?</figcaption>", html, flags=re.DOTALL)
    assert len(figures) == 12
    assert all("Leaking split" in caption for caption in figures)
    assert "divided by image" in html
    assert "No patient is on two sides." not in html


def test_what_the_study_does_not_declare_is_a_hard_stop(leaking_run, tmp_path):
    study = json.loads((leaking_run.cohort / "study.json").read_text())
    study["split"]["leaking"] = False
    (leaking_run.cohort / "study.json").write_text(json.dumps(study))
    with pytest.raises(LeakageError, match="P004"):
        compare(SETTINGS, output=tmp_path / "comparison", **leaking_run.inputs())


def test_a_mark_ends_with_its_figures():
    figure = Figure()
    with marked_figures("leaking split"):
        put_title(figure, "ROC", phantom=True)
        assert figure.get_suptitle() == "ROC (phantom; leaking split)"
    put_title(figure, "ROC", phantom=False)
    assert figure.get_suptitle() == "ROC"


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ({"method": "random"}, "divided by patient (random split)"),
        ({"method": "kfold", "fold": 2, "folds": 5}, "fold 2 of 5, counted from 0"),
        ({"method": "leave_one_source_out", "test_source": "INbreast"}, "divided by source (INbreast is test)"),
        ("unknown", "divided by patient"),
    ],
)
def test_the_page_says_how_the_study_was_divided(split, words):
    assert words in division({"split": split})
