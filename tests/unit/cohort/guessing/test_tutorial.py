"""The table of the tutorial is recognised, and the page shows what `mammoflow init` writes."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pandas as pd
from click.testing import CliRunner

from mammoflow.cli import main

DOCS = Path(__file__).resolve().parents[4] / "docs"


def test_the_page_shows_the_configuration_that_init_writes(tmp_path: Path, monkeypatch) -> None:
    study = tmp_path / "results" / "phantom" / "study"
    table = pd.read_csv(DOCS / "tutorial" / "cases.csv", sep=";")
    assert (len(table), table["Patient"].nunique()) == (20, 10)
    for name in [*table["Image file"], *table["Mask"]]:
        (study / name).parent.mkdir(parents=True, exist_ok=True)
        (study / name).touch()
    shutil.copytree(DOCS / "tutorial", tmp_path / "docs" / "tutorial")
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    before = sorted(study.rglob("*"))
    for command in re.findall(r"^    ((?:mkdir|cp) .+)$", page, flags=re.MULTILINE):
        subprocess.run(shlex.split(command), check=True)
    assert sorted(study.rglob("*")) == before, "the phantom stage refuses to change a study with a file of others"
    (arguments,) = re.findall(r"^    mammoflow (init .+)$", page, flags=re.MULTILINE)
    result = CliRunner().invoke(main, shlex.split(arguments))
    assert result.exit_code == 0, result.output
    shown = page.split("```yaml\n")[1].split("```")[0]
    written = (tmp_path / "tutorial.yaml").read_text(encoding="utf-8")
    assert shown == written.split("THIS_FILE\n")[1]
