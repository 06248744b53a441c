"""Folders without a table: polyps in colour, CT slices with a window, several frames, and lengths in pixels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from pydantic import ValidationError
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid

from mammoflow.cohort.reader import open_reader
from mammoflow.cohort.readers._folders_options import Options
from mammoflow.cohort.selection import select_cases
from mammoflow.cohort.stage import build_cohort
from mammoflow.config.cohort import DatasetSettings
from mammoflow.config.images import ImagesSettings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import StudyError
from mammoflow.imaging.stage import prepare_images
from mammoflow.segmentation.prompting.prompts import make_prompts
from mammoflow.tables.cohort import EXCLUDED
from mammoflow.tables.files import read_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS

SHAPE = (48, 64)
POLYPS, CT = "polyps", "ct"


def disc(y: int = 24, x: int = 32, radius: int = 9) -> np.ndarray:
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return np.asarray((rows - y) ** 2 + (columns - x) ** 2 <= radius**2, dtype=np.uint8) * 255


def write(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)


def colours(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)


def write_dicom(path: Path, values: np.ndarray, modality: str = "CT", **elements: Any) -> None:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage if values.ndim == 2 else EnhancedMRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.Modality, dataset.PhotometricInterpretation = modality, "MONOCHROME2"
    dataset.Rows, dataset.Columns = values.shape[-2:]
    dataset.SamplesPerPixel, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 1, 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelSpacing = [1.5, 1.5]  # coarser than any radiograph
    for name, value in elements.items():
        setattr(dataset, name, value)
    if values.ndim == 3:
        dataset.NumberOfFrames = len(values)
    dataset.PixelData = values.astype("<u2").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def overlay_of_the_docs(name: str) -> dict[str, Any]:
    """Return the overlay of this run in docs/other-pictures.md."""
    text = (Path(__file__).parents[3] / "docs" / "other-pictures.md").read_text(encoding="utf-8")
    overlays = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)]
    found: dict[str, Any] = next(overlay for overlay in overlays if overlay["run"] == name)
    return found


class Run:
    """Tables of one overlay through the stages cohort, images and prompts."""

    def __init__(self, name: str, folder: Path, **options: object) -> None:
        values = overlay_of_the_docs(name)
        values["cohort"] |= {"shards": 1, "split": {"test_fraction": 0.34}}
        values["cohort"]["dataset"] |= {"folder": str(folder / "study")}
        values["cohort"]["dataset"]["options"] |= options
        config = StudyConfig.model_validate(values)
        build_cohort(config.cohort, folder / "study", folder / "cohort")
        prepare_images(config.images, folder / "study", folder / "cohort" / "shards" / "00", folder / "images", 1)
        make_prompts(config.prompts, folder / "images", folder / "prompts.parquet")
        self.images = read_table(folder / "images" / "images.parquet", CANONICAL_IMAGES).set_index("image_id")
        self.lesions = read_table(folder / "images" / "lesions.parquet", CANONICAL_LESIONS).set_index("lesion_id")
        self.prompts = pd.read_parquet(folder / "prompts.parquet")
        places = (folder / "cohort" / "excluded.parquet", folder / "images" / "excluded.parquet")
        self.excluded = pd.concat([read_table(place, EXCLUDED) for place in places])
        self.folder = folder / "images"

    def grey(self, image: str) -> np.ndarray:
        return cv2.imread(str(self.folder / self.images.loc[image, "image_file"]), cv2.IMREAD_UNCHANGED)


@pytest.fixture(scope="module")
def polyps(tmp_path_factory) -> Run:
    """Nine patients in PNG, JPEG, BMP and TIFF; one image has two masks, one has none, one mask has no image."""
    folder = tmp_path_factory.mktemp("polyps")
    study = folder / "study"
    for place, suffix in enumerate(("png", "jpg", "bmp", "tif", "png", "png", "png", "png", "png")):
        name = f"{'abcdefghi'[place]}_1"
        write(study / "images" / f"{name}.{suffix}", colours(place))
        write(study / "masks" / f"{name}{'_mask' if place == 1 else ''}.png", disc())
    write(study / "masks" / "a_1_2.png", disc(10, 12, 5))
    write(study / "images" / "a_2.png", colours(50))
    write(study / "masks" / "lost.png", disc())
    write(study / "images" / "1234.png", colours(51))
    (study / "images" / "notes.txt").write_text("no picture")
    return Run(POLYPS, folder, near_copies=False, patient="^([a-z]+)")


def test_colour_pictures_in_two_folders_run_to_prompts(polyps):
    assert set(polyps.images.index) == {f"{letter}_1" for letter in "abcdefghi"} | {"a_2"}
    assert set(polyps.images["patient_id"]) == set("abcdefghi")
    assert set(polyps.lesions.index) == {f"{letter}_1_L0" for letter in "abcdefghi"} | {"a_1_L2"}
    assert polyps.lesions["malignant"].isna().all()
    assert polyps.lesions.loc["a_1_L2", "y0"] == 5
    rows = polyps.excluded.set_index("path")["detail"]
    assert "has no image" in rows["masks/lost.png"]
    assert "does not fit" in rows["images/1234.png"]
    assert "no file fits" in " ".join(rows)
    assert (polyps.prompts.groupby("lesion_id").size() >= 2).all()


def test_colours_become_luma_in_every_format(polyps):
    blue, green, red = np.moveaxis(colours(0).astype(float), -1, 0)
    luma = np.rint(0.299 * red + 0.587 * green + 0.114 * blue)
    assert np.abs(polyps.grey("a_1") / 257 - luma).max() < 1.01  # a value halfway may be rounded either way
    for name, seed in (("c_1", 2), ("d_1", 3)):  # BMP and TIFF keep every level
        expected = np.rint(colours(seed).astype(float) @ [0.114, 0.587, 0.299])
        assert np.abs(polyps.grey(name) / 257 - expected).max() < 1.01


def test_lengths_are_pixels_where_no_spacing_is_known(polyps):
    assert set(polyps.images["spacing_origin"]) == {"pixels"}
    assert not polyps.images["flag_spacing_implausible"].any()
    assert polyps.lesions.loc["b_1_L0", "area_mm2"] == np.count_nonzero(disc())
    boxes = polyps.prompts[polyps.prompts["lesion_id"] == "b_1_L0"].set_index("margin_mm")
    assert boxes.loc[0.0, "y0"] - boxes.loc[5.0, "y0"] == 5


@pytest.fixture(scope="module")
def ct(tmp_path_factory) -> Run:
    """Six patients with class folders and one slice each; an MR object of three frames; a mammogram; no tumour."""
    folder = tmp_path_factory.mktemp("ct")
    study = folder / "study"
    values = np.full(SHAPE, 1024)
    values[:24], values[0, 0] = 1064, 4000
    axial = [1, 0, 0, 0, 1, 0]
    for place in range(6):
        label = "benign" if place % 2 else "malignant"
        name = study / label / "images" / f"p{place}_s1.dcm"
        write_dicom(name, values, RescaleIntercept=-1024, RescaleSlope=1, ImageOrientationPatient=axial)
        write(study / label / "masks" / f"p{place}_s1.png", disc())
    frames = np.stack([np.full(SHAPE, level) for level in (100, 24, 300)])
    frames[1, 5, 5] = 1024
    write_dicom(study / "benign" / "images" / "p6_mr", frames, "MR", ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    write(study / "benign" / "masks" / "p6_mr.png", disc())
    write_dicom(study / "benign" / "images" / "p7_mg.dcm", values, "MG")
    write(study / "benign" / "masks" / "p7_mg.png", disc())
    write_dicom(study / "normal" / "images" / "p8_s1.dcm", values)
    return Run(CT, folder)


def test_slices_in_class_folders_run_to_prompts(ct):
    assert ct.lesions["malignant"].to_dict() == {
        **{f"{('malignant', 'benign')[place % 2]}_p{place}_s1_L0": (place + 1) % 2 for place in range(6)},
        "benign_p6_mr_L0": 0,
    }
    assert "normal_p8_s1" in ct.images.index
    assert ct.images["row_spacing_mm"].to_numpy() == pytest.approx(1.5)
    assert set(ct.images["spacing_origin"]) == {"pixel"}
    assert not ct.images["flag_spacing_implausible"].any()
    assert ct.images.loc["malignant_p0_s1", ["modality", "orientation"]].tolist() == ["CT", "axial"]
    assert set(ct.prompts["lesion_id"]) == set(ct.lesions.index)


def test_the_window_of_the_settings_is_in_hounsfield_units(ct):
    grey = ct.grey("malignant_p0_s1")
    # LINEAR of DICOM PS3.3 C.11.2.1.2: ((x - (c - 0.5)) / (w - 1) + 0.5) of white, at 0 HU, 40 HU and above the window.
    assert grey[40, 40] == round(65535 * ((0 - 39.5) / 399 + 0.5))
    assert grey[10, 40] == round(65535 * ((40 - 39.5) / 399 + 0.5))
    assert grey[0, 0] == 65535
    assert (ct.images["voi"] == "window of the settings").all()


def test_one_frame_of_several_is_chosen(ct):
    row = ct.images.loc["benign_p6_mr"]
    assert (row["frame"], row["modality"], row["orientation"]) == (1, "MR", "coronal")
    grey = ct.grey("benign_p6_mr")
    assert grey[0, 0] == round(65535 * ((24 - 39.5) / 399 + 0.5))
    assert grey[5, 5] == 65535


def test_a_modality_that_is_not_accepted_is_excluded(ct):
    reasons = ct.excluded.set_index("image_id")["reason"]
    assert set(reasons[["benign_p7_mg"]]) == {"modality is not accepted"}


def test_masks_beside_images_and_near_copies(tmp_path):
    """`{name}_mask` beside `{name}` is a mask; near copies count as one patient."""
    smooth = cv2.GaussianBlur(colours(1), (0, 0), 6)
    for name, picture in {"a": smooth, "b": smooth[::-1], "c": cv2.add(smooth, 4)}.items():
        write(tmp_path / "one" / f"{name}.png", picture)
        write(tmp_path / "one" / f"{name}_mask.png", disc())
    options = {"images": ["{class}/{name}"], "masks": ["{class}/{name}_mask"], "near_copies": True}
    dataset = DatasetSettings(
        reader="folders", name="x", folder=str(tmp_path), options={**options, "labels": {"one": "malignant"}}
    )
    rows, excluded = open_reader(dataset, tmp_path).read_rows()
    assert not excluded
    assert rows["image_id"].tolist() == ["one_a", "one_b", "one_c"]
    assert rows["mask_name"].tolist() == ["one/a_mask.png", "one/b_mask.png", "one/c_mask.png"]
    assert rows["patient_id"].tolist() == ["one/a", "one/b", "one/a"]
    assert set(rows["label"]) == {"malignant"}


def test_a_second_mask_of_one_number_leaves_its_image_without_a_full_annotation(tmp_path):
    for name in ("benign/images/a", "benign/images/b", "benign/images/c", "normal/images/d"):
        write(tmp_path / f"{name}.png", disc())
    masks = ("benign/masks/a", "benign/masks/a_mask", "benign/masks/b_1", "benign/masks/b_01", "benign/masks/c")
    for name in (*masks, "benign/masks/c_2", "normal/masks/d", "normal/masks/d_mask"):
        write(tmp_path / f"{name}.png", disc())
    reader = open_reader(DatasetSettings(reader="folders", name="x", folder=str(tmp_path)), tmp_path)
    found = select_cases(reader).resolved
    lost = [exclusion.path for exclusion in found.excluded if "another mask of the same number" in exclusion.detail]
    assert lost == ["benign/masks/a_mask.png", "benign/masks/b_1.png", "normal/masks/d_mask.png"]
    annotated = {image["image_id"]: image["fully_annotated"] for image in found.images}
    assert annotated == {"benign_a": False, "benign_b": False, "benign_c": True, "normal_d": True}


def test_a_folder_without_images_says_which_pattern_fails(tmp_path):
    write(tmp_path / "study" / "pictures" / "a.png", colours(0))
    with pytest.raises(StudyError, match=r"fits cohort\.dataset\.options\.images .* found pictures/a\.png"):
        Run(POLYPS, tmp_path)


@pytest.mark.parametrize(
    "options",
    [{"images": ["images/x"]}, {"masks": ["{name}/{name}"]}, {"patient": "p[0-9]"}, {"patient": "("}, {"frame": -1}],
)
def test_options_that_cannot_work_are_refused(options):
    with pytest.raises(ValidationError):
        Options(**options)


def test_a_fixed_window_needs_both_numbers():
    with pytest.raises(ValidationError, match="expected both numbers"):
        ImagesSettings(voi="fixed", window_center=40.0)
    with pytest.raises(ValidationError, match="neither with another voi"):
        ImagesSettings(window_center=40.0, window_width=400.0)
