"""A small study with good and bad files through the whole stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from mammoflow.config.images import ImagesSettings
from mammoflow.errors import StudyError
from mammoflow.imaging import stage
from mammoflow.imaging.stage import prepare_images
from mammoflow.reasons.files import FileReason
from mammoflow.reasons.imaging import ImagingReason
from mammoflow.reasons.lesions import LesionReason
from mammoflow.storage.file_states import READ_FILES, read_read_files
from mammoflow.storage.files import array_digest, file_digest, read_image, read_mask, write_mask
from mammoflow.storage.names import file_name
from mammoflow.tables.cohort import EXCLUDED
from mammoflow.tables.files import read_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS

SETTINGS = ImagesSettings(longest_side_px=200, patch_mm=20)
Shard = Callable[[list[dict[str, Any]], list[dict[str, Any]]], Path]


def tables(output: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    return (
        read_table(output / "images.parquet", CANONICAL_IMAGES),
        read_table(output / "lesions.parquet", CANONICAL_LESIONS),
        read_table(output / "excluded.parquet", EXCLUDED),
    )


@pytest.fixture
def study(tmp_path: Path, write_dicom: Callable[..., Path], film: np.ndarray) -> Path:
    folder = tmp_path / "study"
    write_dicom(folder / "good.dcm", film, ImagerPixelSpacing=[0.1, 0.1])
    cv2.imwrite(str(folder / "good.png"), (film >> 8).astype(np.uint8))
    write_dicom(folder / "blank.dcm", np.full_like(film, 900), PixelSpacing=[0.1, 0.1])
    whole = (folder / "good.dcm").read_bytes()
    (folder / "short.dcm").write_bytes(whole[: len(whole) // 2])
    (folder / "text.dcm").write_text("not an image " * 50)
    write_dicom(folder / "frames.dcm", film, NumberOfFrames=3, PixelSpacing=[0.1, 0.1])
    mask = np.zeros(film.shape, dtype=bool)
    mask[180:210, 40:80] = True
    write_mask(folder / "mask.png", mask)
    write_dicom(folder / "mask.dcm", mask.astype(np.uint8) * np.uint8(255))
    write_mask(folder / "half.png", mask[::2, ::2])
    write_mask(folder / "uneven.png", mask[::2])
    write_mask(folder / "black.png", mask & False)
    (folder / "mask_short.png").write_bytes((folder / "mask.png").read_bytes()[:-30])
    return folder


def image(name: str, path: str, **columns: Any) -> dict[str, Any]:
    return {"image_id": name, "image_path": path} | columns


def lesion(name: str, of: str, mask: str | None = "mask.png", **columns: Any) -> dict[str, Any]:
    return {"lesion_id": name, "image_id": of, "mask_path": mask, "malignant": 1} | columns


def test_good_film(study: Path, write_shard: Shard, film: np.ndarray, tmp_path: Path) -> None:
    shard = write_shard([image("i", "good.dcm")], [lesion("a", "i", "mask.dcm"), lesion("b", "i", "half.png")])
    prepare_images(SETTINGS, study, shard, tmp_path / "out", 1)
    images, lesions, excluded = tables(tmp_path / "out")
    assert excluded.empty
    row = images.iloc[0]
    canonical = read_image(tmp_path / "out" / row["image_file"])
    assert canonical.shape == (200, 150) == (row["height"], row["width"])
    np.testing.assert_allclose(canonical, film.reshape(200, 2, 150, 2).mean(axis=(1, 3)), atol=0.51)
    assert row["digest"] == array_digest(canonical)
    assert (row["film_height"], row["film_width"]) == (400, 300)
    assert (row["film_spacing_mm"], row["spacing_origin"]) == (0.1, "imager")
    assert row["row_spacing_mm"] == pytest.approx(0.2)
    breast = read_mask(tmp_path / "out" / row["breast_file"])
    assert breast.shape == canonical.shape
    assert row["breast_area_mm2"] == pytest.approx(breast.sum() * 0.04)
    assert row["breast_area_mm2"] == pytest.approx(np.pi * 160 * 200 / 2 * 0.01, rel=0.03)
    first = lesions.set_index("lesion_id").loc["a"]
    assert (first["y0"], first["x0"], first["y1"], first["x1"]) == (90, 20, 105, 40)
    assert first["area_mm2"] == pytest.approx(30 * 40 * 0.01)
    assert first["diameter_mm"] == pytest.approx(5.0)
    assert first["malignant"] == 1
    mask = read_mask(tmp_path / "out" / first["mask_file"])
    assert mask.sum() == 15 * 20 == mask[90:105, 20:40].sum()
    patch = read_image(tmp_path / "out" / first["patch_file"])
    assert patch.shape == (340, 340)  # the box of 4 mm and 30 mm more, which is above patch_mm
    assert (first["patch_y0"], first["patch_x0"]) == ((195 - 170) / 2, (60 - 170) / 2)
    assert first["patch_spacing_mm"] == 0.1
    np.testing.assert_array_equal(patch[:, 110:], film[25:365, :230])
    assert read_mask(tmp_path / "out" / first["patch_mask_file"]).sum() == 30 * 40
    assert read_mask(tmp_path / "out" / first["patch_breast_file"])[160, 110:200].all()
    second = lesions.set_index("lesion_id").loc["b"]
    assert second["area_mm2"] == pytest.approx(first["area_mm2"], rel=0.1)


def test_bad_films_are_excluded_with_their_lesions(study: Path, write_shard: Shard, tmp_path: Path) -> None:
    paths = {
        "good": ("good.dcm", None),
        "missing": ("nowhere.dcm", FileReason.MISSING_FILE),
        "outside": ("../study/good.dcm", FileReason.OUTSIDE_STUDY),
        "short": ("short.dcm", FileReason.TRUNCATED),
        "text": ("text.dcm", FileReason.NOT_DICOM),
        "frames": ("frames.dcm", FileReason.MULTI_FRAME),
        "blank": ("blank.dcm", ImagingReason.NO_BREAST),
        "unscaled": ("good.png", ImagingReason.NO_SPACING),
    }
    shard = write_shard(
        [image(name, path) for name, (path, _) in paths.items()], [lesion(f"{name}_1", name) for name in paths]
    )
    prepare_images(SETTINGS, study, shard, tmp_path / "out", 2)
    images, lesions, excluded = tables(tmp_path / "out")
    assert images["image_id"].tolist() == ["good"]
    assert lesions["lesion_id"].tolist() == ["good_1"]
    expected = [(name, reason) for name, (_, reason) in paths.items() if reason]
    for level in ("image", "lesion"):
        rows = excluded[excluded["level"] == level]
        assert list(zip(rows["image_id"], rows["reason"], strict=True)) == expected
    assert set(excluded["stage"]) == {"images"}
    assert excluded.loc[excluded["level"] == "lesion", "lesion_id"].tolist() == [f"{name}_1" for name, _ in expected]
    assert excluded.loc[excluded["image_id"] == "short", "path"].tolist() == ["short.dcm"] * 2


def test_bad_masks_are_excluded_alone(study: Path, write_shard: Shard, tmp_path: Path) -> None:
    reasons = {
        "uneven.png": LesionReason.MASK_SHAPE,
        "black.png": LesionReason.MASK_EMPTY,
        "none.png": FileReason.MISSING_FILE,
        "mask_short.png": FileReason.TRUNCATED,
        "text.dcm": FileReason.NOT_DICOM,
    }
    bad = [lesion(f"bad {path}", "i", path) for path in reasons]
    alone = [lesion("alone", "j", "black.png")]
    shard = write_shard([image("i", "good.dcm"), image("j", "good.dcm")], [lesion("fine", "i"), *bad, *alone])
    prepare_images(SETTINGS, study, shard, tmp_path / "out", 1)
    images, lesions, excluded = tables(tmp_path / "out")
    assert images["image_id"].tolist() == ["i"]
    assert lesions["lesion_id"].tolist() == ["fine"]
    rows = excluded[excluded["image_id"] == "i"]
    assert dict(zip(rows["path"], rows["reason"], strict=True)) == reasons
    image_j = excluded[excluded["image_id"] == "j"]
    assert image_j[["level", "reason"]].values.tolist() == [
        ["image", LesionReason.NO_LESIONS],
        ["lesion", LesionReason.MASK_EMPTY],
    ]
    listed = {"image/i.png", "breast/i.png", *lesions.loc[0, ["mask_file", "patch_file"]]}
    listed |= set(lesions.loc[0, ["patch_breast_file", "patch_mask_file"]])
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png")}
    assert written == listed


def test_spacing_origins(study: Path, write_shard: Shard, tmp_path: Path) -> None:
    shard = write_shard(
        [
            image("table", "good.dcm", spacing_mm=0.05),
            image("header", "good.dcm", default_spacing_mm=0.07),
            image("default", "good.png", default_spacing_mm=0.07),
        ],
        [],
    )
    prepare_images(SETTINGS, study, shard, tmp_path / "out", 1)
    images, lesions, _ = tables(tmp_path / "out")
    assert images["spacing_origin"].tolist() == ["table", "imager", "default"]
    assert images["film_spacing_mm"].tolist() == [0.05, 0.1, 0.07]
    assert lesions.empty


def test_films_of_oblong_pixels_become_square(
    study: Path, write_dicom: Callable[..., Path], write_shard: Shard, film: np.ndarray, tmp_path: Path
) -> None:
    write_dicom(study / "oblong.dcm", film, PixelSpacing=[0.1, 0.2])
    shard = write_shard([image("i", "oblong.dcm")], [lesion("a", "i")])
    prepare_images(SETTINGS, study, shard, tmp_path / "out", 1)
    images, lesions, _ = tables(tmp_path / "out")
    row = images.iloc[0]
    assert (row["stored_height"], row["stored_width"]) == film.shape == (400, 300)
    assert (row["film_height"], row["film_width"], row["film_spacing_mm"]) == (200, 300, 0.2)
    assert (row["height"], row["width"]) == (133, 200)
    assert lesions.loc[0, "area_mm2"] == pytest.approx(30 * 0.1 * 40 * 0.2)
    assert lesions.loc[0, "diameter_mm"] == pytest.approx(np.hypot(3, 8))


def test_small_film_is_not_enlarged(study: Path, write_shard: Shard, film: np.ndarray, tmp_path: Path) -> None:
    shard = write_shard(
        [image("i", "good.dcm")], [lesion("box", "i", None, box_y0=180, box_x0=40, box_y1=210, box_x1=80)]
    )
    prepare_images(ImagesSettings(longest_side_px=1024), study, shard, tmp_path / "out", 1)
    images, lesions, _ = tables(tmp_path / "out")
    np.testing.assert_array_equal(read_image(tmp_path / "out" / images.loc[0, "image_file"]), film)
    assert lesions.loc[0, ["mask_file", "patch_mask_file"]].isna().all()
    assert lesions.loc[0, ["y0", "x0", "y1", "x1"]].tolist() == [180, 40, 210, 80]
    assert lesions.loc[0, "diameter_mm"] == pytest.approx(4.0)


def test_number_of_processes_changes_nothing(study: Path, write_shard: Shard, tmp_path: Path) -> None:
    names = ["a", "b", "c"]
    shard = write_shard([image(name, "good.dcm") for name in names], [lesion(f"{name}1", name) for name in names])
    for threads in (1, 3):
        prepare_images(SETTINGS, study, shard, tmp_path / str(threads), threads)
    files = sorted(path.relative_to(tmp_path / "1") for path in (tmp_path / "1").rglob("*.*"))
    assert len(files) == 3 + 6 * 3 + 2  # tables, pictures, what was read and what was written
    for name in files:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


def test_what_an_earlier_run_left_is_removed(study: Path, write_shard: Shard, tmp_path: Path) -> None:
    output = tmp_path / "out"
    prepare_images(SETTINGS, study, write_shard([image("old", "good.dcm")], []), output, 1)
    prepare_images(SETTINGS, study, write_shard([image("new", "good.dcm")], []), output, 1)
    assert [path.name for path in (output / "image").iterdir()] == ["new.png"]


def test_ids_that_are_no_file_names(study: Path, write_shard: Shard, tmp_path: Path) -> None:
    names = ["../../escape", "with/slash", "ümlaut 1", ".hidden"]
    shard = write_shard([image(name, "good.dcm") for name in names], [])
    prepare_images(SETTINGS, study, shard, tmp_path / "out", 1)
    images, _, _ = tables(tmp_path / "out")
    assert images["image_id"].tolist() == names
    assert len(list((tmp_path / "out" / "image").glob("[A-Za-z0-9-]*.png"))) == 4
    assert file_name("P_00001_LEFT_CC") == "P_00001_LEFT_CC"
    assert len(file_name("乳" * 500)) <= 120
    assert file_name("a/b") != file_name("a.b") != file_name("a\\b") != file_name("a/b")


def test_nothing_of_the_header_reaches_the_output(study: Path, write_shard: Shard, tmp_path: Path) -> None:
    shard = write_shard([image("i", "good.dcm"), image("j", "short.dcm")], [lesion("a", "i")])
    prepare_images(SETTINGS, study, shard, tmp_path / "out", 1)
    for path in (tmp_path / "out").rglob("*.*"):
        assert not any(word in path.read_bytes() for word in (b"Doe", b"Jane", b"19500101"))


def test_a_lost_worker_excludes_its_film(
    study: Path, write_shard: Shard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "LONGEST_S", 0.0)
    shard = write_shard([image("i", "good.dcm")], [lesion("a", "i")])
    prepare_images(SETTINGS, study, shard, tmp_path / "out", 1)
    images, lesions, excluded = tables(tmp_path / "out")
    assert images.empty
    assert lesions.empty
    assert excluded[["level", "reason"]].values.tolist() == [
        ["image", FileReason.UNREADABLE],
        ["lesion", FileReason.UNREADABLE],
    ]
    assert not list((tmp_path / "out").rglob("*.png"))


def test_empty_shard(study: Path, write_shard: Shard, tmp_path: Path) -> None:
    prepare_images(SETTINGS, study, write_shard([], []), tmp_path / "out", 1)
    assert all(table.empty for table in tables(tmp_path / "out"))


def test_problems_of_the_whole_study(study: Path, write_shard: Shard, tmp_path: Path) -> None:
    shard = write_shard([image("i", "good.dcm")], [lesion("a", "unknown")])
    with pytest.raises(StudyError, match="have no image"):
        prepare_images(SETTINGS, study, shard, tmp_path / "out", 1)
    with pytest.raises(StudyError, match="does not exist"):
        prepare_images(SETTINGS, tmp_path / "no study", shard, tmp_path / "out", 1)
    with pytest.raises(StudyError, match="does not exist"):
        prepare_images(SETTINGS, study, tmp_path / "no shard", tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()


def test_peak_memory_is_reported(
    study: Path, write_shard: Shard, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare_images(
        SETTINGS, study, write_shard([image("i", "good.dcm"), image("j", "text.dcm")], []), tmp_path / "o", 1
    )
    text = capsys.readouterr().err
    assert "1 of 2 films and 0 lesions prepared" in text
    assert "1 x file is not DICOM" in text
    assert 20 < float(text.split("peak memory of a worker ")[1].split()[0]) < 1500


def test_flags_of_lesions_and_films_are_written_and_listed(
    study: Path, write_shard: Shard, film: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    smooth = cv2.GaussianBlur(film, (0, 0), 3)
    tissue = cv2.GaussianBlur(np.random.default_rng(2).normal(0, 30000, film.shape), (0, 0), 3)
    inverted = 65535 - np.clip(smooth + tissue * (smooth > 12000), 0, 65535).astype(np.uint16)
    cv2.imwrite(str(study / "inverted.png"), inverted)
    mask = np.zeros(film.shape, dtype=bool)
    mask[180:210, 230:270] = True
    write_mask(study / "mirrored.png", mask)
    labels = np.zeros(film.shape, dtype=np.uint8)
    labels[180:210, 40:80], labels[20:30, 20:30] = 1, 2
    cv2.imwrite(str(study / "labels.png"), labels)
    shard = write_shard(
        [image("i", "good.dcm"), image("v", "inverted.png", spacing_mm=0.1)],
        [
            lesion("fine", "i"),
            lesion("small", "i", "half.png"),
            lesion("mirrored", "i", "mirrored.png"),
            lesion("label", "i", "labels.png"),
            lesion("stated", "i", "labels.png", mask_value="1"),
            lesion("box", "i", None, box_y0=180, box_x0=-30, box_y1=210, box_x1=80),
            lesion("on inverted", "v"),
        ],
    )
    prepare_images(SETTINGS, study, shard, tmp_path / "out", 1)
    images, lesions, excluded = tables(tmp_path / "out")
    assert dict(zip(images["image_id"], images["flag_polarity_implausible"], strict=True)) == {"i": False, "v": True}
    assert excluded[["lesion_id", "reason"]].values.tolist() == [["label", LesionReason.MASK_LEVELS]]
    flags = lesions.set_index("lesion_id").filter(like="flag_")
    raised = {name: {flag.removeprefix("flag_") for flag in flags if row[flag]} for name, row in flags.iterrows()}
    assert raised == {
        "fine": set(),
        "small": {"mask_rescaled"},
        "mirrored": {"outside_breast", "mask_mirrored"},
        "stated": set(),
        "box": {"box_clipped"},
        "on inverted": {"outside_breast"},  # of an inverted film no mask is called mirrored
    }
    said = capsys.readouterr().err.splitlines()
    assert "lesion flagged: 2 x outside breast (mirrored, on inverted)" in said
    assert "lesion left out: 1 x mask has more than two levels (label)" in said
    assert "film flagged: 1 x polarity implausible (v)" in said


def test_a_whole_picture_has_no_polarity_and_no_outside(study: Path, write_shard: Shard, tmp_path: Path) -> None:
    cv2.imwrite(str(study / "bright.png"), 255 - cv2.imread(str(study / "good.png"), cv2.IMREAD_GRAYSCALE))
    shard = write_shard([image("i", "bright.png", spacing_mm=0.1)], [lesion("a", "i")])
    settings = ImagesSettings(longest_side_px=200, patch_mm=20, breast_region="whole")
    prepare_images(settings, study, shard, tmp_path / "out", 1)
    images, lesions, _ = tables(tmp_path / "out")
    assert not images["flag_polarity_implausible"].any()
    assert lesions["breast_share"].tolist() == [1.0]
    assert not lesions.filter(like="flag_").any(axis=None)


def test_an_image_says_what_is_known_of_it_once_lesions_are_lost(
    study: Path, write_shard: Shard, tmp_path: Path
) -> None:
    known = {"labelled": True, "fully_annotated": True}
    stays = {**known, "stays_without_lesions": True}
    shard = write_shard(
        [
            image("whole", "good.dcm", **known),
            image("part", "good.dcm", **known),
            image("unlabelled", "good.dcm", **stays),
            image("normal", "good.dcm", **known),
            image("emptied", "good.dcm", **stays),
        ],
        [
            lesion("w", "whole"),
            lesion("p", "part"),
            lesion("p_lost", "part", "black.png"),
            lesion("u", "unlabelled", malignant=None),
            lesion("u_lost", "unlabelled", "black.png"),
            lesion("e_lost", "emptied", "black.png"),
        ],
    )
    prepare_images(SETTINGS, study, shard, tmp_path / "out", 1)
    images, _, excluded = tables(tmp_path / "out")
    assert "stays_without_lesions" not in images.columns  # no later stage reads it
    said = images.set_index("image_id")[["labelled", "fully_annotated"]]
    assert said.loc["whole"].tolist() == [True, True]
    assert said.loc["part"].tolist() == [True, False]
    assert said.loc["unlabelled"].tolist() == [False, False]
    assert said.loc["normal"].tolist() == [True, True]
    assert said.loc["emptied"].tolist() == [False, False]
    assert set(excluded["level"]) == {"lesion"}


def test_a_mask_that_was_mirrored_in_its_box_changes_the_table_of_lesions(
    study: Path, write_shard: Shard, tmp_path: Path, film: np.ndarray
) -> None:
    mask = np.zeros(film.shape, dtype=bool)
    mask[180:210, 40:80] = mask[150:180, 40:60] = True
    shard = write_shard([image("i", "good.dcm")], [lesion("a", "i", "drawn.png")])
    found = []
    mirrored = mask.copy()
    mirrored[150:210, 40:80] = mask[150:210, 40:80][:, ::-1]
    for drawn in (mask, mask, mirrored):
        write_mask(study / "drawn.png", drawn)
        prepare_images(SETTINGS, study, shard, tmp_path / "out", 1)
        found.append(tables(tmp_path / "out")[1].iloc[0])
    measured = ["y0", "x0", "y1", "x1", "area_mm2", "diameter_mm"]
    assert found[2][measured].astype(float).tolist() == pytest.approx(found[0][measured].astype(float).tolist())
    assert found[0]["digest"] == found[1]["digest"] != found[2]["digest"]


def test_the_files_that_were_read_are_recorded_with_their_digests(
    study: Path, write_shard: Shard, tmp_path: Path
) -> None:
    shard = write_shard(
        [image("i", "good.dcm"), image("j", "nowhere.dcm"), image("k", "short.dcm")],
        [lesion("a", "i"), lesion("b", "j"), lesion("c", "k")],
    )
    prepare_images(SETTINGS, study, shard, tmp_path / "out", 1)
    (record,) = read_read_files(tmp_path / "out" / READ_FILES).values()
    assert set(record) == {"good.dcm", "mask.png", "short.dcm"}
    assert {name: file.digest for name, file in record.items()} == {name: file_digest(study / name) for name in record}
    assert record["good.dcm"].state.size == (study / "good.dcm").stat().st_size


def test_files_of_a_person_remain_and_a_study_is_never_the_output(
    study: Path, write_shard: Shard, tmp_path: Path
) -> None:
    shard = write_shard([image("i", "good.dcm")], [lesion("a", "i")])
    output = tmp_path / "out"
    for _ in range(2):
        prepare_images(SETTINGS, study, shard, output, 1)
        for name in ("notes.txt", "mask/mine.png"):
            (output / name).write_text("mine")
    assert [(output / name).read_text() for name in ("notes.txt", "mask/mine.png")] == ["mine", "mine"]
    (tmp_path / "link").symlink_to(study)
    with pytest.raises(StudyError, match="is the study folder"):
        prepare_images(SETTINGS, study, shard, tmp_path / "link", 1)
    other = tmp_path / "other"
    (other / "image").mkdir(parents=True)
    (other / "image/i.png").write_text("mine")
    with pytest.raises(StudyError, match=r"image/i\.png exists and was not written by an earlier run"):
        prepare_images(SETTINGS, study, shard, other, 1)
    assert (other / "image/i.png").read_text() == "mine"
