"""What a feature is, and what the table of features refuses."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from mammoflow.tables.features import FEATURES, OK, feature_columns, write_features
from mammoflow.tables.files import read_table

KEYS = {"lesion_id": "L1", "patient_id": "P1", "mask_model": "small", "status": OK, "detail": "", "spacing_mm": 0.2}


def test_features_are_the_columns_that_begin_with_the_family():
    names = ["lesion_id", "spacing_mm", "gabor_b", "gabor_a", "gaborish", "region_gabor_a", "radiomics_gabor_a"]
    assert feature_columns(pd.DataFrame(columns=names), "gabor") == ["gabor_b", "gabor_a"]


def test_table_holds_all_columns_in_order_and_no_infinite_number(tmp_path):
    path = tmp_path / "features.parquet"
    rows = [KEYS | {"tex_a": math.inf, "pixels": 3}, KEYS | {"lesion_id": "L2"}]
    write_features(rows, "tex", ["tex_b", "tex_a"], ["pixels"], path)
    table = read_table(path, FEATURES)
    assert table.columns.tolist() == [*KEYS, "pixels", "tex_b", "tex_a"]
    assert table[["tex_a", "tex_b"]].isna().all(axis=None)
    assert table["pixels"].tolist()[0] == 3.0


@pytest.mark.parametrize(
    ("columns", "description", "values", "expected"),
    [
        (["tex_a", "area"], [], {}, "names the columns area; expected features that begin with 'tex_'"),
        (["tex_a"], ["tex_area"], {}, "names the columns tex_area"),
        (["tex_a"], ["spacing_mm"], {}, "names the columns spacing_mm"),
        (["tex_a", "tex_a"], [], {}, "names tex_a twice"),
        (["tex_a"], ["pixels"], {"manufacturer": 2.0}, "gave manufacturer; expected features"),
    ],
)
def test_what_is_no_feature_and_not_declared_is_refused(tmp_path, columns, description, values, expected):
    path = tmp_path / "features.parquet"
    with pytest.raises(ValueError, match=expected):
        write_features([KEYS | values], "tex", columns, description, path)
    assert not path.exists()
