"""Every feature family: what its module declares, what its extractor returns, and that its table can be written."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from mammoflow.config.features import FEATURE_FAMILIES, FeatureOptions
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ExcludedCase
from mammoflow.features.lesion_patch import LesionPatch
from mammoflow.features.measured import RegionOptions
from mammoflow.features.stage import extract
from mammoflow.planning.features import feature_modules
from mammoflow.run.provenance import code_modules
from mammoflow.tables.features import FEATURES, OK, feature_columns, write_features
from mammoflow.tables.files import read_table

from ..unit.features.conftest import Lesion

SPACING_MM = 0.5
SIDE = 200


@pytest.fixture(params=FEATURE_FAMILIES.names())
def family(request: pytest.FixtureRequest) -> str:
    """Return the name of one family after the other."""
    return str(request.param)


def options_of(family: str) -> FeatureOptions:
    options = FEATURE_FAMILIES.options(family)()
    assert isinstance(options, FeatureOptions)
    return options


def patch(seed: int = 0, radius_mm: float = 8.0) -> LesionPatch:
    """Return a round lesion in the middle of noise."""
    distance = np.hypot(*(np.mgrid[:SIDE, :SIDE] + 0.5 - SIDE / 2)) * SPACING_MM
    image = np.random.default_rng(seed).normal(30000, 2000, (SIDE, SIDE)).astype(np.float32)
    return LesionPatch(image, distance <= radius_mm, np.ones((SIDE, SIDE), dtype=bool), SPACING_MM)


def test_top_level_says_how_the_family_runs(family: str) -> None:
    member = FEATURE_FAMILIES.load(family)
    assert isinstance(member.GPU, bool)
    assert isinstance(member.PROCESSES, bool)
    # By default, no family has both: several processes would compete for one GPU.
    assert not (member.GPU and options_of(family).can_use_gpu and member.PROCESSES)
    assert ("device" in type(options_of(family)).model_fields) == member.GPU


def test_no_family_loads_what_it_computes_with() -> None:
    modules = [FEATURE_FAMILIES.module(name) for name in FEATURE_FAMILIES.names()]
    slow = "{'torch', 'SimpleITK', 'radiomics', 'scipy', 'sklearn', 'skimage', 'pandas'}"
    code = f"import sys, {', '.join(modules)}; print(sorted(set(sys.modules) & {slow}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_each_number_of_a_patch_is_a_feature_or_a_description(family: str) -> None:
    extractor = FEATURE_FAMILIES.load(family).open_family(options_of(family), "cpu")
    values = extractor(patch())
    assert len(extractor.columns) > 0
    assert all(name.startswith(f"{family}_") for name in extractor.columns)
    assert not any(name.startswith(f"{family}_") for name in extractor.description)
    assert set(extractor.columns) <= set(values)
    assert set(values) <= {*extractor.columns, *extractor.description, "status", "detail"}
    undefined = [name for name in extractor.columns if not math.isfinite(values[name])]
    # Pixels of 0.5 mm are too coarse for waves of 1 mm, and noise has no bright spot.
    assert all("_w1.0_" in name or "_spots_" in name for name in undefined)
    assert not undefined or family in ("gabor", "descriptors")


def test_the_dictionary_says_what_each_feature_is(family: str) -> None:
    options = options_of(family)
    if isinstance(options, RegionOptions):
        regions = [*options.regions, "mirrored"]
        options = type(options).model_validate(options.model_dump() | {"regions": regions, "shells_mm": [[0.0, 2.5]]})
    extractor = FEATURE_FAMILIES.load(family).open_family(options, "cpu")
    meanings = [extractor.meaning(column) for column in extractor.columns]
    assert all(meaning.region and meaning.image and meaning.statistic for meaning in meanings)
    assert len(set(meanings)) == len(meanings)


def test_a_patch_gives_the_same_numbers_again(family: str) -> None:
    extractor = FEATURE_FAMILIES.load(family).open_family(options_of(family), "cpu")
    first = extractor(patch())
    extractor(patch(seed=1, radius_mm=5.0))
    np.testing.assert_equal(dict(extractor(patch())), dict(first))


def test_a_lesion_of_one_pixel_has_features_or_a_reason(family: str) -> None:
    extractor = FEATURE_FAMILIES.load(family).open_family(options_of(family), "cpu")
    reason = ""
    values: Mapping[str, float | str] = {}
    try:
        values = extractor(patch(radius_mm=0.4))
    except ExcludedCase as error:
        reason = error.detail
    assert reason or any(math.isfinite(values[name]) for name in extractor.columns)


def test_table_can_be_written_and_tells_features_from_descriptions(family: str, tmp_path: Path) -> None:
    extractor = FEATURE_FAMILIES.load(family).open_family(options_of(family), "cpu")
    keys = {"lesion_id": "L1", "patient_id": "P1", "status": OK, "detail": "", "spacing_mm": SPACING_MM}
    row = keys | extractor(patch())
    write_features([row], family, extractor.columns, extractor.description, tmp_path / "features.parquet")
    table = read_table(tmp_path / "features.parquet", FEATURES)
    assert feature_columns(table, family) == list(extractor.columns)


def test_stage_writes_every_lesion_with_features_or_a_reason(family: str, make_shard, tmp_path: Path) -> None:
    shard = make_shard([Lesion(seed=1), Lesion(predicted="empty"), Lesion(predicted="none"), Lesion(seed=2)])
    output = tmp_path / f"{family}.parquet"
    extract(family, options_of(family), shard.images, shard.masks, output, threads=2)
    table = read_table(output, FEATURES)
    assert table["lesion_id"].tolist() == [f"lesion-{number}" for number in range(4)]
    defined = table[feature_columns(table, family)].notna().any(axis=1)
    assert defined.tolist() == [True, False, False, True]
    assert (table.loc[~defined, "status"] != OK).all()
    assert (table.loc[~defined, "detail"] != "").all()


def test_code_of_a_job_holds_its_own_family_only(family: str) -> None:
    modules = set(code_modules(*feature_modules(family)))
    members = {FEATURE_FAMILIES.module(name) for name in FEATURE_FAMILIES.names()}
    assert modules & members == {FEATURE_FAMILIES.module(family)}


def test_every_family_can_run_by_configuration(family: str) -> None:
    study = StudyConfig.model_validate(
        {"features": {"run": [family]}, "classification": {"run": ["efficientnet_masked_crop"]}}
    )
    assert study.stages()[f"features/{family}"] == options_of(family)
