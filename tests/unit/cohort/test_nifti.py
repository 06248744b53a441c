"""NIfTI volumes: slices along the patient's axes, whatever the order of the voxels, and their spacing."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import SimpleITK
import yaml

from mammoflow.cohort.audit.study_flow import study_flow
from mammoflow.cohort.audit.study_tables import read_study
from mammoflow.cohort.reader import open_reader
from mammoflow.cohort.readers.nifti import chosen_slices
from mammoflow.cohort.resolution import Resolved
from mammoflow.cohort.selection import select_cases
from mammoflow.cohort.stage import build_cohort
from mammoflow.config.cohort import DatasetSettings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ExcludedCase
from mammoflow.formats.volumes import read_volume, refuse_other_grid
from mammoflow.imaging.stage import prepare_images
from mammoflow.imaging.volume_slices import read_mask_slice
from mammoflow.segmentation.prompting.prompts import make_prompts
from mammoflow.storage.files import read_json
from mammoflow.tables.files import read_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS


def write_volume(path: Path, voxels: np.ndarray, orientation: str = "LPS") -> None:
    """Write voxels (z, y, x) of an LPS grid with the spacing x 1, y 2, z 1, stored in another order of voxels."""
    image = SimpleITK.GetImageFromArray(voxels)
    image.SetSpacing((1.0, 2.0, 1.0))
    path.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(SimpleITK.DICOMOrient(image, orientation), str(path))


def volume() -> tuple[np.ndarray, np.ndarray]:
    """Return voxels (z, y, x) = (40, 12, 48) and a mask, largest at y = 7, of the value 2; 1 is an organ."""
    voxels = np.zeros((40, 12, 48), dtype=np.int16)
    voxels[35:, :, :] = 40  # the head
    voxels[:, :, 44:] = 300  # the left side of the patient
    mask = np.zeros(voxels.shape, dtype=np.uint8)
    mask[:, 2, :] = 1
    mask[10:16, 6, 10:20] = 2
    mask[10:20, 7, 10:20] = 2
    return voxels, mask


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nifti")
    voxels, mask = volume()
    for place, orientation in enumerate(("LPS", "RAS", "PIR", "ASL", "LAI", "RPS")):
        write_volume(folder / "study" / "images" / f"v{place}_ct.nii.gz", voxels, orientation)
        write_volume(folder / "study" / "masks" / f"v{place}_ct.nii.gz", mask, orientation)
    write_volume(folder / "study" / "images" / "v9_.nii", voxels)
    write_volume(folder / "study" / "masks" / "v9_.nii", np.zeros_like(mask))
    text = (Path(__file__).parents[3] / "docs" / "other-pictures.md").read_text(encoding="utf-8")
    values = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)[2])
    values["cohort"] |= {"shards": 1, "split": {"test_fraction": 0.34}}
    values["cohort"]["dataset"]["folder"] = str(folder / "study")
    config = StudyConfig.model_validate(values)
    build_cohort(config.cohort, folder / "study", folder / "cohort")
    prepare_images(config.images, folder / "study", folder / "cohort" / "shards" / "00", folder / "images", 1)
    make_prompts(config.prompts, folder / "images", folder / "prompts.parquet")
    return folder


def test_slices_of_every_order_of_voxels_run_to_prompts(run):
    images = read_table(run / "images" / "images.parquet", CANONICAL_IMAGES)
    lesions = read_table(run / "images" / "lesions.parquet", CANONICAL_LESIONS)
    assert images["image_id"].tolist() == [f"v{place}_ct_coronal0007" for place in range(6)]
    assert images["patient_id"].tolist() == [f"v{place}" for place in range(6)]
    assert set(images["spacing_origin"]) == {"affine"}
    assert images["film_spacing_mm"].to_numpy() == pytest.approx(1.0)
    assert images["digest"].nunique() == 1  # one volume in six orders
    assert lesions["area_mm2"].to_numpy() == pytest.approx(100.0)
    assert (lesions[["y0", "x0", "y1", "x1"]].to_numpy() == [20, 10, 30, 20]).all()  # 40 - 20 from the head
    assert set(pd.read_parquet(run / "prompts.parquet")["lesion_id"]) == set(lesions["lesion_id"])


def test_the_head_is_at_the_top_and_the_window_in_hounsfield_units(run):
    images = read_table(run / "images" / "images.parquet", CANONICAL_IMAGES)
    grey = cv2.imread(str(run / "images" / images["image_file"][0]), cv2.IMREAD_UNCHANGED)
    assert grey.shape == (40, 48)
    assert grey[0, 0] == round(65535 * (0.5 / 399 + 0.5))
    assert grey[39, 0] == round(65535 * (-39.5 / 399 + 0.5))
    assert grey[20, 47] == 65535


def test_an_empty_mask_excludes_its_volume(run):
    excluded = pd.read_parquet(run / "cohort" / "excluded.parquet")
    details = set(excluded.loc[excluded["patient_id"] == "v9", "detail"])
    assert details == {"no voxel of the mask has a value of [2]"}  # and not once more for the rows of its image


def test_a_volume_without_a_usable_mask_is_no_lesion_that_is_gone_without_a_reason(run):
    study = read_json(run / "cohort" / "study.json")
    flow = study_flow(read_study(study, run / "cohort", [run / "images"]))
    assert (flow.steps[0].lesions, flow.steps[0].images) == (6, 7)
    assert flow.unexplained() == 0


def test_slices_are_chosen_by_the_area_of_the_lesion():
    areas = np.array([0, 3, 9, 9, 1, 0])
    assert chosen_slices(areas, "largest", 3) == [2]
    assert chosen_slices(areas, "lesion", 1) == [1, 2, 3, 4]
    assert chosen_slices(areas, "lesion", 2) == [1, 3]
    assert chosen_slices(areas, "all", 2) == [0, 2, 4]


def two_masks() -> tuple[np.ndarray, np.ndarray]:
    """Return masks (z, y, x) of two lesions: z = 1 to 3, largest at 2, and z = 2 to 5, largest at 4."""
    one, two = np.zeros((2, 8, 6, 7), dtype=np.uint8)
    for place, side in ((1, 2), (2, 5), (3, 2)):
        one[place, :side, :side] = 1
    for place, side in ((2, 1), (3, 1), (4, 4), (5, 1)):
        two[place, :side, :side] = 1
    return one, two


def selected(folder: Path, slices: str, *masks: np.ndarray | bytes, every: int = 1) -> Resolved:
    """Select the slices of one benign volume with these masks; bytes are a damaged file."""
    write_volume(folder / "benign" / "images" / "v.nii", np.zeros((8, 6, 7), dtype=np.int16))
    for number, mask in enumerate(masks, start=1):
        path = folder / "benign" / "masks" / f"v_{number}.nii"
        if isinstance(mask, bytes):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(mask)
        else:
            write_volume(path, mask)
    options = {"slices": slices, "every": every}
    dataset = DatasetSettings(reader="nifti", name="x", folder=str(folder), options=options)
    return select_cases(open_reader(dataset, folder)).resolved


def lesions_of(found: Resolved) -> dict[int, list[int]]:
    """Return the slices that are images, and the numbers of the masks that have a lesion there."""
    lesions: dict[int, list[int]] = {int(image["image_id"][-4:]): [] for image in found.images}
    for lesion in found.lesions:
        assert lesion["image_id"][-4:] == lesion["lesion_id"][-4:]
        lesions[int(lesion["image_id"][-4:])].append(int(lesion["mask_path"].removesuffix(".nii")[-1]))
    return lesions


@pytest.mark.parametrize(
    ("slices", "every", "expected"),
    [
        ("largest", 1, {2: [1, 2]}),
        ("lesion", 1, {1: [1], 2: [1, 2], 3: [1, 2], 4: [2], 5: [2]}),
        ("lesion", 2, {1: [1], 3: [1, 2], 5: [2]}),
        ("all", 3, {0: [], 3: [1, 2], 6: []}),
        ("all", 1, {0: [], 1: [1], 2: [1, 2], 3: [1, 2], 4: [2], 5: [2], 6: [], 7: []}),
    ],
)
def test_every_lesion_of_a_chosen_slice_is_there_whichever_mask_has_it(tmp_path, slices, every, expected):
    found = selected(tmp_path, slices, *two_masks(), every=every)
    assert lesions_of(found) == expected
    assert found.excluded == []
    assert all(image["fully_annotated"] for image in found.images)


@pytest.mark.parametrize(
    ("second", "annotated"),
    [(b"no volume" * 100, False), (two_masks()[1][1:], False), (np.zeros((8, 6, 7), dtype=np.uint8), True)],
    ids=["damaged", "another grid", "empty"],
)
def test_a_lost_mask_leaves_the_slices_of_its_volume_in_doubt_unless_it_is_empty(tmp_path, second, annotated):
    found = selected(tmp_path, "lesion", two_masks()[0], second)
    assert lesions_of(found) == {1: [1], 2: [1], 3: [1]}
    assert [(lost.level, Path(lost.path).name) for lost in found.excluded] == [("image", "v_2.nii")]
    assert {image["fully_annotated"] for image in found.images} == {annotated}


def test_a_second_mask_of_one_number_leaves_the_slices_of_its_volume_in_doubt(tmp_path):
    one, two = two_masks()
    write_volume(tmp_path / "benign" / "masks" / "v_01.nii", two)
    found = selected(tmp_path, "largest", one)
    assert len(found.excluded) == 1
    assert [image["fully_annotated"] for image in found.images] == [False]


def test_a_soft_mask_marks_in_the_image_what_it_marks_in_the_cohort(tmp_path):
    soft = two_masks()[0] * np.float32(0.8)
    soft[soft == 0] = 0.4  # what is left of a mask that was brought to another grid
    assert lesions_of(selected(tmp_path, "lesion", soft)) == {1: [1], 2: [1], 3: [1]}
    assert read_mask_slice(tmp_path / "benign" / "masks" / "v_1.nii", "axial 2", ">0").sum() == 25


def test_a_file_that_is_no_volume_is_excluded(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"no volume" * 100)
    with pytest.raises(ExcludedCase, match="cannot be read as NIfTI"):
        read_volume(tmp_path / "a.nii")
    image = SimpleITK.GetImageFromArray(np.zeros((2, 3, 4, 5), dtype=np.uint8), isVector=False)
    SimpleITK.WriteImage(image, str(tmp_path / "b.nii"))
    with pytest.raises(ExcludedCase, match="expected one volume"):
        read_volume(tmp_path / "b.nii")


def test_a_mask_on_another_grid_is_excluded(tmp_path):
    voxels, mask = volume()
    write_volume(tmp_path / "image.nii", voxels)
    write_volume(tmp_path / "mask.nii", mask)
    refuse_other_grid(tmp_path / "image.nii", tmp_path / "mask.nii")
    write_volume(tmp_path / "mirrored.nii", mask, "RPS")
    write_volume(tmp_path / "shorter.nii", mask[1:])
    for name in ("mirrored.nii", "shorter.nii"):
        with pytest.raises(ExcludedCase, match="resample the mask"):
            refuse_other_grid(tmp_path / "image.nii", tmp_path / name)


def test_anisotropic_slices_keep_their_spacing(tmp_path):
    voxels, _ = volume()
    write_volume(tmp_path / "a.nii", voxels, "RAS")
    read = read_volume(tmp_path / "a.nii")
    assert read.slice_spacing_mm("axial") == pytest.approx((2.0, 1.0))
    assert read.slice_spacing_mm("sagittal") == pytest.approx((1.0, 2.0))
    assert (read.slice("axial", 3) == voxels[3]).all()
    assert (read.slice("sagittal", 45) == voxels[::-1, :, 45]).all()


def test_a_volume_that_would_fill_the_memory_is_excluded(tmp_path, monkeypatch):
    (volume, _), path = two_masks(), tmp_path / "v.nii"
    write_volume(path, volume)
    monkeypatch.setattr("mammoflow.formats.volumes.LARGEST_BYTES", volume.nbytes)
    assert read_volume(path).voxels.shape == volume.shape
    monkeypatch.setattr("mammoflow.formats.volumes.LARGEST_BYTES", volume.nbytes - 1)
    with pytest.raises(ExcludedCase, match=r"claims .* voxels \(.*bit.*\); expected at most"):
        read_volume(path)
