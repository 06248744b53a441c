"""A real run on a tiny study: every stage from the case table to the predictions writes its own tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.classification.classes.stage import train_class_classifier
from mammoflow.classification.samples import Files, PromptableSource
from mammoflow.classification.stage import train_classifier
from mammoflow.cohort.stage import build_cohort
from mammoflow.config.classification import ClassifierSettings
from mammoflow.config.cohort import CohortSettings, DatasetSettings
from mammoflow.config.features import FEATURE_FAMILIES
from mammoflow.config.images import ImagesSettings
from mammoflow.config.inference import EncoderUse
from mammoflow.config.prompted import SegmentSettings
from mammoflow.config.prompts import PromptSettings
from mammoflow.features.stage import extract
from mammoflow.imaging.stage import prepare_images
from mammoflow.segmentation.prompted.stage import segment
from mammoflow.segmentation.prompting.prompts import make_prompts
from mammoflow.storage.files import write_image, write_mask
from mammoflow.weights.registry import ModelSpec

HEIGHT, WIDTH, SPACING_MM = 120, 96, 0.5
LABELLED = 16
MARGIN_MM = 5.0
FAMILY = "gabor"
CLASSIFIER = "perceptron_frozen"
CLASSES = ("a", "b", "c")
CLASS_CLASSIFIER = "three"


@dataclass(frozen=True)
class TinyRun:
    """Where the parts of the run lie."""

    root: Path

    @property
    def cohort(self) -> Path:
        return self.root / "cohort"

    @property
    def images(self) -> Path:
        return self.root / "images" / "00"

    @property
    def prompts(self) -> Path:
        return self.root / "prompts" / "00.parquet"

    @property
    def segmentation(self) -> Path:
        return self.root / "segmentation" / "small" / "00"

    @property
    def features(self) -> Path:
        return self.root / "features" / FAMILY / "00.parquet"

    @property
    def predictions(self) -> Path:
        return self.root / "classification" / CLASSIFIER

    @property
    def class_predictions(self) -> Path:
        return self.root / "classification" / CLASS_CLASSIFIER / "class_predictions.parquet"

    def inputs(self) -> dict[str, Any]:
        """Return the folders and tables that `compare` reads."""
        with_classes = {"class_predictions": [self.class_predictions]} if self.class_predictions.is_file() else {}
        return with_classes | {
            "cohort": self.cohort,
            "images": [self.images],
            "segmentation": [self.segmentation],
            "features": [self.features],
            "predictions": [self.predictions],
        }


def write_study(folder: Path) -> None:
    """Write films and one table: labelled lesions, three lesions without a label, a normal and an unannotated film."""
    random = np.random.default_rng(11)
    rows = []
    for number in range(LABELLED + 5):
        name = f"film{number:02d}"
        malignant = number % 2
        radius = random.uniform(7, 9) + 3 * malignant
        y, x = np.mgrid[:HEIGHT, :WIDTH]
        centre = random.uniform(40, 80), random.uniform(35, 60)
        disc = np.hypot(y - centre[0], x - centre[1]) <= radius
        has_lesion = number < LABELLED + 3
        grey = 12000 + 1500 * random.standard_normal((HEIGHT, WIDTH)) + 20000 * (disc & has_lesion)
        write_image(folder / f"{name}.png", grey.clip(0, 65535).astype(np.uint16))
        write_mask(folder / f"{name}_mask.png", disc)
        label = ("benign", "malignant")[malignant] if number < LABELLED else ""
        rows.append(
            {
                "image": f"{name}.png",
                "mask": f"{name}_mask.png" if has_lesion else "",
                "patient": f"P{number:02d}",
                "label": "normal" if number == LABELLED + 3 else label,
                "birads": 2 + 2 * malignant if label else "",
                "type": "mass",
                "side": "L",
                "view": "MLO",
                "density": 1 + number % 4,
                "spacing": SPACING_MM,
                "class": CLASSES[number % 3],
            }
        )
    pd.DataFrame(rows).to_csv(folder / "cases.csv", index=False)


def write_tiny_run(study: Path, root: Path, unlabelled: str, classes: Sequence[str] = ()) -> TinyRun:
    """Run all stages before the comparison on the study, with one shard; with classes also a classifier of them."""
    run = TinyRun(root)
    dataset = DatasetSettings(reader="table", name="tiny", folder=str(study), tables=["cases.csv"])
    cohort = CohortSettings.model_validate(
        {"dataset": dataset, "shards": 1, "unlabelled": unlabelled, "classes": [*classes]}
    )
    build_cohort(cohort, study, run.cohort, class_sides=bool(classes))
    images = ImagesSettings(breast_region="whole")
    prepare_images(images, study, run.cohort / "shards" / "00", run.images, 1)
    make_prompts(PromptSettings(margins_mm=[MARGIN_MM], default_margin_mm=MARGIN_MM), run.images, run.prompts)
    store = root.parent / "store"
    model = ModelSpec("small", "small")
    segment(SegmentSettings(device="cpu"), model, run.images, [run.prompts], store, MARGIN_MM, run.segmentation, 1)
    options = FEATURE_FAMILIES.options(FAMILY).model_validate({"wavelengths_mm": [4.0, 8.0], "orientations": 2})
    extract(FAMILY, options, run.images, run.segmentation, run.features, 1)  # type: ignore[arg-type]
    settings = ClassifierSettings.model_validate(
        {"input": "prompted", "network": "perceptron", "device": "cpu", "epochs": 2, "input_options": {"tune": "none"}}
    )
    files = Files(
        [run.images],
        [run.segmentation],
        [run.prompts],
        scores=[run.segmentation / "scores.parquet"],
        model=PromptableSource(model, EncoderUse(), store, MARGIN_MM),
    )
    train_classifier(settings, CLASSIFIER, files, run.predictions, 1)
    if classes:
        values = {"target": "classes", "input": "whole_image", "network": "resnet_small", "epochs": 1, "device": "cpu"}
        values |= {"network_options": {"width": 8, "blocks": 1}, "input_options": {"image_px": 32}}
        files = Files([run.images], classes=run.cohort / "classes.parquet")
        chosen = ClassifierSettings.model_validate(values)
        train_class_classifier(chosen, CLASS_CLASSIFIER, files, run.class_predictions.parent, 1)
    return run
