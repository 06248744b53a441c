"""The choice of a device: one GPU for each process, shared only where all are taken."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mammoflow.errors import ConfigError
from mammoflow.run import runtime
from mammoflow.run.runtime import choose_device

HOLD = (
    "import fcntl, sys; file = open(sys.argv[1]); fcntl.flock(file, fcntl.LOCK_EX); print('held', flush=True); input()"
)


class Gpus:
    """What torch says about the GPUs of a machine: their free memory, and which one was made the current one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: list[int]) -> None:
        self.free, self.current, self.asked = free, -1, 0
        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(free))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(free))
        monkeypatch.setattr(torch.cuda, "mem_get_info", self.memory)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda gpu: SimpleNamespace(uuid=f"gpu-{gpu}"))
        monkeypatch.setattr(torch.cuda, "set_device", self.select)

    def memory(self, gpu: int) -> tuple[int, int]:
        self.asked += 1
        return self.free[gpu], 100

    def select(self, device: torch.device) -> None:
        assert device.index is not None
        self.current = device.index


@pytest.fixture(autouse=True)
def _own_locks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Keep the locks in the folder of the test; this process has taken no GPU."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    runtime._take_gpu.cache_clear()
    yield
    runtime._take_gpu.cache_clear()


def choose_in_another_process() -> torch.device:
    """Choose as a process that has taken none; its lock stays, since the descriptor stays open."""
    runtime._take_gpu.cache_clear()
    return choose_device("auto")


@pytest.mark.parametrize(
    ("name", "gpus", "device"), [("auto", [], "cpu"), ("cpu", [5, 5], "cpu"), ("cuda", [5], "cuda")]
)
def test_nothing_is_taken_where_there_is_nothing_to_choose(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, gpus: list[int], device: str
) -> None:
    Gpus(monkeypatch, gpus)
    assert choose_device(name) == torch.device(device)
    assert list(tmp_path.iterdir()) == []


def test_cuda_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Gpus(monkeypatch, [])
    with pytest.raises(ConfigError, match="device is cuda, but torch finds no usable GPU"):
        choose_device("cuda")


def test_each_process_takes_a_gpu_of_its_own_and_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = Gpus(monkeypatch, [1, 9, 5])
    assert choose_device("cuda") == torch.device("cuda", 0)
    assert choose_device("auto") == torch.device("cuda", 0)
    assert [choose_in_another_process().index for _ in range(2)] == [1, 2]
    assert gpus.current == 2
    assert gpus.asked == 0


def test_where_all_are_taken_the_one_with_the_most_free_memory_is_shared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Gpus(monkeypatch, [1, 9, 5])
    chosen = [choose_in_another_process().index for _ in range(4)]
    assert chosen == [0, 1, 2, 1]
    assert "all 3 GPUs are taken by other jobs; this one shares GPU 1" in capsys.readouterr().err


def test_a_gpu_is_free_again_when_the_process_that_took_it_is_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Gpus(monkeypatch, [5, 5])
    choose_device("auto")
    locks = list(tmp_path.iterdir())
    other = tmp_path / locks[0].name.replace("gpu-0", "gpu-1")
    other.touch()
    with subprocess.Popen([sys.executable, "-c", HOLD, str(other)], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert not runtime._lock(other)
        process.kill()
    assert choose_in_another_process() == torch.device("cuda", 1)
