"""Fingerprints of a whole study, of a shard and of given files: what each input changes, and what it leaves alone."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mammoflow.config.base import validate_settings
from mammoflow.config.study import StudyConfig
from mammoflow.planning.fingerprints import Fingerprints
from mammoflow.storage.file_states import READ_FILES

FILES = {
    "cases.csv": "image,mask\n",
    "more.csv": "image,birads\n",
    "films/0.dcm": "film 0",
    "films/1.dcm": "film 1",
    "masks/0.png": "mask 0",
    "contours/1.xml": "<contours/>",
    "unused/raw.dcm": "raw",
}
SHARDS = {"00": ["films/0.dcm", "masks/0.png"], "01": ["contours/1.xml", "films/1.dcm"]}


class Study:
    """A study of two shards, a reader's table and a weights file."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / "study"
        for name, text in FILES.items():
            self.write(name, text)
        (root / "boxes.csv").write_text("lesion_id\n")
        (root / "model.pt").write_text("weights")
        for shard, names in SHARDS.items():
            place = root / "results/r/cohort/shards" / shard
            place.mkdir(parents=True)
            (place / READ_FILES).write_text(json.dumps({"S": names}))

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def config(self, folder: Path | None = None, **more: object) -> StudyConfig:
        dataset = {
            "reader": "table",
            "name": "S",
            "folder": str(folder or self.folder),
            "tables": ["cases.csv"],
            "options": {"joins": [{"table": "more.csv", "column": "image"}]},
            **more,
        }
        values = {"results": str(self.root / "results"), "run": "r", "cohort": {"dataset": dataset}}
        return validate_settings(StudyConfig, values, "the test")

    def state(self, folder: Path | None = None) -> dict[str, str]:
        """Return every fingerprint, as a new start of Snakemake has it."""
        found = Fingerprints(self.config(folder))
        shards = {shard: found.of_shard(shard) for shard in SHARDS}
        given = {name: found.of_given([str(self.root / name)]) for name in ("boxes.csv", "model.pt")}
        return {"cohort": found.of_cohort(), **shards, **given}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("study/films/0.dcm", {"cohort", "00"}),
        ("study/masks/0.png", {"cohort", "00"}),
        ("study/contours/1.xml", {"cohort", "01"}),
        ("study/cases.csv", {"cohort"}),
        ("study/more.csv", {"cohort"}),
        ("study/unused/raw.dcm", {"cohort"}),
        ("boxes.csv", {"boxes.csv"}),
        ("model.pt", {"model.pt"}),
    ],
)
@pytest.mark.parametrize("keeps_time", [False, True])
def test_each_input_changed_in_place_changes_the_fingerprints_of_what_reads_it(
    study: Study, name: str, changed: set[str], keeps_time: bool
) -> None:
    before, path = study.state(), study.root / name
    status, text = path.stat(), path.read_text()
    path.write_text(text.swapcase() if text.swapcase() != text else text[::-1])
    if keeps_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    after = study.state()
    assert {key for key in after if after[key] != before[key]} == changed
    assert study.state() == after
    path.write_text(text)
    assert study.state() == before, "the old content is the old fingerprint"


def test_touching_everything_changes_nothing(study: Study) -> None:
    before = study.state()
    for path in study.root.rglob("*"):
        os.utime(path, (1, 1))
    assert study.state() == before


def test_a_moved_study_has_the_same_fingerprints(study: Study) -> None:
    before = study.state()
    moved = shutil.copytree(study.folder, study.root / "copy", copy_function=shutil.copy)
    assert study.state(moved) == before
    (moved / "films/0.dcm").write_text("FILM 0")
    assert study.state(moved)["00"] != before["00"]


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "films/2.dcm").write_text("film"),
        lambda folder: (folder / "films/0.dcm").unlink(),
        lambda folder: (folder / "films/0.dcm").rename(folder / "films/9.dcm"),
        lambda folder: (folder / "films/2.dcm").symlink_to(folder / "nowhere.dcm"),
    ],
)
def test_files_that_come_and_go(study: Study, change: Callable[[Path], object]) -> None:
    before = study.state()["cohort"]
    change(study.folder)
    assert study.state()["cohort"] != before


def test_a_link_follows_what_it_leads_to(study: Study) -> None:
    target = study.root / "elsewhere.dcm"
    target.write_text("film")
    (study.folder / "films/0.dcm").unlink()
    (study.folder / "films/0.dcm").symlink_to(target)
    before = study.state()
    target.write_text("mlif")
    after = study.state()
    assert {key for key in after if after[key] != before[key]} == {"cohort", "00"}


def test_before_there_is_a_cohort_and_for_files_that_the_run_makes(study: Study) -> None:
    found = Fingerprints(study.config())
    assert found.of_shard("02") == ""
    (study.root / "results/r/cohort/shards/00" / READ_FILES).write_text("damaged")
    assert found.of_shard("00") == ""
    made = study.root / "results/r/segmentation_models/mine/model.safetensors"
    assert found.is_made(str(made))
    assert not found.is_made(str(study.root / "model.pt"))
    assert found.of_given([str(made)]) == found.of_given([])


def rows_of(root: Path, **dataset: object) -> str:
    """Return the fingerprint of the rows of a study, as a new start of Snakemake has it."""
    values = {"results": str(root / "results"), "run": "r", "cohort": {"dataset": dataset}}
    return Fingerprints(validate_settings(StudyConfig, values, "the test")).of_rows()


@pytest.mark.parametrize(
    ("reader", "file"),
    [
        ("cbis-ddsm", "mass_case_description_train_set.csv"),
        ("vindr-mammo", "breast-level_annotations.csv"),
        ("inbreast", "release/INbreast.csv"),
        ("inbreast", "release/AllXML/1.xml"),
    ],
)
def test_a_usual_table_or_an_annotation_changes_the_fingerprint_of_the_rows(
    study: Study, reader: str, file: str
) -> None:
    study.write(file, "before")
    dataset = {"reader": reader, "folder": str(study.folder), "malignant_from_birads": 4}
    before = rows_of(study.root, **dataset)
    assert rows_of(study.root, **dataset) == before
    study.write(file, "after")
    assert rows_of(study.root, **dataset) != before


def test_rows_of_named_tables_do_not_depend_on_films_and_those_of_phantoms_on_no_file(study: Study) -> None:
    key = study.root / "key"
    key.write_text("a secret of at least 16 bytes")
    dataset = {"reader": "table", "folder": str(study.folder), "tables": ["cases.csv"], "anonymous_ids": str(key)}
    before, phantom = rows_of(study.root, **dataset), rows_of(study.root)
    study.write("films/0.dcm", "FILM 0")
    (study.root / "results/r/study").mkdir()
    (study.root / "results/r/study/manifest.csv").write_text("made")
    assert (rows_of(study.root, **dataset), rows_of(study.root)) == (before, phantom)
    study.write("cases.csv", "image,MASK\n")
    table = rows_of(study.root, **dataset)
    key.write_text("another secret of 16 bytes")
    assert len({before, table, rows_of(study.root, **dataset)}) == 3


def test_the_record_beside_weights_belongs_to_their_fingerprint(study: Study) -> None:
    def found() -> str:
        return study.state()["model.pt"]

    record, absent = study.root / "record.json", found()
    record.write_text(json.dumps({"patients": ["S/P1"]}))
    first = found()
    record.write_text(json.dumps({"patients": ["S/P2"]}))
    assert len({absent, first, found()}) == 3
    record.unlink()
    assert found() == absent


def test_another_key_of_ids_changes_the_fingerprint_of_the_cohort(study: Study) -> None:
    key = study.root / "key"
    key.write_text("a secret of at least 16 bytes")
    config = study.config(anonymous_ids=str(key))
    before = Fingerprints(config).of_cohort()
    assert Fingerprints(config).of_cohort() == before != study.state()["cohort"]
    key.write_text("A SECRET OF AT LEAST 16 BYTES")
    assert Fingerprints(config).of_cohort() != before


def test_names_that_are_no_text_have_a_fingerprint(study: Study) -> None:
    before = study.state()["cohort"]
    try:
        Path(os.fsdecode(bytes(study.folder) + b"/\xff.dcm")).write_text("film")
    except OSError:
        pytest.skip("this file system takes text alone")
    assert study.state()["cohort"] != before


def test_a_large_study_is_looked_at_quickly(study: Study) -> None:
    import time

    for number in range(1000):
        study.write(f"films/many/{number}.dcm", "film")
    study.state()
    start = time.process_time()
    study.state()
    assert time.process_time() - start < 0.5
