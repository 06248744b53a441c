"""The radiomics family on the digital phantom of the IBSI, against the published consensus values.

Phantom and values: Zwanenburg et al., The image biomarker standardisation initiative, arXiv:1612.07003 (reference
manual) and Radiology 295, 2020. The phantom has 5 x 4 x 4 voxels of 2 mm with the grey levels 1, 3, 4 and 6, which are
not discretised. The values are published with three significant digits and a tolerance of 0: a computed value is right
if it gives the published one after rounding to three significant digits.

The family computes on one slice. It can aggregate the phantom's slices in two of the ways that the IBSI defines:

- `slices_averaged` ("2D, averaged"): features of each slice and direction, averaged;
- `slices_merged` ("2.5D, direction-merged"): counts of all slices, added up for each direction. Here the four slices
  are in one patch, apart from each other. First-order features, which know no neighbours, have this value only.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammoflow.features.families.radiomics import Options, open_family
from mammoflow.features.lesion_patch import LesionPatch

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "ibsi" / "digital_phantom.csv"
PREFIX = "radiomics_original_"
OUTSIDE = 0
PHANTOM = np.array(
    [
        [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [OUTSIDE, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
        [[1, 4, 4, OUTSIDE, OUTSIDE], [1, 1, 1, 1, 1], [1, 1, OUTSIDE, 1, 1], [1, 1, 6, 1, 1]],
        [[1, 4, 4, OUTSIDE, OUTSIDE], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
    ]
)
# Features without a counterpart in the reference manual, or defined for volumes only.
WITHOUT_REFERENCE = {"firstorder_TotalEnergy", "glcm_MCC"}
# The IBSI's kurtosis is 0 for a normal distribution, that of PyRadiomics is 3.
OFFSETS = {"firstorder_Kurtosis": -3.0}


def features_of(levels: np.ndarray) -> dict[str, float]:
    """Return the features of a slice (rows, columns) by PyRadiomics' names; six levels from 1 to 6 keep their value."""
    patch = np.pad(levels, 2, constant_values=OUTSIDE)
    mask = patch != OUTSIDE
    compute = open_family(Options(bin_count=6), "cpu")
    values = compute(LesionPatch(patch.astype(np.float32), mask, np.ones_like(mask), 2.0))
    names = {name: name.removeprefix(PREFIX) for name in values}
    return {short: float(values[name]) + OFFSETS.get(short, 0.0) for name, short in names.items()}


@pytest.fixture(scope="module")
def computed() -> pd.DataFrame:
    """Features (rows) by way of aggregation (columns)."""
    slices = pd.DataFrame([features_of(levels) for levels in PHANTOM])
    apart = np.concatenate([np.pad(levels, ((0, 0), (0, 2)), constant_values=OUTSIDE) for levels in PHANTOM], axis=1)
    return pd.DataFrame({"slices_averaged": slices.mean(), "slices_merged": pd.Series(features_of(apart))})


def three_digits(value: float) -> float:
    return round(value, 2 - math.floor(math.log10(abs(value)))) if value else 0.0


def test_phantom_is_the_published_one() -> None:
    levels = PHANTOM[PHANTOM != OUTSIDE]
    assert len(levels) == 74
    assert three_digits(levels.mean()) == 2.15
    assert three_digits(levels.var()) == 3.05
    assert (levels.astype(int) ** 2).sum() == 567


@pytest.mark.parametrize("aggregation", ["slices_averaged", "slices_merged"])
def test_features_have_the_published_values(computed: pd.DataFrame, aggregation: str) -> None:
    reference = pd.read_csv(GOLDEN, index_col="feature")[aggregation].dropna()
    assert len(reference) > 70
    rounded = computed.loc[reference.index, aggregation].map(three_digits)
    differing = pd.DataFrame({"published": reference, "computed": rounded})[(rounded - reference).abs() > 1e-9]
    assert differing.empty, differing


def test_every_feature_but_the_named_ones_has_a_reference() -> None:
    reference = set(pd.read_csv(GOLDEN)["feature"])
    names = {name.removeprefix(PREFIX) for name in open_family(Options(), "cpu").columns}
    without = {name for name in names - reference if not name.startswith("shape2D_")}
    assert without == WITHOUT_REFERENCE
