"""How long Snakemake takes to find that a run over many images has nothing to do.

The study is one on paper: a film and the masks of its lesions as files of a few bytes, in the proportions of CBIS-DDSM
(3,568 lesions on 3,103 films of 1,566 patients), and four case tables. The preset is that of CBIS-DDSM. Every stage is
the stand-in of the workflow's tests, which writes the outputs that its rule declares; rules, settings, code digests,
fingerprints of the files and Snakemake are the real ones. The whole workflow runs once, then again without a change,
then with a changed film. Run: `python benchmarks/bench_rerun.py [--images N] [--shards N] [--repeat N] [--cores N]`; it
prints one JSON line. Times are those of the whole command, Python's start included: wall clock, and processor seconds,
which do not depend on what else the machine does. The memory is the peak of the largest process.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
FILMS, LESIONS, PATIENTS = 3103, 3568, 1566
FOLDER_FILMS = 1000
TABLES = [f"{kind}_case_description_{side}_set.csv" for kind in ("mass", "calc") for side in ("train", "test")]
STUDY = "Second"
"""Name of the study, under which the stand-in of the cohort lists files."""


def load_stand_ins() -> ModuleType:
    """Load the copy of the project with stand-ins from the workflow's tests."""
    spec = importlib.util.spec_from_file_location("stand_ins", ROOT / "tests" / "workflow" / "conftest.py")
    if spec is None or spec.loader is None:
        raise SystemExit("tests/workflow/conftest.py cannot be loaded; run from a checkout of the project")
    module = importlib.util.module_from_spec(spec)
    sys.modules["stand_ins"] = module
    spec.loader.exec_module(module)
    return module


def write_paper_study(folder: Path, films: int, shards: int) -> dict[str, list[str]]:
    """Write a study without pictures; return the files of each shard, as the cohort lists them."""
    folder.mkdir(parents=True)
    for name in TABLES:
        (folder / name).write_text("patient_id\n")
    listed: dict[str, list[str]] = {f"{shard:02d}": [] for shard in range(shards)}
    for film in range(films):
        parent = f"{film // FOLDER_FILMS:04d}"
        if film % FOLDER_FILMS == 0:
            (folder / parent).mkdir()
        masks = (film + 1) * LESIONS // FILMS - film * LESIONS // FILMS
        names = [f"{parent}/{film:07d}.dcm", *(f"{parent}/{film:07d}_mask_{mask}.dcm" for mask in range(masks))]
        for name in names:
            (folder / name).write_bytes(b"paper")
        listed[f"{film * PATIENTS // FILMS % shards:02d}"] += names
    return listed


def processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def snakemake(project: Path, cores: int, *arguments: str) -> tuple[float, float, str]:
    """Run Snakemake as a user does; return wall-clock and processor seconds and what it printed."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--nocolor", *arguments]
    start, start_processor = time.perf_counter(), processor_seconds()
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    seconds, processor = time.perf_counter() - start, processor_seconds() - start_processor
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-4000:])
    return seconds, processor, done.stdout + done.stderr


def jobs_of(printed: str) -> int:
    """Return how many jobs a run had."""
    return int(re.findall(r"of (\d+) steps \(100%\) done", printed)[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=FILMS)
    parser.add_argument("--shards", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "study"
        listed = write_paper_study(folder, arguments.images, arguments.shards)
        project = load_stand_ins().copy_project(Path(temporary) / "project", None).root
        (project / "listed.json").write_text(json.dumps(listed))
        dataset = f"{{name: {STUDY}, folder: {folder}}}"
        (project / "overlay.yaml").write_text(f"cohort: {{shards: {arguments.shards}, dataset: {dataset}}}\n")
        preset = ("--configfile", "workflow/presets/cbis-ddsm.yaml", "overlay.yaml")
        first, _, printed = snakemake(project, arguments.cores, *preset)
        again = []
        for _ in range(arguments.repeat):
            seconds, processor, said = snakemake(project, arguments.cores, *preset)
            if "Nothing to be done" not in said:
                raise SystemExit(f"expected nothing to do:\n{said[-3000:]}")
            again.append((round(seconds, 2), round(processor, 2)))
        memory_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
        (folder / listed["00"][0]).write_bytes(b"another paper")
        changed, _, said = snakemake(project, arguments.cores, *preset)
    files = sum(map(len, listed.values()))
    study = {"images": arguments.images, "files": files, "shards": arguments.shards, "jobs": jobs_of(printed)}
    times = {
        "first_run_s": round(first, 1),
        "rerun_s": min(again)[0],
        "rerun_processor_s": min(run[1] for run in again),
    }
    change = {"changed_film_s": round(changed, 1), "changed_film_jobs": jobs_of(said)}
    print(json.dumps(study | times | change | {"memory_mb": round(memory_mb)}))


if __name__ == "__main__":
    main()
