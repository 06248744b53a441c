from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest

from mammoflow.cohort.phantom import stage
from mammoflow.cohort.phantom.dicom import phantom_uid
from mammoflow.cohort.phantom.files import crop_lesion, mask_pixels
from mammoflow.cohort.phantom.stage import write_phantom_study
from mammoflow.config.phantom import PhantomSettings
from mammoflow.errors import StudyError
from mammoflow.storage.files import file_digest

SMALL = PhantomSettings(patients=8, seed=3, spacing_mm=0.8)
TABLES = [f"{kind}_case_description_{part}_set.csv" for kind in ("mass", "calc") for part in ("train", "test")]


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): file_digest(p) for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("phantom") / "study"
    write_phantom_study(SMALL, output, threads=1)
    return output


@pytest.fixture(scope="module")
def case_rows(study: Path) -> list[dict[str, str]]:
    return [row for name in TABLES for row in read_csv(study / name)]


def test_the_bytes_do_not_depend_on_the_number_of_processes(study: Path, tmp_path: Path) -> None:
    write_phantom_study(SMALL, tmp_path / "again", threads=2)
    assert contents(tmp_path / "again") == contents(study)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again"]


def test_another_seed_gives_other_films_under_other_uids(study: Path, tmp_path: Path) -> None:
    write_phantom_study(SMALL.model_copy(update={"seed": 4}), tmp_path / "other", threads=1)
    files = {name for name in contents(study) if name.endswith(".dcm")}
    assert not files & set(contents(tmp_path / "other"))


def test_the_manifest_lists_every_file_with_its_digest(study: Path) -> None:
    rows = {row["path"]: row for row in read_csv(study / "manifest.csv")}
    found = contents(study)
    assert set(found) - set(rows) == {"manifest.csv", "PHANTOM.md"}
    assert all(found[path] == row["sha256"] for path, row in rows.items())
    assert {row["kind"] for row in rows.values()} == {"full mammogram", "ROI mask", "crop", "table"}
    full = {Path(path).parts[0]: float(row["spacing_mm"]) for path, row in rows.items() if row["kind"][:4] == "full"}
    spacings = {row["folder"]: float(row["spacing_mm"]) for row in read_csv(study / "film_spacing.csv")}
    assert spacings == full
    assert set(spacings.values()) == {0.8, 0.696}


@pytest.mark.parametrize("name", TABLES)
def test_the_case_tables_have_the_real_tables_oddities(study: Path, name: str) -> None:
    text = (study / name).read_bytes()
    header, _ = text.split(b"\r\n", 1)
    rows = read_csv(study / name)
    assert rows
    density = b"breast_density" if name.startswith("mass") else b"breast density"
    assert density in header
    broken = "ROI mask file path" if name.startswith("mass") else "cropped image file path"
    whole = {"image file path", "ROI mask file path", "cropped image file path"} - {broken}
    for row in rows:
        assert row[broken].endswith("000.dcm\n") or row[broken].endswith("001.dcm\n")
        assert all("\n" not in row[column] for column in whole)
    assert text.count(b'.dcm\n"') == len(rows), "the path with the newline is quoted in every row"
    kind, split = ("Mass" if name.startswith("mass") else "Calc"), ("Training" if "train" in name else "Test")
    for row in rows:
        folder = f"{kind}-{split}_{row['patient_id']}_{row['left or right breast']}_{row['image view']}"
        assert row["image file path"].split("/")[0] == folder
        assert row["ROI mask file path"].split("/")[0] == f"{folder}_{row['abnormality id']}"


def test_the_headers_of_the_tables_are_those_of_the_real_ones_and_the_suspicion(study: Path, real_data: Path) -> None:
    for name in TABLES:
        real = (real_data / "cbis-ddsm" / name).read_bytes().split(b"\r\n", 1)[0]
        assert (study / name).read_bytes().split(b"\r\n", 1)[0] == real + b",hidden_suspicion"


def test_the_hidden_suspicion_of_each_row_is_that_from_which_the_lesion_was_drawn(
    study: Path, case_rows: list[dict[str, str]]
) -> None:
    drawn = {f.finding_id: f.suspicion for breast in stage.draw_study(SMALL) for f in breast.findings}
    sides = {"LEFT": "L", "RIGHT": "R"}
    for row in case_rows:
        side, kind = sides[row["left or right breast"]], row["abnormality type"]
        finding = f"{row['patient_id']}_{side}_{kind}_{row['abnormality id']}"
        assert float(row["hidden_suspicion"]) == pytest.approx(drawn[finding], abs=1e-4)


def test_normal_films_have_a_table_of_their_own_and_no_mask(study: Path, case_rows: list[dict[str, str]]) -> None:
    rows = read_csv(study / "normal_films.csv")
    assert [row["image view"] for row in rows] == ["CC", "MLO"]
    assert {row["patient_id"] for row in rows}.isdisjoint(row["patient_id"] for row in case_rows)
    for row in rows:
        folder = Path(row["image file path"]).parts[0]
        assert folder.startswith(("Normal-Training_P_", "Normal-Test_P_"))
        assert len(list((study / folder).rglob("*.dcm"))) == 1
        assert not list(study.glob(f"{folder}_*"))
    without = SMALL.model_copy(update={"normal_share": 0.0})
    assert all(breast.findings for breast in stage.draw_study(without))


def test_masks_can_be_told_from_crops_by_content_and_not_by_name(study: Path, case_rows: list[dict[str, str]]) -> None:
    under_mask_name = Counter()
    scaled = 0
    for row in case_rows:
        film = pydicom.dcmread(study / row["image file path"]).pixel_array
        files = {
            column: pydicom.dcmread(study / row[f"{column} file path"].strip())
            for column in ("cropped image", "ROI mask")
        }
        masks = {name for name, file in files.items() if len(np.unique(file.pixel_array)) == 2}
        assert len(masks) == 1
        under_mask_name["ROI mask" in masks] += 1
        mask = files[masks.pop()]
        assert (mask.BitsAllocated, set(np.unique(mask.pixel_array))) == (8, {0, 255})
        ratios = [a / b for a, b in zip(mask.pixel_array.shape, film.shape, strict=True)]
        assert ratios == pytest.approx([1, 1], abs=0) or ratios == pytest.approx([0.87, 0.87], abs=0.005)
        scaled += ratios[0] < 1
    assert min(under_mask_name[True], under_mask_name[False]) > 0
    assert scaled > 0


def test_some_masks_are_a_series_of_their_own(case_rows: list[dict[str, str]]) -> None:
    own = {
        row["ROI mask file path"].rsplit("/", 1)[0] != row["cropped image file path"].rsplit("/", 1)[0]
        for row in case_rows
    }
    assert own == {True, False}


def test_a_film_with_both_types_is_stored_twice_under_two_uids(study: Path, case_rows: list[dict[str, str]]) -> None:
    paths: dict[tuple[str, str, str], set[str]] = {}
    for row in case_rows:
        film = (row["patient_id"], row["left or right breast"], row["image view"])
        paths.setdefault(film, set()).add(row["image file path"])
    twice = [sorted(group) for group in paths.values() if len(group) == 2]
    assert twice
    for group in twice:
        first, second = (pydicom.dcmread(study / path) for path in group)
        assert np.array_equal(first.pixel_array, second.pixel_array)
        assert first.SOPInstanceUID != second.SOPInstanceUID
        assert first.StudyInstanceUID != second.StudyInstanceUID


def test_the_crop_is_cut_from_the_film_at_the_mask_and_stretched(study: Path, case_rows: list[dict[str, str]]) -> None:
    kinds = {row["path"]: row["kind"] for row in read_csv(study / "manifest.csv")}
    spacings = {row["folder"]: float(row["spacing_mm"]) for row in read_csv(study / "film_spacing.csv")}
    lows = set()
    for row in case_rows:
        film = pydicom.dcmread(study / row["image file path"]).pixel_array.astype(float)
        pair = [row[f"{column} file path"].strip() for column in ("cropped image", "ROI mask")]
        crop, mask = (
            pydicom.dcmread(study / next(p for p in pair if kinds[p] == kind)).pixel_array
            for kind in ("crop", "ROI mask")
        )
        assert crop.max() == 65535
        lows.add(int(crop.min()))
        if mask.shape == film.shape:
            rows, columns = np.nonzero(mask)
            margin = (crop.shape[0] - (np.ptp(rows) + 1), crop.shape[1] - (np.ptp(columns) + 1))
            assert all(0 <= m <= 8 for m in margin)
            around = round(2.0 / spacings[row["image file path"].split("/")[0]])
            top, left = max(0, rows.min() - around), max(0, columns.min() - around)
            piece = film[top : top + crop.shape[0], left : left + crop.shape[1]]
            assert np.corrcoef(piece.ravel(), crop.astype(float).ravel())[0, 1] > 0.999
    assert 0 in lows
    assert max(lows) > 1000


def test_the_headers_are_as_sparse_as_the_real_ones_and_say_phantom(study: Path) -> None:
    for path in study.rglob("*.dcm"):
        header = pydicom.dcmread(path)
        assert header.SOPClassUID == pydicom.uid.SecondaryCaptureImageStorage
        assert header.file_meta.TransferSyntaxUID == pydicom.uid.ImplicitVRLittleEndian
        assert (header.Modality, header.PhotometricInterpretation) == ("MG", "MONOCHROME2")
        assert header.PatientIdentityRemoved == "YES"
        for keyword in ("Manufacturer", "SeriesDescription", "ImageComments"):
            assert "mammoflow phantom" in header[keyword].value
        for keyword in ("PixelSpacing", "ImagerPixelSpacing", "WindowCenter", "RescaleSlope"):
            assert keyword not in header
        assert header.PatientID == path.relative_to(study).parts[0]
        assert header.pixel_array.dtype == (np.uint8 if "ROI mask" in header.SeriesDescription else np.uint16)


def test_every_attribute_of_a_real_crop_is_in_a_phantom_crop(study: Path, real_data: Path) -> None:
    real = pydicom.dcmread(next((real_data / "cbis-ddsm" / "dicom").rglob("*.dcm")), stop_before_pixels=True)
    kinds = {row["path"]: row["kind"] for row in read_csv(study / "manifest.csv")}
    ours = pydicom.dcmread(study / next(path for path, kind in kinds.items() if kind == "crop"))
    private_or_device = {"SecondaryCaptureDeviceManufacturer", "SecondaryCaptureDeviceManufacturerModelName", ""}
    missing = {element.keyword for element in real if element.tag not in ours} - private_or_device
    assert missing == set()


def test_instance_uids_are_unique_and_of_the_uuid_root(study: Path) -> None:
    uids = [pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in study.rglob("*.dcm")]
    assert len(set(uids)) == len(uids)
    assert all(uid.startswith("2.25.") and len(uid) <= 64 and pydicom.uid.UID(uid).is_valid for uid in uids)
    assert phantom_uid("a", "b") != phantom_uid("ab")


def test_the_download_layout_keeps_tables_and_moves_files_into_dated_folders(study: Path, tmp_path: Path) -> None:
    output = tmp_path / "study"
    write_phantom_study(SMALL.model_copy(update={"layout": "download"}), output, threads=1)
    for name in TABLES:
        assert (output / name).read_bytes() == (study / name).read_bytes()
    files = [path.relative_to(output) for path in output.rglob("*.dcm")]
    assert len(files) == len(list(study.rglob("*.dcm")))
    for path in files:
        folder, dated, series, name = path.parts
        assert folder.startswith(("Mass-", "Calc-", "Normal-"))
        assert dated.startswith("01-01-2000-DDSM-")
        assert series.startswith(("1-full mammogram images-", "1-ROI mask images-"))
        assert name in ("1-1.dcm", "1-2.dcm")


def test_from_forty_patients_on_one_mask_fits_its_film_in_no_even_scale() -> None:
    settings = PhantomSettings(patients=40)
    breasts = stage.draw_study(settings)
    chosen = stage._uneven(settings, breasts)
    assert chosen is not None
    finding = next(f for b in breasts for f in b.findings if f.finding_id == chosen[0])
    assert chosen[1] in finding.views
    assert stage._uneven(SMALL, breasts) is None
    height, width = mask_pixels(np.ones((400, 300), dtype=bool), (0.87, 0.93)).shape
    assert (height, width) == (348, 279)


def test_a_failure_leaves_nothing_behind_and_keeps_what_was_there(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "study"
    write_phantom_study(SMALL, output, threads=1)
    before = contents(output)

    def fail(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stage, "write_text", fail)
    with pytest.raises(OSError, match="No space left"):
        write_phantom_study(SMALL.model_copy(update={"seed": 9}), output, threads=1)
    assert [p.name for p in tmp_path.iterdir()] == ["study"]
    assert contents(output) == before


def test_a_folder_with_something_else_is_not_replaced(tmp_path: Path) -> None:
    output = tmp_path / "study"
    output.mkdir()
    (output / "notes.txt").write_text("mine")
    with pytest.raises(StudyError, match="no phantom study"):
        write_phantom_study(SMALL, output, threads=1)
    assert (output / "notes.txt").read_text() == "mine"
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="is a file"):
        write_phantom_study(SMALL, tmp_path / "file", threads=1)


def test_what_a_killed_run_left_is_cleared_away(study: Path, tmp_path: Path) -> None:
    unfinished = tmp_path / ".study-unfinished"
    unfinished.mkdir()
    (unfinished / "half.dcm").write_text("")
    write_phantom_study(SMALL, tmp_path / "study", threads=1)
    assert contents(tmp_path / "study") == contents(study)
    assert not unfinished.exists()


def test_a_crop_at_the_edge_of_the_film_is_cut_there() -> None:
    pixels = np.arange(100 * 80, dtype=np.uint16).reshape(100, 80)
    mask = np.zeros((100, 80), dtype=bool)
    mask[0:10, 70:80] = True
    crop = crop_lesion(np.random.default_rng(0), pixels, mask, 0.5)
    assert crop.shape == (14, 14)
    assert crop[-1, -1] == 65535


@pytest.mark.parametrize("name", ["notes.txt", "Mass-Training_P_00001_LEFT_CC/my.png", "my.dcm"])
def test_a_phantom_study_with_files_of_a_person_is_not_replaced(study: Path, tmp_path: Path, name: str) -> None:
    output = tmp_path / "study"
    shutil.copytree(study, output)
    (output / name).parent.mkdir(exist_ok=True)
    (output / name).write_text("mine", encoding="utf-8")
    before = contents(output)
    with pytest.raises(StudyError, match=r"holds .* too, which this stage did not write; nothing was changed"):
        write_phantom_study(SMALL, output, threads=1)
    assert contents(output) == before


def test_a_phantom_study_whose_manifest_was_removed_by_snakemake_is_replaced_unless_it_holds_more(
    study: Path, tmp_path: Path
) -> None:
    output = tmp_path / "study"
    shutil.copytree(study, output)
    (output / "manifest.csv").unlink()
    assert stage._foreign_files(output) == []
    (output / "notes.txt").write_text("mine", encoding="utf-8")
    assert stage._foreign_files(output) == ["notes.txt"]
