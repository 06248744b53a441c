"""SIGTERM during a training: the step is finished, the last epoch's state is kept, the process ends with 143."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any, Self

EXIT_CODE = 128 + signal.SIGTERM


class Terminated(Exception):
    """SIGTERM has asked the process to end."""


class Termination:
    """Notes SIGTERM between `__enter__` and `__exit__`, where it would end the process at once.

    Outside the main thread, where no handler can be set, SIGTERM keeps its effect.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL if self._before is None else self._before)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True

    def check(self) -> None:
        """Raise `Terminated` where SIGTERM came."""
        if self.requested:
            raise Terminated


def end_process(label: str, epoch: int, cause: BaseException) -> None:
    """Say that the same command continues and end the process.

    Raises
    ------
    SystemExit
        With code 143, as a process that SIGTERM ends.
    """
    print(
        f"training {label} stopped by SIGTERM after epoch {epoch}; the same command continues from there",
        file=sys.stderr,
        flush=True,
    )
    raise SystemExit(EXIT_CODE) from cause
