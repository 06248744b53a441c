"""The networks of segment-anything are imported without the top level of their package, which loads torchvision."""

import ast
import sys
from importlib import import_module
from pathlib import Path

import pytest
import segment_anything
from segment_anything.modeling.mask_decoder import MaskDecoder
from segment_anything.modeling.transformer import TwoWayTransformer

import mammoflow
from mammoflow.segmentation.layers import segment_anything_modules as ours

SOURCES = Path(mammoflow.__file__).parents[1]
SLOW = {"torchvision", "sklearn", "scipy.stats", "torch._dynamo", "segment_anything"}


def test_the_classes_are_those_of_the_package() -> None:
    assert ours.MaskDecoder is MaskDecoder
    assert ours.TwoWayTransformer is TwoWayTransformer
    assert ours.sam_model_registry is segment_anything.sam_model_registry


def test_a_package_is_imported_without_its_top_level_until_it_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "slow_at_the_top"
    package.mkdir()
    (package / "__init__.py").write_text("from slow_at_the_top.part import NAME\nLOADED = True\n", encoding="utf-8")
    (package / "part.py").write_text("class NAME: ...\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with ours._without_top_level("slow_at_the_top"):
        part = import_module("slow_at_the_top.part")
        assert not hasattr(sys.modules["slow_at_the_top"], "LOADED")
    assert "slow_at_the_top" not in sys.modules
    whole = import_module("slow_at_the_top")
    assert whole.LOADED
    assert whole.NAME is part.NAME


def _imported_at_once(module: str, seen: set[str]) -> set[str]:
    """Return all that the import of a module imports, by the statements outside functions."""
    base = SOURCES / Path(*module.split("."))
    file = base.with_suffix(".py") if base.with_suffix(".py").is_file() else base / "__init__.py"
    if module in seen or not file.is_file():
        return seen
    seen.add(module)
    for statement in ast.parse(file.read_text(encoding="utf-8")).body:
        names = []
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            names = [statement.module, *(f"{statement.module}.{alias.name}" for alias in statement.names)]
        for name in names:
            if name.startswith("mammoflow."):
                _imported_at_once(name, seen)
            else:
                seen.add(name)
    return seen


@pytest.mark.parametrize(
    "module",
    [
        "mammoflow.prediction.console",
        "mammoflow.segmentation.prompted.stage",
        "mammoflow.segmentation.networks.lite_medsam",
        "mammoflow.segmentation.small.model",
        "mammoflow.dicom_output.objects",
    ],
)
def test_predict_loads_no_package_that_takes_seconds_and_is_not_needed(module: str) -> None:
    found = _imported_at_once(module, set())
    assert len(found) > 10, "the search found no imports"
    assert not {name for name in found if any(name == slow or name.startswith(f"{slow}.") for slow in SLOW)}
