"""Fixtures that all tests share."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest

from mammoflow.config.members import Family

# A busy machine is no fault of the code: examples have no time limit of their own.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real development images; the test is skipped where it is absent."""
    folder = Path(os.environ.get("MAMMOFLOW_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set MAMMOFLOW_DATA")
    return folder


@pytest.fixture
def add_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Family, str, str], Path]]:
    """Return a function that adds a module to a family for one test: its family, its name and its source."""
    added: list[tuple[str, str]] = []

    def add(family: Family, name: str, source: str) -> Path:
        package = importlib.import_module(family.package)
        module = family.module(name)
        leaf = module.rpartition(".")[2]
        folder = tmp_path / "members" / family.package
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{leaf}.py"
        file.write_text(source, encoding="utf-8")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
        importlib.invalidate_caches()
        added.append((family.package, leaf))
        return file

    yield add
    for package, leaf in added:
        sys.modules.pop(f"{package}.{leaf}", None)
        vars(sys.modules[package]).pop(leaf, None)


@pytest.fixture(scope="session")
def learners() -> ModuleType:
    """Return the module of tiny learners, for tests of the training loop and of trainers."""
    name, path = "mammoflow_learners", ROOT / "tests" / "helpers" / "learners.py"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]
