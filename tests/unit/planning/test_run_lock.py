"""One run at a time works in a run's folder."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mammoflow.errors import StudyError
from mammoflow.planning.run_lock import FILE_NAME, check_free, release, take

ELSEWHERE = {"host": "another-node", "process": 1, "begun": 5, "started": "2026-01-01T00:00:00+00:00"}


def hold(run: Path, **changes: object) -> None:
    """Write that a process works in a folder."""
    run.mkdir(exist_ok=True)
    (run / FILE_NAME).write_text(json.dumps({**ELSEWHERE, **changes}))


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """Another process of this machine."""
    process = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.communicate()


def begun(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19])


def test_a_run_takes_a_folder_and_releases_it(tmp_path: Path) -> None:
    take(tmp_path / "run")
    content = json.loads((tmp_path / "run" / FILE_NAME).read_text())
    assert (content["host"], content["process"]) == (platform.node(), os.getpid())
    check_free(tmp_path / "run")
    take(tmp_path / "run")
    release(tmp_path / "run")
    assert not (tmp_path / "run" / FILE_NAME).exists()
    release(tmp_path / "run")


def test_a_living_process_keeps_others_out(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    hold(tmp_path, host=platform.node(), process=other.pid, begun=begun(other.pid))
    with pytest.raises(StudyError, match=rf"process {other.pid} on .*Wait for its end.*remove .*{FILE_NAME}"):
        take(tmp_path)
    release(tmp_path)
    assert (tmp_path / FILE_NAME).exists(), "only its holder releases a folder"


def test_a_process_that_has_ended_keeps_nobody_out(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    hold(tmp_path, host=platform.node(), process=other.pid, begun=begun(other.pid) - 1)  # its number was given again
    take(tmp_path)
    hold(tmp_path, host=platform.node(), process=2**22 + 1)  # above the largest number of a process
    take(tmp_path)


def test_nothing_is_known_of_a_process_of_another_machine(tmp_path: Path) -> None:
    hold(tmp_path)
    with pytest.raises(StudyError, match=r"process 1 on another-node, started 2026-01-01"):
        check_free(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": "a"}', '{"host": 1, "process": "x", "begun": 0}'])
def test_a_damaged_file_keeps_nobody_out(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    take(tmp_path)
    assert json.loads((tmp_path / FILE_NAME).read_text())["process"] == os.getpid()
