"""The report's section on classifiers of several classes: sentences, table, figure, and no section without them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.config.evaluation import ReportSettings
from mammoflow.evaluation.class_scores import LARGEST_CLASS
from mammoflow.report.classes import class_values, sentences
from mammoflow.report.content import Tables
from mammoflow.report.stage import write_report
from mammoflow.storage.files import write_image

METRICS = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "precision", "f1", "auc")


def row(model: str, name: str | None, **values: float) -> dict[str, Any]:
    plain = {"model": model, "class": name, "seeds": 2, "n": 60, "patients": 30, "n_class": 60, "patients_class": 30}
    estimates = {f"{metric}{end}": values.get(f"{metric}{end}") for metric in METRICS for end in ("", "_low", "_high")}
    return {**plain, "n_without_prediction": 0, **estimates, "note": "phantom"}


ROWS = [
    row("three", None, accuracy=0.72, accuracy_low=0.6, accuracy_high=0.81, balanced_accuracy=0.7, auc=0.85),
    row("three", "malignant", auc=0.91, auc_low=0.8, auc_high=0.96, sensitivity=0.5),
    row(LARGEST_CLASS, None, accuracy=0.4),
]


def test_a_sentence_says_how_often_a_classifier_is_right() -> None:
    assert sentences(ROWS, 0.95, {"three": "Three classes"}) == [
        "Three classes gives 72 % of 60 test images of 30 patients their class (95 % interval 0.60 to 0.81); the "
        "largest class alone is right for 40 %. The mean AUC of each class against the rest is 0.850 (no interval), "
        "and malignant images against all others 0.910 (95 % interval 0.80 to 0.96)."
    ]
    assert sentences([{**ROWS[0], "n": 0}], 0.95, {}) == ["three has no test image of known class."]


def test_the_page_has_the_section_where_classes_are_predicted(write_run: Callable[..., Any], tmp_path: Path) -> None:
    written = write_run(tmp_path, compared=True, figures="rendered", empty_shard=True)
    folder = tmp_path / "comparison"
    assert not any(class_values(Tables(folder), {"confidence": 0.95}, {}).values())
    pd.DataFrame(ROWS).to_csv(folder / "classes.csv", index=False)
    pair = {"model_a": "three", "model_b": LARGEST_CLASS, "n": 60, "patients": 30, "note": "phantom"}
    pair |= {f"{metric}_difference{end}": 0.1 for metric in ("accuracy", "auc") for end in ("", "_low", "_high", "_p")}
    pd.DataFrame([pair]).to_csv(folder / "class_differences.csv", index=False)
    write_image(folder / "figures" / "class_confusion.png", np.zeros((1, 1), dtype=np.uint8))
    drawing = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>'
    (folder / "figures" / "class_confusion.svg").write_text(drawing, encoding="utf-8")
    output = tmp_path / "report.html"
    write_report(ReportSettings(overlays=0), written.cohort, folder, written.images, written.masks, output)
    page = re.sub(r'"data:[^"]+', '"', output.read_text(encoding="utf-8"))
    section = page.partition('<section id="classes"')[2].partition("</section>")[0]
    assert "three gives 72 % of 60 test images" in section
    assert "all classes" in section
    assert "largest class" in section
    assert '<span class="pill">phantom</span>' in section
    assert "<svg" in section
