"""What the numbers were made with: settings of the comparison, training records, package versions."""

from __future__ import annotations

import platform
from importlib import metadata
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
    "pyradiomics",
    "pydicom",
    "snakemake",
)


def provenance(settings: ComparisonSettings, run: Run) -> dict[str, Any]:
    """Return the record that stands beside the tables."""
    return {
        "comparison": settings.model_dump(),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "training": run.training,
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
