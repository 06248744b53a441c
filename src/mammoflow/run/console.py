"""What a command says on the console while it works: how much, and as a bar on a terminal or as lines in a log."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Literal, TypeVar

Item = TypeVar("Item")
Verbosity = Literal["quiet", "normal", "verbose"]

VARIABLE = "MAMMOFLOW_VERBOSITY"
"""Environment variable that hands the verbosity on to the processes that a command starts."""

LINE_EVERY_S = 5.0
"""Seconds between two lines of progress in a log."""

BAR_EVERY_S = 0.1

_bar_is_shown = False


def set_verbosity(verbosity: Verbosity) -> None:
    """Set how much this process and those that it starts say."""
    os.environ[VARIABLE] = verbosity


def verbosity() -> Verbosity:
    """Return how much this process says."""
    found = os.environ.get(VARIABLE)
    return "quiet" if found == "quiet" else "verbose" if found == "verbose" else "normal"


def say(text: str) -> None:
    """Write a line to standard error, unless the command is quiet."""
    if verbosity() != "quiet":
        print(text, file=sys.stderr, flush=True)


def show_progress(items: Iterable[Item], label: str, total: int | None, every_s: float | None = None) -> Iterator[Item]:
    """Yield items, and show how many are done and the time left: a bar on a terminal, lines everywhere else.

    Parameters
    ----------
    items
        What is worked on.
    label
        What the bar or the lines call it.
    total
        Number of items; None where nobody knows.
    every_s
        Seconds between two lines; None takes 5, or 1 where the command is verbose.
    """
    if verbosity() == "quiet":
        yield from items
    elif sys.stderr.isatty() and not _bar_is_shown:
        yield from _bar(items, label, total)
    else:
        usual = 1.0 if verbosity() == "verbose" else LINE_EVERY_S
        yield from _lines(items, label, total, usual if every_s is None else every_s)


def _bar(items: Iterable[Item], label: str, total: int | None) -> Iterator[Item]:
    """Show a bar, which goes away at the end. Inside it, further progress is shown as lines: one bar fits a terminal.

    The bar has no thread of its own, so that processes can be forked while it is shown.
    """
    global _bar_is_shown
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), auto_refresh=False, transient=True)
    _bar_is_shown, shown_at = True, 0.0
    try:
        with bar:
            task = bar.add_task(label.replace("[", r"\["), total=total)
            for item in items:
                yield item
                bar.advance(task)
                if time.monotonic() - shown_at >= BAR_EVERY_S:
                    bar.refresh()
                    shown_at = time.monotonic()
    finally:
        _bar_is_shown = False


def _lines(items: Iterable[Item], label: str, total: int | None, every_s: float) -> Iterator[Item]:
    """Write a line at most every `every_s` seconds, so that a log file stays short."""
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= every_s or (done == total and now - start >= every_s):
            last = now
            left = f", {(now - start) / done * (total - done):.0f} s left" if total else ""
            say(f"{label}: {done} of {total if total else '?'}, {now - start:.0f} s{left}")
