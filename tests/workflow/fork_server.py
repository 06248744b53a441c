"""Runs Snakemake again and again: it is loaded once, and each run is a fork of this process.

A line on standard input is a JSON object with `folder`, `arguments` and `output`; the answer is the exit code.
"""

from __future__ import annotations

import json
import os
import sys
import traceback

from snakemake import cli
from snakemake.executors import local, touch  # noqa: F401


def run(folder: str, arguments: list[str], output: str) -> int:
    """Run Snakemake in a folder; what it prints goes to a file."""
    os.chdir(folder)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = ["snakemake", *arguments]
    try:
        cli.main(arguments)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if child == 0:
        code = run(request["folder"], request["arguments"], request["output"])
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
