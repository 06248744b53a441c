"""The promptable model that a classifier was trained on: its precision is taken over, and its weights are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast, get_args

import torch

from mammoflow.classification.samples import Files
from mammoflow.config.inference import Precision
from mammoflow.errors import ConfigError, WeightsError


def files_in_recorded_precision(name: str, record: Mapping[str, Any], files: Files, device: torch.device) -> Files:
    """Return the files with the promptable model in the precision of a training, whatever this device would choose.

    Parameters
    ----------
    name
        Of the classifier.
    record
        Content of its `training.json`. One without the precision leaves the files as they are.
    files
        What the input of the classifier reads.
    device
        Where the model computes.

    Raises
    ------
    ConfigError
        If the device does not compute in that precision.
    """
    recorded = record.get("promptable_model")
    wanted = recorded.get("precision") if isinstance(recorded, dict) else None
    if files.model is None or wanted not in get_args(Precision):
        return files
    precision = cast("Precision", wanted)
    if precision == "fp16" and device.type == "cpu":  # all others compute everywhere
        raise ConfigError(
            f"classifier {name} was trained on embeddings in {precision}, and the device here is {device.type}, which "
            f"does not compute in {precision}; expected the precision of the training; take a GPU, or train the "
            "classifier again with segmentation.precision: fp32"
        )
    return replace(files, model=replace(files.model, use=replace(files.model.use, precision=precision)))


def check_promptable(name: str, record: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
    """Refuse embeddings of another promptable model than that of the training: the network would see other numbers.

    Parameters
    ----------
    name
        Of the classifier.
    record
        Content of its `training.json`.
    notes
        What its input says here.

    Raises
    ------
    ConfigError
        If one of the models sees colours and the other does not.
    WeightsError
        If the models have other digests.
    """
    there, here = record.get("promptable_model"), notes.get("promptable_model")
    if not (isinstance(there, dict) and isinstance(here, dict)):
        return
    colours = [each.get("colour", "grey") for each in (there, here)]
    if colours[0] != colours[1]:
        raise ConfigError(
            f"classifier {name} was trained on embeddings of {there.get('name')} with "
            f"segmentation.colour: {colours[0]}, and it is {colours[1]} here; expected {colours[0]}"
        )
    if there.get("digest") == here.get("digest"):
        return
    found = (
        f"classifier {name} was trained on embeddings of {there.get('name')} (digest "
        f"{str(there.get('digest'))[:12]}), and the model here is {here.get('name')} (digest "
        f"{str(here.get('digest'))[:12]})"
    )
    if "precision" in there:
        raise WeightsError(f"{found}; expected the same weights; name those of its run")
    raise WeightsError(
        f"{found} in {here.get('precision')}; expected the same weights and precision; name the weights of its run, "
        "and set segmentation.precision to bf16 if it was trained on a GPU, or to fp32"
    )
