"""Fixtures that all tests share."""

from __future__ import annotations

import fcntl
import gc
import importlib
import importlib.util
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import pytest

from mammoflow.config.members import Family

# A busy machine is no fault of the code: examples have no time limit of their own.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark of long test files, and load the tests faster."""
    config.addinivalue_line("markers", "long(seconds): takes about this long; its file starts before shorter ones")
    gc.disable()  # hardly anything that is loaded for the tests can be collected, and looking takes seconds


def pytest_collection_finish() -> None:
    """Look for garbage again, though not among what was loaded for the tests."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest files first, so that no worker waits for the last one.

    pytest-xdist keeps this order with `--no-loadscope-reorder`; without the option it would start the files with the
    most tests first, and the whole run has few.
    """
    items.sort(key=_seconds, reverse=True)


def _seconds(item: pytest.Item) -> float:
    mark = item.get_closest_marker("long")
    return float(mark.args[0]) if mark else 0.0


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
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], Any]], Any]:
    """Return a function that has a folder made once for all workers of pytest-xdist; nobody changes the folder.

    It takes the folder's name and what makes it, and returns what that said.
    """
    folder = tmp_path_factory.getbasetemp()
    root = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder

    def once(name: str, make: Callable[[Path], Any]) -> Any:
        said = root / f"{name}.pickle"
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not said.is_file():
                (root / name).mkdir()
                said.write_bytes(pickle.dumps(make(root / name)))
        return pickle.loads(said.read_bytes())

    return once


def load_helper(name: str) -> ModuleType:
    """Return a module of `tests/helpers`, loaded once."""
    full, path = f"mammoflow_{name}", ROOT / "tests" / "helpers" / f"{name}.py"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[full] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[full])
    return sys.modules[full]


@pytest.fixture(scope="session")
def learners() -> ModuleType:
    """Return the module of tiny learners, for tests of the training loop and of trainers."""
    return load_helper("learners")


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """Return the module of the tiny study, for tests that train a classifier."""
    return load_helper("tiny_study")


@pytest.fixture(scope="session")
def written_study(tiny: ModuleType, made_once: Callable[[str, Callable[[Path], Any]], Any]) -> Any:
    """Return the tiny study, written once; tests take `tiny_study`."""
    return made_once("tiny_study", tiny.make_study)


@pytest.fixture
def tiny_study(written_study: Any, tmp_path: Path) -> Any:
    """Return a copy of the tiny study for one test."""
    return written_study.copy(tmp_path / "tiny")


@pytest.fixture
def fake_model(tiny: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the tiny promptable model, which is loaded in place of any other."""
    monkeypatch.setattr("mammoflow.segmentation.loading.load_promptable", lambda *_, **__: tiny.FakeModel())
    return tiny.FakeModel()
