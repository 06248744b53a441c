"""The store of arrays: whole entries whatever happens, and the commands that show, verify and prune it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from mammoflow.cli import main
from mammoflow.errors import StudyError
from mammoflow.storage.arrays import DAY_S, ArrayStore
from mammoflow.storage.content import damaged_entries, entries, to_prune, unfinished
from mammoflow.storage.files import text_digest

KEYS = [text_digest(str(number)) for number in range(4)]


def arrays(number: int) -> dict[str, np.ndarray]:
    return {"image": np.full((2, 3, 4), number, np.float16)}


@pytest.fixture
def store(tmp_path: Path) -> ArrayStore:
    """Two entries of `small`, one of `sam_vit_b`, and one from before entries said what they are about."""
    store = ArrayStore(tmp_path / "store")
    for number, model in enumerate(("small", "small", "sam_vit_b")):
        store.write(KEYS[number], arrays(number), {"kind": "image", "model": model, "image": f"digest {number}"})
    store.write(KEYS[3], arrays(3))
    path = store.path(KEYS[3])
    save_file(load_file(path), path)
    return store


def run(store: ArrayStore, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["store", arguments[0], "--store", str(store.root), *arguments[1:]])
    return result.exit_code, result.output


def flip(path: Path, where: int = -3) -> None:
    content = bytearray(path.read_bytes())
    content[where] ^= 0xFF
    path.write_bytes(bytes(content))


def unused_for(store: ArrayStore, key: str, days: float) -> None:
    then = time.time() - days * DAY_S
    os.utime(store.path(key), (then, then))


def test_an_entry_says_what_it_is_about_and_an_older_one_still_reads(store: ArrayStore) -> None:
    found = {entry.key: entry for entry in entries(store.root)}
    assert set(found) == set(KEYS)
    first = found[KEYS[0]]
    assert (first.kind, first.model, first.image, first.shapes) == ("image", "small", "digest 0", "image F16 2x3x4")
    assert first.created.startswith("20")
    assert found[KEYS[3]].model == "unknown"
    for number, key in enumerate(KEYS):
        read = store.read(key)
        assert read is not None
        np.testing.assert_array_equal(read["image"], arrays(number)["image"])
        assert read["image"].dtype == np.float16


@pytest.mark.parametrize("where", [-3, 200])
def test_a_damaged_entry_is_absent_listed_and_removable(store: ArrayStore, where: int) -> None:
    assert run(store, "verify")[0] == 0
    flip(store.path(KEYS[1]), where)
    store.path(KEYS[2]).write_bytes(b"torn")
    assert store.read(KEYS[1]) is None
    assert store.read(KEYS[2]) is None
    assert {entry.key for entry in damaged_entries(store.root)[0]} == {KEYS[1], KEYS[2]}
    code, printed = run(store, "verify")
    assert code == 1
    assert str(store.path(KEYS[1])) in printed
    assert "2 damaged entries" in printed
    code, printed = run(store, "verify", "--remove")
    assert code == 0
    assert not store.path(KEYS[1]).exists()
    assert {entry.key for entry in entries(store.root)} == {KEYS[0], KEYS[3]}
    assert run(store, "verify")[0] == 0


def test_verifying_is_no_use(store: ArrayStore) -> None:
    unused_for(store, KEYS[0], 40)
    assert damaged_entries(store.root) == ([], [])
    assert run(store, "verify")[0] == 0
    assert [entry.key for entry in to_prune(list(entries(store.root)), unused_days=30)] == [KEYS[0]]


def test_an_entry_that_cannot_be_read_is_not_damaged_and_stays(
    store: ArrayStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> dict[str, np.ndarray]:
        if path == str(store.path(KEYS[1])):
            raise PermissionError(13, "Permission denied")
        return load_file(path)

    monkeypatch.setattr("mammoflow.storage.arrays.load_file", refuse)
    flip(store.path(KEYS[2]))
    assert store.read(KEYS[1]) is None
    code, printed = run(store, "verify", "--remove")
    assert code == 1
    assert "1 damaged entries, removed" in printed
    assert f"{store.path(KEYS[1])}  cannot be read: [Errno 13] Permission denied" in printed
    assert "1 entries cannot be read" in printed
    assert {entry.key for entry in entries(store.root)} == {KEYS[0], KEYS[1], KEYS[3]}


def test_damage_in_any_byte_of_an_entry_is_noticed_or_harmless(store: ArrayStore) -> None:
    path = store.path(KEYS[0])
    whole = path.read_bytes()
    values = len(whole) - 8 - int.from_bytes(whole[:8], "little")
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x15]) + whole[position + 1 :])
        read = store.read(KEYS[0])
        if position >= len(whole) - values:
            assert read is None
        else:
            assert read is None or (read["image"] == arrays(0)["image"]).all()


def test_content_is_shown_by_model_and_kind(store: ArrayStore) -> None:
    code, printed = run(store, "show")
    assert code == 0
    lines = [line.split() for line in printed.splitlines()]
    assert ["small", "image", "image", "F16", "2x3x4", "2"] in [line[:6] for line in lines]
    assert ["sam_vit_b", "image", "image", "F16", "2x3x4", "1"] in [line[:6] for line in lines]
    assert "4 entries" in printed
    code, printed = run(ArrayStore(store.root / "absent"), "show")
    assert code == 1
    assert "does not exist" in printed


def test_pruning_counts_first_and_removes_when_told(store: ArrayStore) -> None:
    code, printed = run(store, "prune", "--model", "small")
    assert code == 0
    assert "2 of 4 entries" in printed
    assert "--yes" in printed
    assert len(list(entries(store.root))) == 4
    run(store, "prune", "--model", "small", "--yes")
    assert {entry.key for entry in entries(store.root)} == {KEYS[2], KEYS[3]}
    assert "no entries were asked for" in run(store, "prune", "--yes")[1]
    assert len(list(entries(store.root))) == 2


def test_pruning_by_last_use_and_to_a_size(store: ArrayStore) -> None:
    for days, key in zip((40, 10, 30, 20), KEYS, strict=True):
        unused_for(store, key, days)
    found = list(entries(store.root))
    size = next(entry.size for entry in found if entry.key == KEYS[0])
    assert [entry.key for entry in to_prune(found, unused_days=25)] == [KEYS[0], KEYS[2]]
    assert [entry.key for entry in to_prune(found, ["small"], unused_days=25)] == [KEYS[0]]
    kept = sum(entry.size for entry in found) - size
    assert [entry.key for entry in to_prune(found, most_bytes=kept)] == [KEYS[0]]
    assert [entry.key for entry in to_prune(found, most_bytes=kept - 1)] == [KEYS[0], KEYS[2]]
    assert [entry.key for entry in to_prune(found, ["sam_vit_b"], most_bytes=0)] == [KEYS[2]]
    assert to_prune(found, most_bytes=10**9) == []
    store.read(KEYS[0])  # what is read counts as used
    assert [entry.key for entry in to_prune(list(entries(store.root)), unused_days=25)] == [KEYS[2]]
    assert run(store, "prune", "--to-size", "1K", "--yes")[0] == 0
    assert sum(entry.size for entry in entries(store.root)) <= 1000
    assert run(store, "prune", "--to-size", "much")[0] == 2


def test_a_store_that_takes_no_entry_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "store"
    place.write_text("no folder", encoding="utf-8")
    with pytest.raises(StudyError, match=r"store \S+ cannot take an entry: .*store prune"):
        ArrayStore(place).write(KEYS[0], {"image": np.ones(3)})

    def full(*_: object, **__: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("mammoflow.storage.arrays.save_file", full)
    with pytest.raises(StudyError, match="the disk is full"):
        ArrayStore(tmp_path / "other").write(KEYS[0], {"image": np.ones(3)})
    assert not [path for path in (tmp_path / "other").rglob("*") if path.is_file()]


def test_half_written_files_of_killed_jobs_are_found_and_files_of_others_left_alone(store: ArrayStore) -> None:
    folder = store.path(KEYS[0]).parent
    old, fresh = folder / f".{KEYS[0]}-abc.safetensors", folder / f".{KEYS[0]}-def.safetensors"
    for path in (old, fresh, folder / "notes.safetensors", store.root / "README"):
        path.write_bytes(b"half")
    then = time.time() - 2 * DAY_S
    os.utime(old, (then, then))
    # what is gone when it is looked at, as where a job renames it meanwhile
    (folder / f".{KEYS[0]}-ghi.safetensors").symlink_to(folder / "gone")
    assert unfinished(store.root) == [old]
    assert "1 half written" in run(store, "show")[1]
    run(store, "prune", "--to-size", "0", "--yes")
    left = {path.name for path in store.root.rglob("*") if path.is_file()}
    assert left == {fresh.name, "notes.safetensors", "README"}


WRITER = """
import sys, time
import numpy as np
from pathlib import Path
from mammoflow.storage.arrays import ArrayStore
store, number = ArrayStore(Path(sys.argv[1])), int(sys.argv[2])
until = time.monotonic() + 1.5
while time.monotonic() < until:
    store.write(sys.argv[3], {"image": np.full(200_000, number, np.float16)}, {"model": str(number)})
"""


def test_two_processes_that_write_one_key_leave_whole_entries_at_every_moment(tmp_path: Path) -> None:
    store = ArrayStore(tmp_path)
    jobs = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(number), KEYS[0]]) for number in (1, 2)]
    seen: set[float] = set()
    began = False
    while any(job.poll() is None for job in jobs):
        read = store.read(KEYS[0])
        began |= read is not None
        if began:
            assert read is not None
            values = set(read["image"].tolist())
            assert len(values) == 1
            seen |= values
    assert all(job.returncode == 0 for job in jobs)
    assert seen == {1.0, 2.0}
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [f"{KEYS[0]}.safetensors"]
