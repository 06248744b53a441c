"""Rows that rest on a model which was trained on test patients say on how many, in tables, figures and on the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mammoflow.config.evaluation import ComparisonSettings, ReportSettings
from mammoflow.evaluation import drawing
from mammoflow.evaluation.candidates import classifier_candidates
from mammoflow.evaluation.inputs import read_run
from mammoflow.evaluation.seen_patients import SEEN_MARK, SeenPatients, seen_columns
from mammoflow.evaluation.stage import compare
from mammoflow.report.stage import write_report

SEEN = ("P000", "P004", "P005", "P010")
RESTING = ["efficientnet_masked_crop", "perceptron_frozen", "Gabor features", "Radiomics features"]
FREE = ["BI-RADS > 3", "efficientnet_whole_image", "majority class", "size alone"]
NOTE = "seen: masks or weights are of small, which was trained on {} of {} test patients"


@pytest.fixture(scope="module")
def written(
    write_run: Callable[..., Any], not_rendered: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str]]:
    """A comparison and its page; the model `small` has seen three test patients and a training patient."""
    run = write_run(tmp_path_factory.mktemp("seen"), patients=18, phantom=False)
    for folder in run.masks:
        table = pd.read_parquet(folder / "scores.parquet")
        table["seen"] = table["patient_id"].isin(SEEN) & (table["model"] == "small")
        table.to_parquet(folder / "scores.parquet")
    titles: list[str] = []
    with not_rendered(), pytest.MonkeyPatch.context() as patch:
        original = drawing.Figure.suptitle
        patch.setattr(
            drawing.Figure,
            "suptitle",
            lambda self, text, **kw: titles.append(text.replace("\n", " ")) or original(self, text, **kw),
        )
        compare(
            ComparisonSettings(bootstrap=100, fusion=["perceptron_frozen"]),
            output=run.root / "comparison",
            **run.inputs(),
        )
    write_report(
        ReportSettings(overlays=0), run.cohort, run.root / "comparison", run.images, run.masks, run.root / "page.html"
    )
    return run.root, titles


def table_of(root: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(root / "comparison" / f"{name}.csv").set_index("model")


@pytest.mark.parametrize("name", ["comparison", "confusion"])
def test_rows_say_how_many_test_patients_their_model_saw(written: tuple[Path, list[str]], name: str) -> None:
    table = table_of(written[0], name)
    assert (table.loc[RESTING[:3], "seen_test_patients"] == 3).all()
    assert table.loc[RESTING[:3], "note"].str.contains(NOTE.format(3, 6), regex=False).all()
    # Radiomics is not defined for P004, so that row scores five patients, two of whom were seen.
    assert table.loc["Radiomics features", "seen_test_patients"] == 2
    assert NOTE.format(2, 5) in table.loc["Radiomics features", "note"]
    assert table.loc[FREE, "seen_test_patients"].isna().all()
    assert not table.loc[FREE, "note"].fillna("").str.contains("seen").any()


def test_a_row_of_a_subgroup_counts_its_own_patients(written: tuple[Path, list[str]]) -> None:
    table = table_of(written[0], "subgroups")
    rows = table[(table["grouping"] == "lesion type")].loc[["Gabor features"]].set_index("group")
    assert rows["seen_test_patients"].sum() == 3
    for row in rows.itertuples():
        assert (NOTE.format(int(row.seen_test_patients), row.patients) in str(row.note)) == bool(row.seen_test_patients)


def test_rows_of_other_splits_say_nothing_of_test_patients(written: tuple[Path, list[str]]) -> None:
    for name in ("comparison_train", "comparison_validation"):
        table = table_of(written[0], name)
        assert table["seen_test_patients"].isna().all()
        assert not table["note"].fillna("").str.contains("seen: ").any()


def test_figures_and_page_carry_the_mark(written: tuple[Path, list[str]]) -> None:
    root, titles = written
    assert len(titles) == 12
    assert all(SEEN_MARK in title for title in titles)
    page = (root / "page.html").read_text(encoding="utf-8")
    assert page.count(f"Test patients seen: {NOTE.format(3, 6).removeprefix('seen: ')}") == 1 + 12  # banner, captions
    assert page.count(f'<span class="pill">{SEEN_MARK}</span>') > 8
    counts = page[page.index("Counts on the test split") :].partition("</table>")[0]
    rows = counts.split('<th scope="row">')[1:]
    marked = {row.partition(" <")[0] for row in rows if f'<span class="pill">{SEEN_MARK}</span>' in row}
    assert {"Gabor features", "Radiomics features"} <= marked
    assert not {"majority class", "size alone"} & marked


@pytest.mark.parametrize(
    ("settings", "model", "patients"),
    [
        ({}, "small", {"P000"}),
        ({"input_options": {"model": ""}}, "small", {"P000"}),
        ({"input_options": {"model": "sam2.1_hiera_tiny"}}, "sam2.1_hiera_tiny", {"P001", "P004"}),
        (
            {"input_options": {"model": "sam2.1_hiera_tiny"}, "vectors": ["gabor"]},
            "sam2.1_hiera_tiny and small",
            {"P000", "P001", "P004"},
        ),
    ],
)
def test_a_classifier_rests_on_the_model_that_its_input_names(
    run: Any, settings: dict[str, Any], model: str, patients: set[str]
) -> None:
    tables = read_run(**run.inputs())
    of_small = (tables.scores["model"] == "small") & (tables.scores["patient_id"] == "P000")
    of_other = (tables.scores["model"] == "sam2.1_hiera_tiny") & tables.scores["patient_id"].isin(["P001", "P004"])
    records = {"perceptron_frozen": {"seen_test_patients": 1, "settings": settings}}
    seen = replace(tables, scores=tables.scores.assign(seen=of_small | of_other), training=records)
    found = {one.model: one.seen for one in classifier_candidates(seen)}
    assert found["perceptron_frozen"] == SeenPatients(model, frozenset(patients))
    assert found["efficientnet_whole_image"] is None


def test_a_model_that_saw_nobody_counts_none_and_notes_nothing() -> None:
    seen = SeenPatients("small", frozenset({"A"}))
    assert seen_columns(seen, ["B", "B"], "phantom", "") == {"seen_test_patients": 0, "note": "phantom"}
    assert seen_columns(None, ["A"]) == {"seen_test_patients": None, "note": ""}
    both = seen_columns(seen, ["A", "A", "B"], "phantom")
    assert both == {"seen_test_patients": 1, "note": f"phantom; {NOTE.format(1, 2)}"}
