"""The made-up films of these tests."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def made_up() -> ModuleType:
    """Return the module of made-up films."""
    name = "mammoflow_made_up_films"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / "made_up.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture
def film(made_up: ModuleType, tmp_path: Path) -> Path:
    """A made-up film as DICOM."""
    path: Path = made_up.write_film(tmp_path / "film.dcm")
    return path
