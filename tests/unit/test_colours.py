"""Colours from picture files to networks: lesions that differ from the tissue around them in colour alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from mammoflow.classification.cases import Cases, read_cases
from mammoflow.classification.inputs import whole_image
from mammoflow.classification.samples import Files, Job, Samples
from mammoflow.cohort.stage import build_cohort
from mammoflow.config.automatic import AutomaticTrainingSettings
from mammoflow.config.detection import AutomaticSettings
from mammoflow.config.recipes import RecipeSettings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import StudyError
from mammoflow.imaging import stage
from mammoflow.imaging.colours import dicom_colours
from mammoflow.segmentation.automatic.loading import load_automatic
from mammoflow.segmentation.automatic.samples import read_training_images
from mammoflow.segmentation.automatic.stage import segment_automatic
from mammoflow.segmentation.models import unet
from mammoflow.segmentation.networks.grey_levels import colour_channels, grey_channels, unit_levels
from mammoflow.segmentation.protocol.network_input import NetworkInput
from mammoflow.segmentation.training_stage import train_segmenter
from mammoflow.storage.files import read_image
from mammoflow.tables.detections import MAPS
from mammoflow.tables.files import read_table
from mammoflow.tables.images import CANONICAL_IMAGES
from mammoflow.weights.registry import ModelSpec

HEIGHT, WIDTH = 120, 160
TISSUE, LESION = (200, 100, 50), (60, 160, 108)
"""Red, green and blue with the same luma: 124 after rounding."""

CPU = torch.device("cpu")
TRAINING = {"epochs": 6, "batch_size": 2, "side_px": 32, "learning_rate": 0.02, "augmentation": "none", "device": "cpu"}


def polyp(place: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture (height, width, 3) with texture, which all colours share, and its mask."""
    generator = np.random.default_rng(place)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    centre = generator.integers(35, 85), generator.integers(35, 125)
    mask = np.hypot(y - centre[0], x - centre[1]) <= 24
    texture = cv2.GaussianBlur(generator.normal(0, 40, (HEIGHT, WIDTH)), (0, 0), 3)
    colours = np.where(mask[..., None], LESION, TISSUE) + np.rint(texture)[..., None]
    return colours.clip(0, 255).astype(np.uint8), mask.astype(np.uint8) * 255


def write_study(folder: Path) -> None:
    """Write ten colour pictures, of which one is turned by EXIF, and two grey ones."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for place in range(12):
        colours, mask = polyp(place)
        picture = Image.fromarray(colours[..., 0] if place in (4, 9) else colours)
        options: dict[str, Any] = {}
        if place == 5:  # stored lying on its side: 6 asks for a turn by 90 degrees clockwise
            picture = picture.transpose(Image.Transpose.ROTATE_90)
            options["exif"] = Image.Exif()
            options["exif"][274] = 6
        picture.save(folder / "images" / f"p{place:02}.png", **options)
        Image.fromarray(mask).save(folder / "masks" / f"p{place:02}.png")


class Study:
    """The study after the image stage, with one way to treat colours."""

    def __init__(self, folder: Path, pictures: Path, colour: str) -> None:
        config = StudyConfig.model_validate(
            {
                "cohort": {
                    "dataset": {"reader": "folders", "folder": str(pictures)},
                    "unlabelled": "keep",
                    "shards": 1,
                    "split": {"test_fraction": 0.2},
                },
                "images": {
                    "breast_region": "whole",
                    "without_spacing": "pixels",
                    "colour": colour,
                    "longest_side_px": 128,
                },
            }
        )
        build_cohort(config.cohort, pictures, folder / "cohort")
        self.folder = folder / "images"
        stage.prepare_images(config.images, pictures, folder / "cohort" / "shards" / "00", self.folder, 1)
        self.images = read_table(self.folder / "images.parquet", CANONICAL_IMAGES).set_index("image_id")

    def picture(self, image_id: str, column: str) -> np.ndarray:
        return read_image(self.folder / str(self.images.loc[image_id, column]))


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Study]:
    pictures = tmp_path_factory.mktemp("polyps") / "study"
    write_study(pictures)
    with pytest.MonkeyPatch.context() as patch:  # in this process, which saves the start of two others
        patch.setattr(stage, "map_isolated", lambda work, cases, *_, **__: enumerate(map(work, cases)))
        return {colour: Study(tmp_path_factory.mktemp(colour), pictures, colour) for colour in ("keep", "luminance")}


def test_the_grey_study_is_the_same_with_and_without_colours(studies: dict[str, Study]) -> None:
    keep, luminance = (studies[colour].images for colour in ("keep", "luminance"))
    assert [name for name in keep.columns if name not in luminance.columns] == ["colour_file", "colour_digest"]
    pd.testing.assert_frame_equal(keep[luminance.columns], luminance)
    for table in ("lesions.parquet", "excluded.parquet"):
        assert (studies["keep"].folder / table).read_bytes() == (studies["luminance"].folder / table).read_bytes()
    assert not (studies["luminance"].folder / "colour").exists()


def test_colours_are_kept_on_the_grid_of_the_grey_image(studies: dict[str, Study]) -> None:
    keep = studies["keep"]
    assert keep.images.index[keep.images["colour_file"].isna()].tolist() == ["p04", "p09"]
    assert keep.images["colour_digest"].isna().equals(keep.images["colour_file"].isna())
    for image_id in ("p00", "p05"):  # p05 is turned by EXIF
        stored, mask = polyp(int(image_id[1:]))
        colours, grey = (keep.picture(image_id, column) for column in ("colour_file", "image_file"))
        assert (colours.dtype, colours.shape) == (np.uint8, (96, 128, 3))
        assert grey.shape == colours.shape[:2]
        expected = cv2.resize(stored, (128, 96), interpolation=cv2.INTER_AREA)
        assert np.array_equal(colours, expected)
        assert np.abs(colours @ [0.299, 0.587, 0.114] - grey / 257).max() < 2
        inside = cv2.resize(mask, (128, 96), interpolation=cv2.INTER_AREA) == 255
        assert np.median(colours[inside][:, 0]) < 80 < 180 < np.median(colours[~inside][:, 0])


def dicom(colours: np.ndarray, bits: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.Rows, dataset.Columns = colours.shape[:2]
    dataset.SamplesPerPixel, dataset.PlanarConfiguration, dataset.PixelRepresentation = 3, 0, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 * colours.itemsize, bits, bits - 1
    dataset.PhotometricInterpretation, dataset.PixelData = "RGB", colours.tobytes()
    return dataset


def test_colours_of_dicom_files_become_8_bit() -> None:
    colours = polyp(0)[0]
    assert np.array_equal(dicom_colours(dicom(colours, 8)), colours)
    twelve = np.rint(colours * (4095 / 255)).astype("<u2")
    assert np.array_equal(dicom_colours(dicom(twelve, 12)), colours)
    assert dicom_colours(dicom(np.repeat(colours[..., :1], 3, axis=2), 8)) is None


def samples_of(study: Study, cache: Path, cases: Cases | None = None, **options: Any) -> Samples:
    cases = cases or read_cases([study.folder])
    return whole_image.read(
        whole_image.Options(image_px=64, **options), cases, Files([study.folder]), Job(cache, 1, CPU)
    )


def test_whole_images_reach_the_network_in_colours(studies: dict[str, Study], tmp_path: Path) -> None:
    study = studies["keep"]
    samples = samples_of(study, tmp_path, colour="rgb")
    assert samples.notes["images_in_colour"] == 10
    rows = {name: place for place, name in enumerate(sorted(study.images.index))}
    picture = samples[rows["p00"]]["picture"].numpy()
    # 128 pixels become 64, and 96 rows 48, between 8 rows of padding
    expected = cv2.resize(
        study.picture("p00", "colour_file").astype(np.float32), (64, 48), interpolation=cv2.INTER_AREA
    )
    np.testing.assert_allclose(255 * np.moveaxis(picture, 0, -1)[8:56], expected, atol=0.01)
    assert not picture[:, :8].any()
    (grey,) = samples_of(study, tmp_path / "grey")[rows["p04"]]["picture"].numpy()
    np.testing.assert_array_equal(samples[rows["p04"]]["picture"].numpy(), [grey] * 3)

    mean, deviation = samples.levels(np.arange(len(samples)))
    stacked = np.stack([samples[row]["picture"].numpy() for row in range(len(samples))])
    assert mean.flatten().tolist() == pytest.approx(stacked.mean(axis=(0, 2, 3)), abs=1e-5)
    assert deviation.flatten().tolist() == pytest.approx(stacked.std(axis=(0, 2, 3)), abs=1e-5)


def test_training_changes_the_three_colours_alike(studies: dict[str, Study], tmp_path: Path) -> None:
    samples = samples_of(studies["keep"], tmp_path, colour="rgb", brightness=0.1)
    first = samples.drawn(0, np.random.default_rng(3))["picture"].numpy()
    again = samples.drawn(0, np.random.default_rng(3))["picture"].numpy()
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, samples[0]["picture"].numpy())
    red, green, _ = first[:, first.min(axis=0) > 0.15]  # away from padding
    lesion = red < green
    # the texture is in all colours alike: what one has more than another is that of the two paints
    gain = np.median((red - green)[~lesion]) / (100 / 255)
    assert 0.9 <= gain <= 1.1
    assert np.median((red - green)[lesion]) == pytest.approx(-gain * 100 / 255, abs=0.02)


def test_networks_of_levels_see_colours_that_are_stretched_alike() -> None:
    colours = polyp(1)[0].astype(np.uint16) * 257
    channels = colour_channels(colours)
    low, high = np.percentile(colours, [1, 99.5])
    expected = 4 * np.clip((np.moveaxis(colours, -1, 0) - low) / (high - low), 0, 1) - 2
    np.testing.assert_allclose(channels, expected, atol=1e-4)
    grey = np.random.default_rng(0).integers(0, 65536, (20, 30), dtype=np.uint16)
    np.testing.assert_allclose(colour_channels(np.stack([grey] * 3, axis=2)), grey_channels(grey), atol=0.01)


def test_the_level_in_the_middle_of_the_range_is_not_background() -> None:
    grey = np.tile(np.arange(50, 101, dtype=np.uint16) * 257, (20, 1))
    channels = grey_channels(grey)
    assert (channels != 0).all()
    seen = unit_levels(torch.from_numpy(channels))
    in_colours = unit_levels(torch.from_numpy(colour_channels(np.stack([grey] * 3, axis=2))))
    np.testing.assert_allclose(seen, in_colours, atol=1e-4)


def train(study: Study, output: Path, colour: str) -> Path:
    settings = RecipeSettings.model_validate({"recipe": "automatic", "options": {**TRAINING, "colour": colour}})
    train_segmenter(settings, "unet_16", None, [study.folder], output / "store", 10.0, output, threads=1)
    return output / "model.safetensors"


def test_a_training_on_colours_finds_what_grey_levels_do_not_show(
    studies: dict[str, Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(unet.BASE_WIDTHS, "unet_16", 8)
    study, found = studies["keep"], {}
    for colour in ("grey", "rgb"):
        weights = train(study, tmp_path / colour, colour)
        spec = ModelSpec("mine", "unet_16", weights)
        assert load_automatic(spec, CPU, "fp32").input == NetworkInput(32, colour=colour)
        segment_automatic(AutomaticSettings(device="cpu"), spec, study.folder, tmp_path / colour / "maps", threads=1)
        maps = read_table(tmp_path / colour / "maps" / "maps.parquet", MAPS).set_index("image_id")
        assert len(maps) == 12  # those without colours are segmented too
        found[colour] = maps.loc[study.images["colour_file"].notna(), "dice"].mean()
    assert found["rgb"] > 0.7
    assert found["grey"] < 0.5

    with pytest.raises(StudyError, match="did not keep colours"):
        segment_automatic(
            AutomaticSettings(device="cpu"), spec, studies["luminance"].folder, tmp_path / "other", threads=1
        )


def test_image_and_reference_in_colours_lie_on_each_other(studies: dict[str, Study]) -> None:
    images = read_training_images([studies["keep"].folder])
    named = images.images["image_id"].tolist()
    coloured = named.index(next(name for name in named if name not in ("p04", "p09")))
    picture, lesions = images.read(coloured, NetworkInput(64, colour="rgb"))
    assert (picture.shape, lesions.shape) == ((64, 64, 3), (64, 64))
    red, green = picture[..., 0].astype(int), picture[..., 1].astype(int)
    assert np.mean((red < green) == lesions) > 0.98
    assert images.read_picture(coloured, NetworkInput(64)).ndim == 2


def test_colours_that_are_not_there_are_refused(studies: dict[str, Study], tmp_path: Path) -> None:
    plain = studies["luminance"]
    with pytest.raises(StudyError, match=r"none of \d+ training images has a colour picture"):
        train(plain, tmp_path, "rgb")
    with pytest.raises(StudyError, match="the input whole_image has colour: rgb"):
        samples_of(plain, tmp_path, colour="rgb")
    cases = read_cases([studies["keep"].folder])
    grey = cases.images["colour_file"].isna()
    with pytest.raises(StudyError, match="the input whole_image has colour: rgb"):
        samples_of(plain, tmp_path, Cases(cases.lesions, cases.images[grey].assign(split="train")), colour="rgb")


@pytest.mark.parametrize(
    ("colour", "run", "architecture", "message"),
    [
        ("luminance", ["small"], "unet_16", r"classifiers\.one\.input_options\.colour is rgb, but images\.colour is"),
        ("refuse", ["small", "net"], "unet_16", r"models\.net\.train\.options\.colour is rgb, but images\.colour is"),
        ("keep", ["small", "net"], "unet_keras_16", "unet_keras_16 has one input channel"),
        ("keep", ["small", "net"], "unet_16", ""),
    ],
)
def test_the_configuration_names_what_does_not_fit(
    colour: str, run: list[str], architecture: str, message: str
) -> None:
    options = {"recipe": "automatic", "options": {"colour": "rgb"}}
    one = {"input": "whole_image", "network": "resnet_small", "input_options": {"colour": "rgb"}}
    config: dict[str, Any] = {
        "images": {"colour": colour},
        "segmentation": {"run": run, "models": {"net": {"architecture": architecture, "train": options}}},
        "classification": {"run": ["one"], "classifiers": {"one": one}},
    }
    if message:
        with pytest.raises(ValidationError, match=message):
            StudyConfig.model_validate(config)
    else:
        assert StudyConfig.model_validate(config).images.colour == "keep"


def test_options_that_do_not_go_with_colours_are_refused() -> None:
    with pytest.raises(ValidationError, match="CLAHE is for grey levels"):
        AutomaticTrainingSettings(colour="rgb", clahe_clip=2)
    with pytest.raises(ValidationError, match="a red mask"):
        whole_image.Options(colour="rgb", mask_overlay="predicted")
