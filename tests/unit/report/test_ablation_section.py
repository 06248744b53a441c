"""The report's sections on ablations and on transfer between data sets."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.config.evaluation import ReportSettings
from mammoflow.evaluation.ablation import ABLATION_COLUMNS
from mammoflow.evaluation.transfer import TRANSFER_COLUMNS
from mammoflow.report.stage import write_report


def test_the_sections_show_differences_and_marks(write_run: Callable[..., Any], tmp_path: Path) -> None:
    written = write_run(tmp_path, compared=True, figures="rendered", empty_shard=True)
    folder = tmp_path / "comparison"
    unchanged = dict.fromkeys(ABLATION_COLUMNS) | {"base": "unet", "change": "unchanged", "model": "unet"}
    unchanged |= {"figure": "dice", "prompts": "every image", "n": 40, "patients": 20, "patients_seen": 0, "seeds": 1}
    unchanged |= {"value": 0.5, "value_low": 0.4, "value_high": 0.6}
    changed = {**unchanged, "change": "bce", "model": "unet-bce", "patients_seen": 3, "training_seconds": 12.0}
    changed |= {"difference": -0.034, "difference_low": -0.06, "difference_high": -0.01}
    pd.DataFrame([unchanged, changed]).to_csv(folder / "ablation.csv", index=False)
    first = dict.fromkeys(TRANSFER_COLUMNS) | {"model": "unet", "trained_on": "North", "in_training": True, "n": 40}
    first |= {"data_set": "North", "prompts": "every image", "dice": 0.612, "patients": 20, "patients_seen": 0}
    further = {**first, "model": "further", "started_from": "unet", "in_training": False, "difference_to_start": -0.2}
    pd.DataFrame([first, further]).to_csv(folder / "transfer.csv", index=False)
    output = tmp_path / "report.html"
    write_report(ReportSettings(overlays=0), written.cohort, folder, written.images, written.masks, output)
    page = re.sub(r'"data:[^"]+', '"', output.read_text(encoding="utf-8"))
    sections = {name: page[page.index(f'<section id="{name}"') :] for name in ("ablation", "transfer")}
    ablation, transfer = (text[: text.index("</section>")] for text in sections.values())
    assert "0.034" in ablation
    assert "unchanged" in ablation
    assert '<span class="pill">test patients seen</span>' in ablation
    assert "0.612" in transfer
    assert "0.200" in transfer
    assert "North" in transfer
    assert '<a href="#transfer">' in page
