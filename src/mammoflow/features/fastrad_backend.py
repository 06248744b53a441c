"""Radiomics features by the package fastrad, which computes them with torch, on a GPU where there is one."""

from __future__ import annotations

import importlib
import importlib.util
import re
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mammoflow.errors import ConfigError
from mammoflow.features.radiomics_images import SLICE_MM

PACKAGE = "fastrad"
CLASSES = ("shape2D", "glcm", "glszm", "gldm", "ngtdm")
"""Classes whose values are those of PyRadiomics, which computes the others. fastrad 1.0.0 averages run lengths (glrlm)
over the 13 directions of a volume even on a single slice, where 9 of them have runs of one pixel only, and its median
(firstorder) of an even number of pixels is the lower one of the two in the middle."""


def check_installed() -> None:
    """Check that the package is there.

    Raises
    ------
    ConfigError
        If it is not.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise ConfigError(
            "features.families.radiomics.backend is fastrad, and the package fastrad is not installed; expected "
            "version 1.0 or later. Install it with `pip install fastrad`, or set backend to pyradiomics"
        )


def fastrad_features(
    levels: npt.NDArray[np.int64],
    mask: npt.NDArray[np.uint8],
    spacing_mm: float,
    names: Mapping[str, Sequence[str]],
    device: str,
) -> dict[str, float]:
    """Return features by PyRadiomics' names, such as `glcm_Contrast`.

    Parameters
    ----------
    levels
        (rows, columns): the discretised grey levels from 1 on, as PyRadiomics makes them. fastrad itself knows bins of
        a fixed width only, and bins of width 1 leave these levels as they are.
    mask
        (rows, columns), with a rim of one pixel around the region.
    spacing_mm
        Pixel spacing in millimetres.
    names
        Features of each class that is asked for, a class of `CLASSES`.
    device
        `cpu` or `cuda`.
    """
    import torch

    fastrad = importlib.import_module(PACKAGE)  # by its name, as the environments of the stages do not have it
    spacing = (SLICE_MM, spacing_mm, spacing_mm)
    settings = fastrad.FeatureSettings(
        feature_classes=[name.lower() for name in names],
        bin_width=1.0,
        device=device,
        force2D=True,
        force2Ddimension=0,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not isotropic.*")
        found = fastrad.FeatureExtractor(settings).extract(
            fastrad.MedicalImage(torch.from_numpy(levels[None].astype(np.float64)), spacing),
            fastrad.Mask(torch.from_numpy(mask[None].astype(np.float32)), spacing),
        )
    values = {_plain(name): float(value) for name, value in found.items()}
    return {
        f"{group}_{feature}": values[_plain(f"{group}{feature}")]
        for group, features in names.items()
        for feature in features
    }


def _plain(name: str) -> str:
    """Return a name without what the two packages write differently: `difference_entropy`, `DifferenceEntropy`."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
