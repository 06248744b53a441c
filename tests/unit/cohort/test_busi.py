"""BUSI: several masks a picture in every mode, near copies on one side, contradictions left out, pictures prepared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammoflow.cohort.reader import open_reader
from mammoflow.cohort.selection import select_cases
from mammoflow.cohort.stage import build_cohort
from mammoflow.config.cohort import CohortSettings, DatasetSettings
from mammoflow.config.images import ImagesSettings
from mammoflow.config.split import SplitSettings
from mammoflow.errors import ConfigError, StudyError
from mammoflow.imaging.stage import prepare_images
from mammoflow.reasons.files import FileReason
from mammoflow.reasons.labels import LabelReason
from mammoflow.reasons.lesions import LesionReason
from mammoflow.tables.cohort import EXCLUDED, IMAGES, LESIONS
from mammoflow.tables.files import read_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS


@pytest.fixture
def busi(load_writer):
    return load_writer("busi")


@pytest.fixture
def writer(busi, tmp_path):
    return busi.BusiWriter(tmp_path / "study")


class Cohort:
    """The tables of a study after the cohort stage."""

    def __init__(self, study: Path, output: Path, **values: object) -> None:
        dataset = DatasetSettings(reader="busi", name="BUSI", folder=str(study), spacing_mm=0.2, **values)
        settings = CohortSettings(dataset=dataset, split=SplitSettings(test_fraction=0.3), shards=1)
        build_cohort(settings, study, output)
        self.images = read_table(output / "images.parquet", IMAGES).set_index("image_id")
        self.lesions = read_table(output / "lesions.parquet", LESIONS).set_index("lesion_id")
        self.excluded = read_table(output / "excluded.parquet", EXCLUDED)
        self.counts = json.loads((output / "study.json").read_text())["counts"]

    def reasons(self, level: str = "image") -> dict[str, str]:
        rows = self.excluded[self.excluded["level"] == level]
        return dict(zip(rows["image_id"] if level == "image" else rows["lesion_id"], rows["reason"], strict=True))


@pytest.fixture
def cohort(tmp_path):
    return lambda study=tmp_path / "study", **values: Cohort(study, tmp_path / "cohort", **values)


def test_a_study_as_published_runs_to_canonical_images(busi, writer, cohort, tmp_path):
    writer.add_usual()
    second = busi.ellipse((30, 120), (8, 10))
    writer.add("malignant", 53, [busi.ellipse(), second, busi.ellipse((95, 30), (6, 6))], mode="RGBA")
    found = cohort()
    assert len(found.images) == 2 * 6 + 2 + 1
    assert len(found.lesions) == 2 * 6 + 3
    assert (found.lesions["malignant"] == [int("malignant" in name) for name in found.lesions.index]).all()
    assert set(found.lesions.index) >= {"benign_3_L0", "malignant_53_L0", "malignant_53_L1", "malignant_53_L2"}
    assert found.lesions["birads"].isna().all()
    assert found.counts["excluded_lesions"] == found.counts["excluded_images"] == {}
    assert found.counts["audit"]["pictures with several masks"] == 1

    settings = ImagesSettings(breast_region="whole", patch_mm=10)
    prepare_images(settings, tmp_path / "study", tmp_path / "cohort" / "shards" / "00", tmp_path / "images", 1)
    images = read_table(tmp_path / "images" / "images.parquet", CANONICAL_IMAGES)
    lesions = read_table(tmp_path / "images" / "lesions.parquet", CANONICAL_LESIONS).set_index("lesion_id")
    assert len(images) == 15
    assert len(lesions) == 15
    assert (images["spacing_origin"] == "default").all()
    assert images["breast_area_mm2"].to_numpy() == pytest.approx(120 * 150 * 0.2**2)
    # Masks of 1 bit, grey, colour and colour with opacity give the same lesion.
    usual = lesions.drop(index=["malignant_53_L1", "malignant_53_L2"])
    assert usual["area_mm2"].to_numpy() == pytest.approx(busi.ellipse().sum() * 0.2**2)
    assert lesions.loc["malignant_53_L1", "area_mm2"] == pytest.approx(second.sum() * 0.2**2)


def test_pictures_and_masks_may_lie_in_the_folder_itself_or_below(busi, tmp_path, cohort):
    for below in ("", "Dataset_BUSI_with_GT", "archive/Dataset_BUSI_with_GT"):
        study = tmp_path / f"study of {below.replace('/', ' ')}"
        busi.BusiWriter(study, below).add_usual()
        assert len(cohort(study).lesions) == 12


def test_near_copies_stay_together_and_are_called_after_their_first(busi, writer, cohort):
    writer.add_usual()
    first = busi.scene(7)
    for number, picture in ((10, first), (9, np.roll(first, 2, axis=1)), (30, first[2:, 1:-2])):
        mask = busi.ellipse()[: picture.shape[0], : picture.shape[1]]
        writer.add("malignant", number, [mask], picture)
    found = cohort()
    copies = found.images.loc[["malignant_9", "malignant_10", "malignant_30"]]
    assert set(copies["patient_id"]) == {"malignant (9)"}
    assert copies["split"].nunique() == copies["shard"].nunique() == 1
    assert found.images["patient_id"].nunique() == len(found.images) - 2
    assert found.counts["audit"]["groups of near copies"] == 1
    assert found.counts["audit"]["pictures in groups of near copies"] == 3


def test_groups_of_a_table_are_kept_and_joined_by_near_copies(busi, writer, cohort):
    writer.add_usual()
    writer.add("benign", 20, grey=busi.scene(8))
    writer.add("benign", 21, grey=np.roll(busi.scene(8), 2, axis=0))
    table = pd.DataFrame(
        [
            ("benign (1)", "one woman"),
            ("malignant (2).png", "one woman"),
            ("normal/normal (1).png", "another"),
            ("benign (20)", "another"),
            ("benign (3)", ""),
        ],
        columns=["image", "near_duplicate_group"],
    )
    table.to_csv(writer.study / "images.csv", index=False)
    patients = cohort().images["patient_id"]
    assert patients["benign_1"] == patients["malignant_2"] == "one woman"
    assert patients["normal_1"] == patients["benign_20"] == patients["benign_21"] == "another"
    assert patients["benign_3"] == "benign (3)"
    assert patients.nunique() == len(patients) - 3
    table.rename(columns={"image": "file"}).to_csv(writer.study / "groups.csv", index=False)
    with pytest.raises(StudyError, match=r"groups\.csv lacks the columns image"):
        cohort(tables=["groups.csv"])
    with pytest.raises(ConfigError, match="takes at most one"):
        cohort(tables=["images.csv", "groups.csv"])


def test_the_same_picture_under_two_labels_is_left_out(busi, writer, cohort):
    writer.add_usual()
    writer.add("benign", 433, grey=busi.scene(9))
    writer.add("malignant", 145, grey=busi.scene(9))
    writer.add("normal", 34, grey=busi.scene(10))
    writer.add("benign", 437, grey=np.roll(busi.scene(10), 1, axis=0))
    found = cohort()
    conflict = str(LabelReason.LABEL_CONFLICT)
    assert found.reasons() == dict.fromkeys(["benign_433", "malignant_145", "normal_34", "benign_437"], conflict)
    assert found.reasons("lesion") == dict.fromkeys(["benign_433_L0", "malignant_145_L0", "benign_437_L0"], conflict)
    assert "malignant/malignant (145).png (correlation 1.000)" in " ".join(found.excluded["detail"])
    assert len(found.images) == 14
    assert found.counts["audit"]["pictures with a near copy under another label"] == 4


def test_bad_cases_are_rows_with_a_reason(busi, writer, cohort, tmp_path):
    writer.add_usual()
    writer.path("benign", 1, 0).unlink()
    writer.path("benign", 2).write_bytes(b"")
    writer.path("benign", 3, 0).write_bytes(b"")
    writer.path("malignant", 1).unlink()
    busi.write_mask(writer.path("normal", 2, 0), busi.ellipse())
    writer.path("malignant", 2).unlink()
    writer.path("malignant", 2).symlink_to(tmp_path / "gone.png")
    (tmp_path / "disk.png").write_bytes(writer.path("malignant", 3).read_bytes())
    writer.path("malignant", 3).unlink()
    writer.path("malignant", 3).symlink_to(tmp_path / "disk.png")  # another disk, and no fault
    found = cohort()
    assert found.reasons() == {
        "benign_1": str(LesionReason.NO_LESIONS),
        "benign_2": str(FileReason.TRUNCATED),
        "benign_3": str(LesionReason.NO_LESIONS),
        "malignant_2": str(FileReason.MISSING_FILE),
        "normal_2": str(LabelReason.LABEL_CONFLICT),
    }
    assert found.reasons("lesion") == {
        "benign_1_L0": str(LesionReason.MASK_NOT_FOUND),
        "benign_2_L0": str(FileReason.TRUNCATED),
        "benign_3_L0": str(FileReason.TRUNCATED),
        "malignant_2_L0": str(FileReason.MISSING_FILE),
    }
    orphan = found.excluded[found.excluded["level"] == "row"]
    assert orphan["reason"].tolist() == [str(FileReason.MISSING_FILE)]
    assert orphan["path"].tolist() == ["Dataset_BUSI_with_GT/malignant/malignant (1)_mask.png"]

    empty, colours, torn = (writer.path("malignant", number, 0) for number in (3, 4, 5))
    busi.write_mask(empty, np.zeros(busi.SHAPE, bool))
    colourful = np.stack([busi.scene(number) for number in (1, 2, 3)], axis=2)
    busi.Image.fromarray(colourful).save(writer.path("malignant", 4))
    torn.write_bytes(torn.read_bytes()[:60])
    assert colours.is_file()
    prepare_images(
        ImagesSettings(breast_region="whole"), tmp_path / "study", tmp_path / "cohort/shards/00", tmp_path / "images", 1
    )
    excluded = read_table(tmp_path / "images" / "excluded.parquet", EXCLUDED)
    lesions = excluded[excluded["level"] == "lesion"].set_index("lesion_id")["reason"].to_dict()
    assert lesions.pop("malignant_5_L0") in (str(FileReason.TRUNCATED), str(FileReason.UNREADABLE))
    assert lesions == {"malignant_3_L0": str(LesionReason.MASK_EMPTY), "malignant_4_L0": str(FileReason.NOT_GREY)}


def test_a_second_mask_of_one_number_leaves_its_picture_without_a_full_annotation(busi, writer):
    writer.add_usual(3)
    second = writer.path("benign", 1, 0).with_name("benign (1)_mask_0.png")
    busi.write_mask(second, busi.ellipse((20, 20), (5, 5)))
    dataset = DatasetSettings(reader="busi", name="BUSI", folder=str(writer.study), spacing_mm=0.2)
    found = select_cases(open_reader(dataset, writer.study), classes=["normal", "benign", "malignant"]).resolved
    assert [(lost.image_id, Path(lost.path).name) for lost in found.excluded] == [("benign_1", second.name)]
    images = {image["image_id"]: image for image in found.images}
    assert [name for name, image in images.items() if not image["fully_annotated"]] == ["benign_1"]
    assert images["benign_1"]["image_class"] is None  # the lost lesion may be malignant
    assert images["benign_2"]["image_class"] == "benign"


def test_ids_do_not_change_when_pictures_come(busi, writer, cohort):
    writer.add_usual(4)
    before = cohort().lesions["mask_path"].to_dict()
    writer.add("benign", 40)
    busi.write_mask(writer.path("benign", 1, 1), busi.ellipse((20, 20), (5, 5)))
    after = cohort().lesions["mask_path"].to_dict()
    assert set(after) - set(before) == {"benign_40_L0", "benign_1_L1"}
    assert {name: after[name] for name in before} == before


def test_a_name_of_another_pattern_is_an_id_too(busi, writer, cohort):
    writer.add_usual()
    busi.write_picture(writer.root / "benign" / "case 7.png", busi.scene(40))
    busi.write_mask(writer.root / "benign" / "case 7_mask.png", busi.ellipse())
    busi.write_picture(writer.root / "benign" / "malignant (7).png", busi.scene(41))
    busi.write_mask(writer.root / "benign" / "malignant (7)_mask.png", busi.ellipse())
    images = cohort().images
    assert len(images) == 16
    assert images.index.str.fullmatch(r"[A-Za-z0-9._-]+").all()


def test_studies_that_are_none(busi, writer, tmp_path, cohort):
    (tmp_path / "study").mkdir()
    with pytest.raises(StudyError, match="holds no folders benign, malignant and normal"):
        cohort()
    (tmp_path / "study" / "benign").mkdir()
    with pytest.raises(StudyError, match="no picture"):
        cohort()
    twice = tmp_path / "twice"
    for below in ("one", "two"):
        busi.BusiWriter(twice, below).add_usual(1)
    with pytest.raises(StudyError, match=r"are in 2 places below .*: one, two"):
        cohort(twice)


def test_the_real_pictures(real_data):
    """Groups found from pixels alone against those that came with the set."""
    study = real_data / "busi"
    dataset = DatasetSettings(reader="busi", name="BUSI", folder=str(study), spacing_mm=0.2)
    reader = open_reader(dataset, study)
    rows, excluded = reader.read_rows()
    assert excluded == []
    known = pd.read_csv(study / "images.csv").set_index("image")["near_duplicate_group"]
    stems = rows["image_name"].map(lambda name: Path(name).stem)
    assert (rows.groupby(stems.map(known).to_numpy())["patient_id"].nunique() == 1).all()
    places = {stem: place for place, stem in enumerate(stems)}
    found = {frozenset(pair[:2]) for pair in reader._pairs}
    wanted = {
        frozenset((places[one], places[other]))
        for _, members in known.groupby(known)
        for one in members.index
        for other in members.index
        if one < other
    }
    assert len(wanted) == 139
    assert wanted <= found
    assert len(found - wanted) == 30  # looked at one by one: each pair shows one scene or lesion
    conflicts = set(rows.loc[rows["conflict"] != "", "image_id"])
    assert len(conflicts) == 16
    assert {"benign_433", "malignant_145", "benign_333", "malignant_77"} <= conflicts
    assert rows["patient_id"].nunique() == 491
