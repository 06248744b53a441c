"""The stage that makes saliency maps of a trained classifier and holds them against the reference masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mammoflow.classification.cases import Cases, read_cases
from mammoflow.classification.classifier import Classifier
from mammoflow.classification.saliency.attribution import saliency_maps
from mammoflow.classification.saliency.drawing import draw_map
from mammoflow.classification.saliency.scores import Map, Mask, map_scores, mask_of_cover
from mammoflow.classification.samples import Files, Job, Samples
from mammoflow.config.base import validate_settings
from mammoflow.config.classification import INPUTS, NETWORKS, ClassifierSettings, TestTimeFlips
from mammoflow.config.saliency import SaliencyJob, SaliencyMethod
from mammoflow.errors import ConfigError, WeightsError
from mammoflow.run.runtime import choose_device, progress, set_threads
from mammoflow.storage.files import read_json
from mammoflow.storage.intermediate import temporary_folder
from mammoflow.storage.names import file_name
from mammoflow.tables.cohort import measured
from mammoflow.tables.files import empty_table, read_table, write_table
from mammoflow.tables.predictions import PREDICTIONS
from mammoflow.tables.saliency import SALIENCY
from mammoflow.weights.checkpoint import read_state

SEEDS_FOLDER, WEIGHTS_FILE = "seeds", "model.safetensors"
"""Where a training leaves the weights of each seed."""

AT_ONCE = 16
"""Pictures whose maps are made together."""

PICTURES = "pictures"
"""Folder of the drawn maps."""


@dataclass(frozen=True)
class Shown:
    """A lesion that gets a map.

    Attributes
    ----------
    row
        Its row in the table of lesions.
    picture
        (channels, side, side) in 0 to 1.
    grey
        (side, side) its grey levels in 0 to 1, as they are drawn: the mean of colours, without a mask channel.
    mask
        (side, side) its reference mask, not empty.
    """

    row: Mapping[Any, Any]
    picture: Tensor
    grey: Map
    mask: Mask


def write_saliency(settings: SaliencyJob, trained: Path, files: Files, output: Path, threads: int) -> None:
    """Make maps of a classifier's test lesions and write how much of them lies on the reference mask.

    Lesions without a reference mask, and those whose mask is not in the picture, are left out. Nothing is trained.

    Parameters
    ----------
    settings
        Methods, and how many lesions.
    trained
        Folder of the classifier, as its training left it.
    files
        What the classifier's input reads.
    output
        Folder for `saliency.parquet` and for the maps of the first seed as pictures.
    threads
        Processors that this job may use.

    Raises
    ------
    ConfigError
        If the classifier's input cannot bring a mask onto its pictures.
    WeightsError
        If the weights of a seed do not fit the classifier.
    """
    set_threads(threads)
    record = read_json(trained / "training.json")
    classifier = validate_settings(ClassifierSettings, record["settings"], f"the record {trained / 'training.json'}")
    if not hasattr(INPUTS.load(classifier.input), "masks_on_pictures"):
        raise ConfigError(
            f"the input {classifier.input} cannot bring a lesion's mask onto its pictures; expected one with the "
            "function masks_on_pictures; take the classifier out of saliency.run"
        )
    device = choose_device(settings.device)
    cases = chosen_lesions(read_cases(files.images), settings)
    tables: list[pd.DataFrame] = []
    (output / PICTURES).mkdir(parents=True, exist_ok=True)
    with temporary_folder("mammoflow-saliency-") as cache:
        shown = shown_lesions(classifier, cases, files, Job(cache, threads, device)) if len(cases.lesions) else []
        for seed in classifier.seeds if shown else ():
            network = load_classifier(classifier, trained / SEEDS_FOLDER / str(seed) / WEIGHTS_FILE).to(device)
            for method in settings.methods:
                maps = _maps(network, shown, method, classifier.test_time_flips, settings.steps)
                rows = [
                    _row(lesion, saliency, settings.tolerance) for lesion, saliency in zip(shown, maps, strict=True)
                ]
                table = pd.DataFrame(rows).assign(seed=seed, method=method)
                if seed == classifier.seeds[0]:
                    table["picture_file"] = f"{PICTURES}/{method}/" + table["lesion_id"].map(file_name) + ".jpg"
                    for lesion, saliency, file in zip(shown, maps, table["picture_file"], strict=True):
                        draw_map(output / file, lesion.grey, saliency, lesion.mask)
                tables.append(table)
    joined = empty_table(SALIENCY)
    if tables:
        predictions = read_table(trained / "predictions.parquet", PREDICTIONS)[["lesion_id", "seed", "probability"]]
        joined = pd.concat(tables, ignore_index=True).merge(predictions, on=["lesion_id", "seed"], how="left")
    write_table(joined.assign(model=record["model"]), SALIENCY, output / "saliency.parquet")


def chosen_lesions(cases: Cases, settings: SaliencyJob) -> Cases:
    """Return the measured test lesions with a reference mask; where there are too many, those that a seed draws."""
    table = cases.lesions
    takes_part = table["lesion_id"].isin(measured(table)["lesion_id"])
    rows = np.flatnonzero(takes_part & (table["split"] == "test") & table["mask_file"].notna())
    if len(rows) > settings.lesions:
        rows = np.sort(np.random.default_rng(settings.seed).permutation(rows)[: settings.lesions])
    return cases.only(rows)


def shown_lesions(classifier: ClassifierSettings, cases: Cases, files: Files, job: Job) -> list[Shown]:
    """Return the lesions that have a picture and a mask in it."""
    member, options = INPUTS.load(classifier.input), classifier.input_options
    samples: Samples = member.read(options, cases, files, job)
    references = [Path(lesion["folder"]) / lesion["mask_file"] for lesion in cases.lesions.to_dict("records")]
    covers = member.masks_on_pictures(options, cases, files, references)
    shown = []
    for row, lesion, cover in zip(samples.sample_of, cases.lesions.to_dict("records"), covers, strict=True):
        mask = mask_of_cover(cover)
        if samples.usable[row] and mask.any():
            picture = samples[int(row)]["picture"]
            grey = picture[0] if getattr(options, "mask_channel", False) else picture.mean(dim=0)
            shown.append(Shown(lesion, picture, grey.numpy(), mask))
    return shown


def load_classifier(settings: ClassifierSettings, weights: Path) -> Classifier:
    """Return a trained classifier in evaluation mode.

    Raises
    ------
    WeightsError
        If the weights do not fit the network that the settings name.
    """
    state = read_state(weights)
    network = NETWORKS.load(settings.network).build(settings.network_options, None, 0)
    layers = {name: tensor for name, tensor in state.items() if name.startswith("head.") and tensor.ndim == 2}
    first = min(layers, key=lambda name: int(name.split(".")[1]), default=None)
    columns = 0 if first is None else layers[first].shape[1] - network.width
    outputs: Literal[1, 2] = 2 if settings.outputs == "softmax" else 1
    try:
        levels = state["mean"], state["deviation"]
        classifier = Classifier(network, *levels, columns, settings.dropout, settings.hidden, outputs)
        classifier.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise WeightsError(
            f"weights {weights} do not fit {settings.network}: {error}; train the classifier again"
        ) from error
    return classifier.eval()


def _maps(
    classifier: Classifier, shown: list[Shown], method: SaliencyMethod, flips: TestTimeFlips, steps: int
) -> list[Map]:
    """Return the map (side, side) of each lesion."""
    maps: list[Map] = []
    for start in progress(range(0, len(shown), AT_ONCE), f"{method}, batches of {AT_ONCE}"):
        pictures = torch.stack([lesion.picture for lesion in shown[start : start + AT_ONCE]])
        batch = saliency_maps(classifier, pictures.to(classifier.mean.device), method, flips, steps)
        maps += list(batch.cpu().numpy())
    return maps


def _row(lesion: Shown, saliency: Map, tolerance: float) -> dict[str, object]:
    keys = {name: lesion.row[name] for name in ("lesion_id", "image_id", "patient_id", "malignant")}
    return {**keys, **asdict(map_scores(saliency, lesion.mask, tolerance)), "picture_file": None}
