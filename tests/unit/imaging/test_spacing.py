"""Where a pixel spacing comes from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydicom.dataset import Dataset

from mammoflow.errors import ExcludedCase, Reason
from mammoflow.imaging.spacing import Spacing, choose_spacing, header_spacing


def header(**values: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def test_order_of_header_elements() -> None:
    every = {"ImagerPixelSpacing": [0.1, 0.1], "PixelSpacing": [0.09, 0.09], "NominalScannedPixelSpacing": [0.05, 0.05]}
    assert header_spacing(header(**every)) == Spacing(0.1, 0.1, "imager")
    del every["ImagerPixelSpacing"]
    assert header_spacing(header(**every)) == Spacing(0.09, 0.09, "pixel")
    del every["PixelSpacing"]
    assert header_spacing(header(**every)) == Spacing(0.05, 0.05, "nominal")
    assert header_spacing(header()) is None


def test_magnification_shrinks_the_imager_spacing_alone() -> None:
    magnified = header(ImagerPixelSpacing=[0.1, 0.1], EstimatedRadiographicMagnificationFactor="1.25")
    assert header_spacing(magnified) == Spacing(0.08, 0.08, "imager")
    absurd = header(ImagerPixelSpacing=[0.1, 0.1], EstimatedRadiographicMagnificationFactor="0")
    assert header_spacing(absurd) == Spacing(0.1, 0.1, "imager")
    pixel = header(PixelSpacing=[0.1, 0.1], EstimatedRadiographicMagnificationFactor="1.25")
    assert header_spacing(pixel) == Spacing(0.1, 0.1, "pixel")


@pytest.mark.parametrize("bad", [[0, 0], [-0.1, -0.1], [0.1, 0], [500, 500], [0.0001, 0.0001]])
def test_unbelievable_header_values_count_as_absent(bad: list[float]) -> None:
    assert header_spacing(header(ImagerPixelSpacing=bad)) is None
    both = header(ImagerPixelSpacing=bad, PixelSpacing=[0.07, 0.08])
    assert header_spacing(both) == Spacing(0.07, 0.08, "pixel")


def test_one_number_instead_of_two_counts_as_absent() -> None:
    assert header_spacing(header(PixelSpacing="0.1")) is None


def test_table_before_header_before_default() -> None:
    found = Spacing(0.1, 0.1, "imager")
    assert choose_spacing(found, 0.05, 0.04) == Spacing(0.05, 0.05, "table")
    assert choose_spacing(found, None, 0.04) == found
    assert choose_spacing(found, np.nan, 0.04) == found
    assert choose_spacing(None, pd.NA, 0.04) == Spacing(0.04, 0.04, "default")


@pytest.mark.parametrize("table", [None, np.nan, 0.0, -1.0, np.inf])
def test_no_spacing_excludes(table: float | None) -> None:
    with pytest.raises(ExcludedCase) as problem:
        choose_spacing(None, table, None)
    assert problem.value.reason == Reason.NO_SPACING
