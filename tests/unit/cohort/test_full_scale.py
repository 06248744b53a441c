"""CBIS-DDSM on its four real case tables: every row finds its film, mask and crop, or a reason why not.

The usual tests take a part of the rows; `pytest -m slow tests/unit/cohort/test_full_scale.py` takes all 3,568. What the
tables themselves count is in `test_case_tables.py`.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pandas as pd
import pytest

from mammoflow.cohort.audit.audit import Audit, audit_study
from mammoflow.cohort.audit.study_tables import read_study
from mammoflow.cohort.stage import build_cohort
from mammoflow.config.cohort import CohortSettings, DatasetSettings
from mammoflow.config.split import SplitSettings
from mammoflow.tables.cohort import EXCLUDED, IMAGES, LESIONS, ROWS
from mammoflow.tables.files import read_table

pytestmark = pytest.mark.long(15)

LONGEST_S = 60


def load_writer() -> ModuleType:
    path = Path(__file__).with_name("full_scale_study.py")
    name = "mammoflow_full_scale_study"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"cannot load {path}")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def resolve(study: SimpleNamespace, output: Path, method: str) -> SimpleNamespace:
    """Run the cohort stage on one thread's worth of work, and read what it wrote."""
    settings = CohortSettings(
        dataset=DatasetSettings(reader="cbis-ddsm", name="CBIS-DDSM", folder=str(study.folder), spacing_mm=0.05),
        split=SplitSettings(method=method),
        shards=4,
    )
    start = time.process_time()
    build_cohort(settings, study.folder, output)
    return SimpleNamespace(
        folder=output,
        processor_s=time.process_time() - start,
        images=read_table(output / "images.parquet", IMAGES).set_index("image_id", drop=False),
        lesions=read_table(output / "lesions.parquet", LESIONS).set_index("lesion_id", drop=False),
        excluded=read_table(output / "excluded.parquet", EXCLUDED),
        rows=read_table(output / "rows.parquet", ROWS),
        study=json.loads((output / "study.json").read_text()),
    )


def audit_of(cohort: SimpleNamespace) -> Audit:
    return audit_study(read_study(cohort.study, cohort.folder, []))


def assert_every_row_is_resolved(study: SimpleNamespace, cohort: SimpleNamespace) -> None:
    lost = cohort.excluded[cohort.excluded["level"] == "lesion"].set_index("lesion_id")["reason"]
    expected = {name: case.reason for name, case in study.lesions.items() if case.reason}
    assert lost.to_dict() == expected
    wanted = {name: (case.mask, case.crop) for name, case in study.lesions.items() if not case.reason}
    found = cohort.lesions[["mask_path", "crop_path"]].apply(tuple, axis=1).to_dict()
    assert found == wanted
    films: dict[str, dict[str, str]] = {}
    for name, case in study.lesions.items():
        image, kind, _ = name.rsplit("_", 2)
        films.setdefault(image, {})[kind] = case.film
    for image, path in cohort.images["image_path"].items():
        copies = films[image]
        assert path == copies.get("mass", copies.get("calcification")), image
        assert (cohort.images.loc[image, "copy_content"] == "identical pixels") == (len(copies) > 1), image
    gone = set(films) - set(cohort.images.index)
    nothing_left = {name.rsplit("_", 2)[0] for name in study.lesions} - {
        name.rsplit("_", 2)[0] for name, case in study.lesions.items() if not case.reason
    }
    assert gone == nothing_left
    assert all((study.folder / path).is_file() for path in cohort.images["image_path"])


@pytest.mark.parametrize("layout", ["tables", "download", pytest.param("series", marks=pytest.mark.slow)])
def test_a_part_of_the_set_in_each_layout(real_data: Path, tmp_path: Path, layout: str) -> None:
    below = {"download": "manifest-1600709154662/CBIS-DDSM", "series": "tciaDownload"}.get(layout, "")
    study = load_writer().write_study(real_data / "cbis-ddsm", tmp_path / "study", layout, 300, below)
    assert 250 <= len(study.rows) <= 300
    cohort = resolve(study, tmp_path / "cohort", "random")
    assert_every_row_is_resolved(study, cohort)
    assert {case.reason for case in study.lesions.values()} > {"mask has another shape than its image", ""}
    counts = cohort.study["counts"]["audit"]
    assert counts["rows"] == len(study.rows)
    assert counts["films_stored_twice"] > 50
    audit = audit_of(cohort)
    assert len(audit.tables["films_stored_twice"]) == counts["films_stored_twice"]
    assert set(audit.tables["films_stored_twice"]["content"]) <= {"identical pixels", "not compared"}


def test_a_download_in_two_parts(real_data: Path, tmp_path: Path) -> None:
    study = load_writer().write_study(real_data / "cbis-ddsm", tmp_path / "study", "download", 60, "manifest-1")
    # A download that was taken up again: half of each lesion's files lie in a second manifest's folder.
    moved = sorted((study.folder / "manifest-1").rglob("1-2.dcm"))
    assert len(moved) > 10
    for path in moved:
        target = study.folder / "manifest-2" / path.relative_to(study.folder / "manifest-1")
        target.parent.mkdir(parents=True)
        path.rename(target)
    names = {path.relative_to(study.folder).as_posix() for path in moved}
    for case in study.lesions.values():
        case.mask, case.crop = (
            name.replace("manifest-1", "manifest-2", 1) if name in names else name for name in (case.mask, case.crop)
        )
    assert_every_row_is_resolved(study, resolve(study, tmp_path / "cohort", "random"))


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["tables", "download"])
def test_the_whole_set(real_data: Path, tmp_path: Path, layout: str) -> None:
    study = load_writer().write_study(real_data / "cbis-ddsm", tmp_path / "study", layout)
    assert len(study.rows) == 3568
    assert study.files > 10_000
    cohort = resolve(study, tmp_path / "cohort", "random")
    assert cohort.processor_s < LONGEST_S
    assert_every_row_is_resolved(study, cohort)

    audit = audit_of(cohort)
    assert audit.published == {
        "rows": 3568,
        "readable_rows": 3568,
        "patients": 1566,
        "stored_films": 3103,
        "films": 3032,
    }
    found = {finding.key: finding.count for finding in audit.findings}
    assert found["films_stored_twice"] == 71
    assert found["copies_that_differ"] == 0
    assert found["patients_in_both_official_splits"] == 31
    assert found["patients_in_several_splits"] == 0
    assert found["images_with_several_lesions"] == 293
    assert found["images_with_mixed_labels"] == 17
    assert found["birads_zero"] == 238
    assert found["lost_without_reason"] == 0
    crossed = audit.tables["birads_by_pathology"].set_index("birads")
    assert crossed.loc["all"].tolist()[:4] == [1457, 1429, 682, 3568]
    assert audit.tables["several_lesions"]["lesions"].max() == 7


@pytest.mark.slow
def test_the_whole_set_in_its_official_split(real_data: Path, tmp_path: Path) -> None:
    study = load_writer().write_study(real_data / "cbis-ddsm", tmp_path / "study", "tables")
    cohort = resolve(study, tmp_path / "cohort", "official")
    shared = audit_of(cohort).tables["patients_in_both_official_splits"]
    assert len(shared) == 31
    assert set(shared["split"]) == {"test"}
    assert (cohort.images.groupby("patient_id")["split"].nunique() == 1).all()
    used = pd.concat([cohort.lesions["lesion_id"], cohort.excluded["lesion_id"]])
    assert set(study.lesions) <= set(used)
