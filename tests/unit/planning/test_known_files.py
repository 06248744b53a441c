"""A file keeps its mark as long as its content stays the same, and gets another one as soon as it does not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from mammoflow.planning import known_files
from mammoflow.planning.known_files import ABSENT, KnownFiles, study_files
from mammoflow.storage.file_states import READ_FILES, read_file_record, write_read_files


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose large files are those of more than 8 bytes; no file counts as young."""
    monkeypatch.setattr(known_files, "LARGEST_SMALL_FILE", 8)
    monkeypatch.setattr(known_files, "YOUNG_S", -1.0)
    return tmp_path / "run"


def mark(run: Path, path: Path, by_content: bool = False, small: bool = False) -> str:
    """Return the mark that a new process gives, as each start of Snakemake is one."""
    known = KnownFiles(run, by_content)
    answer = known.mark("S", path.name, path, small)
    known.save()
    return answer


def read_by_a_job(run: Path, path: Path, shard: str = "00") -> None:
    record = read_file_record(path)
    assert record is not None
    write_read_files(run / "images" / shard, {"S": {path.name: record}})


SMALL, LARGE = b"mask", b"a film of many bytes"


@pytest.mark.parametrize("content", [SMALL, LARGE])
def test_a_file_changed_in_place_has_another_mark(run: Path, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "1.dcm"
    file.write_bytes(content)
    first = mark(run, file)
    assert mark(run, file) == first
    file.write_bytes(content[::-1])
    assert mark(run, file) != first


@pytest.mark.parametrize("content", [SMALL, LARGE])
def test_an_older_file_of_the_same_size_in_its_place_has_another_mark(
    run: Path, tmp_path: Path, content: bytes
) -> None:
    file, other = tmp_path / "1.dcm", tmp_path / "other.dcm"
    other.write_bytes(content[::-1])
    os.utime(other, (1, 1))
    file.write_bytes(content)
    first = mark(run, file)
    shutil.copy2(other, file)
    assert mark(run, file) != first


@pytest.mark.parametrize("content", [SMALL, LARGE])
def test_another_content_under_the_same_size_and_time_has_another_mark(
    run: Path, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "1.dcm"
    file.write_bytes(content)
    first, status = mark(run, file), file.stat()
    file.write_bytes(content[::-1])
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_mtime_ns == status.st_mtime_ns
    assert mark(run, file) != first


def test_a_touched_small_file_keeps_its_mark(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "mask.png"
    file.write_bytes(SMALL)
    first = mark(run, file)
    os.utime(file, (1, 1))
    assert mark(run, file) == first
    shutil.rmtree(run)
    assert mark(run, file) == first, "also where what was known is lost"


def test_a_touched_film_keeps_its_mark_once_a_job_has_read_it(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "1.dcm"
    file.write_bytes(LARGE)
    first = mark(run, file)
    read_by_a_job(run, file)
    assert mark(run, file) == first
    for seconds in (1, 2):
        os.utime(file, (seconds, seconds))
        assert mark(run, file) == first
    file.write_bytes(LARGE[::-1])
    changed = mark(run, file)
    assert changed != first
    os.utime(file, (3, 3))
    assert mark(run, file) == changed, "the content of the changed film is known now too"


def test_a_copied_film_keeps_its_mark_and_a_copy_of_another_film_does_not(run: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    film = tmp_path / "one" / "1.dcm"
    film.write_bytes(LARGE)
    first = mark(run, film)
    read_by_a_job(run, film)
    copy = shutil.copy(film, tmp_path / "other" / "1.dcm")
    assert mark(run, copy) == first
    copy.write_bytes(LARGE[::-1])
    assert mark(run, copy) != first


def test_a_film_that_was_replaced_while_its_job_began_is_read_again(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "1.dcm"
    file.write_bytes(LARGE)
    before = mark(run, file)
    file.write_bytes(LARGE[::-1])
    read_by_a_job(run, file)
    assert mark(run, file) != before
    file.write_bytes(LARGE)
    assert mark(run, file) != before or file.read_bytes() == LARGE


def test_a_film_that_no_job_has_read_is_read_again_after_a_touch(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "1.dcm"
    file.write_bytes(LARGE)
    first = mark(run, file)
    os.utime(file, (1, 1))
    assert mark(run, file) != first


def test_every_file_is_read_where_times_tell_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "1.dcm"
    file.write_bytes(LARGE)
    by_times = mark(run, file)
    assert mark(run, file, by_content=True) == by_times, "the setting alone changes no mark"
    state = known_files.FileState.of(file.stat())
    file.write_bytes(LARGE[::-1])
    monkeypatch.setattr(known_files.FileState, "of", lambda _: state)
    assert mark(run, file) == by_times
    changed = mark(run, file, by_content=True)
    assert changed != by_times
    file.write_bytes(LARGE[::-1] + b"")
    assert mark(run, file, by_content=True) == changed


def test_a_table_counts_by_its_content_whatever_its_size(run: Path, tmp_path: Path) -> None:
    table = tmp_path / "cases.csv"
    table.write_bytes(LARGE)
    first = mark(run, table, small=True)
    os.utime(table, (1, 1))
    assert mark(run, table, small=True) == first


def test_a_file_that_was_just_written_is_looked_at_again(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_files, "YOUNG_S", 1e9)
    file = tmp_path / "mask.png"
    file.write_bytes(SMALL)
    first, state = mark(run, file), known_files.FileState.of(file.stat())
    file.write_bytes(SMALL[::-1])
    monkeypatch.setattr(known_files.FileState, "of", lambda _: state)
    assert mark(run, file) != first


def test_absent_files_and_a_damaged_list(run: Path, tmp_path: Path) -> None:
    assert mark(run, tmp_path / "nowhere.dcm") == ABSENT
    file = tmp_path / "mask.png"
    file.write_bytes(SMALL)
    first = mark(run, file)
    (run / known_files.FILE_NAME).write_text('{"S\\nmask.png": [1, "x"]}')
    (run / "images/00").mkdir(parents=True)
    (run / "images/00" / READ_FILES).write_text("[]")
    assert mark(run, file) == first


def test_nothing_is_written_where_nothing_is_new(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "1.dcm"
    file.write_bytes(LARGE)
    mark(run, file)
    os.utime(run / known_files.FILE_NAME, (1, 1))
    mark(run, file)
    assert (run / known_files.FILE_NAME).stat().st_mtime == 1


def test_files_of_a_study_with_links_and_unreadable_places(tmp_path: Path) -> None:
    study, elsewhere = tmp_path / "study", tmp_path / "elsewhere"
    (study / "case").mkdir(parents=True)
    elsewhere.mkdir()
    (study / "case/1.dcm").write_bytes(b"film")
    (elsewhere / "2.dcm").write_bytes(b"film")
    (study / "back").symlink_to(study)
    (study / "linked").symlink_to(elsewhere)
    (study / "dangling.dcm").symlink_to(tmp_path / "nowhere")
    files = study_files(study)
    assert {"case/1.dcm", "linked/2.dcm", "dangling.dcm"} <= set(files)
    assert len(files) < 8, "a link to the folder itself ends"
    assert study_files(tmp_path / "nowhere") == [""]
