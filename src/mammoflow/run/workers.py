"""Work on files that may be damaged or hostile, in separate processes that may crash.

Image decoders are native code: a damaged file can crash the process, make it hang or use up the memory. Each worker is
a process with a memory limit, and each item has a deadline. When a worker is lost, only its current item is lost.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import resource
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Generic, TypeVar

from mammoflow.errors import MammoflowError

Item = TypeVar("Item")
Result = TypeVar("Result")

# The standard library checks all child processes where it starts or ends one, and is not safe for two threads there.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Lost:
    """An item whose worker died, ran out of memory or out of time; the text says which."""

    detail: str


class WorkerError(Exception):
    """A worker failed because of a defect of the program; the message is its traceback."""


@dataclass
class _Worker(Generic[Item]):
    process: BaseProcess
    connection: Connection
    index: int
    deadline: float


def map_isolated(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    limit_s: float,
    memory_bytes: int,
    preload: str,
) -> Iterator[tuple[int, Result | Lost]]:
    """Apply a function to items in separate processes; yield (index, result) in the order in which they finish.

    Several threads may call it at the same time.

    Parameters
    ----------
    function
        A function at the top level of a module that is imported. It, its items and its results must be picklable.
    items
        What the function is applied to.
    workers
        Processes at a time.
    limit_s
        Seconds that one item may take.
    memory_bytes
        Memory for data that a worker may hold.
    preload
        Module that the fork server imports once for all workers. Modules of earlier calls in this process stay loaded.

    Raises
    ------
    MammoflowError
        If the function raised one, for example because the disk is full.
    WorkerError
        If it raised anything else, which is a defect of the program.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cv2", preload])
    waiting = list(range(len(items)))[::-1]
    active: list[_Worker[Item]] = []
    try:
        while waiting or active:
            while waiting and len(active) < max(1, workers):
                active.append(_start(context, function, memory_bytes, items, waiting.pop(), limit_s))
            for worker in _ready(active):
                result = _collect(worker, limit_s)
                yield worker.index, result
                reusable = not isinstance(result, Lost)
                if reusable and waiting:
                    _give(worker, items, waiting.pop(), limit_s)
                    continue
                _stop(worker)
                active.remove(worker)
    finally:
        for worker in active:
            _stop(worker)


def _start(
    context: ForkServerContext,
    function: Callable[[Item], Result],
    memory_bytes: int,
    items: Sequence[Item],
    index: int,
    limit_s: float,
) -> _Worker[Item]:
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(function, there, memory_bytes), daemon=True)
    with _ONE_AT_A_TIME, _without_main():
        process.start()
    there.close()
    worker: _Worker[Item] = _Worker(process, here, index, 0.0)
    _give(worker, items, index, limit_s)
    return worker


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Hide the main module: each worker would run it, and a script of a user would start its work again there."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _give(worker: _Worker[Item], items: Sequence[Item], index: int, limit_s: float) -> None:
    worker.index, worker.deadline = index, time.monotonic() + limit_s
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # `_collect` notices a dead worker
        worker.connection.send(items[index])


def _ready(active: list[_Worker[Item]]) -> list[_Worker[Item]]:
    """Wait until a worker answers, dies or passes its deadline."""
    timeout = max(0.0, min(worker.deadline for worker in active) - time.monotonic())
    answering = wait([worker.connection for worker in active], timeout)
    now = time.monotonic()
    return [worker for worker in active if worker.connection in answering or now >= worker.deadline]


def _collect(worker: _Worker[Item], limit_s: float) -> Result | Lost:
    if not worker.connection.poll():
        return Lost(f"took longer than {limit_s:.0f} s")
    try:
        answer: Result | Lost | Exception = worker.connection.recv()
    except (EOFError, ConnectionResetError):
        with _ONE_AT_A_TIME:
            worker.process.join()
        return Lost(f"ended its process with exit code {worker.process.exitcode}")
    if isinstance(answer, Exception):
        raise answer
    return answer


def _stop(worker: _Worker[Item]) -> None:
    worker.connection.close()
    with _ONE_AT_A_TIME:
        worker.process.kill()
        worker.process.join()


def _work(function: Callable[[Item], Result], connection: Connection, memory_bytes: int) -> None:
    """Answer items until the connection closes."""
    import cv2

    cv2.setNumThreads(1)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    while True:
        try:
            item = connection.recv()
        except (EOFError, KeyboardInterrupt):
            return
        connection.send(_answer(function, item, memory_bytes))


def _answer(function: Callable[[Item], Result], item: Item, memory_bytes: int) -> Result | Lost | Exception:
    try:
        return function(item)
    except MemoryError:
        return Lost(f"needs more than {memory_bytes / 2**30:.1f} GiB of memory")
    except MammoflowError as error:
        return error
    except Exception:
        return WorkerError(traceback.format_exc())
