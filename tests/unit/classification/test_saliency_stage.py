"""The stage of saliency maps: which lesions get a map, where their masks lie in the pictures, and what is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mammoflow.classification.cases import read_cases
from mammoflow.classification.saliency.stage import chosen_lesions, shown_lesions, write_saliency
from mammoflow.classification.samples import Files, Job
from mammoflow.config.base import validate_settings
from mammoflow.config.classification import INPUTS, ClassifierSettings
from mammoflow.config.saliency import SaliencyJob
from mammoflow.errors import ConfigError, WeightsError
from mammoflow.storage.files import file_digest, read_image, read_mask, write_image
from mammoflow.tables.files import read_table
from mammoflow.tables.predictions import PREDICTIONS
from mammoflow.tables.saliency import SALIENCY

CLASSIFIER = {
    "input": "masked_crop", "network": "resnet_small", "network_options": {"width": 8, "blocks": 1}, "epochs": 1,
    "batch_size": 8, "device": "cpu", "seeds": [3, 4], "input_options": {"image_px": 64, "mask": "reference"},
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tiny: Any, written_study: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A tiny study and the folder of a classifier that was trained on it."""
    study = written_study.copy(tmp_path_factory.mktemp("study"))
    return study, tiny.train(study, CLASSIFIER, "crops")


def without_masks(study: Any, *lesions: str) -> None:
    def remove(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[table["lesion_id"].isin(lesions), "mask_file"] = None
        return table

    study.rewrite_lesions(remove)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("context_crop", {"image_px": 48, "size_mm": 24.0, "mask": "reference", "shift_mm": 0.0}),
        ("context_crop", {"image_px": 32, "size_mm": 40.0, "centre": "box"}),
        ("masked_crop", {"image_px": 40, "mask": "reference", "crop_margin": 0.5}),
        ("whole_image", {"image_px": 64}),
    ],
)
def test_a_mask_lies_where_the_lesion_is_in_the_picture(
    study: Any, tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    cases = read_cases(study.images).only(np.arange(3, 6))
    references = []
    for row in cases.lesions.to_dict("records"):
        references.append(Path(row["folder"]) / row["mask_file"])
        image = Path(row["folder"]) / "image" / f"{row['image_id']}.png"
        write_image(image, np.where(read_mask(references[-1]), 50000, 0).astype(np.uint16))
    member = INPUTS.load(name)
    chosen = INPUTS.options(name).model_validate(options)
    samples = member.read(chosen, cases, study.files(), Job(tmp_path, 1, torch.device("cpu")))
    covers = list(member.masks_on_pictures(chosen, cases, study.files(), references))
    assert len(covers) == 3
    for row, cover in zip(samples.sample_of, covers, strict=True):
        picture = samples[row]["picture"][0].numpy()
        bright = picture > (picture.min() + picture.max()) / 2
        assert 0.01 < bright.mean() < 0.9
        assert (bright != (cover > 0.5)).mean() < 0.01
        assert ((cover >= 0) & (cover <= 1)).all()


def test_some_cases_keep_their_images(study: Any) -> None:
    cases = read_cases(study.images)
    some = cases.only(np.array([0, 1, 7]))
    assert some.lesions["lesion_id"].tolist() == cases.lesions["lesion_id"].iloc[[0, 1, 7]].tolist()
    assert len(some.images) == 2  # the first image has two lesions
    assert some.images["image_id"].iloc[some.lesions["image_index"]].tolist() == some.lesions["image_id"].tolist()


def test_test_lesions_with_a_mask_are_chosen_and_too_many_are_drawn_by_the_seed(study: Any) -> None:
    test = study.lesions.loc[study.lesions["split"] == "test", "lesion_id"].tolist()
    without_masks(study, test[0])
    cases = read_cases(study.images)
    everything = chosen_lesions(cases, SaliencyJob())
    assert set(everything.lesions["lesion_id"]) == set(test[1:])
    drawn = [
        chosen_lesions(cases, SaliencyJob(lesions=3, seed=seed)).lesions["lesion_id"].tolist() for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 3
    assert set(drawn[0]) < set(test)


def test_lesions_of_unknown_malignancy_get_no_map_where_another_lesion_has_a_label(study: Any) -> None:
    test = set(study.lesions.loc[study.lesions["split"] == "test", "lesion_id"])
    unknown = min(test)
    study.rewrite_lesions(lambda table: table.assign(malignant=table["malignant"].mask(table["lesion_id"] == unknown)))
    assert set(chosen_lesions(read_cases(study.images), SaliencyJob()).lesions["lesion_id"]) == test - {unknown}
    study.rewrite_lesions(lambda table: table.assign(malignant=table["malignant"].mask(table["malignant"].notna())))
    assert set(chosen_lesions(read_cases(study.images), SaliencyJob()).lesions["lesion_id"]) == test


def test_maps_of_both_methods_and_seeds_are_written(trained: tuple[Any, Path], tmp_path: Path) -> None:
    study, folder = trained
    before = {path: file_digest(path) for path in folder.rglob("*") if path.is_file()}
    settings = SaliencyJob(device="cpu", methods=["grad_cam", "integrated_gradients"], steps=4)
    write_saliency(settings, folder, Files(study.images, study.masks), tmp_path, 1)
    table = read_table(tmp_path / "saliency.parquet", SALIENCY)
    test = study.lesions.loc[study.lesions["split"] == "test", "lesion_id"]
    assert len(table) == len(test) * 2 * 2
    assert set(table["model"]) == {"crops"}
    assert set(table["seed"]) == {3, 4}
    predictions = read_table(folder / "predictions.parquet", PREDICTIONS).set_index(["lesion_id", "seed"])[
        "probability"
    ]
    expected = predictions.loc[list(zip(table["lesion_id"], table["seed"], strict=True))]
    assert table["probability"].tolist() == pytest.approx(expected.tolist())
    # the crop has a margin of a tenth on each side, or two pixels: the lesion of 10 x 10 fills (10/14)^2 of it
    assert table["mask_share"].tolist() == pytest.approx([(10 / 14) ** 2] * len(table), abs=0.02)
    assert (table["pointing_chance"] >= table["mask_share"]).all()
    assert (table["centre_hit"] == 1).all()
    assert table["energy_inside"].notna().any()
    drawn = table["picture_file"].notna()
    assert (drawn == (table["seed"] == 3)).all()
    picture = read_image(tmp_path / table["picture_file"][drawn].iloc[0])
    assert picture.shape == (256, 512, 3)
    assert (picture[:, :256] != picture[:, 256:]).any()
    assert {path: file_digest(path) for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("channel", [False, True])
def test_a_mask_channel_does_not_change_the_grey_levels_that_are_drawn(
    study: Any, tmp_path: Path, channel: bool
) -> None:
    options = {"image_px": 64, "mask": "reference", "mask_channel": channel}
    settings = {**CLASSIFIER, "input": "context_crop", "input_options": options}
    cases, job = chosen_lesions(read_cases(study.images), SaliencyJob()), Job(tmp_path, 1, torch.device("cpu"))
    shown = shown_lesions(validate_settings(ClassifierSettings, settings, "test"), cases, study.files(), job)
    assert len(shown) == len(cases.lesions)
    for lesion in shown:
        assert lesion.picture.shape == (3 if channel else 1, 64, 64)
        np.testing.assert_array_equal(lesion.grey, lesion.picture[0].numpy())


def test_maps_stay_in_their_folder_whatever_the_ids_of_lesions_are(trained: tuple[Any, Path], tmp_path: Path) -> None:
    study = trained[0].copy(tmp_path / "study")
    test = study.lesions.loc[study.lesions["split"] == "test", "lesion_id"].tolist()
    names = {test[0]: "../../../evil", test[1]: "肿块" * 100}
    study.rewrite_lesions(lambda table: table.replace({"lesion_id": names}))
    output = tmp_path / "run" / "maps"
    settings = SaliencyJob(device="cpu", methods=["grad_cam"])
    write_saliency(settings, trained[1], Files(study.images, study.masks), output, 1)
    table = read_table(output / "saliency.parquet", SALIENCY)
    files = table.dropna(subset="picture_file").set_index("lesion_id")["picture_file"]
    assert set(files.index) == {*names.values(), *test[2:]}
    assert files[test[2]] == f"pictures/grad_cam/{test[2]}.jpg"
    assert {path.relative_to(output).as_posix() for path in tmp_path.rglob("*.jpg")} == set(files)


def test_a_study_without_reference_masks_has_an_empty_table(trained: tuple[Any, Path], tmp_path: Path) -> None:
    study = trained[0].copy(tmp_path / "study")
    without_masks(study, *study.lesions["lesion_id"])
    write_saliency(SaliencyJob(device="cpu"), trained[1], Files(study.images, study.masks), tmp_path / "maps", 1)
    assert read_table(tmp_path / "maps" / "saliency.parquet", SALIENCY).empty
    assert (tmp_path / "maps" / "pictures").is_dir()


def test_weights_of_another_network_are_refused(trained: tuple[Any, Path], tmp_path: Path) -> None:
    study = trained[0].copy(tmp_path)
    record = tmp_path / "classification" / "crops" / "training.json"
    record.write_text(record.read_text().replace('"width": 8', '"width": 16'))
    with pytest.raises(WeightsError, match="do not fit resnet_small"):
        write_saliency(SaliencyJob(device="cpu"), record.parent, Files(study.images, study.masks), tmp_path / "maps", 1)


def test_an_input_that_cannot_bring_a_mask_onto_its_pictures_is_refused(
    trained: tuple[Any, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(INPUTS.load("masked_crop"), "masks_on_pictures")
    with pytest.raises(ConfigError, match="masks_on_pictures"):
        write_saliency(SaliencyJob(), trained[1], Files(trained[0].images), tmp_path, 1)
