"""No code reads a file in a way that could execute what the file carries, and damage is handled in one place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "mammoflow"
EXECUTING_MODULES = {"cPickle", "cloudpickle", "code", "dill", "joblib", "jsonpickle", "marshal", "pickle", "shelve"}
EXECUTING_CALLS = {"eval", "exec", "compile", "read_pickle", "full_load", "unsafe_load", "load_all", "system", "popen"}
SAFE_LOADERS = {"_Loader", "_FastLoader", "SafeLoader", "CSafeLoader"}
ALLOWED_MODULES = {
    ("weights/checkpoint.py", "pickle"): "the error that torch raises where weights carry code",
    ("training/state.py", "pickle"): "the error that torch raises for a damaged state",
}
READS_TABLES = {"tables/files.py", "cohort/table_files.py", "cohort/download/series.py", "report/content.py"}
"""Modules that call `read_parquet` or `read_csv` of pandas; each turns the errors into messages."""
OF_INTEREST = re.compile(
    rf"import ({'|'.join(EXECUTING_MODULES)})|from ({'|'.join(EXECUTING_MODULES)})|pickle|"
    rf"(?<![.\w])({'|'.join(EXECUTING_CALLS)})\(|(pd|pandas|yaml|os|builtins)\.({'|'.join(EXECUTING_CALLS)})|"
    r"(torch|np|numpy|yaml)\.load|shell|trust_remote_code|pd\.read_(csv|parquet)"
)
"""What a module has to contain to be parsed here: parsing all of them takes seconds."""


def found_in(tree: ast.AST, name: str) -> Iterator[str]:
    """Yield each import or call of a source that could execute what a file carries."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            for module in names:
                if module.partition(".")[0] in EXECUTING_MODULES and (name, module) not in ALLOWED_MODULES:
                    yield f"{name}:{node.lineno}: import {module}"
        if isinstance(node, ast.Call):
            yield from (f"{name}:{node.lineno}: {problem}" for problem in problems_of(node))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle" and node.attr != "UnpicklingError":
            yield f"{name}:{node.lineno}: pickle.{node.attr}"


def problems_of(call: ast.Call) -> Iterator[str]:
    """Yield why a call could execute what a file carries."""
    place = ast.unparse(call.func)
    owner, _, called = place.rpartition(".")
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    is_true = {key for key, value in given.items() if isinstance(value, ast.Constant) and value.value is True}
    if called in EXECUTING_CALLS and owner in ("", "pd", "pandas", "yaml", "os", "builtins"):
        yield place
    if place == "torch.load" and "weights_only" not in is_true:
        yield "torch.load without weights_only=True"
    if owner in ("np", "numpy") and called in ("load", "fromfile", "loadtxt") and "allow_pickle" in given:
        yield f"{place} with allow_pickle"
    if place == "yaml.load" and ast.unparse(given.get("Loader", call)) not in SAFE_LOADERS:
        yield "yaml.load without a safe loader"
    if "shell" in is_true:
        yield f"{place} through a shell"
    if "trust_remote_code" in is_true:
        yield f"{place} with code of others"


def sources() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.AST]:
    """The syntax tree of each module that names anything of interest."""
    found = {}
    for path in sources():
        text = path.read_text(encoding="utf-8")
        if OF_INTEREST.search(text):
            found[path.relative_to(SOURCE).as_posix()] = ast.parse(text)
    return found


def test_nothing_that_is_read_is_executed(trees: dict[str, ast.AST]) -> None:
    assert not [problem for name, tree in trees.items() for problem in found_in(tree, name)]


def test_tables_are_read_where_damage_becomes_a_message(trees: dict[str, ast.AST]) -> None:
    reading = set()
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("pd.read_csv", "pd.read_parquet"):
                reading.add(name)
    assert reading == READS_TABLES


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.load(text)",
        "yaml.unsafe_load(text)",
        "eval(text)",
        "exec(text)",
        "pd.read_pickle(path)",
        "pickle.loads(content)",
        "subprocess.run(words, shell=True)",
    ],
)
def test_the_check_finds(text: str) -> None:
    assert list(found_in(ast.parse(text), "any.py"))


@pytest.mark.parametrize(
    "text", ["torch.load(path, weights_only=True)", "model.eval()", "yaml.safe_load(text)", "re.compile(text)"]
)
def test_the_check_passes(text: str) -> None:
    assert not list(found_in(ast.parse(text), "any.py"))
