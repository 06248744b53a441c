"""Files that change in place are read again, by the jobs that read them, however a run was interrupted in between."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.long(90)

OVERLAY = """
cohort:
  more_datasets:
    - reader: table
      name: Second
      folder: second
      tables: [cases.csv]
      options: {joins: [{table: more.csv, column: image}]}
  split: {method: leave_one_source_out, test_source: Second}
prompts: {readers: [{name: A, table: boxes.csv}]}
segmentation: {run: [mine], default_model: mine, models: {mine: {architecture: small, weights: model.safetensors}}}
"""
SHARDS = {"00": ["film_0.dcm", "mask_0.png"], "01": ["film_1.dcm", "contours_1.xml"]}
FILES = ["boxes.csv", "model.safetensors", "second/cases.csv", "second/more.csv"]
FILES += [f"second/{name}" for names in SHARDS.values() for name in names]


def rewrite(project: Project, name: str) -> None:
    """Give a file another content of the same size, and a time before that of every result."""
    path = project.root / name
    path.write_text(path.read_text(encoding="utf-8").swapcase(), encoding="utf-8")
    os.utime(path, (1e9, 1e9))


def kill(project: Project, stage: str, arguments: tuple[str, ...]) -> None:
    """Run Snakemake and kill the first jobs of a stage when they have written their results."""
    (project.root / f"interrupt-{stage}").touch()
    project.snakemake(*arguments, check=False)
    (project.root / f"interrupt-{stage}").unlink()


def shards(printed: str) -> set[str]:
    """Return the shards of images that a run made."""
    return set(re.findall(r"output: \S*images/(\d\d)/images.parquet", printed))


def test_what_changed_in_place_is_read_again_and_nothing_else(project: Project) -> None:
    root = project.root
    (root / "second").mkdir()
    for name in FILES:
        (root / name).write_text(f"content of {name}", encoding="utf-8")
    (root / "listed.json").write_text(json.dumps(SHARDS), encoding="utf-8")
    (root / "overlay.yaml").write_text(OVERLAY, encoding="utf-8")
    arguments = ("--configfile", str(root / "overlay.yaml"))
    segment = (*arguments, "--", "segment")
    project.snakemake(*segment)

    # A film and a contour file change before a run that makes the cohort alone.
    rewrite(project, "second/film_0.dcm")
    rewrite(project, "second/contours_1.xml")
    project.snakemake(*arguments, "--", "cohort")
    assert project.planned(*segment)["images_shard"] == 2

    # The run is killed while the images are made, and the contour file gets its first content again.
    kill(project, "images", segment)
    rewrite(project, "second/contours_1.xml")
    assert shards(project.snakemake(*segment)) == {"00", "01"}

    # The mask changes, and the run is killed while the cohort is made: only its shard is made again.
    rewrite(project, "second/mask_0.png")
    kill(project, "cohort", segment)
    printed = project.snakemake(*segment)
    assert "checkpoint cohort:" in printed
    assert shards(printed) == {"00"}

    # The run is killed in one stage after the other: what was made of the mask is made again up to the last stage.
    rewrite(project, "second/mask_0.png")
    rerun = {"prompts_shard": 1, "segment_shard": 1, "segment": 1}
    kill(project, "images", segment)
    assert project.planned(*segment) == {"images_shard": 1, **rerun}
    kill(project, "prompts", segment)
    assert project.planned(*segment) == rerun
    project.snakemake(*segment)

    # Weights, boxes of readers, and tables.
    rewrite(project, "model.safetensors")
    assert project.planned(*segment) == {"segment_shard": 2, "segment": 1}
    rewrite(project, "boxes.csv")
    assert project.planned(*segment) == {"prompts_shard": 2, "segment_shard": 2, "segment": 1}
    rewrite(project, "second/more.csv")
    assert project.planned(*segment)["cohort"] == 1
    for name in ("model.safetensors", "boxes.csv", "second/more.csv"):
        rewrite(project, name)
    for name in FILES:
        (root / name).touch()
    assert project.planned(*segment) == {}, "every file has its content of before"


def test_a_result_that_was_made_again_with_an_earlier_time_is_read_again(project: Project) -> None:
    project.snakemake()  # sees the times of all results
    film = project.root / "results/phantom/images/00/images.parquet"
    film.write_text("made again after the clock was set back, by a run that was killed then", encoding="utf-8")
    os.utime(film, (1e9, 1e9))
    planned = project.planned()
    assert {"prompts_shard", "segment_shard", "features_shard", "train_classifier", "compare", "report"} <= set(planned)
    assert "images_shard" not in planned


# Snakemake runs a rule with Python in it in a process of its own, as it runs every job of a cluster.
SPAWNED = """

rule half_saved:
    output:
        f"{RUN}/spawned/saved",
    shell:
        "echo 'run: [' | tee config.yaml overlay.yaml > {output:q}"


rule spawned:
    input:
        rules.half_saved.output,
    output:
        f"{RUN}/spawned/read.json",
    run:
        Path(output[0]).write_text(CONFIG.model_dump_json())
"""


def test_a_job_has_the_configuration_of_the_start_of_its_run(project: Project) -> None:
    root = project.root
    with (root / "Snakefile").open("a", encoding="utf-8") as snakefile:
        snakefile.write(SPAWNED)
    (root / "overlay.yaml").write_text("run: second\nreport: {title: At the start}\n", encoding="utf-8")
    (root / "more.yaml").write_text("cohort: {split: {seed: 5}}\n", encoding="utf-8")
    overlays = ("--configfile", str(root / "overlay.yaml"), str(root / "more.yaml"))
    project.snakemake("spawned", *overlays, "--config", "cohort={shards: 3}", "prompts={margins_mm: [0.0, 10.0]}")
    run = root / "results" / "second"
    read = json.loads((run / "spawned" / "read.json").read_text(encoding="utf-8"))
    assert (read["run"], read["report"]["title"], read["prompts"]["margins_mm"]) == ("second", "At the start", [0, 10])
    assert (read["cohort"]["split"]["seed"], read["cohort"]["shards"]) == (5, 3)
    assert "title: At the start" in (run / "settings" / "report.yaml").read_text(encoding="utf-8")
    assert read == json.loads((run / "run.json").read_text(encoding="utf-8"))["values"]
    assert "configuration.yaml" not in (run / "sha256sums.txt").read_text(encoding="utf-8")
