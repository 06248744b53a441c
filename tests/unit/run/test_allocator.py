from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

CYCLES = """
import resource
from mammoflow.run.allocator import keep_freed_memory
if {kept}:
    keep_freed_memory()
def cycle():
    return [b"x" * 2**24 for _ in range(4)]
cycle()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    cycle()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(kept: bool, **variables: str) -> int:
    """Return the page faults of taking and freeing four blocks of 16 MiB five times in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")} | variables
    command = [sys.executable, "-c", CYCLES.format(kept=kept)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_freed_blocks_are_kept_unless_the_environment_says_otherwise() -> None:
    given_back = page_faults(kept=False)
    assert page_faults(kept=True) < 0.05 * given_back
    assert page_faults(kept=True, MALLOC_TRIM_THRESHOLD_="131072") > 0.5 * given_back
