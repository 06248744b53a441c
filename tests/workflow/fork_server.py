"""Runs Snakemake again and again: it is loaded once, and each run is a fork of this process.

A line on standard input is a JSON object with `folder`, `arguments` and `output`; the answer is the exit code. With
`python` the jobs of the run use that program in place of this interpreter.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2  # noqa: F401
import pydantic  # noqa: F401
import smart_open  # noqa: F401
import yaml
from snakemake import cli, workflow
from snakemake.executors import local, touch  # noqa: F401

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "src" / "mammoflow"
sys.path.insert(0, str(LIBRARY.parent))
mammoflow = importlib.import_module("mammoflow")
importlib.import_module("mammoflow.config.reading")  # the settings models, which no test of the workflow edits
sys.path.remove(str(LIBRARY.parent))
for name in [name for name in sys.modules if name.startswith("mammoflow.")]:
    if not name.startswith(("mammoflow.config", "mammoflow.errors")):
        del sys.modules[name]


def remembered_parse(parse: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that parses as `parse` does, and knows the result for every file of the library.

    A run reads the imports of all modules. The copies of a test have the same text, except where the test changes it.
    Of the functions only the imports are remembered.
    """
    known = {text: Shortened().visit(parse(text)) for text in (path.read_bytes() for path in LIBRARY.rglob("*.py"))}

    def parsed(source: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(source, bytes) and not arguments and not options and source in known:
            return known[source]
        return parse(source, *arguments, **options)

    return parsed


class Shortened(ast.NodeTransformer):
    """Leaves nothing of a function but its imports."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """Drop the other statements."""
        node.body = [part for part in ast.walk(node) if isinstance(part, ast.Import | ast.ImportFrom)]
        return node


def remembered_snakefiles(parse: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that translates rules as `parse` does, and knows the result for every file of the workflow."""
    place = "the path of the file"
    known = {}
    for file in [ROOT / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")]:
        path = SimpleNamespace(get_path_or_uri=lambda secret_free: place)
        workflow = SimpleNamespace(sourcecache=SimpleNamespace(open=lambda _, file=file: file.open(encoding="utf-8")))
        lines: dict[int, int] = {}
        code, rules = parse(path, workflow, lines)
        known[file.read_text(encoding="utf-8")] = code, rules, lines

    def parsed(path: Any, workflow: Any, linemap: dict[int, int], *arguments: Any, rulecount: int = 0) -> Any:
        with workflow.sourcecache.open(path) as file:
            text = file.read()
        if text not in known or arguments:
            return parse(path, workflow, linemap, *arguments, rulecount=rulecount)
        code, rules, lines = known[text]
        linemap |= lines
        return code.replace(repr(place), repr(path.get_path_or_uri(secret_free=True))), rulecount + rules

    return parsed


def quick_module(find: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that finds the module of a frame by its name; `find` goes through all modules each time.

    Pydantic asks for every model, to read the comments on its fields.
    """

    def found(item: Any, *arguments: Any) -> Any:
        if inspect.isframe(item) and item.f_globals.get("__name__") in sys.modules:
            return sys.modules[item.f_globals["__name__"]]
        return find(item, *arguments)

    return found


def run(folder: str, arguments: list[str], output: str, python: str | None = None) -> int:
    """Run Snakemake in a folder; what it prints goes to a file."""
    os.chdir(folder)
    mammoflow.__path__ = [str(Path(folder) / "src" / "mammoflow")]  # all that is not loaded comes from the folder
    sys.executable = python or sys.executable
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


cli.get_argument_parser()  # loads the plugins
yaml.FullLoader = yaml.CFullLoader  # type: ignore[misc]  # what Snakemake reads config.yaml with
ast.parse = remembered_parse(ast.parse)
workflow.parse = remembered_snakefiles(workflow.parse)
inspect.getmodule = quick_module(inspect.getmodule)
for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if child == 0:
        code = run(**request)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
