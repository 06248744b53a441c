"""The classes of images: from words of the reader, from labels of lesions, and what has no class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from mammoflow.cohort.image_classes import class_of_word, why_classes_untrainable
from mammoflow.cohort.stage import build_cohort
from mammoflow.config.base import validate_settings
from mammoflow.config.cohort import CohortSettings
from mammoflow.config.images import ImagesSettings
from mammoflow.errors import StudyError
from mammoflow.imaging.stage import prepare_images
from mammoflow.storage.files import read_json
from mammoflow.tables.classes import IMAGE_CLASSES
from mammoflow.tables.cohort import IMAGES
from mammoflow.tables.files import read_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS

THREE = ["normal", "benign", "malignant"]
PICTURES = ImagesSettings(breast_region="whole", longest_side_px=256, patch_mm=20)


def write_picture(path: Path, marked: bool = True, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.random.default_rng(seed).integers(1, 255, (16, 16)).astype(np.uint8)
    if "mask" in str(path):
        picture[:] = 0
        picture[4:8, 4:8] = 255 if marked else 0
    cv2.imwrite(str(path), picture)


def settings(study: Path, classes: list[str], method: str = "random", **dataset: Any) -> CohortSettings:
    values = {"dataset": {"folder": str(study), "name": "set", "spacing_mm": 1.0, **dataset}, "classes": classes}
    return validate_settings(CohortSettings, {**values, "shards": 1, "split": {"method": method}}, "test")


def classes_of(output: Path) -> dict[str, str | None]:
    table = read_table(output / "classes.parquet", IMAGE_CLASSES)
    named = zip(table["image_id"], table["image_class"], strict=True)
    return {image: None if pd.isna(name) else str(name) for image, name in named}


@pytest.fixture
def busi(tmp_path: Path) -> Path:
    """Three pictures of each folder in the layout of BUSI."""
    for place, label in enumerate(THREE):
        for number in (1, 2, 3):
            stem = tmp_path / "busi" / label / f"{label} ({number})"
            write_picture(stem.with_suffix(".png"), seed=10 * place + number)
            write_picture(stem.with_name(f"{stem.name}_mask.png"), marked=label != "normal")
    return tmp_path / "busi"


def test_classes_follow_from_the_labels_of_lesions(
    busi: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build_cohort(settings(busi, [*THREE, "cyst"], reader="busi"), busi, tmp_path / "cohort")
    found = classes_of(tmp_path / "cohort")
    assert found == {image: image.split("_")[0] for image in found}
    assert read_json(tmp_path / "cohort" / "study.json")["counts"]["classes"] == {
        "normal": 3, "benign": 3, "malignant": 3, "cyst": 0, "without a class": 0,
    }  # fmt: skip
    assert "classes: 3 normal, 3 benign, 3 malignant, 0 cyst, 0 without a class" in capsys.readouterr().err


def test_naming_classes_changes_no_table_that_other_jobs_read(busi: Path, tmp_path: Path) -> None:
    for name, classes in (("without", []), ("with", THREE)):
        build_cohort(settings(busi, classes, reader="busi"), busi, tmp_path / name)
        prepare_images(PICTURES, busi, tmp_path / name / "shards" / "00", tmp_path / f"images-{name}", 1)
    without, named = ({path.name for path in (tmp_path / name).iterdir()} for name in ("without", "with"))
    assert named - without == {"classes.parquet"}
    unchanged = ("{}/lesions.parquet", "{}/shards/00/lesions.parquet", "images-{}/images.parquet")
    for file in (*unchanged, "images-{}/lesions.parquet"):
        assert (tmp_path / file.format("without")).read_bytes() == (tmp_path / file.format("with")).read_bytes()
    # the images stage alone reads what the cohort adds
    before, after = (read_table(tmp_path / name / "images.parquet", IMAGES) for name in ("without", "with"))
    assert after.pop("stays_without_lesions").all()
    pd.testing.assert_frame_equal(before, after)


def test_an_image_with_a_class_stays_where_its_mask_is_refused_later(busi: Path, tmp_path: Path) -> None:
    for stem in ("benign (1)", "malignant (2)"):
        write_picture(busi / stem.split()[0] / f"{stem}_mask.png", marked=False)
    chosen = settings(busi, ["normal", "malignant"], "apply", reader="busi")
    build_cohort(chosen, busi, tmp_path / "cohort")
    images = read_table(tmp_path / "cohort" / "images.parquet", IMAGES).set_index("image_id")
    classes = classes_of(tmp_path / "cohort")
    assert images["stays_without_lesions"].to_dict() == {image: name is not None for image, name in classes.items()}
    prepare_images(PICTURES, busi, tmp_path / "cohort" / "shards" / "00", tmp_path / "images", 1)
    canonical = read_table(tmp_path / "images" / "images.parquet", CANONICAL_IMAGES).set_index("image_id")
    lost = sorted(set(images.index) - set(canonical.index))
    assert [(image, classes[image]) for image in lost] == [("benign_1", None)]  # it has no class
    assert not canonical.loc["malignant_2", ["labelled", "fully_annotated"]].any()
    lesions = read_table(tmp_path / "images" / "lesions.parquet", CANONICAL_LESIONS)
    assert len(lesions) == 4
    assert not lesions["image_id"].isin(["benign_1", "malignant_2"]).any()


def test_words_of_class_folders_are_classes_and_others_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "study"
    for place, (folder, name) in enumerate(
        [("gutartig", "a"), ("malignant", "b"), ("SimpleCyst", "c"), ("blurred", "d"), ("benign", "e")]
    ):
        write_picture(study / "images" / folder / f"{name}.png", seed=place)
        if name != "e":  # its class is known without a mask
            write_picture(study / "masks" / folder / f"{name}.png")
    build_cohort(
        settings(study, ["benign", "malignant", "simple_cyst"], "apply", reader="folders"), study, tmp_path / "cohort"
    )
    assert classes_of(tmp_path / "cohort") == {
        "gutartig_a": "benign", "malignant_b": "malignant", "SimpleCyst_c": "simple_cyst", "benign_e": "benign",
    }  # fmt: skip
    images = read_table(tmp_path / "cohort" / "images.parquet", IMAGES).set_index("image_id")
    assert "image_class" not in images.columns
    # an image that stays for its class alone takes no part in figures of lesions
    assert not images.loc[["SimpleCyst_c", "benign_e"], ["labelled", "fully_annotated"]].any(axis=None)
    said = capsys.readouterr().err
    assert "class 'blurred' of 1 image is left out of the classes; expected one of cohort.classes: benign" in said
    assert "classes: 2 benign, 1 malignant, 1 simple_cyst, 0 without a class" in said


def test_a_column_of_the_table_gives_the_class_and_contradictions_give_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "study"
    rows = []
    for number, (label, word) in enumerate(
        [("benign", "cyst"), ("malignant", "solid"), ("benign", ""), ("malignant", "unknown"), ("benign", "cyst")]
    ):
        write_picture(study / f"{number}.png", seed=number)
        write_picture(study / f"mask{number}.png")
        rows.append(
            {
                "patient": f"p{number}",
                "image": f"{number}.png",
                "mask": f"mask{number}.png",
                "label": label,
                "class": word,
            }
        )
    write_picture(study / "mask4b.png")
    rows.append({**rows[4], "mask": "mask4b.png", "class": "solid"})
    pd.DataFrame(rows).to_csv(study / "cases.csv", index=False)
    dataset = {"reader": "table", "tables": ["cases.csv"]}
    build_cohort(settings(study, ["cyst", "solid", "benign"], "apply", **dataset), study, tmp_path / "cohort")
    found = classes_of(tmp_path / "cohort")
    assert found == {"0": "cyst", "1": "solid", "2": "benign", "3": None, "4": None}
    assert "1 image without a class, because the rows differ in it: 4" in capsys.readouterr().err


def test_spellings_of_a_class() -> None:
    assert class_of_word("SIMPLE cyst", ["simple-cyst", "benign"], {}) == "simple-cyst"
    assert class_of_word("bösartig", THREE, {}) == "malignant"
    assert class_of_word("K1", THREE, {"K1": "benign"}) == "benign"
    assert class_of_word("K2", THREE, {}) is None
    assert class_of_word("malignant", ["solid", "cyst"], {}) is None


@pytest.mark.parametrize("classes", [["one"], ["one", "ONE "], ["one", "o-ne"], ["one", "unknown"], ["one", ""]])
def test_names_that_are_no_classes_are_refused(classes: list[str]) -> None:
    with pytest.raises(Exception, match="classes"):
        validate_settings(CohortSettings, {"classes": classes}, "test")


def test_a_side_without_a_class_stops_before_any_picture_is_read(busi: Path, tmp_path: Path) -> None:
    chosen = settings(busi, [*THREE, "cyst"], reader="busi")
    with pytest.raises(StudyError, match=r"the side train has .* 0 cyst images, of 3 normal.*Take a class out"):
        build_cohort(chosen, busi, tmp_path / "cohort", class_sides=1)
    images = pd.DataFrame(
        {"patient_id": ["a", "b", "c"], "split": ["train", "train", "validation"], "image_class": ["x", "y", "y"]}
    )
    assert why_classes_untrainable(images, ["x", "y"], 0) == ""
    assert why_classes_untrainable(images, ["x", "y"], 1) == ""
    assert "the side validation has 0 x, 1 y images" in why_classes_untrainable(images, ["x", "y"], 2)
    nothing = images.assign(image_class=["x", "y", None])
    assert "at least one image with a class" in why_classes_untrainable(nothing, ["x", "y"], 1)
    folds = pd.DataFrame({"patient_id": ["a", "b", "c"], "fold": 3, "split": ["train", "test", "validation"]})
    assert "the side train of fold 3" in why_classes_untrainable(images, ["x", "y"], 1, folds)
