"""Studies without what others have end in a report that says what there is and is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mammoflow.config.evaluation import ComparisonSettings, ReportSettings
from mammoflow.evaluation.stage import compare
from mammoflow.report.absences import absences
from mammoflow.report.stage import write_report

HAS_ALL = {"lesions": 20, "unlabelled": 0, "malignant": 9}
READ = {"model": "BI-RADS > 3", "family": "reader", "n": 8}
CLASSIFIED = {"model": "crop", "family": "classifier", "n": 8}
TRAINED: dict[str, Any] = {"training": {"crop": {}}}
ELSEWHERE = {"run": "other", "seen_patients": ["P004"]}


def said(
    total: dict[str, Any] = HAS_ALL,
    reader: dict[str, Any] = READ,
    provenance: dict[str, Any] = TRAINED,
    method: str = "random",
) -> str:
    rows = [reader, *([CLASSIFIED] if provenance["training"] else [])]
    return " ".join(absences({"split": {"method": method}}, [total], rows, provenance))


def test_a_study_that_has_everything_lacks_nothing() -> None:
    assert said() == ""


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"total": {**HAS_ALL, "unlabelled": 20, "malignant": 0}}, "No lesion has a known malignancy"),
        ({"total": {**HAS_ALL, "malignant": 0}}, "All 20 lesions with a label are benign"),
        ({"total": {**HAS_ALL, "unlabelled": 11}}, "All 9 lesions with a label are malignant"),
        ({"total": {**HAS_ALL, "lesions": 0, "malignant": 0}}, "The study has no lesion"),
        ({"reader": {**READ, "n": 0}}, "No test lesion has a BI-RADS assessment"),
        ({"provenance": {"training": {}}}, "The run has no classifier"),
        (
            {"provenance": {"training": {"crop": {"trained_elsewhere": ELSEWHERE}}}},
            "trained elsewhere, in the run other",
        ),
        ({"method": "apply"}, "Every patient is test, and nothing was trained"),
    ],
)
def test_each_absence_is_one_sentence(changed: dict[str, Any], sentence: str) -> None:
    assert sentence in said(**changed)


def rewrite(files: list[Path], **columns: Any) -> None:
    """Set columns of tables where the tables have them."""
    for file in files:
        table = pd.read_parquet(file)
        table.assign(**{name: value for name, value in columns.items() if name in table.columns}).to_parquet(file)


def tables_of(run: Any) -> list[Path]:
    names = ("images.parquet", "lesions.parquet")
    return [folder / name for folder in (run.cohort, *run.images) for name in names] + run.predictions


def page_of(run: Any, compare: Callable[..., None], cases: bool = True) -> str:
    """Compare a run and return its page; without `cases` the page shows no lesion."""
    settings = ReportSettings() if cases else ReportSettings(overlays=0, gallery=0)
    compare(output=run.root / "comparison", **run.inputs())
    output = run.root / "report" / "report.html"
    write_report(settings, run.cohort, run.root / "comparison", run.images, run.segmentation, output)
    return output.read_text(encoding="utf-8")


@pytest.fixture
def compare_drawn(not_rendered: Any) -> Iterator[Callable[..., None]]:
    """The comparison with figures that are drawn, and saved as one pixel."""
    with not_rendered():
        yield partial(compare, ComparisonSettings(bootstrap=100, fusion=False))


@pytest.fixture
def made_up(write_run: Callable[..., Any], tmp_path: Path) -> Any:
    return write_run(tmp_path / "run", patients=12)


def test_a_study_without_labels_and_classifiers_has_masks_and_their_scores(made_up: Any, compare_drawn: Any) -> None:
    rewrite(tables_of(made_up), malignant=pd.array([pd.NA], "Int64")[0], birads=None, labelled=False)
    html = page_of(replace(made_up, predictions=[]), compare_drawn)
    assert "No lesion has a known malignancy" in html
    assert "The run has no classifier" in html
    scores = pd.read_csv(made_up.root / "comparison" / "segmentation.csv")
    assert scores.loc[scores["split"] == "test", "n"].max() == 8
    assert scores["dice"].notna().any()
    assert (pd.read_csv(made_up.root / "comparison" / "comparison.csv")["n"] == 0).all()


def test_a_study_of_one_class_has_a_report_without_classifiers(made_up: Any, compare_tables: Any) -> None:
    rewrite(tables_of(made_up), malignant=0)
    html = page_of(replace(made_up, predictions=[]), compare_tables, cases=False)
    assert "lesions with a label are benign" in html
    table = pd.read_csv(made_up.root / "comparison" / "comparison.csv")
    assert table["auc"].isna().all()
    assert "classifier" not in set(table["family"])


def applied_run(run: Any) -> Any:
    """Return the run as one that applies a classifier of the run `other` to all patients."""
    rewrite(tables_of(run), split="test")
    study = json.loads((run.cohort / "study.json").read_text(encoding="utf-8"))
    (run.cohort / "study.json").write_text(json.dumps(study | {"split": {"method": "apply"}}), encoding="utf-8")
    for file in run.predictions:
        record = {"model": file.parent.name, "settings": {}, "trained_elsewhere": ELSEWHERE}
        (file.parent / "training.json").write_text(json.dumps(record), encoding="utf-8")
    return run


def test_a_study_on_which_nothing_was_trained_compares_classifiers_of_another_run(
    made_up: Any, compare_tables: Any
) -> None:
    html = page_of(applied_run(made_up), compare_tables, cases=False)
    assert "trained elsewhere, in the run other" in html
    assert "The same table on the validation split" not in html
    assert "Thresholds of classifiers are those of the run that trained them" in html
    assert "all of them on the test side" in html
    table = pd.read_csv(made_up.root / "comparison" / "comparison.csv").set_index("model")
    classifiers = table[(table["family"] == "classifier") & (table["n"] > 0)]
    assert len(classifiers)
    assert classifiers["note"].str.contains("trained elsewhere: other").all()
    assert (classifiers["seen_test_patients"] == 1).all()
    assert classifiers["note"].str.contains("of the run other, which was trained on 1 of 12 test patients").all()
    assert table.loc["Gabor features", "n"] == 0
    assert "no training lesion" in table.loc["Gabor features", "note"]
    fused = table[table.index.str.endswith(" + BI-RADS")]
    assert len(fused)
    assert (fused["n"] == 0).all()
    size = table.loc["size alone"]
    assert size["n"] == 24
    assert "the median of all lesions" in size["note"]
    assert 0 < size["recall"] < 1


def test_a_study_of_one_patient_without_labels_is_segmented_and_predicted(
    write_run: Callable[..., Any], tmp_path: Path, compare_tables: Any
) -> None:
    run = applied_run(write_run(tmp_path / "few", patients=1))
    rewrite(tables_of(run), malignant=pd.array([pd.NA], "Int64")[0], labelled=False)
    html = page_of(run, compare_tables)
    assert "Every patient is test" in html
    assert "No lesion has a known malignancy" in html
    assert "trained elsewhere, in the run other" in html
    assert (pd.read_csv(run.root / "comparison" / "comparison.csv")["n"] == 0).all()
