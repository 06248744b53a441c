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


def joined(results: Path, pattern: str) -> pd.DataFrame:
    """Return a table of all shards without the number of the shard, in an order that does not depend on the shards."""
    table = pd.concat([pd.read_parquet(path) for path in (results / "same").glob(pattern)])
    keys = [name for name in ("lesion_id", "prompt_id", "model", "iteration", "margin_mm") if name in table]
    return table.drop(columns="shard", errors="ignore").sort_values(keys, ignore_index=True)


def test_cores_change_no_byte_and_shards_change_nothing_behind_them(kill_runs: ModuleType, tmp_path: Path) -> None:
    first = run(kill_runs, tmp_path / "first", cores=2, shards=2)
    expected = kill_runs.contents(first)
    assert kill_runs.differing(expected, kill_runs.contents(run(kill_runs, tmp_path / "one", cores=1, shards=2))) == []
    third = run(kill_runs, tmp_path / "third", cores=3, shards=3)
    found = kill_runs.contents(third)
    behind = [name for name in expected if name.split("/")[1] in ("comparison", "classification", "saliency")]
    assert len(behind) > 60
    predictions = "comparison/predictions.csv"  # has 17 digits, and sums over lesions in the order of the shards
    assert [name for name in behind if found.get(name) != expected[name]] in ([], [f"same/{predictions}"])
    one, other = (pd.read_csv(results / "same" / predictions) for results in (first, third))
    pd.testing.assert_frame_equal(one, other, rtol=1e-12, atol=1e-14)
    for table in ("images/*/lesions.parquet", "features/gabor/*.parquet", "segmentation/small/*/scores.parquet"):
        pd.testing.assert_frame_equal(joined(first, table), joined(third, table), check_exact=True)
