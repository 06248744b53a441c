"""Workers that die, hang, or need too much; the functions come from the standard library, so workers can find them."""

from __future__ import annotations

import math
import operator
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mammoflow.run.workers import Lost, WorkerError, map_isolated
from mammoflow.storage.files import write_text
from mammoflow.storage.write_errors import WriteError

MEMORY = 2**30


def run(function: Any, items: list[Any], workers: int = 2, limit_s: float = 60.0) -> dict[int, Any]:
    return dict(map_isolated(function, items, workers, limit_s, MEMORY, preload="cv2"))


def test_every_item_is_answered_under_its_index() -> None:
    assert run(math.sqrt, [0.0, 1.0, 4.0, 9.0, 16.0]) == {0: 0.0, 1: 1.0, 2: 2.0, 3: 3.0, 4: 4.0}
    assert run(math.sqrt, []) == {}


def test_a_worker_that_dies_costs_its_item_alone() -> None:
    answers = run(operator.methodcaller("__call__"), [os.getpid, os.abort, os.getpid, os.abort, os.getpid], workers=1)
    assert [isinstance(answers[index], int) for index in range(5)] == [True, False, True, False, True]
    assert answers[1] == Lost("ended its process with exit code -6")


def test_a_worker_that_hangs_is_stopped() -> None:
    start = time.monotonic()
    answers = run(time.sleep, [0.0, 600.0, 0.0], limit_s=2.0)
    assert time.monotonic() - start < 30
    assert answers == {0: None, 1: Lost("took longer than 2 s"), 2: None}


def test_a_worker_that_needs_too_much_memory_says_so() -> None:
    answers = run(operator.length_hint, [b"", b"1"]) | run(bytes, [10, 4 * MEMORY])
    assert answers == {0: bytes(10), 1: Lost("needs more than 1.0 GiB of memory")}


def test_a_script_without_a_guard_of_its_main_part_runs_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    lines = (
        "import math",
        "from mammoflow.run.workers import map_isolated",
        'print(sorted(map_isolated(math.sqrt, [1.0, 4.0], 2, 60.0, 2**30, preload="cv2")))',
    )
    script.write_text("\n".join(lines), encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[(0, 1.0), (1, 2.0)]\n"), done.stderr


def test_a_file_that_a_worker_cannot_write_is_one_message(tmp_path: Path) -> None:
    folder = tmp_path / "file"
    folder.write_text("a file")
    with pytest.raises(WriteError, match=r"a\.json cannot be written: a file is where a folder was expected") as caught:
        run(partial(write_text, folder / "a.json"), ["{}"])
    assert caught.value.path == folder / "a.json"


def test_a_defect_is_raised_with_its_traceback() -> None:
    with pytest.raises(WorkerError, match="math domain error"):
        run(math.sqrt, [1.0, -1.0])
