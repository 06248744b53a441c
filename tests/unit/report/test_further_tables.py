"""The sections behind the headline: tests of interaction once each, and the comparison of two protocols."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from mammoflow.config.evaluation import PROTOCOL_TABLE, ReportSettings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError
from mammoflow.evaluation.protocols import COLUMNS
from mammoflow.planning.foreign import check_foreign, protocol_files
from mammoflow.report.content import Tables
from mammoflow.report.further_tables import SHOWN, further_values, interaction_rows
from mammoflow.report.page import number, render


def test_each_test_of_interaction_is_shown_once_with_the_lesions_of_all_groups() -> None:
    test = {"grouping": "view", "model": "net", "interaction_p": 0.04, "interaction_q": 0.2}
    rows = [{**test, "group": "CC", "n": 20, "n_malignant": 8}, {**test, "group": "MLO", "n": 22, "n_malignant": 9}]
    rows.append({**test, "grouping": "size", "interaction_p": None, "n": 5, "n_malignant": 1})
    found = interaction_rows(rows)
    assert [(row["grouping"], row["model"], row["n"], row["n_malignant"]) for row in found] == [("view", "net", 42, 17)]
    assert rows[0]["n"] == 20


def test_the_page_shows_the_price_of_a_leak_with_the_floor_and_the_marks(tmp_path: Path) -> None:
    values = {
        "model": "net", "title": "Network", "family": "classifier", "first_run": "published", "second_run": "clean",
        "first_split": "by_image", "second_split": "random", "first_leaking": True, "second_leaking": False,
        "first_oracle": True, "second_oracle": False, "first_n": 40, "second_n": 30, "first_n_malignant": 20,
        "second_n_malignant": 15, "first_patients": 25, "second_patients": 16, "first_auc": 0.9, "second_auc": 0.8,
        "first_identity_auc": 0.88, "second_identity_auc": 0.5, "price_auc": 0.1, "price_auc_low": 0.02,
        "price_auc_high": 0.18, "shared_lesions": 12, "shared_patients": 8, "first_note": "leaking split; phantom",
    }  # fmt: skip
    pd.DataFrame([values], columns=COLUMNS).to_csv(tmp_path / PROTOCOL_TABLE, index=False)
    for name in SHOWN:
        (tmp_path / f"{name}.csv").write_text("", encoding="utf-8")
    found = further_values(ReportSettings(protocols=str(tmp_path)), Tables(tmp_path), [])
    page = render(found, "protocols.html.j2")
    assert "by image split <span" in page
    assert page.count('<span class="pill">oracle</span>') == 1
    assert page.count('<span class="pill">phantom</span>') == 1
    for shown in ("0.880", "+0.100", "0.02–0.18", "8 patients"):
        assert shown in page
    assert not further_values(ReportSettings(), Tables(tmp_path), [])["protocols"]


def test_a_folder_without_the_comparison_of_protocols_stops_before_the_first_job(tmp_path: Path) -> None:
    config = StudyConfig.model_validate({"report": {"protocols": str(tmp_path)}})
    with pytest.raises(ConfigError, match=r"report\.protocols: found .* which has no protocol_comparison\.csv"):
        check_foreign(config)
    (tmp_path / PROTOCOL_TABLE).write_text("model\n", encoding="utf-8")
    check_foreign(config)
    assert protocol_files(config) == [str(tmp_path / PROTOCOL_TABLE)]


def test_a_number_that_rounds_to_nothing_has_no_sign() -> None:
    assert [number(value) for value in (-0.0002, -0.002, 0.0)] == ["0.000", "−0.002", "0.000"]
