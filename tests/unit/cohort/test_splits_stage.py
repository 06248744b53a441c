"""The cohort stage with several studies, folds and the published split, up to the films that are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mammoflow.classification.cases import read_cases
from mammoflow.cohort.audit.study_tables import read_study
from mammoflow.cohort.stage import build_cohort
from mammoflow.config.cohort import CohortSettings, DatasetSettings
from mammoflow.config.images import ImagesSettings
from mammoflow.config.split import SplitSettings
from mammoflow.errors import ConfigError, LeakageError, StudyError
from mammoflow.imaging.stage import prepare_images
from mammoflow.planning.preflight import check_study
from mammoflow.reasons.files import FileReason
from mammoflow.storage.files import write_image, write_mask
from mammoflow.tables.cohort import EXCLUDED, IMAGES, LESIONS
from mammoflow.tables.files import read_table
from mammoflow.tables.images import CANONICAL_IMAGES

SHAPE = (160, 120)


def write_study(folder: Path, patients: int, first: int = 0, level: int = 0, views: tuple[str, ...] = ("CC",)) -> Path:
    """Write a study that one table describes, every second patient malignant; `level` tells its films apart."""
    rows = []
    (folder / "films").mkdir(parents=True)
    grey = np.zeros(SHAPE, np.uint16)
    grey[20:140, :90] = 20_000 + level + np.arange(90) * 100
    mask = np.zeros(SHAPE, bool)
    mask[60:90, 30:60] = True
    for number in range(first, first + patients):
        for view in views:
            image, roi = f"films/{number}_{view}.png", f"films/{number}_{view}_mask.png"
            write_image(folder / image, grey)
            write_mask(folder / roi, mask)
            label = "malignant" if number % 2 else "benign"
            rows.append(
                {"image": image, "mask": roi, "patient": f"P{number}", "view": view, "label": label, "spacing": 0.5}
            )
    pd.DataFrame(rows).to_csv(folder / "table.csv", index=False)
    return folder


def dataset(folder: Path, name: str) -> DatasetSettings:
    return DatasetSettings(reader="table", name=name, folder=str(folder), tables=["table.csv"])


def settings_of(*datasets: DatasetSettings, **split: Any) -> CohortSettings:
    return CohortSettings(dataset=datasets[0], more_datasets=list(datasets[1:]), split=SplitSettings(**split), shards=1)


class Cohort:
    """What the stage wrote."""

    def __init__(self, settings: CohortSettings, output: Path) -> None:
        build_cohort(settings, Path(settings.dataset.folder), output)
        self.images = read_table(output / "images.parquet", IMAGES)
        self.lesions = read_table(output / "lesions.parquet", LESIONS)
        self.excluded = read_table(output / "excluded.parquet", EXCLUDED)
        self.rows = pd.read_parquet(output / "rows.parquet")
        self.study = json.loads((output / "study.json").read_text())


@pytest.fixture
def two(tmp_path: Path) -> list[DatasetSettings]:
    """Two studies that share the ids of two patients and the paths of their films."""
    first = write_study(tmp_path / "first", 6)
    second = write_study(tmp_path / "second", 4, first=4, level=9_000)
    return [dataset(first, "First"), dataset(second, "Second set")]


def test_a_study_alone_keeps_its_ids_and_its_table(two, tmp_path):
    cohort = Cohort(settings_of(two[0]), tmp_path / "cohort")
    assert set(cohort.images["patient_id"]) == {f"P{number}" for number in range(6)}
    assert not {"study", "fold", "leaking"} & {*cohort.images.columns, *cohort.lesions.columns}
    assert cohort.study["split"]["leaking"] is False


def test_ids_that_clash_carry_the_name_of_their_data_set(two, tmp_path):
    alone = Cohort(settings_of(two[0]), tmp_path / "alone")
    both = Cohort(settings_of(*two), tmp_path / "both")
    of_first = both.lesions[both.lesions["source"] == "First"]
    assert sorted(of_first["lesion_id"]) == sorted(alone.lesions["lesion_id"])
    of_second = both.lesions[both.lesions["source"] == "Second set"]
    prefix = of_second["patient_id"].str.extract(r"^(Second_set-[0-9a-f]{8}_)P\d+$")[0]
    assert prefix.notna().all()
    for key in ("image_id", "lesion_id", "finding_id"):
        assert all(name.startswith(prefix.iloc[0]) for name in of_second[key])
    assert len(both.images) == len(both.lesions) == both.images["patient_id"].nunique() == 10
    assert both.study["counts"]["patients"] == 10
    assert both.study["flow"][0]["patients"] == 10
    assert [source["patients"] for source in both.study["sources"]] == [6, 4]
    assert set(both.rows["source"]) == {"First", "Second set"}
    assert set(both.rows["lesion_id"]) == set(both.lesions["lesion_id"])


def test_ids_that_do_not_clash_stay(two, tmp_path):
    third = dataset(write_study(tmp_path / "third", 6, first=50), "Third")
    cohort = Cohort(settings_of(two[0], third), tmp_path / "cohort")
    assert set(cohort.images.loc[cohort.images["source"] == "Third", "patient_id"]) == {f"P{n}" for n in range(50, 56)}


def test_one_source_is_left_out(two, tmp_path):
    cohort = Cohort(settings_of(*two, method="leave_one_source_out", test_source="First"), tmp_path / "cohort")
    assert set(cohort.images.loc[cohort.images["split"] == "test", "source"]) == {"First"}
    assert set(cohort.images.loc[cohort.images["source"] == "First", "split"]) == {"test"}
    assert set(cohort.images.loc[cohort.images["source"] != "First", "split"]) == {"train", "validation"}


def test_each_film_is_read_from_its_own_study(two, tmp_path):
    Cohort(settings_of(*two), tmp_path / "cohort")
    shard = tmp_path / "cohort" / "shards" / "00"
    prepare_images(ImagesSettings(), Path(two[0].folder), shard, tmp_path / "images", threads=1)
    images = read_table(tmp_path / "images" / "images.parquet", CANONICAL_IMAGES)
    assert len(images) == 10
    # The films of a study are the same picture; those of two studies are not.
    assert images.groupby("source")["digest"].nunique().tolist() == [1, 1]
    assert images["digest"].nunique() == 2


def test_a_path_cannot_lead_from_one_study_into_another(two, tmp_path):
    table = pd.read_csv(Path(two[1].folder) / "table.csv")
    table.loc[0, "image"] = "../first/films/0_CC.png"
    table.to_csv(Path(two[1].folder) / "table.csv", index=False)
    cohort = Cohort(settings_of(*two), tmp_path / "cohort")
    gone = cohort.excluded[cohort.excluded["level"] == "image"]
    assert gone["reason"].tolist() == [str(FileReason.OUTSIDE_STUDY)]
    assert gone["patient_id"].str.startswith("Second_set").all()
    assert cohort.study["flow"][3]["excluded"] == {str(FileReason.OUTSIDE_STUDY): 1}


def test_a_study_that_moved_away_is_one_clear_error(two, tmp_path):
    Cohort(settings_of(*two), tmp_path / "cohort")
    Path(two[1].folder).rename(tmp_path / "elsewhere")
    shard = tmp_path / "cohort" / "shards" / "00"
    with pytest.raises(StudyError, match=r"second does not exist.*more_datasets"):
        prepare_images(ImagesSettings(), Path(two[0].folder), shard, tmp_path / "images", threads=1)
    with pytest.raises(StudyError, match="second"):
        Cohort(settings_of(*two), tmp_path / "again")
    with pytest.raises(ConfigError, match=r"cohort\.more_datasets\.0\.folder"):
        check_study("cohort.more_datasets.0", two[1])


@pytest.mark.parametrize("again", ["first", "x/../first", "link", "absolute"])
def test_one_folder_is_not_two_studies_however_its_path_is_written(again, tmp_path, monkeypatch):
    write_study(tmp_path / "first", 6)
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to("first")
    monkeypatch.chdir(tmp_path)
    second = tmp_path / "first" if again == "absolute" else Path(again)
    with pytest.raises(StudyError, match=r"'First' and 'Again' have one folder"):
        Cohort(settings_of(dataset(Path("./first/../first"), "First"), dataset(second, "Again")), tmp_path / "cohort")


def test_a_film_of_a_linked_study_inside_another_one_is_on_one_side(tmp_path):
    """The inner table has the films of the outer one under other patients."""
    outer, inner = write_study(tmp_path / "outer", 6), tmp_path / "outer" / "films"
    table = pd.read_csv(outer / "table.csv")
    names = {name: table[name].str.removeprefix("films/") for name in ("image", "mask")}
    table.assign(**names, patient=table["patient"].str.replace("P", "Q")).to_csv(inner / "table.csv", index=False)
    (tmp_path / "link").symlink_to(inner)
    settings = settings_of(dataset(outer, "outer"), dataset(tmp_path / "link", "inner"), method="kfold", folds=3)
    with pytest.raises(LeakageError, match=r"/link/(\d_CC\.png) = \S+/outer/films/\1 in "):
        Cohort(settings, tmp_path / "cohort")


def test_the_runs_of_all_folds_hold_each_patient_once_as_test(two, tmp_path):
    cohorts = [Cohort(settings_of(*two, method="kfold", folds=3, fold=fold), tmp_path / str(fold)) for fold in range(3)]
    test = [
        patient for cohort in cohorts for patient in cohort.images.loc[cohort.images["split"] == "test", "patient_id"]
    ]
    assert sorted(test) == sorted(cohorts[0].images["patient_id"])
    for fold, cohort in enumerate(cohorts):
        pd.testing.assert_series_equal(cohort.images["fold"], cohorts[0].images["fold"])
        assert set(cohort.lesions.loc[cohort.lesions["split"] == "test", "fold"]) == {fold}
        assert sum(part["patients"] for part in cohort.study["counts"]["by_fold"].values()) == 10


def test_the_audit_of_a_run_of_all_folds_knows_the_sides_in_each_fold(two, tmp_path):
    cohort = Cohort(settings_of(*two, method="kfold", folds=3), tmp_path / "cohort")
    folds = read_study(cohort.study, tmp_path / "cohort", []).folds
    assert folds is not None
    assert folds.groupby("patient_id").size().tolist() == [3] * 10
    one = Cohort(settings_of(two[0], method="kfold", folds=3, fold=1), tmp_path / "one")
    assert read_study(one.study, tmp_path / "one", []).folds is None


def test_the_published_split_leaks_and_every_table_says_so(tmp_path):
    study = dataset(write_study(tmp_path / "study", 4, views=("CC", "MLO")), "two views")
    cohort = Cohort(settings_of(study, method="by_image"), tmp_path / "cohort")
    assert cohort.study["split"]["leaking"] is True
    assert (cohort.images.groupby("patient_id")["split"].nunique() > 1).any()
    shard = tmp_path / "cohort" / "shards" / "00"
    prepare_images(ImagesSettings(), Path(study.folder), shard, tmp_path / "images", threads=1)
    cases = read_cases([tmp_path / "images"])
    assert (cases.lesions["leaking"] == 1).all()
    path = tmp_path / "images" / "lesions.parquet"
    pd.read_parquet(path).drop(columns="leaking").to_parquet(path)
    with pytest.raises(LeakageError, match="two sides of the split"):
        read_cases([tmp_path / "images"])
