"""The made-up run, written once a session, and its writer."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.evaluation import drawing, stage
from mammoflow.report.figures import FIGURES
from mammoflow.storage.files import write_image

SETTINGS = ComparisonSettings(bootstrap=100, fewest_patients=2, fewest_cases=3)


BLANK_SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>'


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


def _blank_figures(folder: Path, *_: object) -> None:
    """Write a picture of one pixel in place of each figure that every run has, as PNG and as SVG."""
    for name in FIGURES:
        write_image(folder / f"{name}.png", np.zeros((1, 1), dtype=np.uint8))
        (folder / f"{name}.svg").write_text(BLANK_SVG, encoding="utf-8")


@pytest.fixture(scope="session")
def compare_tables() -> Callable[..., None]:
    """Return a function that writes the tables of a comparison; its figures, a third of the time, are blank."""

    def compare_only(**places: Any) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stage, "write_figures", _blank_figures)
            stage.compare(SETTINGS, **places)

    return compare_only


def _save_as_pixel(_: Figure, path: Path, format: str, **__: object) -> None:
    if format == "svg":
        Path(path).write_text(BLANK_SVG, encoding="utf-8")
    else:
        Image.new("L", (1, 1)).save(path, format="PNG")


@pytest.fixture(scope="session")
def not_rendered() -> Callable[..., AbstractContextManager[None]]:
    """Return a context in which figures are drawn as ever, with all their titles, and saved as one pixel.

    They are laid out with `laid_out` only.
    """

    @contextmanager
    def saved_as_a_pixel(laid_out: bool = False) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Figure, "savefig", _save_as_pixel)
            if not laid_out:
                patch.setattr(drawing, "_lay_out", lambda _: None)
            yield

    return saved_as_a_pixel


@pytest.fixture(scope="session")
def write_run(
    made_once: Callable[..., Any], compare_tables: Callable[..., None], not_rendered: Callable[..., Any]
) -> Callable[..., Any]:
    """Return the function that writes a made-up run; each kind of run is written once, and then copied.

    With `compared` the run has a folder `comparison`, with blank figures; `figures` are `rendered`, or `drawn`,
    laid out and saved as one pixel.
    """

    def make(folder: Path, compared: bool, figures: str, kind: dict[str, Any]) -> Any:
        if not compared:
            return _load().write_run(folder, **kind)
        run = write(folder, **kind)
        if figures:
            with not_rendered(laid_out=True) if figures == "drawn" else nullcontext():
                stage.compare(SETTINGS, output=folder / "comparison", **run.inputs())
        else:
            compare_tables(output=folder / "comparison", **run.inputs())
        return run

    def write(root: Path, compared: bool = False, figures: str = "", **kind: Any) -> Any:
        _load()
        digest = hashlib.sha256(repr((compared, figures, sorted(kind.items()))).encode()).hexdigest()
        made = made_once(f"made_up_{digest[:16]}", lambda folder: make(folder, compared, figures, kind))
        shutil.copytree(made.root, root, dirs_exist_ok=True)
        return made.moved(root)

    return write


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, write_run: Callable[..., Any]) -> Any:
    """A made-up run of 30 phantom patients with an empty shard, and its comparison with all figures."""
    return write_run(tmp_path_factory.mktemp("run"), compared=True, figures="rendered", empty_shard=True)
