"""What every training recipe keeps: data without torch, options with a seed and a device, two functions."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from mammoflow.config.base import SeededSettings
from mammoflow.config.recipes import RECIPES


def test_the_top_level_of_recipes_imports_no_torch() -> None:
    modules = [RECIPES.module(name) for name in RECIPES.names()]
    program = (
        f"import importlib, sys\nfor name in {modules}:\n    importlib.import_module(name)\n"
        "    heavy = {'torch', 'numpy', 'segment_anything', 'sam2'} & set(sys.modules)\n"
        "    assert not heavy, (name, heavy)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", RECIPES.names())
def test_a_recipe_says_what_it_trains_and_has_options_with_defaults(name: str) -> None:
    recipe = RECIPES.load(name)
    assert isinstance(recipe.PROMPTED, bool)
    assert isinstance(recipe.UNLABELLED, bool)
    options = RECIPES.options(name)()
    assert isinstance(options, SeededSettings)
    assert list(inspect.signature(recipe.check).parameters) == ["options", "architecture", "start"]
    assert list(inspect.signature(recipe.prepare).parameters) == ["task"]
