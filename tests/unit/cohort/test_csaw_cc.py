"""CSAW-CC: which images are malignant, normal or neither; recall decisions kept; files found; pictures prepared."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mammoflow.cohort.stage import build_cohort
from mammoflow.config.cohort import CohortSettings, DatasetSettings
from mammoflow.config.images import ImagesSettings
from mammoflow.config.split import SplitSettings
from mammoflow.errors import ConfigError, StudyError
from mammoflow.imaging.stage import prepare_images
from mammoflow.reasons.cohort import CohortReason
from mammoflow.reasons.files import FileReason
from mammoflow.reasons.labels import LabelReason
from mammoflow.reasons.lesions import LesionReason
from mammoflow.tables.cohort import EXCLUDED, IMAGES, LESIONS
from mammoflow.tables.files import read_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS


@pytest.fixture
def csaw(load_writer):
    return load_writer("csaw_cc")


@pytest.fixture
def writer(csaw, download, tmp_path):
    return csaw.CsawWriter(tmp_path / "study", download.write_dicom)


class Cohort:
    """The tables of a study after the cohort stage."""

    def __init__(self, study: Path, output: Path, **values: object) -> None:
        dataset = DatasetSettings(reader="csaw-cc", name="CSAW-CC", folder=str(study), **values)
        settings = CohortSettings(dataset=dataset, split=SplitSettings(test_fraction=0.3), shards=1)
        build_cohort(settings, study, output)
        self.images = read_table(output / "images.parquet", IMAGES).set_index("image_id")
        self.lesions = read_table(output / "lesions.parquet", LESIONS).set_index("lesion_id")
        self.excluded = read_table(output / "excluded.parquet", EXCLUDED)
        self.counts = json.loads((output / "study.json").read_text())["counts"]

    def reasons(self, level: str) -> Counter[str]:
        return Counter(self.excluded.loc[self.excluded["level"] == level, "reason"])


@pytest.fixture
def cohort(tmp_path):
    return lambda study=tmp_path / "study", **values: Cohort(study, tmp_path / "cohort", **values)


def test_a_study_as_published_runs_to_canonical_images(csaw, writer, cohort, tmp_path):
    writer.add_usual()
    writer.finish()
    found = cohort()
    assert len(found.images) == 8 * 4
    assert len(found.lesions) == 4 * 2
    assert (found.lesions["malignant"] == 1).all()
    assert found.lesions["birads"].isna().all()
    assert found.images["density"].isna().all()
    left = found.lesions.loc["00001_20990909_L_CC_1_L0"]
    assert left["mask_path"] == "data/anon_annotations_nonhidden/00001_20990909_L_CC_1_mask.png"
    assert (left["patient_id"], left["laterality"], left["view"]) == ("00001", "L", "CC")
    assert left["pathology"] == "invasive, at most 15 mm"
    assert left["finding_id"] == found.lesions.loc["00001_20990909_L_MLO_1_L0", "finding_id"] == "00001_2012_L"
    assert found.excluded.empty
    assert found.counts["audit"] == {
        "rows": 32,
        "patients": 8,
        "patients with cancer": 4,
        "examinations": 8,
        "images of the breast with cancer, rad_timing 1": 8,
        "masks": 8,
        "masks of images that the table does not name": 0,
    }

    shard = tmp_path / "cohort" / "shards" / "00"
    prepare_images(ImagesSettings(patch_mm=20), tmp_path / "study", shard, tmp_path / "images", 1)
    images = read_table(tmp_path / "images" / "images.parquet", CANONICAL_IMAGES)
    lesions = read_table(tmp_path / "images" / "lesions.parquet", CANONICAL_LESIONS)
    assert len(images) == 32
    assert (images["spacing_origin"] == "imager").all()
    assert lesions["area_mm2"].to_numpy() == pytest.approx((csaw.outline() > 0).sum() * 0.25)


def test_the_convention_of_labels(writer, cohort):
    """Outlined cancers are lesions, healthy breasts normal images, a cancer's breast without an outline is neither."""
    writer.add_usual()
    writer.add_exam(20, "Left", timing=3, number=1)
    writer.add_exam(20, "Left", timing=2, number=2)
    writer.add_exam(21, "Right", timing=1, masks=False)
    writer.add_exam(22, "Bilateral", timing=2)
    writer.add_exam(23, "", timing=1, x_case="1")
    writer.add_exam(24, "Left", timing=2, masks=True)
    writer.finish()
    found = cohort()
    mine = found.images[found.images["patient_id"] > "00010"]
    assert sorted(mine.index) == sorted(
        [
            *(f"00020_20990909_R_{view}_{exam}" for view in ("CC", "MLO") for exam in (1, 2)),
            *(f"00021_20990909_L_{view}_1" for view in ("CC", "MLO")),
            *(f"00024_20990909_{side}_{view}_1" for side in "LR" for view in ("CC", "MLO")),
        ]
    )
    assert set(found.lesions.index[found.lesions["patient_id"] > "00010"]) == {
        "00024_20990909_L_CC_1_L0",
        "00024_20990909_L_MLO_1_L0",
    }
    assert found.reasons("lesion") == {str(LesionReason.MASK_NOT_FOUND): 2 + 2 + 2 + 4, str(LabelReason.NO_LABEL): 4}
    details = found.excluded[found.excluded["reason"] == str(LesionReason.MASK_NOT_FOUND)].set_index("image_id")[
        "detail"
    ]
    assert "interval cancer" in details["00020_20990909_L_CC_2"]
    assert "prior examination" in details["00020_20990909_L_CC_1"]
    assert "screen-detected" in details["00021_20990909_R_CC_1"]
    assert found.counts["audit"]["images of the breast with cancer, rad_timing 2"] == 2 + 4 + 2


@pytest.mark.parametrize("blank", ["NULL", "NA", "nan"])
def test_words_for_a_blank_are_blanks_in_all_columns_that_decide_the_label(writer, cohort, blank):
    writer.add_usual()
    writer.add_exam(60, blank, x_case="0", x_type=blank, rad_timing=blank)
    writer.add_exam(61, "Left", timing=2, x_case=blank)
    writer.finish()
    found = cohort()
    assert (found.images.loc[found.images["patient_id"] == "00060", "rad_timing"] == "").to_list() == [True] * 4
    assert set(found.excluded["patient_id"]) == {"00061"}
    assert found.reasons("lesion") == {str(LabelReason.NO_LABEL): 4}


def test_recall_decisions_and_density_stay_on_images_and_lesions(writer, cohort):
    writer.add_usual()
    writer.add_exam(30, rad_recall="1.0", rad_recall_type_left="2.0", libra_percentdensity="41.5")
    writer.finish()
    found = cohort()
    recalled = found.images.loc["00030_20990909_L_CC_1"]
    assert recalled[["rad_recall", "rad_recall_type_left", "rad_timing"]].tolist() == ["1.0", "2.0", ""]
    assert recalled["libra_percentdensity"] == "41.5"
    assert set(found.lesions["rad_timing"]) == {"1.0"}
    assert set(found.lesions["rad_r1"]) == {"1.0"}


def test_a_mask_where_no_cancer_is_contradicts_the_table(csaw, writer, cohort):
    writer.add_usual()
    writer.add_exam(40)
    writer.write_mask("00040_20990909_R_CC_1", csaw.outline())
    writer.write_mask("00001_20990909_R_CC_1", csaw.outline())  # the other breast of a case
    dot = np.zeros(csaw.SHAPE, np.uint8)
    dot[0, 0] = 255
    writer.write_mask("00040_20990909_L_CC_1", dot)  # a single pixel stands for nothing
    writer.finish()
    found = cohort()
    lost = found.excluded[found.excluded["level"] == "image"].set_index("image_id")["reason"].to_dict()
    conflict = str(LabelReason.LABEL_CONFLICT)
    assert lost == {"00040_20990909_R_CC_1": conflict, "00001_20990909_R_CC_1": conflict}


def test_bad_cases_are_rows_with_a_reason(csaw, writer, cohort, tmp_path):
    writer.add_usual()
    dot = np.zeros(csaw.SHAPE, np.uint8)
    dot[0, 0] = 255
    writer.write_mask("00001_20990909_L_CC_1", dot)
    (writer.images / "00002_20990909_R_CC_1.dcm").unlink()
    cut = writer.images / "00003_20990909_L_CC_1.dcm"
    cut.write_bytes(cut.read_bytes()[:-100])
    (writer.images / "00005_20990909_L_CC_1.dcm").write_bytes(b"")
    writer.add_exam(50, viewposition="")
    writer.add_exam(51, anon_patientid="00052")
    writer.add_exam(53, x_case="yes")
    writer.add_exam(54, "Left", timing=1, rad_timing="7")
    writer.finish()
    found = cohort()
    assert found.reasons("row") == {str(CohortReason.BAD_ROW): 16}
    assert found.reasons("lesion") == {
        str(LesionReason.MASK_EMPTY): 1,
        str(FileReason.MISSING_FILE): 1,
        str(FileReason.TRUNCATED): 1,
    }
    assert found.reasons("image") == {
        str(LesionReason.NO_LESIONS): 1,
        str(FileReason.MISSING_FILE): 1,
        str(FileReason.TRUNCATED): 2,
    }
    details = " ".join(found.excluded["detail"])
    assert "the file is called 00051_20990909_L_CC_1, but the row says patient 00052, side L, view CC" in details

    Image.fromarray(csaw.outline()[:, :50]).save(writer.masks / "00001_20990909_L_MLO_1_mask.png")
    torn = writer.masks / "00002_20990909_R_MLO_1_mask.png"
    torn.write_bytes(torn.read_bytes()[:70])
    shard = tmp_path / "cohort" / "shards" / "00"
    prepare_images(ImagesSettings(), tmp_path / "study", shard, tmp_path / "images", 1)
    excluded = read_table(tmp_path / "images" / "excluded.parquet", EXCLUDED)
    reasons = excluded[excluded["level"] == "lesion"].set_index("lesion_id")["reason"].to_dict()
    assert reasons["00001_20990909_L_MLO_1_L0"] == str(LesionReason.MASK_SHAPE)
    assert reasons["00002_20990909_R_MLO_1_L0"] in (str(FileReason.TRUNCATED), str(FileReason.UNREADABLE))


def test_images_in_several_folders_and_converted_ones(writer, cohort):
    writer.add_usual()
    table = writer.finish()
    other = writer.study / "data" / "images_2"
    other.mkdir()
    moved = writer.images / "00001_20990909_L_CC_1.dcm"
    moved.rename(other / moved.name)
    picture = writer.images / "00002_20990909_L_CC_1.dcm"
    picture.unlink()
    Image.fromarray(np.full((160, 100), 9, np.uint8)).save(picture.with_suffix(".png"))
    Image.fromarray(np.full((160, 100), 9, np.uint8)).save(writer.images / "00003_20990909_L_CC_1.png")
    found = cohort(table)
    assert len(found.images) == 32
    paths = found.images["image_path"]
    assert paths["00001_20990909_L_CC_1"] == "data/images_2/00001_20990909_L_CC_1.dcm"
    assert paths["00002_20990909_L_CC_1"].endswith("00002_20990909_L_CC_1.png")
    assert paths["00003_20990909_L_CC_1"].endswith(".dcm")


def test_tables_of_other_names_and_columns(writer, cohort):
    writer.add_usual()
    writer.finish("anon_dataset_nonhidden_211125.csv")
    assert len(cohort().lesions) == 8
    table = pd.read_csv(writer.study / "anon_dataset_nonhidden_211125.csv", dtype=str)
    renamed = table.rename(columns={"imagelaterality": "dicom_imagelaterality", "viewposition": "dicom_viewposition"})
    renamed.to_csv(writer.study / "mine.csv", index=False)
    assert len(cohort(tables=["mine.csv"]).lesions) == 8
    # A table that went through a spreadsheet has lost the zeros in front of the patients' numbers.
    table["anon_patientid"] = table["anon_patientid"].str.lstrip("0")
    table[table["x_case"] == "1"].to_csv(writer.study / "cases.csv", index=False)
    cases = cohort(tables=["cases.csv"])
    assert len(cases.images) == 16
    assert set(cases.images["patient_id"]) == set("1234")


def test_studies_that_are_none(writer, cohort):
    writer.add_exam(1)
    with pytest.raises(StudyError, match=r"no case table CSAW-CC_breast_cancer_screening_data\.csv or"):
        cohort()
    table = pd.read_csv(writer.finish() / "data" / "CSAW-CC_breast_cancer_screening_data.csv")
    table.drop(columns="x_case").to_csv(writer.study / "short.csv", index=False)
    with pytest.raises(StudyError, match=r"case table short\.csv lacks the columns x_case"):
        cohort(tables=["short.csv"])
    with pytest.raises(ConfigError, match="takes one"):
        cohort(tables=["short.csv", "short.csv"])


def test_of_two_dicom_files_of_a_name_the_one_for_presentation_is_taken(csaw, writer, cohort, download):
    writer.add_usual()
    writer.finish()
    name = f"{writer.name(1, 'Left', 'CC')}.dcm"
    raw = writer.study / "a_raw" / name  # found first
    raw.parent.mkdir()
    download.write_dicom(raw, csaw.film(10), PresentationIntentType="FOR PROCESSING")
    found = cohort()
    assert len(found.images) == 8 * 4
    assert set(found.images["image_path"].str.split("/").str[0]) == {"data"}
    assert found.excluded.loc[found.excluded["level"] == "file", "path"].to_list() == [f"a_raw/{name}"]
    assert found.reasons("file") == {str(FileReason.FOR_PROCESSING): 1}
