from __future__ import annotations

import pandas as pd
import pytest

from mammoflow.features.families.gabor import Options, open_family
from mammoflow.features.stage import extract
from mammoflow.tables.features import FEATURES
from mammoflow.tables.files import read_table

from .conftest import Lesion

OPTIONS = Options(wavelengths_mm=[2.0, 4.0], orientations=3, spacing_mm=0.5)


def test_every_lesion_has_its_row_in_order_with_its_reason(make_shard):
    shard = make_shard([Lesion(seed=1), Lesion(predicted="empty"), Lesion(predicted="none"), Lesion(spacing=1.0)])
    extract("gabor", OPTIONS, shard.images, shard.masks, shard.output, threads=1)
    table = read_table(shard.output, FEATURES)
    assert table["lesion_id"].tolist() == [f"lesion-{number}" for number in range(4)]
    assert table["patient_id"].tolist() == [f"patient-{number}" for number in range(4)]
    assert table["status"].tolist() == ["ok", "mask is empty", "no mask found among the files of the lesion", "ok"]
    assert table["spacing_mm"].tolist() == [0.5, 0.5, 0.5, 1.0]
    assert table["gabor_similarity"].notna().tolist() == [True, False, False, True]
    assert table["wavelengths"].tolist()[::3] == [2, 1]


def test_threads_and_repetition_change_nothing(make_shard):
    shard = make_shard([Lesion(seed=seed, spacing=0.5 + 0.1 * (seed % 3)) for seed in range(7)])
    tables = []
    for threads in (1, 3, 3):
        extract("gabor", OPTIONS, shard.images, shard.masks, shard.output, threads)
        tables.append(pd.read_parquet(shard.output))
    pd.testing.assert_frame_equal(tables[0], tables[1], check_exact=True)
    pd.testing.assert_frame_equal(tables[1], tables[2], check_exact=True)


def test_empty_shard_gives_an_empty_table_with_all_columns(make_shard):
    shard = make_shard([])
    extract("gabor", OPTIONS, shard.images, shard.masks, shard.output, threads=2)
    table = read_table(shard.output, FEATURES)
    assert len(table) == 0
    assert set(open_family(OPTIONS, "cpu").columns) < set(table.columns)
    assert table["gabor_similarity"].dtype == "float64"


def test_reference_masks_need_no_segmentation(make_shard):
    shard = make_shard([Lesion(predicted="none")])
    options = OPTIONS.model_copy(update={"mask": "reference"})
    extract("gabor", options, shard.images, None, shard.output, threads=1)
    assert pd.read_parquet(shard.output)["status"].tolist() == ["ok"]


@pytest.mark.gpu
def test_forced_gpu_is_used_or_refused(make_shard):
    import torch

    from mammoflow.errors import ConfigError

    shard = make_shard([Lesion()])
    options = OPTIONS.model_copy(update={"device": "cuda"})
    if torch.cuda.is_available():
        extract("gabor", options, shard.images, shard.masks, shard.output, threads=1)
        assert shard.output.exists()
    else:
        with pytest.raises(ConfigError, match="no usable GPU"):
            extract("gabor", options, shard.images, shard.masks, shard.output, threads=1)
        assert not shard.output.exists()
