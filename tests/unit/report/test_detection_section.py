"""A run with an automatic model, from the stage's own tables to the comparison and the report."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from mammoflow.config.detection import AutomaticSettings
from mammoflow.config.evaluation import ComparisonSettings, ReportSettings
from mammoflow.evaluation.stage import compare
from mammoflow.report.stage import write_report
from mammoflow.segmentation.automatic import stage
from mammoflow.segmentation.protocol.automatic import AutomaticModel
from mammoflow.segmentation.protocol.network_input import NetworkInput
from mammoflow.segmentation.protocol.segmenter import ImageSize
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES
from mammoflow.weights.registry import ModelSpec

MODEL = "bright"


class BrightPixels(AutomaticModel):
    """Marks bright pixels in the upper part of an image, so that it misses some lesions."""

    input = NetworkInput(side_px=160)

    def __init__(self) -> None:
        self.name, self.digest, self.network = MODEL, MODEL, nn.Linear(1, 1)

    def preprocess(self, image: np.ndarray) -> Tensor:
        return torch.from_numpy(image.astype(np.float32))[None]

    def logits(self, batch: Tensor) -> Tensor:
        lower = torch.arange(batch.shape[-2])[:, None] > 0.45 * batch.shape[-2]
        return torch.where((batch > 28000) & ~lower, 2.0, -2.0)

    def upscale(self, logits: Tensor, size: ImageSize) -> Tensor:
        return logits


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory, write_run: Callable[..., Any], not_rendered: Callable[..., Any]
) -> Any:
    """A run of 12 patients in which the automatic model is the second one.

    Of each shard one test image shows no lesion, and another one has a further lesion, which is not known.
    """
    written = write_run(tmp_path_factory.mktemp("automatic"), patients=12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "load_automatic", lambda *arguments: BrightPixels())
        folders = []
        for images in written.images:
            _change_images(images)
            output = written.root / "segmentation" / MODEL / images.name
            model = ModelSpec(MODEL, "unet_16", written.root / "none")
            stage.segment_automatic(AutomaticSettings(device="cpu"), model, images, output, threads=1)
            folders.append(output)
    run = replace(written, segmentation=[*written.segmentation, *folders])
    with not_rendered():
        trained = [_made_up_training(run.root / "segmentation_models" / MODEL)]
        settings = ComparisonSettings(bootstrap=100, fusion=False)
        compare(settings, output=run.root / "comparison", trained=trained, **run.inputs())
    return run


def _made_up_training(folder: Path) -> Path:
    """Write record and learning curve of a training of the automatic model."""
    folder.mkdir(parents=True)
    record = {"architecture": "unet_16", "recipe": "automatic", "trainer": "supervised", "chosen_epoch": 1}
    record |= {"trainable_parameters": 1814593, "total_parameters": 1814593, "epochs": 2, "images": 5, "device": "cpu"}
    record |= {"seconds": 40.0, "peak_memory_bytes": 3 * 2**20}
    settings = {"loss": "mse", "seed": 0, "labels": {"kind": "masks"}}
    (folder / "record.json").write_text(json.dumps({**record, "settings": settings}))
    columns = "epoch,train_loss,learning_rate,validation_loss,validation_objective,validation_dice"
    (folder / "history.csv").write_text(f"{columns}\n1,.0625,.1,.7,.0375,.5\n2,.03125,.1,.8,.0425,.4\n")
    return folder


def _change_images(images: Path) -> None:
    """Add an image without a lesion, with the first test image's pixels; that one is then not fully annotated."""
    table = read_table(images / "images.parquet", CANONICAL_IMAGES).assign(fully_annotated=True)
    first = table[table["split"] == "test"].iloc[[0]]
    table["fully_annotated"] = table["image_id"] != first["image_id"].iloc[0]
    normal = first.assign(image_id=f"normal_{images.name}")
    write_table(pd.concat([table, normal]), CANONICAL_IMAGES, images / "images.parquet")


def test_tables_hold_the_automatic_model_beside_the_prompted_ones(run: Any) -> None:
    detection = pd.read_csv(run.root / "comparison" / "detection.csv").set_index("split")
    test = detection.loc["test"]
    assert test["note"] == "phantom"
    assert (test["lesions"], test["images_without_lesions"]) == (8, 2)
    assert 0 < test["missed"] < 8
    assert test["hits"] + test["missed"] == 8
    segmentation = pd.read_csv(run.root / "comparison" / "segmentation.csv", keep_default_na=False)
    row = segmentation[(segmentation["model"] == MODEL) & (segmentation["split"] == "test")]
    assert row["prompts"].tolist() == ["none"]
    assert row["selection"].tolist() == ["chosen"]
    assert row["n"].astype(int).tolist() == [8]
    assert float(row["dice"].iloc[0]) == pytest.approx(test["dice_lesions"], rel=1e-4)
    assert int(row["missed"].iloc[0]) == test["missed"]


def test_the_losses_of_the_training_are_beside_the_scores(run: Any) -> None:
    losses = pd.read_csv(run.root / "comparison" / "losses.csv").set_index("model").loc[MODEL]
    assert (losses["train_loss_kept"], losses["validation_loss_kept"], losses["note"]) == (0.0625, 0.0375, "phantom")
    detection = pd.read_csv(run.root / "comparison" / "detection.csv").set_index("split").loc["test"]
    assert losses["test_dice"] == pytest.approx(detection["dice_lesions"], rel=1e-4)
    assert losses["test_lesions_dice"] == detection["lesions"]
    assert (run.root / "comparison" / "figures" / "learning_curves_segmentation.csv").is_file()


def test_trained_parameters_are_beside_the_dice_of_images(run: Any) -> None:
    folder = run.root / "comparison"
    (row,) = pd.read_csv(folder / "segmentation_parameters.csv").to_dict("records")  # the others were not trained here
    detection = pd.read_csv(folder / "detection.csv").set_index("split").loc["test"]
    for end in ("", "_low", "_high"):
        assert row[f"dice{end}"] == pytest.approx(detection[f"dice_images_with_lesions{end}"], nan_ok=True)
    assert (row["model"], row["n"], row["note"]) == (MODEL, detection["images_with_dice"], "phantom")
    assert (row["training_seconds"], row["training_peak_mb"], row["seconds_per_image"]) == (40, 3, 4)
    assert (folder / "figures" / "segmentation_parameters.csv").is_file()


def test_missed_lesions_are_in_every_table_and_in_the_flow(run: Any) -> None:
    folder = run.root / "comparison"
    detection = pd.read_csv(folder / "detection.csv").set_index("split").loc["all"]
    diameter = pd.read_csv(folder / "dice_by_diameter.csv")
    assert diameter[diameter["model"] == MODEL]["missed"].sum() == detection["missed"]
    excluded = pd.read_csv(folder / "exclusions.csv")
    missed = excluded[excluded["reason"].str.startswith("missed by the automatic model")]
    assert len(missed) == detection["missed"]
    choices = pd.read_csv(folder / "segmentation_choices.csv")
    assert MODEL not in set(choices["model"])
    subgroups = pd.read_csv(folder / "segmentation_subgroups.csv", keep_default_na=False)
    assert "none" in set(subgroups.loc[subgroups["model"] == MODEL, "prompts"])


@pytest.mark.parametrize("first", [MODEL, "small"])
def test_report_has_the_section_with_table_and_figure(run: Any, first: str, tmp_path: Path) -> None:
    folders = sorted(run.segmentation, key=lambda folder: folder.parent.name != first)
    output = tmp_path / "report.html"
    write_report(ReportSettings(), run.cohort, run.root / "comparison", run.images, folders, output)
    page = re.sub(r"data:[^\"]+", "", output.read_text(encoding="utf-8"))
    section = page[page.index('<section id="detection"') : page.index('<section id="losses"')]
    assert '<a href="#detection">' in page
    assert "FROC curves" in section
    assert section.count('<span class="pill">phantom</span>') == 5
    detection = pd.read_csv(run.root / "comparison" / "detection.csv").set_index("split").loc["test"]
    assert detection["images_with_dice"] == detection["images_with_lesions"] - 2
    scores = section[section.index("Scores of images with lesions") :]
    assert f"{MODEL}</th><td>{detection['images_with_dice']}</td>" in scores[: scores.index("</table>")]
    assert "no prompt" in page[page.index('id="segmentation-table"') :]
    parameters = page[page.index('id="trained-parameters"') : page.index('id="segmentation-iterations"')]
    assert "parameters that a training changed" in parameters
    assert "Automatic models, Dice of images with a lesion, no prompt" in parameters
    assert "1814593" in parameters
    losses = page[page.index('<section id="losses"') : page.index('<section id="features"')]
    assert '<a href="#losses">' in page
    assert "not the Dice of a mask" in losses
    for value in ("mse", "0.0625", "0.0312", "0.0375", "0.0425", "1814593"):
        assert value in losses
    assert "Learning curves of each segmentation model" in losses


def test_a_run_without_automatic_models_has_no_section(write_run: Callable[..., Any], tmp_path: Path) -> None:
    written = write_run(tmp_path, compared=True, figures="rendered", empty_shard=True)
    output = tmp_path / "report.html"
    write_report(
        ReportSettings(overlays=0), written.cohort, tmp_path / "comparison", written.images, written.masks, output
    )
    page = output.read_text(encoding="utf-8")
    assert 'id="detection"' not in page
    assert "FROC" not in page
    assert 'id="trained-parameters"' not in page
    assert not (tmp_path / "comparison" / "figures" / "segmentation_parameters.png").exists()
    assert 'id="losses"' not in page  # its classifiers are made up without a training
    assert not (tmp_path / "comparison" / "figures" / "froc.png").exists()
