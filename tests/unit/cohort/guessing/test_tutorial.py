"""The table of the tutorial is recognised, and the page shows what `mammoflow init` writes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from click.testing import CliRunner

from mammoflow.cli import main

DOCS = Path(__file__).resolve().parents[4] / "docs"


def test_the_page_shows_the_configuration_that_init_writes(tmp_path: Path, monkeypatch) -> None:
    study = tmp_path / "results" / "phantom" / "study"
    study.mkdir(parents=True)
    (study / "cases.csv").write_bytes((DOCS / "tutorial" / "cases.csv").read_bytes())
    table = pd.read_csv(study / "cases.csv", sep=";")
    assert (len(table), table["Patient"].nunique()) == (20, 10)
    for name in [*table["Image file"], *table["Mask"]]:
        (study / name).parent.mkdir(parents=True, exist_ok=True)
        (study / name).touch()
    monkeypatch.chdir(tmp_path)
    arguments = ["init", "results/phantom/study/cases.csv", "--yes", "--out", "tutorial.yaml"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    page = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    shown = page.split("```yaml\n")[1].split("```")[0]
    written = (tmp_path / "tutorial.yaml").read_text(encoding="utf-8")
    assert shown == written.split("THIS_FILE\n")[1]
