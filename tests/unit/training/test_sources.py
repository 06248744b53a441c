"""Data sets of a training: those that are named, and no others."""

from __future__ import annotations

import pandas as pd
import pytest

from mammoflow.errors import StudyError
from mammoflow.training.sources import of_sources

ROWS = pd.DataFrame({"source": ["A", "B", "A", "C"], "image_id": ["1", "2", "3", "4"]})


def test_rows_of_the_named_data_sets_are_kept_in_order() -> None:
    assert of_sources(ROWS, ["C", "A"])["image_id"].tolist() == ["1", "3", "4"]
    assert of_sources(ROWS, [])["image_id"].tolist() == ["1", "2", "3", "4"]


def test_a_name_that_is_no_data_set_is_refused() -> None:
    with pytest.raises(StudyError, match="names 'D', but the training and validation patients are of A, B, C"):
        of_sources(ROWS, ["A", "D"])
