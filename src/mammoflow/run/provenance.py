"""The origin of a result: the digest of the code behind a job, and the record of versions, machine and revision.

The code digest is a parameter of each rule. So an edit makes the stage run again, but a fresh clone, a touched file or
a reverted edit does not. Imports are read from the source, and nothing is imported to compute the digest.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from mammoflow.errors import ConfigError

PACKAGE = "mammoflow"
SOURCES = Path(__file__).resolve().parents[2]

# Files in the packages that change no result, such as pages for people.
_NOT_DATA = {".md", ".pyc", ".typed"}
_RECORDED = ("numpy", "pandas", "torch", "torchvision", "scikit-image", "scikit-learn", "pyradiomics", "snakemake")


def code_digest(*modules: str, sources: Path = SOURCES) -> str:
    """Return the SHA-256 of the code that some modules run.

    The digest covers the modules, their packages, every module of mammoflow that they import (also inside functions),
    and the data files of those packages, such as shipped weights. Modification times do not count.

    Parameters
    ----------
    *modules
        Dotted names, such as `mammoflow.features.stage`.
    sources
        Folder that holds the package.

    Raises
    ------
    ConfigError
        If a module does not exist.
    """
    return code_digests({"": modules}, sources=sources)[""]


def code_digests(jobs: Mapping[str, Sequence[str]], *, sources: Path = SOURCES) -> dict[str, str]:
    """Return the digest of the code of each job, from one look at the sources; `jobs` are names with their modules.

    Raises
    ------
    ConfigError
        If a module does not exist.
    """
    look = _Look(sources)
    return {job: look.digest(look.reached(modules)) for job, modules in jobs.items()}


def code_modules(*modules: str, sources: Path = SOURCES) -> tuple[str, ...]:
    """Return the names of some modules and of all modules of mammoflow that they import, sorted.

    Raises
    ------
    ConfigError
        If one of the given modules does not exist.
    """
    return _Look(sources).reached(modules)


def imported_modules(*, sources: Path = SOURCES) -> dict[str, frozenset[str]]:
    """Return the modules of mammoflow that each of its modules imports itself, also inside its functions."""
    look = _Look(sources)
    return {module: look.imported(module) for module in look.files}


def outside_imports(*modules: str, without: frozenset[str] = frozenset(), sources: Path = SOURCES) -> frozenset[str]:
    """Return the top-level names of all other packages that some modules, and the modules they import, need.

    Parameters
    ----------
    *modules
        Dotted names.
    without
        Modules whose imports do not count.
    sources
        Folder that holds the package.
    """
    names: set[str] = set()
    look = _Look(sources)
    for module in set(look.reached(modules)) - without:
        if module in look.files:
            names |= {name.partition(".")[0] for name in _imported_names(module, look.files[module])}
    return frozenset(name for name in names if name != PACKAGE and name not in sys.stdlib_module_names)


def run_record(
    executor: str, root: Path, command: Sequence[str] = (), configuration: Sequence[Path] = ()
) -> dict[str, object]:
    """Return the record of a run: versions, platform, git revision, executor, command and configuration files.

    Parameters
    ----------
    executor
        Name of the Snakemake executor that runs the jobs, such as `local` or `slurm`.
    root
        Folder of the project; its git revision is recorded if it has one.
    command
        Words of the command line; the home folder is written as `~`, and the program by its name.
    configuration
        Configuration files in the order in which they were laid over each other; their names are recorded.
    """
    installed = {distribution: _version(distribution) for distribution in _RECORDED}
    return {
        "mammoflow": _version(PACKAGE),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "executor": executor,
        "command": shlex.join([Path(word).name if not place else word for place, word in enumerate(command)]).replace(
            str(Path.home()), "~"
        ),
        "configuration": [file.name for file in configuration],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "git_revision": _git(root, "rev-parse", "HEAD"),
        "git_changes": bool(_git(root, "status", "--porcelain", "--untracked-files=no")),
        "packages": {name: version for name, version in installed.items() if version},
    }


class _Look:
    """One look at the sources below a folder: each file is asked once for its imports and for its digest."""

    def __init__(self, sources: Path) -> None:
        self.sources, self.files = sources, _module_files(sources)
        self._imported: dict[str, frozenset[str]] = {}
        self._content: dict[str, bytes] = {}

    def reached(self, modules: Sequence[str]) -> tuple[str, ...]:
        """Return some modules, their packages and all that these import, sorted."""
        for module in modules:
            if module not in self.files:
                raise ConfigError(
                    f"module {module} does not exist below {self.sources}; expected a module of {PACKAGE}"
                )
        visited: set[str] = set()
        waiting = set(modules)
        while waiting:
            module = waiting.pop()
            visited.add(module)
            waiting |= (_packages_of(module) | self.imported(module)) - visited
        return tuple(sorted(visited))

    def imported(self, module: str) -> frozenset[str]:
        """Return the modules of mammoflow that a module imports itself."""
        if module not in self._imported:
            names = _imported_names(module, self.files[module]) if module in self.files else frozenset()
            self._imported[module] = frozenset(name for name in names if name in self.files)
        return self._imported[module]

    def digest(self, modules: Sequence[str]) -> str:
        """Return the SHA-256 of some modules and of the data files of their packages."""
        return hashlib.sha256(b"".join(self._content_of(module) for module in modules)).hexdigest()

    def _content_of(self, module: str) -> bytes:
        """Return name and digest of the file of a module, and of each data file of a package."""
        if module not in self._content:
            path = self.files.get(module)
            files = [path, *(_data_files(path.parent) if path.name == "__init__.py" else ())] if path else []
            lines = [f"{file.relative_to(self.sources).as_posix()}\0{_file_digest(file)}\0" for file in files]
            self._content[module] = "".join(lines).encode()
        return self._content[module]


def _module_files(sources: Path) -> dict[str, Path]:
    """Return the source file of every module of mammoflow below a folder; each folder is listed once."""
    files: dict[str, Path] = {}
    for folder, inside, names in os.walk(sources / PACKAGE):
        inside[:] = [name for name in inside if name != "__pycache__"]
        above = os.path.relpath(folder, sources).replace(os.sep, ".")
        for name in sorted(names):
            if name == "__init__.py":
                files[above] = Path(folder, name)
            elif name.endswith(".py"):
                files.setdefault(f"{above}.{name.removesuffix('.py')}", Path(folder, name))
    return files


def _packages_of(module: str) -> set[str]:
    """Return the packages above a module, whose `__init__` runs before it."""
    names = module.split(".")
    return {".".join(names[:end]) for end in range(1, len(names))}


def _imported_names(module: str, path: Path) -> frozenset[str]:
    """Return every dotted name that a file imports; `from a import b` gives both `a` and `a.b`."""
    status = path.stat()
    return _imported_names_of(module, path, status.st_mtime_ns, status.st_size)


@cache
def _imported_names_of(module: str, path: Path, _modified_ns: int, _size: int) -> frozenset[str]:
    names: set[str] = set()
    for node in _statements(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Give every statement below a node; an import is never part of an expression, so expressions are left out."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for inside in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting += getattr(node, inside, ())


def _data_files(package: Path) -> list[Path]:
    """Return the files of a package that are not code, without those of packages inside it."""
    files: list[Path] = []
    for path in sorted(package.iterdir()):
        if path.name.startswith((".", "__pycache__")) or path.is_symlink():
            continue
        if path.is_dir():
            files += [] if (path / "__init__.py").is_file() else _data_files(path)
        elif path.suffix not in {".py", *_NOT_DATA}:
            files.append(path)
    return files


def _file_digest(path: Path) -> str:
    """Return the SHA-256 of a file; an unchanged file is read only once."""
    status = path.stat()
    return _file_digest_of(path, status.st_mtime_ns, status.st_size)


@cache
def _file_digest_of(path: Path, _modified_ns: int, _size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _version(distribution: str) -> str:
    """Return the installed version, or "" where the distribution is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _git(root: Path, *arguments: str) -> str:
    """Return the output of a git command in the project, or "" where git or the repository is absent."""
    if shutil.which("git") is None:
        return ""
    result = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else ""
