"""The origin of a result: the digest of the code behind a job, and the record of versions, machine and revision.

The code digest is a parameter of each rule. So an edit makes the stage run again, but a fresh clone, a touched file or
a reverted edit does not. Imports are read from the source, and nothing is imported to compute the digest.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import platform
import shutil
import subprocess
import sys
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
    digest = hashlib.sha256()
    for module in code_modules(*modules, sources=sources):
        path = _module_file(module, sources)
        files = [] if path is None else [path, *(_data_files(path.parent) if path.name == "__init__.py" else ())]
        for file in files:
            digest.update(f"{file.relative_to(sources).as_posix()}\0{_file_digest(file)}\0".encode())
    return digest.hexdigest()


def code_modules(*modules: str, sources: Path = SOURCES) -> tuple[str, ...]:
    """Return the names of some modules and of all modules of mammoflow that they import, sorted.

    Raises
    ------
    ConfigError
        If one of the given modules does not exist.
    """
    for module in modules:
        if _module_file(module, sources) is None:
            raise ConfigError(f"module {module} does not exist below {sources}; expected a module of {PACKAGE}")
    visited: set[str] = set()
    waiting = set(modules)
    while waiting:
        module = waiting.pop()
        visited.add(module)
        waiting |= (_packages_of(module) | imported_modules(module, sources=sources)) - visited
    return tuple(sorted(visited))


def imported_modules(module: str, *, sources: Path = SOURCES) -> set[str]:
    """Return the modules of mammoflow that a module imports itself, also inside its functions."""
    path = _module_file(module, sources)
    names = _imported_names(module, path) if path else frozenset()
    return {name for name in names if name.split(".")[0] == PACKAGE and _module_file(name, sources) is not None}


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
    for module in set(code_modules(*modules, sources=sources)) - without:
        path = _module_file(module, sources)
        names |= {name.partition(".")[0] for name in _imported_names(module, path)} if path else set()
    return frozenset(name for name in names if name != PACKAGE and name not in sys.stdlib_module_names)


def run_record(executor: str, root: Path) -> dict[str, object]:
    """Return the record of a run: versions, platform, git revision and executor.

    Parameters
    ----------
    executor
        Name of the Snakemake executor that runs the jobs, such as `local` or `slurm`.
    root
        Folder of the project; its git revision is recorded if it has one.
    """
    installed = {distribution: _version(distribution) for distribution in _RECORDED}
    return {
        "mammoflow": _version(PACKAGE),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "executor": executor,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "git_revision": _git(root, "rev-parse", "HEAD"),
        "git_changes": bool(_git(root, "status", "--porcelain", "--untracked-files=no")),
        "packages": {name: version for name, version in installed.items() if version},
    }


def _module_file(module: str, sources: Path) -> Path | None:
    """Return the source file of a dotted name, or None where the name is no module."""
    path = sources.joinpath(*module.split("."))
    candidates = (path / "__init__.py", path.with_suffix(".py"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _packages_of(module: str) -> set[str]:
    """Return the packages above a module, whose `__init__` runs before it."""
    names = module.split(".")
    return {".".join(names[:end]) for end in range(1, len(names))}


def _imported_names(module: str, path: Path) -> frozenset[str]:
    """Return every dotted name that a file imports; `from a import b` gives both `a` and `a.b`."""
    return _imported_names_of(module, path.name == "__init__.py", path.read_bytes())


@cache
def _imported_names_of(module: str, is_package: bool, source: bytes) -> frozenset[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: len(module.split(".")) - node.level + is_package] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return frozenset(names)


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
