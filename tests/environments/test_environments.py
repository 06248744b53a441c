"""Every stage runs in the environment that its rule names, with the pip part of that environment and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
UV = ROOT / ".venv" / "bin" / "uv"

# It installs all packages again: a minute where they are in the installer's cache, and a download where they are not.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

OVERLAY = {
    "run": "environments",
    "phantom": {"patients": 12, "spacing_mm": 0.8},
    "cohort": {"shards": 1},
    "images": {"longest_side_px": 192},
    "segmentation": {"iterations": 1},
    "prompts": {"margins_mm": [10.0]},
    "features": {"families": {"gabor": {"wavelengths_mm": [4.0, 8.0], "orientations": 2}}},
    "classification": {
        "run": ["context_crop"],
        "classifiers": {"context_crop": {"epochs": 1, "input_options": {"image_px": 32}}},
    },
    "comparison": {"bootstrap": 100, "fewest_patients": 2, "fewest_cases": 3},
    "saliency": {"run": True},
}
INSTALLERS = {"pip", "setuptools", "wheel"}
BUILT = {"pyradiomics", "sam2"}
"""Packages that the scripts beside the environments install, because they are built against others."""

TARGETS = ("all", "dicom", "birads")


@pytest.mark.skipif(not UV.exists(), reason="the environments are made by the installer of .venv")
def test_every_stage_runs_in_its_own_environment_alone(tmp_path: Path) -> None:
    programs = tmp_path / "conda" / "bin"
    programs.mkdir(parents=True)
    for name in ("conda", "activate"):
        shutil.copy2(HERE / name, programs / name)
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(
        yaml.safe_dump({**OVERLAY, "results": str(tmp_path / "results"), "store": str(tmp_path / "store")})
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment |= {"PATH": f"{programs}:{environment['PATH']}", "UV": str(UV), "PYTHON": sys.executable}
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--nocolor", "--configfile", str(overlay)]
    command += [
        "--conda-prefix",
        str(tmp_path / "environments"),
        "--software-deployment-method",
        "conda",
        "--",
        *TARGETS,
    ]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed[-4000:]
    made = set(re.findall(r"Environment for \S*envs/(\w+)\.yaml created", printed))
    assert made == {"images", "tables", "features", "torch"}
    assert (tmp_path / "results" / "environments" / "report" / "report.html").is_file()
    for pins in (tmp_path / "environments").glob("*.pins"):
        command = [UV, "pip", "list", "--format", "json", "--python", pins.with_suffix("")]
        listed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        wanted = {re.split("==", line)[0].lower() for line in pins.read_text().split()}
        assert {package["name"].lower() for package in listed} <= wanted | INSTALLERS | BUILT, pins.read_text()
