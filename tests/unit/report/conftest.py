"""A made-up run whose second model was prompted with points and chosen by the reference."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.masks import MASKS, SEGMENTATION_SCORES

POINTED = "sam2.1_hiera_tiny"


def _point_instead_of_the_box(table: pd.DataFrame) -> pd.DataFrame:
    rows = (table["model"] == POINTED) & table["prompt_id"].str.endswith("+10mm")
    named = table["prompt_id"].str.replace("@box+10mm", "@point", regex=False)
    table = table.assign(prompt_id=table["prompt_id"].mask(rows, named), choice=table["choice"].mask(rows, "oracle"))
    if "kind" in table.columns:
        return table.assign(kind=table["kind"].mask(rows, "point"), margin_mm=table["margin_mm"].mask(rows, np.nan))
    centre_y = (table["prompt_y0"] + table["prompt_y1"]) / 2
    centre_x = (table["prompt_x0"] + table["prompt_x1"]) / 2
    points = [json.dumps([[y, x, 1], [y, x + 40, 0]]) for y, x in zip(centre_y, centre_x, strict=True)]
    return table.assign(prompt_points=points, **{f"prompt_{side}": np.nan for side in ("y0", "x0", "y1", "x1")})


@pytest.fixture(scope="session")
def run_with_points(tmp_path_factory: pytest.TempPathFactory, write_run: Callable[..., Any]) -> Any:
    """A run of 12 patients; the masks of the second model come from points on and beside the lesion, by an oracle."""
    run = write_run(tmp_path_factory.mktemp("points"), patients=12)
    for folder in (Path(each) for each in run.segmentation if each.parent.name == POINTED):
        for name, schema in (("scores.parquet", SEGMENTATION_SCORES), ("masks.parquet", MASKS)):
            changed = _point_instead_of_the_box(read_table(folder / name, schema))
            write_table(changed, schema, folder / name)
    return run


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One Chromium for all tests."""
    chromium = Path("/usr/bin/chromium")
    if not chromium.exists():
        pytest.skip("no Chromium at /usr/bin/chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as session:
        found = session.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        yield found
        found.close()
