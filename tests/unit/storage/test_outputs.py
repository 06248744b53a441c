"""Nothing that a person wrote is removed or replaced: folders and files of results are recognised, others refused."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from mammoflow.errors import ConfigError, StudyError
from mammoflow.storage.files import writing
from mammoflow.storage.outputs import (
    MARKER,
    begin_files,
    claim_file,
    claim_folder,
    is_in_run,
    is_same,
    is_within,
    remove_unfinished,
)


def write(path: Path, text: str = "mine") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder of a run of the workflow."""
    write(tmp_path / "results/r/settings/cohort.yaml")
    return tmp_path / "results/r"


def test_new_and_empty_folders_and_those_of_the_stage_are_taken(tmp_path: Path) -> None:
    for folder in (tmp_path / "new", tmp_path / "empty"):
        (folder if folder.name == "empty" else tmp_path).mkdir(exist_ok=True)
        claim_folder(folder, "audit")
        write(folder / "audit.json")
        claim_folder(folder, "audit")
    (tmp_path / "empty_folders/inside").mkdir(parents=True)
    claim_folder(tmp_path / "empty_folders", "cohort")


@pytest.mark.parametrize("inside", ["cases.csv", "image/0.png", ".hidden", "a/b/c.dcm"])
def test_a_folder_with_files_of_a_person_is_refused(tmp_path: Path, inside: str) -> None:
    file = write(tmp_path / "study" / inside)
    with pytest.raises(ConfigError, match=r"holds files that mammoflow did not write.*nothing was changed"):
        claim_folder(tmp_path / "study", "images")
    assert file.read_text() == "mine"
    assert not (tmp_path / "study" / MARKER).exists()


def test_a_folder_that_holds_a_dangling_link_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study/film.dcm").symlink_to(tmp_path / "unmounted/film.dcm")
    with pytest.raises(ConfigError):
        claim_folder(tmp_path / "study", "images")


def test_a_study_is_refused_by_any_way_that_leads_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = write(tmp_path / "study/cases.csv").parent
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to(study)
    monkeypatch.chdir(tmp_path / "other")
    for way in (tmp_path / "link", Path("../study"), tmp_path / "other/../study", Path("../link/.")):
        with pytest.raises(ConfigError):
            claim_folder(way, "images")


def test_results_of_another_stage_are_refused_also_in_a_run(results: Path) -> None:
    claim_folder(results / "audit", "audit")
    with pytest.raises(ConfigError, match="results of `mammoflow audit`; expected a folder of `mammoflow compare`"):
        claim_folder(results / "audit", "compare")


def test_a_folder_of_a_run_without_a_marker_is_taken(results: Path) -> None:
    write(results / "comparison/roc.png")
    claim_folder(results / "comparison", "compare")
    assert is_in_run(results / "comparison/figures")
    assert not is_in_run(results)


def test_tables_pages_and_records_of_the_stage_are_replaced_and_other_files_are_not(
    tmp_path: Path, results: Path
) -> None:
    ours, theirs = tmp_path / "ours.parquet", tmp_path / "theirs.parquet"
    pd.DataFrame({"prompt_id": ["a"], "lesion_id": ["b"]}).to_parquet(ours)
    pd.DataFrame({"lesion_id": ["b"], "y0": [1]}).to_parquet(theirs)
    columns = ["prompt_id", "lesion_id"]
    claim_file(ours, "prompts", columns)
    claim_file(tmp_path / "new.parquet", "prompts", columns)
    claim_file(write(results / "prompts/00.parquet"), "prompts", columns)
    for file in (theirs, write(tmp_path / "cases.csv")):
        with pytest.raises(ConfigError, match="was not written by `mammoflow prompts`"):
            claim_file(file, "prompts", columns)
    claim_file(write(tmp_path / "report.html", '<meta name="generator" content="mammoflow 1">'), "report")
    claim_file(write(tmp_path / "w.json", json.dumps({"m": {"sha256": "", "licence": ""}})), "prefetch")
    with pytest.raises(ConfigError):
        claim_file(write(tmp_path / "page.html", "<html>mammoflow</html>"), "report")


def test_a_csv_of_the_stage_is_replaced_and_another_is_not(tmp_path: Path) -> None:
    columns = ["family", "feature", "icc"]
    for text in ("family,feature,icc\nshape,area,.9\n", '\ufeff"feature",family,icc,n\r\n', "icc,family,feature"):
        claim_file(write(tmp_path / "ours.csv", text), "stability", columns)
    for text in ("lesion_id,icc\nfamily,feature\n", "", "family;feature;icc\n"):
        with pytest.raises(ConfigError, match="was not written by `mammoflow stability`"):
            claim_file(write(tmp_path / "theirs.csv", text), "stability", columns)
    (tmp_path / "theirs.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError):
        claim_file(tmp_path / "theirs.csv", "stability", columns)


def test_files_of_an_earlier_run_are_removed_and_no_others(tmp_path: Path) -> None:
    folder = tmp_path / "00"
    begin_files(folder, ["mask/a.png", "mask/b.png"])
    for name in ("mask/a.png", "mask/b.png", "mask/mine.png", "notes.txt", "mask/.b-abcdefg1.png", "mask/.mine-1.png"):
        write(folder / name)
    begin_files(folder, ["mask/b.png", "mask/c.png"])
    left = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert left == {MARKER, "mask/mine.png", "notes.txt", "mask/.mine-1.png"}
    assert json.loads((folder / MARKER).read_text())["files"] == ["mask/b.png", "mask/c.png"]


def test_a_file_that_no_earlier_run_wrote_is_not_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    files = [write(folder / name) for name in ("image/a.png", "image/b.png")]
    with pytest.raises(StudyError, match=r"image/a\.png exists and was not written by an earlier run"):
        begin_files(folder, ["image/c.png", "image/a.png"], ["image"])
    assert all(file.read_text() == "mine" for file in files)
    begin_files(folder, ["image/c.png"], ["image"])
    assert all(file.read_text() == "mine" for file in files)


def test_a_run_that_was_killed_between_two_runs_knows_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "00"
    begin_files(folder, ["mask/a.png"])
    write(folder / "mask/a.png")
    begin_files(folder, ["mask/b.png"])  # and killed before anything was written
    write(folder / "mask/b.png")
    begin_files(folder, ["mask/a.png"])
    assert not (folder / "mask/b.png").exists()


def test_pictures_of_a_run_without_a_note_are_those_of_an_earlier_version(results: Path) -> None:
    shard = results / "images/00"
    write(shard / "mask/old.png")
    write(shard / "mask/new.png")
    begin_files(shard, ["mask/new.png"], ["mask"])
    assert not list(shard.glob("mask/*"))


def test_half_written_files(tmp_path: Path) -> None:
    for name in (".a-abcd1234.png", ".a-abcd1234.txt", ".other-abcd1234.png", "a-abcd1234.png"):
        write(tmp_path / "mask" / name)
    remove_unfinished(tmp_path, ["mask/a.png"])
    assert not (tmp_path / "mask/.a-abcd1234.png").exists()
    assert len(list((tmp_path / "mask").iterdir())) == 3


def test_the_name_that_a_killed_process_leaves_is_known(tmp_path: Path) -> None:
    with writing(tmp_path / "mask/a.png") as temporary:
        temporary.write_bytes(b"whole")
    left = write(temporary, "half")
    remove_unfinished(tmp_path, ["mask/b.png"])
    assert left.exists()
    remove_unfinished(tmp_path, ["mask/a.png"])
    assert [path.name for path in (tmp_path / "mask").iterdir()] == ["a.png"]


def test_places_are_compared_through_links_and_dots(tmp_path: Path) -> None:
    study = tmp_path / "study"
    (study / "films").mkdir(parents=True)
    (tmp_path / "link").symlink_to(study)
    assert is_within(study, study)
    assert is_within(tmp_path / "link/results/r", study)
    assert is_within(study / "films/../x", tmp_path / "link")
    assert not is_within(tmp_path / "study2", study)
    assert not is_within(study / "../results", study)
    assert is_same(tmp_path / "link", study)
    assert not is_same(tmp_path / "nowhere", study)
    assert is_same(tmp_path / "nowhere", tmp_path / "films/../nowhere")
