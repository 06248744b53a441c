"""A file that cannot be written ends in one message, whichever library writes it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from safetensors import SafetensorError

from mammoflow.cli.group import StageCommand, Stages
from mammoflow.errors import StudyError
from mammoflow.evaluation.drawing import drawing
from mammoflow.storage import files
from mammoflow.storage.arrays import ArrayStore
from mammoflow.storage.files import read_image, write_image, write_text, writing
from mammoflow.storage.intermediate import mapped_array, temporary_folder
from mammoflow.storage.tensor_files import save_tensors
from mammoflow.storage.write_errors import WriteError, describe_os_error
from mammoflow.tables.files import write_csv
from mammoflow.training.state import write_kept

NOISE = np.random.default_rng(0).integers(0, 65535, (300, 300)).astype(np.uint16)
TABLE = pd.DataFrame(np.random.default_rng(0).random((4000, 8))).rename(columns=str)


def parquet(folder: Path) -> None:
    with writing(folder / "a.parquet") as temporary:
        TABLE.to_parquet(temporary)


def tensors(folder: Path) -> None:
    with writing(folder / "a.safetensors") as temporary:
        save_tensors(temporary, {"a": torch.rand(200, 300)}, {})


def figure(folder: Path) -> None:
    with drawing(folder / "a.png", 4) as drawn:
        drawn.add_subplot().imshow(NOISE)


WRITERS: dict[str, Callable[[Path], object]] = {
    "picture": lambda folder: write_image(folder / "a.png", NOISE),
    "feature table": parquet,
    "weights": tensors,
    "state of a training": lambda folder: write_kept(folder, {"a": torch.rand(200, 300)}),
    "csv": lambda folder: write_csv(folder / "a.csv", TABLE),
    "json": lambda folder: write_text(folder / "a.json", "x" * 200_000),
    "mapped array": lambda folder: mapped_array(folder / "a.npy", NOISE.shape, np.uint16),
    "store": lambda folder: ArrayStore(folder).write("ab" * 32, {"a": NOISE}),
    "figure": figure,
}


@pytest.fixture(scope="module")
def tiny_disk() -> Iterator[Path]:
    """A file system of 100 KiB."""
    folder = Path(tempfile.mkdtemp(prefix="mammoflow-tiny-"))
    try:
        if not shutil.which("mount") or os.geteuid():
            pytest.skip("only root can mount a small file system")
        command = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("this machine does not let root mount a tmpfs")
        yield folder
        subprocess.run(["umount", str(folder)], check=True)
    finally:
        folder.rmdir()


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_is_said_and_nothing_is_left(kind: str, tiny_disk: Path) -> None:
    with pytest.raises(StudyError, match=r"mammoflow-tiny-.*: the disk is full; .*room"):
        WRITERS[kind](tiny_disk)
    assert not [path for path in tiny_disk.rglob("*") if path.is_file()]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("moment", ["create", "sync", "rename"])
def test_each_fault_at_each_moment(number: int, moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "a.json", "earlier")

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    owner, name = {"create": (Path, "touch"), "sync": (os, "fsync"), "rename": (Path, "replace")}[moment]
    monkeypatch.setattr(owner, name, fail)
    with pytest.raises(WriteError, match=r"a\.json cannot be written: .*; .*\w") as caught:
        write_text(tmp_path / "a.json", "later")
    assert os.strerror(number) not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "earlier"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), "disk is full"),
        (OSError("[Errno 30] Error writing bytes to file"), "file system is read-only"),
        (OSError(errno.EACCES, "", b"/tmp/elsewhere/film.dcm"), ""),  # read while the file was written
        (RuntimeError("unexpected pos 704 vs 598"), ""),  # a disk with room: a defect, no fault of the disk
        (OSError("truncated"), ""),
    ],
)
def test_texts_of_libraries(error: Exception, words: str, tmp_path: Path) -> None:
    expected = WriteError if words else type(error)
    with pytest.raises(expected, match=words or None), writing(tmp_path / "a"):
        raise error


def refuse_room(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", refuse)


def test_a_mapped_array_has_its_room_before_anything_is_written_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped_array(tmp_path / "a.npy", (3, 100_000), np.uint16)
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= 600_000
    refuse_room(monkeypatch, errno.ENOSPC)
    with pytest.raises(WriteError, match=r"b\.npy cannot be written: the disk is full; .*make room"):
        mapped_array(tmp_path / "b.npy", (3, 100_000), np.uint16)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


def test_a_file_system_that_reserves_no_room_maps_arrays_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_room(monkeypatch, errno.EOPNOTSUPP)
    mapped_array(tmp_path / "a.npy", (2,), np.uint16)[:] = [5, 6]
    monkeypatch.delattr(os, "posix_fallocate")
    mapped_array(tmp_path / "b.npy", (2,), np.uint16)[:] = [7, 8]
    assert [np.load(tmp_path / name).tolist() for name in ("a.npy", "b.npy")] == [[5, 6], [7, 8]]


@pytest.mark.parametrize(
    ("inside", "number", "words"),
    [
        (True, errno.ENOSPC, "the disk is full; make room there, or let the environment variable TMPDIR name"),
        (True, errno.EIO, "the disk reported an error; check the disk"),
        (False, errno.ENOSPC, "the disk is full; nothing was replaced; make room"),
    ],
)
def test_a_full_temporary_folder_is_said_to_be_chosen_by_tmpdir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: bool, number: int, words: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    refuse_room(monkeypatch, number)
    with pytest.raises(WriteError, match=words), temporary_folder("mammoflow-test-") as folder:
        mapped_array((folder if inside else tmp_path) / "a.npy", (2,), np.uint16)
    assert list(tmp_path.iterdir()) == []


def test_files_keep_the_mode_of_the_umask_while_other_threads_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    umask, waiting = os.umask, ["b.json"]

    def interrupted(mode: int) -> int:
        """Another thread writes its file right after this call."""
        before = umask(mode)
        while waiting:
            write_text(tmp_path / waiting.pop(), "{}")
        return before

    before = umask(0o027)
    try:
        monkeypatch.setattr(os, "umask", interrupted)
        write_text(tmp_path / "a.json", "{}")
    finally:
        umask(before)
    assert {oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()} == {"0o640"}


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(WriteError, match=r"a file is where a folder was expected; remove or rename"):
        write_text(tmp_path / "results/run/a.json", "{}")


def test_pictures_are_those_of_opencv(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", NOISE)
    cv2.imwrite(str(tmp_path / "b.png"), NOISE, files.PNG_OPTIONS)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), NOISE)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "/data/film.dcm"),
            "'/data/film.dcm' cannot be read or wri",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), "a file failed: the disk is full; nothing was replaced"),
        (MemoryError(), "the memory is not enough"),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
            "out of memory in this job: CUDA out",
        ),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "lower its batch size or"),
        (BrokenProcessPool("a child process terminated abruptly"), "a process of this job was killed"),
    ],
)
def test_what_no_stage_expected_is_one_message(error: Exception, words: str) -> None:
    result = CliRunner().invoke(_command_that_raises(error), ["features"])
    assert result.exit_code == 1
    assert result.output.startswith("mammoflow features: ")
    assert words in result.output
    assert "Traceback" not in result.output


def test_a_defect_is_no_message() -> None:
    defect = FileNotFoundError(errno.ENOENT, "No such file", "/forgotten")
    assert describe_os_error(defect) == ""
    for error in (defect, RuntimeError("shapes do not fit")):
        assert CliRunner().invoke(_command_that_raises(error), ["features"]).exception is error


def _command_that_raises(error: Exception) -> Stages:
    def fail() -> None:
        raise error

    return Stages(commands={"features": StageCommand("features", callback=fail)})
