from __future__ import annotations

import base64
from pathlib import Path

import pandas as pd
import pytest

from mammoflow.report import exports
from mammoflow.report.content import Tables
from mammoflow.report.exports import latex, row_marks, table_file, write_tables

TABLE = pd.DataFrame(
    {
        "model": ["net_a", "Gabor features"],
        "n": [40, 38],
        "auc": [0.81234, None],
        "auc_low": [0.7, None],
        "auc_high": [0.9, None],
        "empty": [None, None],
        "seen_test_patients": [3, 0],
        "note": ["phantom; 50 % of a_b", "phantom; oracle: uses the reference"],
    }
)


def test_latex_has_values_with_intervals_and_every_mark() -> None:
    text = latex("comparison", TABLE, {"net_a": "Net A & B"})
    assert text.startswith("% comparison.csv of mammoflow")
    assert "\\toprule" in text
    assert "\\caption{Comparison (phantom)." in text
    rows = [line for line in text.splitlines() if line.endswith("\\\\") and "&" in line]
    assert "Net A \\& B & test patients seen & 40 & 0.812 (0.700 to 0.900) \\\\" in rows
    assert "Gabor features & oracle: uses the reference & 38 &  \\\\" in rows
    assert "Empty" not in text
    assert "% note: phantom; oracle: uses the reference" in text


def test_marks_of_rows() -> None:
    assert row_marks({"note": "", "mark": "oracle", "patients_seen": 2}) == ("oracle", "test patients seen")
    assert row_marks({"note": None, "seen_test_patients": None}) == ()
    assert row_marks({"split": "test", "patients_seen": 2}) == ("test patients seen",)
    assert row_marks({"split": "all", "patients_seen": 2}) == ()
    assert row_marks({"note": "foreign predictions, training patients unknown"}) == (
        "foreign predictions, training patients unknown",
    )


def test_tables_are_written_as_parquet_and_short_ones_as_latex(tmp_path: Path) -> None:
    comparison, output = tmp_path / "comparison", tmp_path / "tables"
    comparison.mkdir()
    TABLE.to_csv(comparison / "short.csv", index=False)
    pd.DataFrame({"a": range(exports.LONGEST_LATEX + 1)}).to_csv(comparison / "long.csv", index=False)
    (comparison / "nothing.csv").write_text("", encoding="utf-8")
    write_tables(comparison, output, {})
    assert {path.name for path in output.iterdir()} == {"short.parquet", "short.tex", "long.parquet"}
    back = pd.read_parquet(output / "short.parquet")
    assert back["auc"].iloc[0] == pytest.approx(0.81234)


def test_a_table_is_inside_the_page_unless_it_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "comparison" / "comparison.csv"
    path.parent.mkdir()
    path.write_text("a\n1\n", encoding="utf-8")
    found = table_file(path.parent, "comparison")
    assert found is not None
    assert (found.name, found.path) == ("comparison.csv", "comparison/comparison.csv")
    assert base64.b64decode(str(found.uri).split(",")[1]) == b"a\n1\n"
    assert table_file(path.parent, "absent") is None
    monkeypatch.setattr(exports, "LARGEST_IN_PAGE", 2)
    large = table_file(path.parent, "comparison")
    assert large is not None
    assert large.uri is None


@pytest.mark.parametrize("made", ["{:04d}", "12345678901234567{:04d}", "NA{:d}"])
def test_ids_and_names_stay_text(made: str, tmp_path: Path) -> None:
    ids = [made.format(number) for number in range(3)]
    table = {"patient_id": ids, "lesion_id": ids, "model": ["7", "NA", "net"], "fold": [0, None, 1], "note": None}
    pd.DataFrame(table).to_csv(tmp_path / "predictions.csv", index=False)
    listed = {"model": ["tool"] * 3, "key": ["patient_id"] * 3, "value": ids, "row": ["2", "", "3"]}
    pd.DataFrame(listed).to_csv(tmp_path / "foreign_unmatched.csv", index=False)
    pd.DataFrame({"value": [0.5, None]}).to_csv(tmp_path / "ablation.csv", index=False)
    write_tables(tmp_path, tmp_path / "tables", {})
    for name in ("patient_id", "lesion_id", "model"):
        assert pd.read_parquet(tmp_path / "tables" / "predictions.parquet")[name].tolist() == table[name]
    rows = Tables(tmp_path).rows("predictions")
    assert [row["lesion_id"] for row in rows] == ids
    assert [(row["model"], row["fold"], row["note"]) for row in rows] == [
        ("7", 0, None),
        ("NA", None, None),
        ("net", 1, None),
    ]
    assert [row["value"] for row in Tables(tmp_path).rows("foreign_unmatched")] == ids
    assert [row["row"] for row in Tables(tmp_path).rows("foreign_unmatched")] == ["2", None, "3"]
    assert [row["value"] for row in Tables(tmp_path).rows("ablation")] == [0.5, None]


def test_ids_of_a_large_table_have_one_type(tmp_path: Path) -> None:
    ids = [str(number) for number in range(300_000)] + ["K1"]
    pd.DataFrame({"patient_id": ids, "other": ids}).to_csv(tmp_path / "predictions.csv", index=False)
    write_tables(tmp_path, tmp_path / "tables", {})
    written = pd.read_parquet(tmp_path / "tables" / "predictions.parquet")
    assert written["patient_id"].tolist() == written["other"].tolist() == ids
