"""How long Snakemake takes to find that a run over 3,103 images has nothing to do.

The study is one on paper: the folders of 3,103 films and 3,568 lesions with their 10,239 files, of a few bytes each,
and four case tables; the preset is that of CBIS-DDSM with its 32 shards. Every stage is the stand-in of the workflow's
tests, which writes the outputs that its rule declares; rules, settings, code digests and Snakemake are the real ones.
The whole workflow runs once, then again without a change. Run: `python benchmarks/bench_rerun.py [--repeat N]
[--cores N]`; it prints one JSON line. Times are those of the whole command, Python's start included: wall clock, and
processor seconds, which do not depend on what else the machine does.
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
SHARDS = 32
TABLES = [f"{kind}_case_description_{side}_set.csv" for kind in ("mass", "calc") for side in ("train", "test")]


def load_stand_ins() -> ModuleType:
    """Load the copy of the project with stand-ins from the workflow's tests."""
    spec = importlib.util.spec_from_file_location("stand_ins", ROOT / "tests" / "workflow" / "conftest.py")
    if spec is None or spec.loader is None:
        raise SystemExit("tests/workflow/conftest.py cannot be loaded; run from a checkout of the project")
    module = importlib.util.module_from_spec(spec)
    sys.modules["stand_ins"] = module
    spec.loader.exec_module(module)
    return module


def write_paper_study(folder: Path) -> int:
    """Write folders and files as the collection has them, without pictures; return the number of files."""
    folder.mkdir(parents=True)
    for name in TABLES:
        (folder / name).write_text("patient_id\n")
    files = 0
    for number in range(FILMS):
        name = f"Mass-Training_P_{number % PATIENTS:05d}_LEFT_{number:04d}"
        files += write_files(folder / name, number, 1)
        for lesion in range(1 + (number < LESIONS - FILMS)):
            files += write_files(folder / f"{name}_{lesion + 1}", number, 2)
    return files


def write_files(folder: Path, number: int, count: int) -> int:
    series = folder / f"1.3.6.1.4.1.9590.100.1.2.{number}" / f"1.3.6.1.4.1.9590.100.1.2.{number}.1"
    series.mkdir(parents=True)
    for place in range(count):
        (series / f"{place:06d}.dcm").write_bytes(b"paper")
    return count


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        files = write_paper_study(Path(temporary) / "study")
        project = load_stand_ins().copy_project(Path(temporary) / "project", None).root
        (project / "overlay.yaml").write_text(f"cohort: {{dataset: {{folder: {Path(temporary) / 'study'}}}}}\n")
        preset = ("--configfile", "workflow/presets/cbis-ddsm.yaml", "overlay.yaml")
        first, _, printed = snakemake(project, arguments.cores, *preset)
        jobs = re.findall(r"of (\d+) steps \(100%\) done", printed)
        again = []
        for _ in range(arguments.repeat):
            seconds, processor, said = snakemake(project, arguments.cores, *preset)
            if "Nothing to be done" not in said:
                raise SystemExit(f"expected nothing to do:\n{said[-3000:]}")
            again.append((round(seconds, 2), round(processor, 2)))
    study = {"images": FILMS, "files": files, "shards": SHARDS, "jobs": int(jobs[-1]), "first_run_s": round(first, 1)}
    print(json.dumps(study | {"rerun_s": min(again)[0], "rerun_processor_s": min(part[1] for part in again)}))


if __name__ == "__main__":
    main()
