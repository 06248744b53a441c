"""Several studies in one run: each folder is checked, and each table is an input of the cohort."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.long(5)

OVERLAY = """
cohort:
  more_datasets:
    - reader: table
      name: Second
      folder: second
      tables: [cases.csv]
      options: {joins: [{table: more.csv, column: image}]}
  split: {method: leave_one_source_out, test_source: Second}
"""


def test_a_further_study_is_an_input_of_the_cohort(project: Project) -> None:
    overlay = project.root / "overlay.yaml"
    overlay.write_text(OVERLAY, encoding="utf-8")
    arguments = ("--configfile", str(overlay), "--", "cohort")
    printed = project.snakemake(*arguments, check=False)
    assert "cohort.more_datasets.0.folder: found 'second', which is no folder" in printed
    study = project.root / "second"
    study.mkdir()
    (study / "cases.csv").write_text("image\n", encoding="utf-8")
    printed = project.snakemake(*arguments, check=False)
    assert "cohort.more_datasets.0.options: found 'more.csv'" in printed
    (study / "more.csv").write_text("image\n", encoding="utf-8")
    project.snakemake(*arguments)
    assert project.planned(*arguments) == {}
    (study / "more.csv").write_text("pixel\n", encoding="utf-8")
    assert project.planned(*arguments)["cohort"] == 1
    (study / "more.csv").write_text("image\n", encoding="utf-8")
    assert project.planned(*arguments) == {}
    (study / "film.png").write_text("another film", encoding="utf-8")
    assert project.planned(*arguments)["cohort"] == 1
