"""The choice of a device, seeds, and progress lines, each in one place for all stages."""

from __future__ import annotations

import fcntl
import os
import random
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from mammoflow.errors import ConfigError
from mammoflow.run.console import show_progress

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")


def choose_device(name: str) -> torch.device:
    """Turn `auto`, `cpu` or `cuda` into a torch device; of several GPUs this process gets one for itself.

    Raises
    ------
    ConfigError
        If `cuda` is asked for and there is no usable GPU.
    """
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is cuda, but torch finds no usable GPU; set device to auto or cpu")
    use_gpu = name == "cuda" or (name == "auto" and torch.cuda.is_available())
    if not use_gpu or torch.cuda.device_count() == 1:
        return torch.device("cuda" if use_gpu else "cpu")
    device = torch.device("cuda", _take_gpu())
    torch.cuda.set_device(device)
    return device


@cache
def _take_gpu() -> int:
    """Take a GPU that no other process of this user has taken, or else the one with the most free memory.

    Neither Snakemake nor torch divides the GPUs of a machine among jobs. A process holds a lock on a file of its GPU
    until it ends, and the system releases it however the process ends. Asking for free memory takes memory on each GPU,
    so that is done only where all of them are taken.
    """
    import torch

    gpus = range(torch.cuda.device_count())
    for gpu in gpus:
        uuid = torch.cuda.get_device_properties(gpu).uuid
        if _lock(Path(tempfile.gettempdir()) / f"mammoflow-{os.getuid()}-{uuid}.lock"):
            return gpu
    roomiest = max(gpus, key=lambda gpu: torch.cuda.mem_get_info(gpu)[0])
    print(
        f"all {len(gpus)} GPUs are taken by other jobs; this one shares GPU {roomiest}, which has the most free "
        "memory. Limit the jobs with `--resources gpu=`",
        file=sys.stderr,
        flush=True,
    )
    return roomiest


def _lock(path: Path) -> bool:
    """Lock a file until this process ends; return False where another process has locked it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True


def has_native_bf16(device: torch.device) -> bool:
    """Tell whether a device has instructions for bfloat16 matrix products and does not emulate them.

    A CPU has them with AVX512-BF16 or AMX, a GPU from compute capability 8.0.
    """
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def set_threads(threads: int) -> None:
    """Limit torch and OpenCV to the threads that the workflow gave this job."""
    import cv2
    import torch

    torch.set_num_threads(max(1, threads))
    cv2.setNumThreads(max(1, threads))


def seed_everything(seed: int) -> np.random.Generator:
    """Seed random, torch and NumPy's global state, which libraries use; return a generator with the same seed."""
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)
    return np.random.default_rng(seed)


@contextmanager
def deterministic() -> Iterator[None]:
    """Let torch choose deterministic algorithms where it has them, and say where it has none."""
    import torch

    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def available_cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def progress(
    items: Iterable[Item], label: str, total: int | None = None, every_s: float | None = None
) -> Iterator[Item]:
    """Yield items, and show on standard error how many are done and the time left; see `run.console`.

    On a terminal it is a bar. In a log it is a line at most every five seconds, or every `every_s` seconds.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    return show_progress(items, label, total, every_s)
