"""The report's section on few labels: its rows, their marks, and the figure."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.config.evaluation import ReportSettings
from mammoflow.evaluation.few_labels import FEW_LABELS_COLUMNS
from mammoflow.report.stage import write_report
from mammoflow.storage.files import write_image


def test_the_section_has_table_and_figure(write_run: Callable[..., Any], tmp_path: Path) -> None:
    written = write_run(tmp_path, compared=True, figures="rendered", empty_shard=True)
    folder = tmp_path / "comparison"
    plain = dict.fromkeys(FEW_LABELS_COLUMNS)
    plain |= {"figure": "dice", "network": "unet_16", "method": "supervised", "labels": "masks", "label_fraction": 0.1}
    plain |= {"trainings": 2, "n": 40, "patients": 20, "patients_seen": 3, "value": 0.41, "steps": 300}
    plain |= {"labelled_patients": 52, "unlabelled_patients": 469}
    other = {**plain, "method": "mean_teacher", "labels": "boxes from small", "equal_steps": False}
    other |= {"against_supervised": 0.034, "against_supervised_low": 0.01, "against_supervised_high": 0.06}
    other |= {"supplementary": "copy_paste 0.3"}
    pd.DataFrame([plain, other]).to_csv(folder / "few_labels.csv", index=False)
    write_image(folder / "figures" / "few_labels.png", np.zeros((1, 1), dtype=np.uint8))
    drawing = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>'
    (folder / "figures" / "few_labels.svg").write_text(drawing, encoding="utf-8")
    output = tmp_path / "report.html"
    write_report(ReportSettings(overlays=0), written.cohort, folder, written.images, written.masks, output)
    page = re.sub(r'"data:[^"]+', '"', output.read_text(encoding="utf-8"))
    assert '<a href="#few-labels">' in page
    section = page[page.index('<section id="few-labels"') :]
    section = section[: section.index("</section>")]
    assert "mean teacher" in section
    assert "labels: boxes from small; supplementary data: copy_paste 0.3" in section
    assert "+0.034" in section or "0.034" in section
    assert "3 seen in training" in section
    assert "not those of supervised" in section
    assert '<span class="pill">phantom</span>' in section
    assert "<svg" in section
