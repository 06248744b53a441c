"""Folders that hold more than one film: the row's side and view choose one, or the reason names the files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from mammoflow.cohort.checking import check_study
from mammoflow.cohort.image_files import choose_file
from mammoflow.cohort.reader import Reader
from mammoflow.cohort.readers.table import StudyReader
from mammoflow.cohort.resolution import Resolved, resolve_files
from mammoflow.cohort.stage import build_cohort
from mammoflow.config.cohort import CohortSettings, DatasetSettings
from mammoflow.config.split import SplitSettings
from mammoflow.errors import ExcludedCase, LeakageError
from mammoflow.reasons.cohort import CohortReason
from mammoflow.reasons.files import FileReason

EXAM = [("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO")]
BOX = {"box_y0": 1, "box_x0": 1, "box_y1": 4, "box_x1": 4}


def write(path: Path, side: str = "", view: str = "", intent: str = "", level: int = 0, **header: Any) -> Path:
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.PixelRepresentation = 8, 6, 1, 0
    dataset.PhotometricInterpretation, dataset.BitsAllocated, dataset.BitsStored = "MONOCHROME2", 8, 8
    for keyword, value in {"ImageLaterality": side, "ViewPosition": view, "PresentationIntentType": intent}.items():
        if value:
            setattr(dataset, keyword, value)
    for keyword, value in header.items():
        setattr(dataset, keyword, value)
    dataset.HighBit = 7
    dataset.PixelData = np.full(48, level, dtype=np.uint8).tobytes()
    dataset["PixelData"].VR = "OB"
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def exam(tmp_path: Path) -> Path:
    """A folder of four views, as archives export it."""
    for number, (side, view) in enumerate(EXAM):
        write(tmp_path / "exam" / f"I{number}", side, view, "FOR PRESENTATION", number)
    (tmp_path / "exam" / "preview.jpg").write_bytes(b"\xff\xd8\xff")
    return tmp_path


def row(side: str, view: str) -> dict[str, str]:
    return {"laterality": side, "view": view}


def names(study: Path) -> list[str]:
    return sorted(f"exam/{path.name}" for path in (study / "exam").iterdir() if path.suffix != ".jpg")


def reader_of(study: Path, rows: list[dict[str, Any]]) -> Reader:
    common = {"label": "malignant", **BOX}
    pd.DataFrame([common | entry for entry in rows]).to_csv(study / "cases.csv", index=False)
    return StudyReader(DatasetSettings(reader="table", name="x", folder=str(study), tables=["cases.csv"]), study)


def resolved(study: Path, rows: list[dict[str, Any]]) -> tuple[Resolved, list[str]]:
    reader = reader_of(study, rows)
    table, excluded = reader.read_rows()
    found = resolve_files(reader, table)
    return found, [str(exclusion.reason) for exclusion in [*excluded, *found.excluded]]


@pytest.mark.parametrize(("number", "film"), enumerate(EXAM))
def test_side_and_view_of_the_row_choose_the_film(exam: Path, number: int, film: tuple[str, str]) -> None:
    chosen, others = choose_file(exam, names(exam), [row(*film)])
    assert (chosen, dict(others)) == (f"exam/I{number}", {})


@pytest.mark.parametrize(
    "rows",
    [
        [row("", "")],
        [row("L", "")],
        [row("", "MLO")],
        [row("L", "CC"), row("R", "CC")],
        [row("L", "LM")],
        [],
    ],
)
def test_what_does_not_choose_one_film_is_excluded_with_the_files(exam: Path, rows: list[dict[str, str]]) -> None:
    with pytest.raises(ExcludedCase) as problem:
        choose_file(exam, names(exam), rows)
    assert problem.value.reason == CohortReason.SEVERAL_FILMS
    assert all(word in problem.value.detail for word in ("I0 (L CC", "I3 (R MLO", "image column"))


def test_two_exposures_of_one_view_are_not_one_film(exam: Path) -> None:
    write(exam / "exam" / "repeat", "L", "CC", "FOR PRESENTATION", level=99)
    with pytest.raises(ExcludedCase, match="several exposures") as problem:
        choose_file(exam, names(exam), [row("L", "CC")])
    assert problem.value.reason == CohortReason.SEVERAL_FILMS
    assert choose_file(exam, names(exam), [row("R", "CC")])[0] == "exam/I2"


def test_a_copy_and_the_raw_file_of_the_film_are_passed_over(exam: Path) -> None:
    write(exam / "exam" / "I0copy", "L", "CC", "FOR PRESENTATION", level=0)
    write(exam / "exam" / "I0raw", "L", "CC", "FOR PROCESSING", level=7)
    chosen, others = choose_file(exam, names(exam), [row("L", "CC")])
    assert chosen == "exam/I0"
    assert {name: error.reason for name, error in others.items()} == {
        "exam/I0copy": CohortReason.OTHER_FILE,
        "exam/I0raw": FileReason.FOR_PROCESSING,
    }


def test_an_exaggerated_view_and_small_letters_are_of_the_view(tmp_path: Path) -> None:
    write(tmp_path / "exam" / "a", "l", "xccl", level=1)
    write(tmp_path / "exam" / "b", "L", "mlo", level=2)
    assert choose_file(tmp_path, names(tmp_path), [row("L", "CC")])[0] == "exam/a"


def test_an_exaggerated_view_beside_the_plain_one_is_a_film_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "exam" / "a", "L", "XCCL", level=1)
    write(tmp_path / "exam" / "b", "L", "CC", level=2)
    assert choose_file(tmp_path, names(tmp_path), [row("L", "CC")])[0] == "exam/b"
    assert choose_file(tmp_path, names(tmp_path), [row("L", "XCCL")])[0] == "exam/a"
    with pytest.raises(ExcludedCase, match="several exposures"):
        choose_file(tmp_path, names(tmp_path), [row("L", "")])


def test_headers_that_say_nothing_leave_no_choice(tmp_path: Path) -> None:
    write(tmp_path / "exam" / "a", level=1)
    write(tmp_path / "exam" / "b", level=2)
    with pytest.raises(ExcludedCase, match="several exposures"):
        choose_file(tmp_path, names(tmp_path), [row("L", "CC")])
    write(tmp_path / "exam" / "c", "R", "MLO", level=3)
    write(tmp_path / "exam" / "d", "L", "MLO", level=4)
    with pytest.raises(ExcludedCase, match="do not tell"):
        choose_file(tmp_path, names(tmp_path), [row("L", "CC")])


def test_rows_of_a_whole_exam_find_their_films(exam: Path) -> None:
    rows = [{"image": "exam", "patient": "P", "side": side, "view": view} for side, view in EXAM]
    found, reasons = resolved(exam, rows)
    assert {image["image_id"]: image["image_path"] for image in found.images} == {
        f"exam_{side}_{view}": f"exam/I{number}" for number, (side, view) in enumerate(EXAM)
    }
    assert reasons == []
    by_lesion = {lesion["lesion_id"].rsplit("_", 1)[0]: lesion["image_id"] for lesion in found.lesions}
    assert all(lesion == image for lesion, image in by_lesion.items())


def test_rows_of_one_film_keep_the_id_of_the_folder(exam: Path) -> None:
    rows = [{"image": "exam", "patient": "P", "side": "L", "view": "CC", "box_y1": height} for height in (4, 5)]
    found, reasons = resolved(exam, rows)
    assert [(image["image_id"], image["image_path"]) for image in found.images] == [("exam", "exam/I0")]
    assert len(found.lesions) == 2
    assert reasons == []


def test_an_exam_of_two_patients_or_one_id_is_excluded(exam: Path) -> None:
    rows = [{"image": "exam", "side": side, "view": view} for side, view in EXAM[:2]]
    found, reasons = resolved(exam, [entry | {"patient": f"P{number}"} for number, entry in enumerate(rows)])
    assert (found.images, set(reasons)) == ([], {str(CohortReason.BAD_ROW)})
    found, reasons = resolved(exam, [entry | {"patient": "P", "image_id": "mine"} for entry in rows])
    assert found.images == []
    assert len(reasons) >= 2
    own = [entry | {"patient": "P", "image_id": f"mine{number}"} for number, entry in enumerate(rows)]
    found, reasons = resolved(exam, own)
    assert [image["image_path"] for image in found.images] == ["exam/I0", "exam/I1"]


def test_a_folder_without_dicom_files_names_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "exam" / "series").mkdir(parents=True)
    (tmp_path / "exam" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    found, reasons = resolved(tmp_path, [{"image": "exam", "patient": "P", "side": "L", "view": "CC"}])
    assert reasons == [str(FileReason.MISSING_FILE)] * 2
    assert "a.png, series" in found.excluded[0].detail


def test_dangling_links_and_folders_that_may_not_be_listed_cost_their_rows(
    exam: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (exam / "gone.dcm").symlink_to("../.git/annex/objects/none.dcm")
    (exam / "loop").symlink_to("loop")
    (exam / "locked").mkdir()
    (exam / "far").symlink_to(write(exam.parent / f"{exam.name}-disk" / "a.dcm", "L", "CC").parent)
    listing = os.scandir

    def refuse(path: Any = ".") -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(13, "no")
        return listing(path)

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(os, "listdir", lambda path: [entry.name for entry in refuse(path)])
    images = ["gone.dcm", "loop", "locked", "far/a.dcm", f"{exam}/exam/I0", "/etc/passwd", "../other.dcm"]
    rows = [{"image": image, "patient": f"P{image}", "side": "L", "view": "CC"} for image in images]
    found, _ = resolved(exam, rows)
    assert [image["image_path"] for image in found.images] == ["far/a.dcm", "exam/I0"]
    lost = {exclusion.path: exclusion.reason for exclusion in found.excluded if exclusion.level == "lesion"}
    assert lost == {
        "gone.dcm": FileReason.MISSING_FILE,
        "loop": FileReason.MISSING_FILE,
        "locked": FileReason.NO_ACCESS,
        "/etc/passwd": FileReason.OUTSIDE_STUDY,
        "../other.dcm": FileReason.OUTSIDE_STUDY,
    }


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "A.TIF", "a.IMA", "a"])
def test_dicom_with_any_name_is_opened_in_this_stage(tmp_path: Path, name: str) -> None:
    whole = write(tmp_path / name, "L", "CC").read_bytes()
    entry = {"image": name, "patient": "P", "side": "L", "view": "CC"}
    assert resolved(tmp_path, [entry])[1] == []
    (tmp_path / name).write_bytes(whole[:-9])
    assert resolved(tmp_path, [entry])[1] == [str(FileReason.TRUNCATED)] * 2


@pytest.mark.parametrize("fold", ["all", 0])
def test_a_film_named_by_its_folder_and_by_itself_is_on_one_side_of_every_fold(tmp_path: Path, fold: str | int) -> None:
    rows = []
    for number in range(6):
        film = write(tmp_path / "study" / f"exam{number}" / "I0", level=number)
        label = "malignant" if number % 2 else "benign"
        rows += [
            {"image": name, "patient": f"{letter}{number}", "label": label}
            for letter, name in (("P", film.parent.name), ("Q", f"{film.parent.name}/I0"))
        ]
    dataset = reader_of(tmp_path / "study", rows).dataset
    settings = CohortSettings(dataset=dataset, split=SplitSettings(method="kfold", folds=3, fold=fold), shards=1)
    where = " of fold 0" if fold == "all" else ""
    with pytest.raises(LeakageError, match=f"image_path values are in more than one split{where}: exam"):
        build_cohort(settings, tmp_path / "study", tmp_path / "cohort")
    assert not (tmp_path / "cohort").exists()
    checked = check_study(settings)
    assert not checked.runs
    assert any("image_path values are in more than one split" in line for line in checked.lines)
