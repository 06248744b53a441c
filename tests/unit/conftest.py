"""The made-up run, written once a session, and its writer."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def _load() -> ModuleType:
    path = Path(__file__).parent / "evaluation" / "synthetic_run.py"
    name = "mammoflow_synthetic_run"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"cannot load {path}")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def write_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Return the function that writes a made-up run; each kind of run is written once, and then copied."""
    kinds: dict[tuple[tuple[str, Any], ...], Any] = {}

    def write(root: Path, **kind: Any) -> Any:
        key = tuple(sorted(kind.items()))
        if key not in kinds:
            kinds[key] = _load().write_run(tmp_path_factory.mktemp("made_up"), **kind)
        shutil.copytree(kinds[key].root, root, dirs_exist_ok=True)
        return kinds[key].moved(root)

    return write


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, write_run: Callable[..., Any]) -> Any:
    """A made-up run of 30 phantom patients with an empty shard."""
    return write_run(tmp_path_factory.mktemp("run"), empty_shard=True)
