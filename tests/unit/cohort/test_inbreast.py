"""INbreast: contours become lesions at film resolution, labels follow BI-RADS with a note, odd films are left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mammoflow.cohort.inbreast_lesions import SINGLE, regions_of_film
from mammoflow.cohort.stage import build_cohort
from mammoflow.config.cohort import CohortSettings, DatasetSettings
from mammoflow.config.images import ImagesSettings
from mammoflow.errors import ConfigError, Reason, StudyError
from mammoflow.formats.contour_files import Contour
from mammoflow.imaging.stage import prepare_images
from mammoflow.reasons.cohort import CohortReason
from mammoflow.reasons.files import FileReason
from mammoflow.reasons.labels import LabelReason
from mammoflow.reasons.lesions import LesionReason
from mammoflow.storage.files import read_mask
from mammoflow.tables.cohort import EXCLUDED, IMAGES, LESIONS
from mammoflow.tables.files import read_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS

RIGHT = "6c613a14b80a8591"

pytestmark = pytest.mark.usefixtures("warm_fork_server")


@pytest.fixture
def inbreast(load_writer):
    return load_writer("inbreast")


@pytest.fixture
def writer(inbreast, tmp_path):
    return inbreast.InbreastWriter(tmp_path / "study")


class Cohort:
    """The tables of a study after the cohort stage and, on demand, after the images stage."""

    def __init__(self, study: Path, output: Path, **values: Any) -> None:
        values = {"malignant_from_birads": 4} | values
        dataset = DatasetSettings(reader="inbreast", name="INbreast", folder=str(study), **values)
        build_cohort(CohortSettings(dataset=dataset, shards=1), study, output)
        self.study, self.output = study, output
        self.images = read_table(output / "images.parquet", IMAGES).set_index("image_id")
        self.lesions = read_table(output / "lesions.parquet", LESIONS).set_index("lesion_id")
        self.excluded = read_table(output / "excluded.parquet", EXCLUDED)
        self.summary = json.loads((output / "study.json").read_text())

    def of(self, film: str) -> pd.DataFrame:
        """Lesions of a film, by shape."""
        return self.lesions[self.lesions["image_id"] == film].set_index("shape", drop=False)

    def reasons(self, film: str, level: str = "row") -> list[str]:
        rows = self.excluded[(self.excluded["image_id"] == film) & (self.excluded["level"] == level)]
        return list(rows["reason"])

    def prepare(self, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        settings = ImagesSettings(longest_side_px=200, patch_mm=10)
        prepare_images(settings, self.study, self.output / "shards" / "00", folder, 1)
        return (
            read_table(folder / "images.parquet", CANONICAL_IMAGES).set_index("image_id"),
            read_table(folder / "lesions.parquet", CANONICAL_LESIONS).set_index("lesion_id"),
            read_table(folder / "excluded.parquet", EXCLUDED),
        )


@pytest.fixture
def cohort(tmp_path):
    return lambda study=tmp_path / "study", **values: Cohort(study, tmp_path / "cohort", **values)


def test_a_study_runs_to_canonical_lesions(inbreast, writer, cohort, tmp_path):
    region, rectangle = inbreast.region, inbreast.rectangle
    mixed = inbreast.Film(
        "20586960",
        RIGHT,
        side="R",
        view="ML",
        birads="4b",
        density="3",
        regions=[
            region("Mass", rectangle(100, 200, 120, 240)),
            region("Espiculated Region", rectangle(90, 190, 130, 250)),
            region("Assymetry", rectangle(300, 250, 340, 290)),
            region("Distortion", rectangle(-20, 260, 30, 400)),  # leaves the film above and on the right
        ],
    )
    dots = [region("Calcification", [(200.5, 30.5)]), region("Unnamed", rectangle(210, 40, 212, 43))]
    dots.append(region("Point 1", [(220.2, 50.2), (221.2, 51.2)]))
    benign = inbreast.Film("22580218", "5530d5782fc89dd7", birads="2", regions=dots)
    normal = inbreast.Film("53582540", "3e73f1c0670cfb0a", birads="1", density="", regions=None)
    writer.write([*inbreast.some_films(3), mixed, benign, normal])
    found = cohort()
    assert len(found.images) == 6
    assert len(found.lesions) == 3 + 4 + 1
    film = found.images.loc["20586960"]
    assert (film["laterality"], film["view"], film["density"], film["patient_id"]) == ("R", "MLO", 3, RIGHT)
    assert (film["spacing_mm"], film["spacing_origin"]) == (0.07, "table")
    assert film["image_path"] == f"AllDICOMs/20586960_{RIGHT}_MG_R_ML_ANON.dcm"
    lesions = found.of("20586960")
    assert sorted(lesions.index) == ["asymmetry", "distortion", "mass", "spiculated region"]
    assert (lesions["malignant"] == 1).all()
    assert (lesions["birads"] == 4).all()
    assert lesions["mask_item"].to_dict() == {
        "mass": "0",
        "spiculated region": "1",
        "asymmetry": "2",
        "distortion": "3",
    }
    single = found.of("22580218").loc[SINGLE]
    assert (single["mask_item"], single["lesion_type"], single["malignant"]) == ("0,1,2", "calcification", 0)
    assert found.images.loc["53582540", "patient_id"] == "3e73f1c0670cfb0a"

    images, canonical, excluded = found.prepare(tmp_path / "images")
    assert excluded.empty
    assert sorted(images.index) == sorted(found.images.index)
    assert sorted(canonical.index) == sorted(found.lesions.index)
    mass = canonical.loc[_id(found, "20586960", "mass")]
    assert (mass["y0"], mass["x0"], mass["y1"], mass["x1"]) == (50, 100, 60, 120)
    assert mass["area_mm2"] == pytest.approx(20 * 40 * 0.07**2)
    assert mass["diameter_mm"] == pytest.approx(np.hypot(20, 40) * 0.07)
    mask = read_mask(tmp_path / "images" / mass["mask_file"])
    assert mask.sum() == 10 * 20 == mask[50:60, 100:120].sum()
    cut = canonical.loc[_id(found, "20586960", "distortion")]
    assert cut["area_mm2"] == pytest.approx(30 * 40 * 0.07**2)
    assert (cut["y0"], cut["x1"]) == (0, 150)
    points = canonical.loc[_id(found, "22580218", SINGLE)]
    assert points["area_mm2"] == pytest.approx((1 + 2 * 3 + 2) * 0.07**2)


def _id(found: Cohort, film: str, shape: str) -> str:
    (name,) = found.lesions.index[(found.lesions["image_id"] == film) & (found.lesions["shape"] == shape)]
    return str(name)


def test_labels_need_a_convention_and_carry_a_note(inbreast, writer, cohort):
    study = writer.write(inbreast.some_films())
    with pytest.raises(ConfigError, match="malignant_from_birads is null"):
        cohort(study, malignant_from_birads=None)
    found = cohort(study)
    assert set(found.lesions["label_origin"]) == {"birads"}
    assert found.lesions["pathology"].isna().all()
    (note,) = found.summary["notes"]
    assert "8 of 8" in note
    assert "circular" in note


@pytest.mark.parametrize(("bound", "malignant"), [(3, 5), (4, 3), (5, 2)])
def test_the_convention_is_a_setting(inbreast, writer, cohort, bound, malignant):
    films = inbreast.some_films(8)
    for film, birads in zip(films, ["1", "2", "2", "3", "3", "4a", "5", "6"], strict=True):
        film.birads = birads
    assert cohort(writer.write(films), malignant_from_birads=bound).lesions["malignant"].sum() == malignant


def test_a_release_one_folder_below(inbreast, tmp_path, cohort):
    writer = inbreast.InbreastWriter(tmp_path / "study", "INbreast Release 1.0")
    found = cohort(writer.write(inbreast.some_films()))
    assert found.images["image_path"].str.startswith("INbreast Release 1.0/AllDICOMs/").all()
    assert found.lesions["mask_path"].str.startswith("INbreast Release 1.0/AllXML/").all()


def test_films_of_a_patient_share_the_hash_and_the_side_of_the_split(inbreast, writer, cohort):
    films = inbreast.some_films(12)
    for number, film in enumerate(films):
        film.patient, film.birads = f"{number // 2:016x}", "2" if number // 2 % 2 else "5"
    found = cohort(writer.write(films))
    assert found.images["patient_id"].nunique() == 6
    assert (found.images.groupby("patient_id")["split"].nunique() == 1).all()
    assert found.summary["counts"]["audit"]["patients"] == 6


def test_calcifications_inside_a_cluster_belong_to_it(inbreast, writer, cohort):
    region, rectangle = inbreast.region, inbreast.rectangle
    inside = [region("Calcification", [(y, 60.0)]) for y in (110.0, 120.0, 130.0)]
    outside = region("Calcification", rectangle(200, 50, 202, 52))
    films = inbreast.some_films()
    films[0].regions = [region("Cluster", rectangle(100, 50, 140, 90)), *inside, outside]
    films[0].birads = "5"
    found = cohort(writer.write(films))
    (cluster,) = found.of(films[0].number).itertuples()
    assert (cluster.shape, cluster.lesion_type, cluster.mask_item) == ("cluster", "calcification", "0")
    audit = found.summary["counts"]["audit"]
    assert audit["single calcifications inside a cluster"] == 3
    assert audit["single calcifications drawn as points"] == 3
    # The film's BI-RADS 5 is the cluster's; what the calcification beside it is, nobody has said.
    assert found.reasons(films[0].number, "lesion") == [str(LabelReason.NO_LABEL)]


def test_neither_order_nor_a_further_region_changes_an_id(inbreast, writer, cohort):
    region, rectangle = inbreast.region, inbreast.rectangle
    masses = [region("Mass", rectangle(100 + 40 * place, 50, 120 + 40 * place, 90)) for place in range(3)]
    films = inbreast.some_films()
    ids = []
    for regions in (masses[:2], masses[1::-1], masses):
        films[0].regions = regions
        found = cohort(writer.write(films))
        table = found.lesions[found.lesions["image_id"] == films[0].number]
        ids.append({regions[int(item)]["Point_px"][0]: name for name, item in table["mask_item"].items()})
    assert ids[0] == ids[1]
    assert ids[0].items() < ids[2].items()


def test_bad_films_and_regions_are_rows_with_a_reason(inbreast, writer, cohort, tmp_path):
    region, rectangle = inbreast.region, inbreast.rectangle
    square = rectangle(100, 50, 140, 90)
    films = inbreast.some_films(8)
    bad: dict[str, Any] = {}

    def add(reason: Reason, **values: Any) -> Any:
        number = str(80000000 + len(bad))
        film = inbreast.Film(number, f"f{len(bad):015x}", **{"regions": [region("Mass", square)]} | values)
        bad[number] = reason
        films.append(film)
        return film

    missing = add(FileReason.MISSING_FILE)
    cut = add(FileReason.TRUNCATED)
    text = add(FileReason.NOT_DICOM)
    add(CohortReason.BAD_ROW, birads="9")
    add(CohortReason.BAD_ROW, values={"side": "R"})
    add(CohortReason.BAD_ROW, values={"view": "MLO"})
    add(LesionReason.MASK_NOT_FOUND, birads="5", regions=None)
    add(LesionReason.MASK_NOT_FOUND, birads="2", regions=[])
    broken = add(FileReason.CONTOURS)
    dangling = add(LesionReason.MASK_NOT_FOUND)
    add(LabelReason.NO_LABEL, birads="0")
    add(LabelReason.NO_LABEL, birads="")
    add(FileReason.CONTOURS, regions=[region("Mass", square[:2])])
    add(FileReason.CONTOURS, regions=[region("Cluster", [(5.0, 5.0), (5.0, 9.0), (5.0, 7.0)])])
    add(FileReason.CONTOURS, regions=[region("Pectoral Muscle", square)])
    add(FileReason.CONTOURS, regions=[region("Mass", square, NumberOfPoints=3)])
    twice = inbreast.Film("80009999", "abcdef")
    writer.write(films, tail=";;;;;;;410\n")
    writer.dicom(missing).unlink()
    writer.dicom(cut).write_bytes(writer.dicom(cut).read_bytes()[:-5000])
    writer.dicom(text).write_text("no picture " * 100)
    writer.contours(broken).write_text("<plist><dict>")
    writer.contours(dangling).unlink()
    writer.contours(dangling).symlink_to(tmp_path / "gone.xml")
    writer.contours(films[0]).rename(tmp_path / "disk.xml")
    writer.contours(films[0]).symlink_to(tmp_path / "disk.xml")  # another disk, and no fault
    writer.write_dicom(twice)  # a film that the table does not speak of
    found = cohort()
    assert sorted(found.images.index) == [film.number for film in films[:8]]
    for number, reason in bad.items():
        rows = [*found.reasons(number, "row"), *found.reasons(number, "lesion")]
        assert rows == [str(reason)], number
        assert len(found.reasons(number, "image")) == 1, number
    assert found.reasons("80009999") == [str(LabelReason.NO_LABEL)]
    assert sum(found.excluded["image_id"] == "") == 1  # the line of totals is counted too
    assert found.summary["counts"]["rows"] == 8 + len(bad) + 1 + 1


def test_a_region_outside_the_film_is_left_out_by_the_images_stage(inbreast, writer, cohort, tmp_path):
    films = inbreast.some_films()
    square = inbreast.rectangle(100, 50, 140, 90)
    films[0].regions = [
        inbreast.region("Mass", inbreast.rectangle(100, 305, 140, 390)),
        inbreast.region("Mass", square),
    ]
    films[1].regions = [inbreast.region("Calcification", [(401.0, 5.0)])]
    found = cohort(writer.write(films))
    images, canonical, excluded = found.prepare(tmp_path / "images")
    assert len(canonical) == len(found.lesions) - 2
    assert list(excluded[excluded["level"] == "lesion"]["reason"]) == [str(LesionReason.MASK_EMPTY)] * 2
    assert films[0].number in images.index
    assert films[1].number not in images.index


def test_studies_that_are_none(inbreast, writer, cohort, tmp_path):
    (tmp_path / "study").mkdir()
    with pytest.raises(StudyError, match="AllDICOMs"):
        cohort()
    writer.write(inbreast.some_films())
    table = tmp_path / "study" / "INbreast.csv"
    text = table.read_text()
    table.write_text(text.replace("Bi-Rads", "Assessment"))
    with pytest.raises(StudyError, match="bi-rads"):
        cohort()
    table.rename(table.with_suffix(".xls"))
    with pytest.raises(StudyError, match=r"save INbreast\.xls as CSV"):
        cohort()
    table.with_name("mine.csv").write_text(text)
    assert len(cohort(tables=["mine.csv"]).images) == 8


@pytest.mark.parametrize("header", ["bi-rads", " Bi-Rads ", "BI-RADS"])
def test_headers_in_any_case(inbreast, writer, cohort, header):
    study = writer.write(inbreast.some_films())
    table = study / "INbreast.csv"
    table.write_text(table.read_text().replace("Bi-Rads", header).replace("90000000", "90000000.0"))
    assert len(cohort(study).images) == 8


def test_counts_of_regions_by_their_many_names() -> None:
    square = np.array([(0, 0), (0, 9), (9, 9), (9, 0)], dtype=float)
    names = ["Mass", "Calcification", "Calcifications", "Unnamed", "Point 3", "", "Cluster", "Spiculated region"]
    regions, counts = regions_of_film([Contour(name, square + 20 * place) for place, name in enumerate(names)])
    assert counts["regions: single calcifications"] == 5
    assert [region.kind for region in regions] == ["mass", "cluster", "spiculated region", SINGLE]
    assert regions[-1].items == (1, 2, 3, 4, 5)
    assert not regions[-1].alone
    assert [region.lesion_type for region in regions] == ["mass", "calcification", "unknown", "calcification"]


def test_a_film_whose_lesions_are_not_drawn_stays_if_asked(inbreast, writer, tmp_path):
    undrawn = inbreast.Film("80000000", "f000000000000000", birads="5", regions=None)
    study = writer.write([*inbreast.some_films(8), undrawn])
    dataset = DatasetSettings(reader="inbreast", name="INbreast", folder=str(study), malignant_from_birads=4)
    build_cohort(CohortSettings(dataset=dataset, shards=1, unlabelled="keep"), study, tmp_path / "cohort")
    images = read_table(tmp_path / "cohort" / "images.parquet", IMAGES).set_index("image_id")
    assert images.loc["80000000", ["labelled", "fully_annotated"]].tolist() == [False, False]
    assert images.drop("80000000")[["labelled", "fully_annotated"]].all().all()
    assert "80000000" not in set(read_table(tmp_path / "cohort" / "excluded.parquet", EXCLUDED)["image_id"])
