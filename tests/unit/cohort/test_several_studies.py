"""Several studies in one cohort: each row says whether its study is synthetic."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mammoflow.cohort.resolution import Resolved
from mammoflow.cohort.selection import Selection
from mammoflow.cohort.several_studies import pool_studies
from mammoflow.config.cohort import DatasetSettings
from mammoflow.tables.cohort import made_of_phantoms


def test_each_row_says_whether_its_study_is_synthetic():
    selections = []
    for name in ("P", "Q"):
        ids = {"patient_id": name, "image_id": f"{name}_i", "lesion_id": f"{name}_l", "finding_id": f"{name}_f"}
        rows = pd.DataFrame([{**ids, "label": "benign"}])
        resolved = Resolved(images=[{"patient_id": name, "image_id": f"{name}_i"}], lesions=[dict(ids)])
        selections.append(Selection(rows, resolved, [], phantom=name == "P"))
    datasets = [DatasetSettings(), DatasetSettings(reader="busi", name="BUSI", folder="busi")]
    pool = pool_studies(selections, datasets, [Path("phantom"), Path("busi")])
    for table in (pool.images, pool.lesions):
        assert table["phantom"].tolist() == [True, False]
        assert made_of_phantoms(table)
        assert not made_of_phantoms(table[table["source"] == "BUSI"])
    assert not made_of_phantoms(pool.rows)
