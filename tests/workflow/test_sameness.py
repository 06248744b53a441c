"""The same study with other numbers of cores and shards: the same tables, weights and figures, to the byte."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

# Three runs of half a minute or more.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def run(kill_runs: ModuleType, folder: Path, cores: int, shards: int) -> Path:
    """Run the small study of the tool; return the folder of its results."""
    folder.mkdir()
    overlay = folder / "study.yaml"
    overlay.write_text(yaml.safe_dump({**kill_runs.OVERLAY, "run": "same", "cohort": {"shards": shards}}))
    command = kill_runs.snakemake_command(folder / "results", overlay)
    command[command.index("--cores") + 1] = str(cores)
    assert kill_runs.start(command, ROOT, folder / "log").wait() == 0, (folder / "log").read_text()[-3000:]
    return Path(folder / "results")


def found_in(results: Path, pattern: str) -> list[Path]:
    """Return the tables of all shards."""
    return sorted((results / "same").glob(pattern))


def test_cores_change_no_byte_and_shards_change_nothing_behind_them(kill_runs: ModuleType, tmp_path: Path) -> None:
    first = run(kill_runs, tmp_path / "first", cores=2, shards=2)
    expected = kill_runs.contents(first)
    assert kill_runs.differing(expected, kill_runs.contents(run(kill_runs, tmp_path / "one", cores=1, shards=2))) == []
    third = run(kill_runs, tmp_path / "third", cores=3, shards=3)
    found = kill_runs.contents(third)
    behind = [name for name in expected if name.split("/")[1] in ("comparison", "classification", "saliency")]
    assert len(behind) > 60
    assert [name for name in behind if found.get(name) != expected[name]] == []
    for table in ("images/*/lesions.parquet", "features/gabor/*.parquet", "segmentation/small/*/scores.parquet"):
        whole = [
            pd.concat(
                [pd.read_parquet(path).drop(columns="shard", errors="ignore") for path in found_in(results, table)]
            )
            for results in (first, third)
        ]
        keys = [name for name in ("lesion_id", "prompt_id", "iteration", "margin_mm") if name in whole[0]]
        one, other = (table.sort_values(keys).reset_index(drop=True) for table in whole)
        pd.testing.assert_frame_equal(one, other, check_exact=True)
