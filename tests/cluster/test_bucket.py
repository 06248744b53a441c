"""A phantom study, and then also results and store, in a bucket of an S3 server: the tables of the local run.

The bucket is mounted as a folder, as a node of a cluster mounts it. Needs Debian's rclone and fuse3, /dev/fuse, and a
package index for the S3 server. Run it by hand: `pytest -m slow tests/cluster/test_bucket.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
UV = ROOT / ".venv" / "bin" / "uv"
SERVER = "moto[s3,server]==5.2.5"
PROGRAMS = ("rclone", "fusermount3")
TABLES = ("comparison.csv", "segmentation.csv", "features.csv", "predictions.csv", "exclusions.csv", "confusion.csv")

REMOTE = """\
[bucket]
type = s3
provider = Other
access_key_id = any
secret_access_key = any
endpoint = http://127.0.0.1:{port}
force_path_style = true
"""

PHANTOM = {"run": "made", "phantom": {"patients": 16, "spacing_mm": 0.8}}
OVERLAY = {
    "images": {"longest_side_px": 192},
    "segmentation": {"iterations": 1},
    "prompts": {"margins_mm": [0.0, 10.0]},
    "features": {"families": {"gabor": {"wavelengths_mm": [4.0, 8.0], "orientations": 2}}},
    "classification": {"run": ["perceptron_frozen"], "classifiers": {"perceptron_frozen": {"epochs": 2}}},
    "comparison": {"bootstrap": 100, "fewest_patients": 2, "fewest_cases": 3},
    "saliency": {"run": False},
}


def missing() -> str:
    """Return why no bucket can be mounted here, or ""."""
    if not UV.exists():
        return "the installer of .venv installs the S3 server"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "needs /dev/fuse, which mounts the bucket"
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"needs {', '.join(absent)}: install Debian's rclone and fuse3" if absent else ""


pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(missing()), reason=missing() or "a bucket can be mounted"),
]


class Bucket:
    """A bucket of the server at a port; the settings of rclone are in the folder."""

    def __init__(self, folder: Path, port: int) -> None:
        self.settings = folder / "rclone.conf"
        self.settings.write_text(REMOTE.format(port=port), encoding="utf-8")
        self.rclone("mkdir", "bucket:study")

    def rclone(self, *arguments: str | Path) -> None:
        """Run rclone, which cannot read a bundle of certificates that the environment names for S3."""
        environment = {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}
        command = ["rclone", "--config", self.settings, *arguments]
        # The process of a mount stays; it must not hold an end of a pipe.
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)

    @contextmanager
    def mounted(self, folder: Path, cache: Path) -> Iterator[Path]:
        """Mount the bucket as a node does; the cache is on the disk of the node."""
        folder.mkdir(exist_ok=True)
        options = ["--vfs-cache-mode", "full", "--dir-cache-time", "5s", "--cache-dir", cache]
        self.rclone("mount", "bucket:study", folder, *options, "--daemon")
        try:
            yield folder
        finally:
            try:
                wait_until_uploaded(cache)
            finally:
                subprocess.run(["fusermount3", "-u", folder], check=True)


def wait_until_uploaded(cache: Path, seconds: float = 120) -> None:
    """Wait until every written file is in the bucket: rclone uploads a file some seconds after it was closed."""
    end = time.monotonic() + seconds
    while any(json.loads(file.read_text())["Dirty"] for file in (cache / "vfsMeta").rglob("*") if file.is_file()):
        assert time.monotonic() < end, f"rclone did not upload every file within {seconds:g} s"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """Return a bucket of a server on the loopback address."""
    folder = tmp_path_factory.mktemp("server")
    python = folder / "environment" / "bin" / "python"
    subprocess.run([UV, "venv", "--quiet", folder / "environment"], check=True)
    subprocess.run([UV, "pip", "install", "--quiet", "--python", python, SERVER], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "log").open("wb") as log:
        command = [python.with_name("moto_server"), "--host", "127.0.0.1", "--port", str(port)]
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for_server(port)
        yield Bucket(folder, port)
    finally:
        server.terminate()
        server.wait()


def wait_for_server(port: int, seconds: float = 60) -> None:
    """Wait until the server answers."""
    end = time.monotonic() + seconds
    while True:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < end, f"the S3 server did not answer within {seconds:g} s"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a phantom study, which has the layout of CBIS-DDSM."""
    folder = tmp_path_factory.mktemp("phantom")
    run(folder, {**PHANTOM, "results": str(folder / "results")}, "phantom")
    return folder / "results" / "made" / "study"


@pytest.fixture(scope="module")
def local_tables(study: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the tables of a run whose files are all on this machine."""
    folder = tmp_path_factory.mktemp("local")
    run(folder, overlay(study, folder))
    return tables(folder)


def overlay(study: Path, folder: Path) -> dict[str, object]:
    """Return the settings of a run of a study; results and store are in the folder."""
    dataset = {"reader": "cbis-ddsm", "folder": str(study), "name": "phantom in the layout of CBIS-DDSM"}
    places = {"run": "study", "results": str(folder / "results"), "store": str(folder / "store")}
    return {**OVERLAY, **places, "cohort": {"shards": 2, "dataset": dataset}}


def run(folder: Path, settings: dict[str, object], *targets: str) -> str:
    """Run Snakemake; return what it prints. The file of the settings is in the folder."""
    file = folder / "overlay.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--nocolor", "--configfile", file, "--", *targets]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout + done.stderr


def tables(folder: Path) -> dict[str, bytes]:
    """Return the tables of the run."""
    comparison = folder / "results" / "study" / "comparison"
    return {name: (comparison / name).read_bytes() for name in TABLES}


def test_a_study_is_read_from_the_bucket(
    bucket: Bucket, study: Path, local_tables: dict[str, bytes], tmp_path: Path
) -> None:
    bucket.rclone("copy", study, "bucket:study/films")
    for node in ("first", "second"):  # the second one has never read the study
        with bucket.mounted(tmp_path / "mount", tmp_path / node) as mount:
            printed = run(tmp_path, overlay(mount / "films", tmp_path))
        assert ("Nothing to be done" in printed) == (node == "second")
    assert tables(tmp_path) == local_tables


def test_results_and_store_are_in_the_bucket(
    bucket: Bucket, study: Path, local_tables: dict[str, bytes], tmp_path: Path
) -> None:
    for node in ("first", "second"):
        with bucket.mounted(tmp_path / "mount", tmp_path / node) as mount:
            (mount / "work").mkdir(exist_ok=True)
            printed = run(tmp_path, overlay(study, mount / "work"))
            assert ("Nothing to be done" in printed) == (node == "second")
            assert tables(mount / "work") == local_tables
            command = [sys.executable, "-m", "mammoflow.cli", "verify", mount / "work" / "results" / "study"]
            environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "0 changed, 0 missing, 0 added" in done.stdout


def test_results_come_back_from_a_copy_in_the_bucket(
    bucket: Bucket, study: Path, local_tables: dict[str, bytes], tmp_path: Path
) -> None:
    run(tmp_path, overlay(study, tmp_path))
    for folder in ("results", "store"):
        bucket.rclone("copy", tmp_path / folder, f"bucket:study/copy/{folder}")
        shutil.rmtree(tmp_path / folder)
        bucket.rclone("copy", f"bucket:study/copy/{folder}", tmp_path / folder)
    assert "Nothing to be done" in run(tmp_path, overlay(study, tmp_path))
    assert tables(tmp_path) == local_tables
