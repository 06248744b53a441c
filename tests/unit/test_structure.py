"""The structure of the library: small modules, imports that only go down, members that load at once, no copied code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from mammoflow.run.provenance import SOURCES, imported_modules

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = SOURCES / "mammoflow"
FILES = sorted(PACKAGE.rglob("*.py"))

# The rooms of the library from the top floor to the ground: each imports only from the rooms after it.
# docs/architecture.md says what each room is for, in the same order.
FLOORS = (
    "cli",
    "prediction",
    "dicom_output",
    "report",
    "evaluation",
    "classification",
    "features",
    "segmentation",
    "training",
    "imaging",
    "cohort",
    "planning",
    "weights",
    "formats",
    "tables",
    "storage",
    "transfer",
    "run",
    "reasons",
    "config",
    "errors",
)
MOST_LINES = 300
COPIED_LINES = 15

# The package names its version; the command line imports its commands, and nothing imports the command line.
WITH_CODE = {"mammoflow", "mammoflow.cli"}

# Packages that take seconds to load. Snakemake reads configuration and planning at every start, and both load members.
SLOW = (
    "torch",
    "torchvision",
    "lightning",
    "SimpleITK",
    "radiomics",
    "sam2",
    "segment_anything",
    "efficientnet_pytorch",
)
LOAD_MEMBERS = f"""
import importlib, pkgutil, sys
import mammoflow.config, mammoflow.planning
from mammoflow.config.members import Family

def check(name):
    slow = [package for package in {SLOW!r} if package in sys.modules]
    if slow:
        sys.exit(f"{{name}} imports {{', '.join(slow)}} at its top level")

families = {{}}
for package in (mammoflow.config, mammoflow.planning):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        loaded = importlib.import_module(module.name)
        check(module.name)
        families |= {{value.package: value for value in vars(loaded).values() if isinstance(value, Family)}}
for package, family in sorted(families.items()):
    names = family.names()
    print(package, len(names))
    for name in names:
        family.load(name)
        check(family.module(name))
"""

# What docs/running.md names for an environment in which Snakemake itself runs does not include these.
NOT_FOR_SNAKEMAKE = ("pandas", "pandera", "pyarrow", "torch")


def module_name(file: Path) -> str:
    """Return the dotted name of a source file."""
    name = ".".join(file.relative_to(SOURCES).with_suffix("").parts)
    return name.removesuffix(".__init__")


def room(module: str) -> str:
    """Return the room of a module: the name below the package, or "" for the package and its `__main__`."""
    return module.removesuffix("mammoflow.__main__").partition(".")[2].partition(".")[0]


@cache
def imports() -> dict[str, set[str]]:
    """Return what each module imports of mammoflow, also inside functions."""
    return {module: {*names} - {module} for module, names in imported_modules().items()}


def test_modules_are_short() -> None:
    lines = {file.relative_to(PACKAGE): len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    long = [f"{name}: {count}" for name, count in lines.items() if count > MOST_LINES]
    assert not long, f"a module has at most {MOST_LINES} lines; split these by their ideas:\n" + "\n".join(long)


def test_modules_import_each_other_in_no_circle() -> None:
    assert set(imports()) == {module_name(file) for file in FILES}
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        pytest.fail(f"these modules import each other in a circle: {' -> '.join(error.args[1])}")


def test_imports_only_go_down() -> None:
    upward = [
        f"{module} imports {imported}"
        for module, names in imports().items()
        for imported in sorted(names)
        if room(module) and room(imported) and FLOORS.index(room(imported)) < FLOORS.index(room(module))
    ]
    assert not upward, "imports go down the list of floors only:\n" + "\n".join(upward)


def test_every_room_has_its_floor() -> None:
    rooms = {room(module_name(file)) for file in FILES} - {""}
    assert rooms == set(FLOORS)


def test_the_documentation_lists_the_same_floors() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.partition("## Layers")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", section, flags=re.MULTILINE)
    assert tuple(listed) == FLOORS


def test_a_package_file_holds_only_its_docstring() -> None:
    for file in (file for file in FILES if file.name == "__init__.py"):
        module = ast.parse(file.read_text(encoding="utf-8"))
        assert ast.get_docstring(module), f"{file.relative_to(ROOT)} does not say what the package is for"
        if module_name(file) not in WITH_CODE:
            assert len(module.body) == 1, (
                f"{file.relative_to(ROOT)} holds code; every module of the package depends on it"
            )


def test_members_load_without_slow_packages() -> None:
    done = subprocess.run([sys.executable, "-c", LOAD_MEMBERS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    counts = dict(line.split() for line in done.stdout.splitlines())
    assert int(counts["mammoflow.cohort.readers"]) >= 7
    assert all(int(count) > 0 for count in counts.values()), counts


def test_the_rules_load_without_packages_that_only_jobs_need() -> None:
    common = (ROOT / "workflow" / "rules" / "common.smk").read_text(encoding="utf-8")
    imported = re.findall(r"^from mammoflow\b.+", common, flags=re.MULTILINE)
    assert imported
    code = "\n".join(["import sys", *imported, f"print(sorted(set(sys.modules) & {set(NOT_FOR_SNAKEMAKE)}))"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def code_lines(file: Path) -> list[tuple[int, str]]:
    """Return the numbers and the text of the lines of a file that are not empty."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]


def repeated_runs(files: list[Path], length: int) -> list[str]:
    """Return where a run of equal lines occurs twice, as pairs of places; empty lines and indents do not count."""
    places: dict[tuple[str, ...], list[tuple[Path, int]]] = defaultdict(list)
    for file in files:
        lines = code_lines(file)
        for start in range(len(lines) - length + 1):
            places[tuple(text for _, text in lines[start : start + length])].append((file, lines[start][0]))
    return [
        " and ".join(f"{file.name}:{number}" for file, number in where) for where in places.values() if len(where) > 1
    ]


def test_no_code_is_copied() -> None:
    assert not repeated_runs(FILES, COPIED_LINES)


def test_a_copied_run_is_noticed(tmp_path: Path) -> None:
    run = [f"value_{index} = {index}" for index in range(COPIED_LINES)]
    (tmp_path / "one.py").write_text("\n\n".join(run), encoding="utf-8")
    (tmp_path / "two.py").write_text("def f():\n" + "".join(f"    {line}\n" for line in run), encoding="utf-8")
    files = [tmp_path / "one.py", tmp_path / "two.py"]
    assert repeated_runs(files, COPIED_LINES) == ["one.py:1 and two.py:2"]
    assert not repeated_runs(files, COPIED_LINES + 1)
