"""The whole stage on small CBIS-DDSM-like downloads: ids, both layouts, films stored twice, every kind of bad file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammoflow.cohort.stage import build_cohort
from mammoflow.config.cohort import CohortSettings, DatasetSettings
from mammoflow.config.split import SplitSettings
from mammoflow.errors import LeakageError, StudyError
from mammoflow.reasons.cohort import CohortReason
from mammoflow.reasons.files import FileReason
from mammoflow.reasons.labels import LabelReason
from mammoflow.reasons.lesions import LesionReason
from mammoflow.tables.cohort import EXCLUDED, IMAGES, LESIONS
from mammoflow.tables.files import read_table


class Cohort:
    """What the stage wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = read_table(folder / "images.parquet", IMAGES).set_index("image_id", drop=False)
        self.lesions = read_table(folder / "lesions.parquet", LESIONS).set_index("lesion_id", drop=False)
        self.excluded = read_table(folder / "excluded.parquet", EXCLUDED)
        self.study = json.loads((folder / "study.json").read_text())

    def reasons(self, level: str) -> dict[str, str]:
        rows = self.excluded[self.excluded["level"] == level]
        return dict(zip(rows["lesion_id" if level == "lesion" else "image_id"], rows["reason"], strict=True))


def build(study: Path, shards: int = 2, method: str = "random", **dataset: object) -> Cohort:
    values = {"reader": "cbis-ddsm", "name": "test study", "folder": str(study), **dataset}
    settings = CohortSettings(
        dataset=DatasetSettings(**values),
        split=SplitSettings(method=method),
        shards=shards,
    )
    build_cohort(settings, study, study.parent / "cohort")
    return Cohort(study.parent / "cohort")


@pytest.mark.parametrize("tool_layout", [False, True], ids=["table paths", "download tool"])
@pytest.mark.parametrize("below", ["", "manifest-1/CBIS-DDSM"])
def test_both_layouts_swapped_names_and_ids(download, tmp_path, tool_layout, below):
    writer = download.Writer(tmp_path / "study", below)
    cases = download.some_patients(tool_layout=tool_layout)
    cases += [
        download.Case(tool_layout=tool_layout, pathology="BENIGN_WITHOUT_CALLBACK", assessment="0", mask_first=True),
        download.Case(tool_layout=tool_layout, abnormality=2, pathology="MALIGNANT", mask_first=True),
        download.Case(tool_layout=tool_layout, view="MLO", pathology="BENIGN", film_shape=(61, 37)),
    ]
    cohort = build(writer.write(cases))
    assert len(cohort.images) == 10
    assert len(cohort.lesions) == 11
    assert cohort.excluded.empty
    first = cohort.lesions.loc["P_00001_LEFT_CC_mass_1"]
    assert first["mask_path"] == writer.mask(cases[8]).relative_to(writer.root).as_posix()
    assert first["crop_path"] == writer.crop(cases[8]).relative_to(writer.root).as_posix()
    assert (first["malignant"], first["birads"], first["laterality"]) == (0, 0, "L")
    assert first["finding_id"] == cohort.lesions.loc["P_00001_LEFT_MLO_mass_1", "finding_id"]
    assert first["finding_id"] != cohort.lesions.loc["P_00001_LEFT_CC_mass_2", "finding_id"]
    image = cohort.images.loc["P_00001_LEFT_CC"]
    assert image["image_path"] == writer.film(cases[8]).relative_to(writer.root).as_posix()
    assert image["spacing_mm"] is pd.NA or np.isnan(image["spacing_mm"])
    assert cohort.study["phantom"] is False


def test_a_film_stored_under_both_types_is_one_image(download, writer):
    both = [
        download.Case(kind="Calc", official="Test", pathology="MALIGNANT"),
        download.Case(kind="Mass", official="Training"),
    ]
    cohort = build(writer.write([*download.some_patients(), *both]), method="random")
    lesions = cohort.lesions[cohort.lesions["image_id"] == "P_00001_LEFT_CC"]
    assert sorted(lesions["lesion_type"]) == ["calcification", "mass"]
    assert cohort.images.loc["P_00001_LEFT_CC", "image_path"].startswith("Mass-Training")
    assert cohort.images.loc["P_00001_LEFT_CC", "official_split"] == "test"
    assert cohort.study["counts"]["audit"]["films_stored_twice"] == 1
    assert cohort.study["counts"]["audit"]["patients_in_both_official_splits"] == 1


def test_where_one_copy_of_a_film_is_damaged_the_other_is_taken(download, writer):
    both = [download.Case(kind="Mass"), download.Case(kind="Calc")]
    study = writer.write([*download.some_patients(), *both])
    writer.film(both[0]).write_bytes(b"")
    cohort = build(study)
    assert cohort.images.loc["P_00001_LEFT_CC", "image_path"].startswith("Calc-Training")
    assert len(cohort.lesions) == 10


def test_the_train_side_gives_way_and_the_test_set_stays_the_official_one(download, writer):
    train = [*download.some_patients(12), download.Case(patient="P_09001", view="MLO"), download.Case(abnormality=2)]
    test = download.some_patients(2, kind="Calc", official="Test")
    cohort = build(writer.write([*train, *test, download.Case(kind="Calc", official="Test")]), method="official")
    held_out = cohort.lesions[cohort.lesions["split"] == "test"]
    assert set(held_out["lesion_id"]) == {
        "P_09000_LEFT_CC_calcification_1",
        "P_09001_LEFT_CC_calcification_1",
        "P_00001_LEFT_CC_calcification_1",
    }
    assert (held_out["official_split"] == "test").all()
    assert (cohort.lesions.loc[cohort.lesions["split"] != "test", "official_split"] == "train").all()
    assert not set(held_out["patient_id"]) & set(cohort.lesions.loc[cohort.lesions["split"] != "test", "patient_id"])
    assert (cohort.lesions["split"] == "validation").sum() == 2
    reason = str(CohortReason.OFFICIAL_TEST_PATIENT)
    assert cohort.reasons("lesion") == dict.fromkeys(
        ["P_00001_LEFT_CC_mass_2", "P_09000_LEFT_CC_mass_1", "P_09001_LEFT_CC_mass_1", "P_09001_LEFT_MLO_mass_1"],
        reason,
    )
    # A film with a test lesion stays; one with training lesions alone goes with them.
    assert cohort.reasons("image") == {"P_09001_LEFT_MLO": reason}
    assert "P_09000_LEFT_CC" in cohort.images.index
    last = cohort.study["flow"][-1]
    assert last["excluded"] == {reason: 4}
    assert (last["lesions"], last["images"], last["patients"]) == (len(cohort.lesions), len(cohort.images), 13)
    assert cohort.study["counts"]["rows"] == len(cohort.lesions) + 4


def test_a_patient_whose_test_film_is_damaged_does_not_come_back_in_training(download, writer):
    both = [download.Case(kind="Mass"), download.Case(kind="Calc", official="Test", view="MLO")]
    others = [*download.some_patients(12), download.Case(patient="P_00002", official="Test")]
    study = writer.write([*others, *both])
    writer.film(both[1]).unlink()
    cohort = build(study, method="official")
    assert "P_00001" not in set(cohort.images["patient_id"])
    assert cohort.reasons("lesion") == {
        "P_00001_LEFT_CC_mass_1": str(CohortReason.OFFICIAL_TEST_PATIENT),
        "P_00001_LEFT_MLO_calcification_1": str(FileReason.MISSING_FILE),
    }


def test_spacing_table_and_phantom_marker(download, writer):
    cases = download.some_patients()
    study = writer.write(cases)
    (study / "film_spacing.csv").write_text(f"folder,spacing_mm\r\n{cases[0].folder},0.0435\r\n")
    (study / "PHANTOM.md").write_text("made up\n")
    cohort = build(study, spacing_mm=0.05)
    assert cohort.images.loc["P_09000_LEFT_CC", ["spacing_mm", "spacing_origin"]].tolist() == [0.0435, "table"]
    assert pd.isna(cohort.images.loc["P_09001_LEFT_CC", "spacing_mm"])
    assert pd.isna(cohort.images.loc["P_09001_LEFT_CC", "spacing_origin"])
    assert (cohort.images["default_spacing_mm"] == 0.05).all()
    assert cohort.study["phantom"] is True


def test_a_scanner_table_gives_the_scanners_spacing(download, writer):
    cases = download.some_patients()
    study = writer.write(cases)
    (study / "film_spacing.csv").write_text(f"folder,scanner\n{cases[0].folder},lumisys\n")
    assert build(study).images.loc["P_09000_LEFT_CC", "spacing_mm"] == 0.05
    (study / "film_spacing.csv").write_text(f"folder,scanner\n{cases[0].folder},GE\n")
    with pytest.raises(StudyError, match=r"'GE'.*HOWTEK"):
        build(study)


def test_every_kind_of_bad_file_is_a_row_with_a_reason(download, writer, tmp_path):
    good = download.some_patients()
    names = [
        "truncated",
        "text",
        "pixelless",
        "missing",
        "climbing",
        "absolute",
        "link",
        "frames",
        "shape",
        "mask_gone",
    ]
    bad = {name: download.Case(patient=f"P_{number:05d}") for number, name in enumerate(names)}
    bad["climbing"].values = {"image file path": "../../secret.dcm"}
    bad["absolute"].values = {"ROI mask file path": "/etc/hostname"}
    bad["shape"].mask_shape = (60, 47)
    study = writer.write([*good, *bad.values()])
    film = {name: writer.film(case) for name, case in bad.items()}
    film["truncated"].write_bytes(film["truncated"].read_bytes()[:-100])
    film["text"].write_text("this is a letter\n" * 100)
    download.write_dicom(film["pixelless"], download.film_pixels(), PixelData=b"")
    film["missing"].unlink()
    film["link"].unlink()
    film["link"].symlink_to(tmp_path / "gone.dcm")
    linked = writer.film(good[0])
    linked.rename(tmp_path / "disk.dcm")
    linked.symlink_to(tmp_path / "disk.dcm")  # another disk, and no fault
    download.write_dicom(film["frames"], download.film_pixels(), NumberOfFrames=1 + 1, PixelData=bytes(60 * 40 * 4))
    writer.mask(bad["mask_gone"]).unlink()
    cohort = build(study)

    expected = {
        "truncated": FileReason.TRUNCATED,
        "text": FileReason.NOT_DICOM,
        "pixelless": FileReason.NO_PIXELS,
        "missing": FileReason.MISSING_FILE,
        "climbing": FileReason.OUTSIDE_STUDY,
        "absolute": FileReason.OUTSIDE_STUDY,
        "link": FileReason.MISSING_FILE,
        "frames": FileReason.MULTI_FRAME,
        "shape": LesionReason.MASK_SHAPE,
        "mask_gone": LesionReason.MASK_NOT_FOUND,
    }
    found = cohort.reasons("lesion")
    assert found == {f"{bad[name].patient}_LEFT_CC_mass_1": str(reason) for name, reason in expected.items()}
    images = cohort.reasons("image")
    for name, reason in expected.items():
        of_lesion = name in ("absolute", "shape", "mask_gone")
        assert images[f"{bad[name].patient}_LEFT_CC"] == str(LesionReason.NO_LESIONS if of_lesion else reason)
    assert sorted(cohort.lesions["patient_id"]) == sorted(case.patient for case in good)
    flow = cohort.study["flow"]
    assert [step["lesions"] for step in flow] == [18, 18, 18, 11, 8]
    assert [step["images"] for step in flow] == [18, 18, 18, 11, 8]
    assert sum(sum(step["excluded"].values()) for step in flow) == 10
    assert cohort.study["counts"]["excluded_lesions"][str(FileReason.OUTSIDE_STUDY)] == 2


def test_bad_rows_are_counted(download, writer):
    cases = download.some_patients()
    wrong = [
        download.Case(patient="P_00001", values={"assessment": "9"}),
        download.Case(patient="P_00002", values={"left or right breast": "MIDDLE"}),
        download.Case(patient="", values={}),
        download.Case(patient="P_00003", pathology="UNPROVEN"),
        cases[0],
    ]
    cohort = build(writer.write([*cases, *wrong]))
    reasons = cohort.study["counts"]["excluded_lesions"]
    assert reasons == {str(CohortReason.BAD_ROW): 3, str(CohortReason.DUPLICATE_ROW): 1, str(LabelReason.NO_LABEL): 1}
    assert [step["lesions"] for step in cohort.study["flow"]] == [13, 9, 8, 8, 8]
    assert "assessment is '9'" in " ".join(cohort.excluded["detail"])
    assert cohort.reasons("image") == {"P_00003_LEFT_CC": str(LesionReason.NO_LESIONS)}


def test_shards_hold_every_row_once_and_are_all_there(download, writer):
    study = writer.write(download.some_patients(10))
    build(study, shards=12)
    cohort = build(study, shards=7)
    folders = sorted(path.name for path in (cohort.folder / "shards").iterdir())
    assert folders == [f"{number:02d}" for number in range(7)]
    parts = [read_table(cohort.folder / "shards" / name / "lesions.parquet", LESIONS) for name in folders]
    assert sorted(lesion for part in parts for lesion in part["lesion_id"]) == sorted(cohort.lesions["lesion_id"])
    images = [read_table(cohort.folder / "shards" / name / "images.parquet", IMAGES) for name in folders]
    assert sum(map(len, images)) == 10
    assert any(part.empty for part in parts)
    for number, part in enumerate(parts):
        assert (part["shard"] == number).all()


def test_the_order_of_the_rows_changes_nothing(download, writer):
    cases = download.some_patients(10)
    build(writer.write(cases))
    first = {path.name: path.read_bytes() for path in (writer.root.parent / "cohort").glob("*.*")}
    writer.write_tables(cases[::-1])
    build(writer.root)
    assert {path.name: path.read_bytes() for path in (writer.root.parent / "cohort").glob("*.*")} == first


def test_a_leak_stops_before_anything_is_written(download, writer, monkeypatch):
    def leaking(patients: pd.DataFrame, settings: SplitSettings) -> Alternating:
        return Alternating()

    monkeypatch.setattr("mammoflow.cohort.division.split_patients", leaking)
    cases = [*download.some_patients(5), *download.some_patients(5, view="MLO")]
    study = writer.write(cases)
    with pytest.raises(LeakageError, match="P_09000"):
        build(study)
    assert not (study.parent / "cohort").exists()


class Alternating(dict):
    """A split that changes with every look-up."""

    def __missing__(self, patient: str) -> str:
        self.turn = not getattr(self, "turn", False)
        return "train" if self.turn else "test"


def test_a_study_without_a_usable_case_is_an_error(download, writer):
    cases = download.some_patients(2)
    study = writer.write(cases)
    for case in cases:
        writer.film(case).unlink()
    with pytest.raises(StudyError, match=r"test study.*can be used: .*1 x file is missing: .*P_09000"):
        build(study)


def test_a_missing_folder_or_table_is_one_clear_error(tmp_path):
    with pytest.raises(StudyError, match=r"nowhere.*cohort\.dataset\.folder"):
        build(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StudyError, match="no case table"):
        build(tmp_path / "empty")
    with pytest.raises(StudyError, match=r"mine\.csv does not exist"):
        build(tmp_path / "empty", tables=["mine.csv"])
