"""The same study with other numbers of cores and shards: the same tables, weights and figures, to the byte."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

# Three runs of half a minute or more.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def load_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kill_runs", ROOT / "tools" / "kill_runs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["kill_runs"] = module
    spec.loader.exec_module(module)
    return module


def run(tool: ModuleType, folder: Path, cores: int, shards: int) -> Path:
    """Run the small study of the tool; return the folder of its results."""
    folder.mkdir()
    overlay = folder / "study.yaml"
    overlay.write_text(yaml.safe_dump({**tool.OVERLAY, "run": "same", "cohort": {"shards": shards}}))
    command = tool.snakemake_command(folder / "results", overlay)
    command[command.index("--cores") + 1] = str(cores)
    assert tool.start(command, ROOT, folder / "log").wait() == 0, (folder / "log").read_text()[-3000:]
    return Path(folder / "results")


def test_cores_change_no_byte_and_shards_change_nothing_behind_them(tmp_path: Path) -> None:
    tool = load_tool()
    first = run(tool, tmp_path / "first", cores=2, shards=2)
    expected = tool.contents(first)
    assert tool.differing(expected, tool.contents(run(tool, tmp_path / "one", cores=1, shards=2))) == []
    third = run(tool, tmp_path / "third", cores=3, shards=3)
    found = tool.contents(third)
    behind = [name for name in expected if name.split("/")[1] in ("comparison", "classification", "saliency")]
    assert len(behind) > 60
    assert [name for name in behind if found.get(name) != expected[name]] == []
    for table in ("images/*/lesions.parquet", "features/gabor/*.parquet", "segmentation/small/*/scores.parquet"):
        whole = [
            pd.concat([pd.read_parquet(path) for path in (results / "same").glob(table)]) for results in (first, third)
        ]
        keys = [name for name in ("lesion_id", "prompt_id", "iteration", "margin_mm") if name in whole[0]]
        one, other = (table.sort_values(keys).reset_index(drop=True) for table in whole)
        pd.testing.assert_frame_equal(one, other, check_exact=True)
