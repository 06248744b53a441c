"""A copy of the project in which every stage is a stand-in that takes milliseconds.

Only `mammoflow.cli` is replaced, which no code digest covers: rules, settings files, digests and Snakemake are the real
ones. A stand-in writes the outputs that its stage declares, with a content that follows from its inputs.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

STAND_IN = """
import hashlib, json, os, re, sys
from pathlib import Path

stage, *arguments = sys.argv[1:]
options = [(name, value) for name, value in zip(arguments, arguments[1:]) if name.startswith("--")]
found = re.search(r"^shards: (\\d+)$", Path(dict(options)["--settings"]).read_text(), re.MULTILINE)
shards = int(found[1]) if found else 0
output = Path(dict(options)["--output"])
further = [Path(value) for name, value in options if name == "--excluded"]
further += [output.parent / "tables" / "1.tex"] if stage == "report" else []
further += [output.with_name(f"curves.{kind}") for kind in ("png", "svg", "csv")] if stage == "robustness" else []
further += [output.with_suffix(kind) for kind in (".png", ".svg")] if stage == "stability" else []
digest = hashlib.sha256(stage.encode())
WORDS = "output excluded store family model architecture from threads name input precision default-margin-mm".split()
for name, value in options:
    path = Path(value)
    if name.removeprefix("--") in WORDS:
        digest.update(value.encode())
        continue
    inside = path.iterdir() if path.is_dir() else [path]
    for file in sorted(file for file in inside if file.is_file()):
        digest.update(file.read_bytes())
content = digest.hexdigest()
classifier = ["predictions.parquet", "history.csv", "training.json", "seeds/0/model.safetensors"]
classifier += ["class_predictions.parquet"]
names = {
    "phantom": ["manifest.csv", "film_spacing.csv"]
    + [f"{kind}_case_description_{split}_set.csv" for kind in ("mass", "calc") for split in ("train", "test")],
    "cohort": ["images.parquet", "lesions.parquet", "excluded.parquet", "rows.parquet", "study.json"]
    + ["classes.parquet"]
    + [f"shards/{shard:02d}/{table}.parquet" for shard in range(shards) for table in ("images", "lesions")]
    + [f"shards/{shard:02d}/files.json" for shard in range(shards)],
    "images": ["images.parquet", "lesions.parquet", "excluded.parquet", "files.json"],
    "segment": ["scores.parquet", "masks.parquet", "empty.parquet", "weights.json"],
    "segment-automatic": ["scores.parquet", "masks.parquet", "weights.json", "detections.parquet", "maps.parquet"],
    "train-segmenter": ["model.safetensors", "record.json", "history.csv"],
    "classify": classifier,
    "saliency": ["saliency.parquet", "pictures/grad_cam/lesion.jpg"],
    "dicom": ["objects.parquet"],
    "birads": ["birads.csv", "birads.parquet", "birads.json"],
    "real-exam": ["real_exam.html", "real_exam.csv"],
    "audit": AUDIT,
    "compare": COMPARISON,
}
for path in [output / name for name in names[stage]] if stage in names else [output, *further]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
listed = Path("listed.json")  # what each shard names, where a test says so
if stage == "cohort" and listed.is_file():
    for shard, files in json.loads(listed.read_text()).items():
        (output / "shards" / shard / "files.json").write_text(json.dumps({"Second": files}))
if Path(f"interrupt-{stage}").is_file():
    os.kill(os.getpid(), 9)
print(f"{stage} is in", file=sys.stderr)
"""

# Stand-ins of these stages write what their rule declares in its folder of the run.
DECLARED = (("COMPARISON", "compare", "comparison"), ("AUDIT", "audit", "audit"))


class Snakemake:
    """Snakemake, loaded once for all runs of the tests."""

    def __init__(self, output: Path) -> None:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        self.output = output
        self.server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("fork_server.py"))],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, folder: Path, *arguments: str, python: Path | None = None) -> tuple[int, str]:
        """Run Snakemake in a folder, its jobs with a program; return its exit code and everything that it printed."""
        if self.server.stdin is None or self.server.stdout is None:
            raise AssertionError("the server has no pipes")
        request = {"folder": str(folder), "arguments": arguments, "output": str(self.output)}
        request |= {"python": str(python)} if python else {}
        print(json.dumps(request), file=self.server.stdin, flush=True)
        code = int(self.server.stdout.readline())
        return code, self.output.read_text(encoding="utf-8")

    def close(self) -> None:
        """End the server."""
        self.server.communicate(timeout=60)


@dataclass(frozen=True)
class Project:
    """A copy of the project, and how to run Snakemake in it."""

    root: Path
    runner: Snakemake

    def snakemake(self, *arguments: str, check: bool = True) -> str:
        """Run Snakemake on two cores; return everything that it printed."""
        code, printed = self.runner.run(self.root, "--cores", "2", "--nocolor", *arguments)
        if check and code != 0:
            raise AssertionError(printed)
        if not check and code == 0:
            raise AssertionError(f"expected a failure:\n{printed}")
        return printed

    def planned(self, *arguments: str) -> dict[str, int]:
        """Return how many jobs of each rule a dry run plans."""
        return self.jobs(self.snakemake("--dry-run", *arguments))

    @staticmethod
    def jobs(printed: str) -> dict[str, int]:
        """Return how many jobs of each rule Snakemake listed in what it printed."""
        table = re.findall(r"^(\w+) +(\d+)$", printed, flags=re.MULTILINE)
        return {rule: int(count) for rule, count in table if rule not in {"all", "total", "write_settings"}}


def copy_project(target: Path, runner: Snakemake) -> Project:
    """Copy what a run needs, and put the stand-in in place of the command line."""
    for name in ("workflow", "profiles", "envs", "src/mammoflow"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "config.yaml"):
        shutil.copy2(ROOT / name, target / name)
    names = {stage: _outputs(target, rule, folder) for stage, rule, folder in DECLARED}
    shutil.rmtree(target / "src/mammoflow/cli")
    text = STAND_IN
    for stage, files in names.items():
        text = text.replace(stage, repr(files))
    (target / "src/mammoflow/cli.py").write_text(text, encoding="utf-8")
    return Project(target, runner)


def _outputs(project: Path, rule: str, folder: str) -> list[str]:
    """Return the files that a rule declares in its folder; names without a suffix are tables."""
    text = (project / f"workflow/rules/{rule}.smk").read_text(encoding="utf-8")
    output = text.partition("    output:")[2].partition("    log:")[0]
    folders = re.findall(rf'directory\(f"\{{RUN\}}/{folder}/(\w+)"\)', output)
    output = re.sub(r"report\(\s+directory\(.*?\n        \),", "", output, flags=re.DOTALL)
    output = re.sub(rf'caption=.*|category=.*|labels=.*|f"\{{RUN\}}/{folder}/\{{\{{?table\}}?\}}.csv"', "", output)
    names = re.findall(rf'"(?:\{{RUN\}}/{folder}/)?(\w+(?:\.csv|\.json|\.html)?)"', output)
    return [name if "." in name else f"{name}.csv" for name in names] + [f"{name}/1.svg" for name in folders]


@pytest.fixture(scope="session")
def kill_runs() -> ModuleType:
    """The tool that kills runs at random moments and compares what they end with."""
    spec = importlib.util.spec_from_file_location("kill_runs", ROOT / "tools" / "kill_runs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["kill_runs"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snakemake]:
    """Snakemake, loaded once."""
    server = Snakemake(tmp_path_factory.mktemp("snakemake") / "printed.txt")
    yield server
    server.close()


@pytest.fixture(scope="session")
def without_network() -> list[str]:
    """The beginning of a command that runs without any network, loopback included; empty where that is not allowed."""
    command = ["unshare", "--user", "--map-root-user", "--net"]
    allowed = shutil.which(command[0]) and subprocess.run([*command, "true"], capture_output=True).returncode == 0
    return command if allowed else []


@pytest.fixture(scope="module")
def job_python(tmp_path_factory: pytest.TempPathFactory, without_network: list[str]) -> Iterator[Path]:
    """A program that runs jobs as `python` does, in forks of one process that has loaded torch and the like.

    The jobs have no network where this machine can take it away.
    """
    folder = tmp_path_factory.mktemp("jobs")
    server, path, python = Path(__file__).with_name("job_server.py"), folder / "socket", folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S {server} {path} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    # Threads of torch that wait would spin, which costs most of the time where other programs use the cores too.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    command = [*without_network, sys.executable, str(server), str(path), "serve"]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE) as process:
        while not path.is_socket():
            if process.poll() is not None:
                raise AssertionError("the server of jobs has ended")
            time.sleep(0.05)
        yield python


@pytest.fixture(scope="session")
def finished_project(
    runner: Snakemake,
    tmp_path_factory: pytest.TempPathFactory,
    made_once: Callable[[str, Callable[[Path], Any]], Any],
) -> Project:
    """A copy in which the whole workflow ran once; tests that change something take `project`."""

    def finish(folder: Path) -> Path:
        project = copy_project(folder / "project", runner)
        project.snakemake()
        return project.root

    # each worker has its own copy, because Snakemake locks the folder that it works in
    target = tmp_path_factory.mktemp("workflow") / "project"
    shutil.copytree(made_once("finished_project", finish), target, symlinks=True)
    return Project(target, runner)


@pytest.fixture
def project(finished_project: Project, tmp_path: Path) -> Project:
    """A copy of its own of the finished project, records of Snakemake included."""
    target = tmp_path / "project"
    shutil.copytree(finished_project.root, target, symlinks=True)
    return Project(target, finished_project.runner)
