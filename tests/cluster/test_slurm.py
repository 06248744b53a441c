"""A small study through a Slurm cluster of one node: the tables of the local run, also after faults of the cluster.

Needs root, and Debian's slurm-wlm and munge. Run it by hand: `pytest -m slow tests/cluster`.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CPUS, MEMORY_MB = 2, 12000
TABLES = ("comparison.csv", "segmentation.csv", "features.csv", "predictions.csv", "exclusions.csv", "confusion.csv")

OVERLAY = {
    "phantom": {"patients": 16, "spacing_mm": 0.8},
    "cohort": {"shards": 2},
    "images": {"longest_side_px": 192},
    "segmentation": {"iterations": 1},
    "prompts": {"margins_mm": [0.0, 10.0]},
    "features": {"families": {"gabor": {"wavelengths_mm": [4.0, 8.0], "orientations": 2}}},
    "classification": {"run": ["perceptron_frozen"], "classifiers": {"perceptron_frozen": {"epochs": 2}}},
    "comparison": {"bootstrap": 100, "fewest_patients": 2, "fewest_cases": 3},
    "saliency": {"run": False},
}


def load_one_node() -> ModuleType:
    """Return the module beside this one."""
    spec = importlib.util.spec_from_file_location("one_node", Path(__file__).with_name("one_node.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["one_node"] = module
    spec.loader.exec_module(module)
    return module


one_node = load_one_node()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(bool(one_node.missing()), reason=one_node.missing() or "a cluster can be started"),
]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Return a folder with a short path, because it has sockets."""
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[one_node.OneNodeCluster]:
    """Return a cluster of one node."""
    with one_node.OneNodeCluster(folder / "cluster", CPUS, MEMORY_MB) as running:
        yield running


@pytest.fixture(scope="module")
def local_tables(folder: Path) -> dict[str, bytes]:
    """Return the tables of a run on this machine."""
    finished = start(folder, "local", {**os.environ}, "--cores", "2")
    printed, _ = finished.communicate()
    assert finished.returncode == 0, printed[-4000:]
    return tables(folder, "local")


def start(folder: Path, run: str, environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """Start Snakemake on a run of the study."""
    overlay = folder / f"{run}.yaml"
    overlay.write_text(yaml.safe_dump({**OVERLAY, "run": run, "results": str(folder / "results")}), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--nocolor", *arguments]
    # One thread for each sum, whatever the number of cores is.
    environment = {**environment, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    return subprocess.Popen(
        [*command, "--configfile", str(overlay)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def through_slurm(cluster: one_node.OneNodeCluster, folder: Path, run: str, *more: str) -> subprocess.Popen[str]:
    """Start Snakemake with the profile of the project; a cluster without accounting needs two options more."""
    options = ["--workflow-profile", str(ROOT / "profiles" / "slurm"), "--slurm-no-account", "--max-threads", str(CPUS)]
    options += ["--slurm-status-command", "squeue", "--seconds-between-status-checks", "1"]
    options += ["--slurm-init-seconds-before-status-checks", "2", "--slurm-logdir", str(folder / "slurm-logs")]
    return start(folder, run, cluster.environment, *options, *more)


def tables(folder: Path, run: str) -> dict[str, bytes]:
    """Return the tables of a run."""
    comparison = folder / "results" / run / "comparison"
    return {name: (comparison / name).read_bytes() for name in TABLES}


def wait_for_running(cluster: one_node.OneNodeCluster, run: subprocess.Popen[str], seconds: float = 300) -> str:
    """Return the number of a job that the cluster is running."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert run.poll() is None, run.communicate()[0][-4000:]
        if running := cluster.queued("RUNNING"):
            return running[0]
        time.sleep(0.2)
    raise AssertionError(f"no job was running within {seconds} s")


def test_tables_through_slurm_equal_those_of_the_local_run(
    cluster: one_node.OneNodeCluster, folder: Path, local_tables: dict[str, bytes]
) -> None:
    run = through_slurm(cluster, folder, "slurm", "--config", "cohort={shards: 2}", "prompts={margins_mm: [0.0, 10.0]}")
    wait_for_running(cluster, run)
    (folder / "slurm.yaml").write_text("run: [", encoding="utf-8")  # a person is editing the configuration
    printed, _ = run.communicate()
    assert run.returncode == 0, printed[-6000:]
    assert yaml.safe_load((folder / "results/slurm/run.json").read_text())["executor"] == "slurm"
    assert tables(folder, "slurm") == local_tables


def test_a_run_completes_after_a_cancelled_job_and_a_dead_node(
    cluster: one_node.OneNodeCluster, folder: Path, local_tables: dict[str, bytes]
) -> None:
    run = through_slurm(cluster, folder, "faults")
    cluster.ask("scancel", wait_for_running(cluster, run))
    time.sleep(5)
    wait_for_running(cluster, run)
    cluster.kill_node()
    time.sleep(3)
    cluster.restart_node()
    printed, _ = run.communicate()
    assert run.returncode == 0, printed[-6000:]
    assert tables(folder, "faults") == local_tables


def test_a_job_that_runs_out_of_time_gets_more_the_next_time(cluster: one_node.OneNodeCluster, folder: Path) -> None:
    run = through_slurm(cluster, folder, "slow", "cohort")
    job = wait_for_running(cluster, run)
    programs = cluster.programs()
    assert programs
    for process in programs:  # not the steps: a job whose step is stopped cannot be ended
        os.kill(process, signal.SIGSTOP)
    cluster.ask("scontrol", "update", f"JobId={job}", "TimeLimit=1")
    printed, _ = run.communicate()
    assert run.returncode == 0, printed[-6000:]
    assert "Trying to restart job" in printed
