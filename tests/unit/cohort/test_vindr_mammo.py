"""VinDr-Mammo: boxes become lesions, images without a finding stay, labels follow BI-RADS with a note."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mammoflow.cohort.reader import open_reader
from mammoflow.cohort.readers.vindr_mammo import parse_categories
from mammoflow.cohort.stage import build_cohort
from mammoflow.config.cohort import CohortSettings, DatasetSettings
from mammoflow.config.images import ImagesSettings
from mammoflow.config.split import SplitSettings
from mammoflow.errors import ConfigError, Reason, StudyError
from mammoflow.imaging.stage import prepare_images
from mammoflow.reasons.cohort import CohortReason
from mammoflow.reasons.files import FileReason
from mammoflow.reasons.labels import LabelReason
from mammoflow.reasons.lesions import LesionReason
from mammoflow.storage.files import read_image
from mammoflow.tables.cohort import EXCLUDED, IMAGES, LESIONS
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS

pytestmark = pytest.mark.usefixtures("warm_fork_server")


@pytest.fixture
def vindr(load_writer):
    return load_writer("vindr_mammo")


@pytest.fixture
def writer(vindr, tmp_path):
    return vindr.VindrWriter(tmp_path / "study")


class Cohort:
    """The tables of a study after the cohort stage and, on demand, after the images stage."""

    def __init__(self, study: Path, output: Path, method: str = "official", **values: Any) -> None:
        values = {"malignant_from_birads": 4} | values
        dataset = DatasetSettings(reader="vindr-mammo", name="VinDr-Mammo", folder=str(study), **values)
        split = SplitSettings.model_validate({"method": method, "validation_fraction": 0.3})
        build_cohort(CohortSettings(dataset=dataset, split=split, shards=1), study, output)
        self.study, self.output = study, output
        self.images = read_table(output / "images.parquet", IMAGES).set_index("image_id")
        self.lesions = read_table(output / "lesions.parquet", LESIONS).set_index("lesion_id")
        self.excluded = read_table(output / "excluded.parquet", EXCLUDED)
        self.summary = json.loads((output / "study.json").read_text())

    def of(self, image: str) -> pd.DataFrame:
        return self.lesions[self.lesions["image_id"] == image]

    def reasons(self, image: str) -> list[str]:
        rows = self.excluded[(self.excluded["image_id"] == image) & (self.excluded["level"] != "image")]
        return list(rows["reason"])


@pytest.fixture
def cohort(tmp_path):
    return lambda study=tmp_path / "study", **values: Cohort(study, tmp_path / "cohort", **values)


def test_a_study_runs_to_canonical_lesions(vindr, writer, cohort, tmp_path):
    exams = vindr.some_exams(4)
    exams[0].photometric = "MONOCHROME1"
    exams[0].findings = [
        vindr.Finding("['Suspicious Calcification', 'Mass']", "BI-RADS 5", (-20, 150, 40, 190)),
        vindr.Finding("['Suspicious Calcification']", "BI-RADS 4", (60.0, 250.0, 100.0, 290.0)),
        vindr.Finding("['Focal Asymmetry']", "BI-RADS 3", (10, 350, 90, 480)),
    ]
    writer.write(exams)
    found = cohort()
    assert len(found.images) == 16
    assert len(found.lesions) == 3 + 3
    assert found.summary["counts"]["by_type"] == {"mass": 4, "calcification": 1, "unknown": 1}
    assert found.lesions["mask_path"].isna().all()
    film = found.images.loc[exams[0].image()]
    assert (film["laterality"], film["view"], film["density"]) == ("L", "CC", 3)
    assert film["patient_id"] == exams[0].study
    assert film["image_path"] == f"images/{exams[0].study}/{exams[0].image()}.dicom"
    lesions = found.of(exams[0].image()).set_index("birads")
    assert lesions["malignant"].to_dict() == {5: 1, 4: 1, 3: 0}
    assert lesions.loc[5, "finding_categories"] == "Suspicious Calcification; Mass"
    assert lesions.loc[5, "lesion_type"] == "mass"

    shard = tmp_path / "shard"  # one exam is enough: every film is a process
    write_table(
        found.images[found.images["patient_id"] == exams[0].study].reset_index(), IMAGES, shard / "images.parquet"
    )
    write_table(lesions.reset_index().assign(lesion_id=["a", "b", "c"]), LESIONS, shard / "lesions.parquet")
    settings = ImagesSettings(longest_side_px=200, patch_mm=10)
    prepare_images(settings, found.study, shard, tmp_path / "images", 1)
    images = read_table(tmp_path / "images" / "images.parquet", CANONICAL_IMAGES).set_index("image_id")
    canonical = read_table(tmp_path / "images" / "lesions.parquet", CANONICAL_LESIONS).set_index("birads")
    assert read_table(tmp_path / "images" / "excluded.parquet", EXCLUDED).empty
    assert len(images) == 4
    assert (images["film_spacing_mm"] == vindr.SPACING_MM).all()
    boxes = {birads: tuple(canonical.loc[birads, ["y0", "x0", "y1", "x1"]]) for birads in canonical.index}
    assert boxes == {5: (75, 0, 95, 20), 4: (125, 30, 145, 50), 3: (175, 5, 200, 45)}
    assert canonical.loc[4, "area_mm2"] == pytest.approx(40 * 40 * vindr.SPACING_MM**2)
    assert canonical["mask_file"].isna().all()
    picture = read_image(tmp_path / "images" / images.loc[exams[0].image(), "image_file"])
    assert picture[100, 20] > 2 * picture[5, 140]  # MONOCHROME1 is turned round: the breast is bright


def test_the_official_split_and_the_patient_is_the_study(vindr, writer, cohort):
    exams = vindr.some_exams(6)
    found = cohort(writer.write(exams))
    sides = found.images.groupby("patient_id")["split"].agg(set)
    assert {exam.study for exam in exams if exam.split == "test"} == set(sides.index[sides == {"test"}])
    assert (sides.map(len) == 1).all()


def test_labels_need_a_convention_and_carry_a_note(vindr, writer, cohort):
    study = writer.write(vindr.some_exams())
    with pytest.raises(ConfigError, match="malignant_from_birads is null"):
        cohort(study, malignant_from_birads=None)
    found = cohort(study)
    assert list(found.lesions["label_origin"]) == ["birads"] * 6
    assert "6 of 6" in found.summary["notes"][0]
    assert cohort(study, malignant_from_birads=3, method="random").lesions["malignant"].sum() == 6


def test_counts_of_the_tables(vindr, writer, cohort):
    exams = vindr.some_exams()
    exams[0].findings.append(vindr.Finding("['Skin Thickening', 'Nipple Retraction']", ""))
    audit = cohort(writer.write(exams)).summary["counts"]["audit"]
    assert audit == {
        "rows": 25,
        "images": 24,
        "studies": 6,
        "findings: Mass": 6,
        "findings: Skin Thickening": 1,
        "findings: Nipple Retraction": 1,
        "findings without an assessment": 1,
        "images without a finding": 18,
    }


def test_bad_rows_and_files_are_left_out_with_a_reason(vindr, writer, cohort):
    exams = vindr.some_exams(6)
    bad: list[tuple[Any, list[Reason]]] = []

    def add(*reasons: Reason, **values: Any) -> Any:
        exam = vindr.Exam(100 + len(bad), [vindr.Finding(**values)])
        bad.append((exam, list(reasons)))
        exams.append(exam)
        return exam

    missing = add(FileReason.MISSING_FILE)
    cut = add(FileReason.TRUNCATED)
    add(CohortReason.BAD_ROW, categories="Mass")
    add(CohortReason.BAD_ROW, categories="['Mass', 3]")
    add(CohortReason.BAD_ROW, categories="['Mass', 'No Finding']")
    add(CohortReason.BAD_ROW, categories="[__import__('os').system('false')]")
    add(CohortReason.BAD_ROW, birads="BI-RADS 9")
    add(CohortReason.BAD_ROW, values={"xmin": "left"})
    add(CohortReason.BAD_ROW, values={"height": "401"})  # not the size of the file
    add(CohortReason.BAD_ROW, values={"laterality": "both"})
    add(LabelReason.NO_LABEL, birads="")
    add(LabelReason.NO_LABEL, birads="BI-RADS 0")
    add(LesionReason.BOX_INVALID, box=(40, 150, 40, 200))
    add(LesionReason.BOX_INVALID, box=(90, 150, 40, 200))
    add(LesionReason.BOX_INVALID, box=(300, 150, 350, 200))
    add(LesionReason.MASK_NOT_FOUND, box=("", "", "", ""))
    denied = add(LabelReason.LABEL_CONFLICT)
    denied.findings.append(vindr.NONE)
    twice = add(CohortReason.DUPLICATE_ROW)
    twice.findings.append(twice.findings[0])
    writer.write(exams)
    writer.dicom(missing).unlink()
    writer.dicom(cut).write_bytes(writer.dicom(cut).read_bytes()[:-5000])
    found = cohort(method="random")
    for exam, reasons in bad:
        assert found.reasons(exam.image()) == [str(reason) for reason in reasons], exam.findings
        kept = exam in (denied, twice)
        assert (exam.image() in found.images.index) == kept
        assert len(found.of(exam.image())) == kept
        assert exam.image("R") in found.images.index
    assert sum(found.excluded["level"] == "image") == len(bad) - 2


def test_a_row_that_denies_findings_is_no_lost_lesion(vindr, writer, cohort):
    exams = vindr.some_exams(6)
    denied = next(exam for exam in exams if exam.findings)
    denied.findings.append(vindr.NONE)
    writer.write(exams)
    found = cohort()
    assert found.reasons(denied.image()) == [str(LabelReason.LABEL_CONFLICT)]
    assert [step["lesions"] for step in found.summary["flow"]] == [len(found.lesions)] * len(found.summary["flow"])


def test_an_image_in_one_table_alone(vindr, writer, cohort):
    study = writer.write(vindr.some_exams(6))
    table = study / "finding_annotations.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(line for line in lines if vindr.Exam(0).image("R") not in line))
    assert cohort(study).reasons(vindr.Exam(0).image("R")) == [str(CohortReason.BAD_ROW)]
    (study / "breast-level_annotations.csv").unlink()
    assert cohort(study).reasons(vindr.Exam(0).image("R")) == []


def test_a_patient_whose_official_test_rows_are_left_out_is_named(vindr, writer):
    exams = vindr.some_exams(6)
    named = {exam.study for exam in exams if exam.split == "test"}
    unread, torn = [exam for exam in exams if exam.split == "training"][:2]
    unread.findings.append(vindr.Finding(values={"split": "test", "height": "many"}))
    torn.findings.append(vindr.Finding(box=(5, 5, 9, 9), values={"split": "test"}))
    study = writer.write(exams)
    reader = open_reader(DatasetSettings(reader="vindr-mammo", folder=str(study), malignant_from_birads=4), study)
    rows, _ = reader.read_rows()
    assert set(rows.loc[rows["official_split"] == "test", "patient_id"]) == named
    assert reader.official_test == {*named, unread.study, torn.study}


def test_an_image_that_its_rows_file_in_two_places(vindr, writer, cohort):
    exams = vindr.some_exams(6)
    exams[0].findings = [vindr.Finding(), vindr.Finding(box=(5, 5, 9, 9), values={"study_id": exams[1].study})]
    found = cohort(writer.write(exams))
    assert found.reasons(exams[0].image()) == [str(CohortReason.BAD_ROW)] * 2


def test_paths_stay_inside_the_study(vindr, writer, cohort):
    exams = vindr.some_exams(6)
    exams[0].findings = [vindr.Finding(values={"study_id": "../../elsewhere"})]
    found = cohort(writer.write(exams))
    assert found.reasons(exams[0].image()) == [str(FileReason.OUTSIDE_STUDY)]


def test_studies_that_are_none(vindr, writer, cohort):
    (writer.study).mkdir()
    with pytest.raises(StudyError, match=r"finding_annotations\.csv does not exist"):
        cohort()
    table = writer.write(vindr.some_exams()) / "finding_annotations.csv"
    table.write_text(table.read_text().replace("finding_birads", "assessment"))
    with pytest.raises(StudyError, match="finding_birads"):
        cohort()


@pytest.mark.parametrize(
    "text", ["", "[]", "Mass", "('Mass',)", "['']", "[[]]", "{'Mass'}", "[" * 900, "['Mass'", "1" * 5000]
)
def test_lists_that_are_none(text):
    with pytest.raises(ValueError, match="expected a list"):
        parse_categories(text)


def test_a_list_as_python_writes_it():
    assert parse_categories("['Mass', \"Skin Thickening\"]") == ["Mass", "Skin Thickening"]


def test_images_and_lesions_without_a_label_stay_if_asked(vindr, writer, tmp_path):
    exams = vindr.some_exams(6)
    exams[0].findings = []  # the table of findings does not name this image
    exams[1].findings = [vindr.Finding("['Mass']", "BI-RADS 3", (10, 350, 90, 480))]
    study = writer.write(exams)
    dataset = DatasetSettings(
        reader="vindr-mammo", name="VinDr", folder=str(study), malignant_from_birads=4, benign_to_birads=2
    )
    tables = {}
    for choice in ("leave_out", "keep"):
        split = SplitSettings(validation_fraction=0.3)
        settings = CohortSettings(dataset=dataset, split=split, shards=1, unlabelled=choice)
        build_cohort(settings, study, tmp_path / choice)
        tables[choice] = [
            read_table(tmp_path / choice / "images.parquet", IMAGES).set_index("image_id"),
            read_table(tmp_path / choice / "lesions.parquet", LESIONS).set_index("image_id"),
        ]
    images, lesions = tables["keep"]
    fewer_images, fewer_lesions = tables["leave_out"]
    new = images.drop(fewer_images.index)
    unnamed, ambiguous = exams[0].image(), exams[1].image()
    assert {unnamed, ambiguous} <= set(new.index)
    assert not new["labelled"].any()
    assert new.index[~new["fully_annotated"]].tolist() == [unnamed]
    assert new.loc[unnamed, "laterality"] == "L"
    assert lesions.loc[ambiguous, "malignant"] is pd.NA
    added = set(lesions.index) - set(fewer_lesions.index)
    assert added == set(new.index) - {unnamed}
    assert set(lesions.loc[list(added), "birads"]) == {3}
    assert images.loc[fewer_images.index, "split"].equals(fewer_images["split"])
