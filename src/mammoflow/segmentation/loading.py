"""Weights of the promptable models, loaded: the published ones, and those of one's own."""

from __future__ import annotations

from pathlib import Path

import torch

from mammoflow.config.inference import Precision
from mammoflow.errors import WeightsError
from mammoflow.segmentation.precision import precision_of_masks
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.tuning.adapters import load_adapters, split_adapters
from mammoflow.segmentation.tuning.record import read_header
from mammoflow.storage.files import file_digest
from mammoflow.transfer.checksums import matches_checksum
from mammoflow.weights.checkpoint import read_state
from mammoflow.weights.registry import FURTHER_WEIGHTS, WEIGHTS, find_weights, split_model


def describe_weights(path: Path) -> str:
    """Read a weights file as a stage would, and say what it is in a few lines.

    Raises
    ------
    WeightsError
        If it carries code, is damaged, or holds no weights.
    """
    state, digest = read_state(path), file_digest(path)
    published = [
        name
        for name, source in {**WEIGHTS, **FURTHER_WEIGHTS}.items()
        if source.checksum and matches_checksum(path, source.checksum)
    ]
    known = f"the published {published[0]}" if published else "none of the published weights"
    numbers = sum(tensor.numel() for tensor in state.values())
    rooms = ", ".join(dict.fromkeys(name.partition(".")[0] for name in state))
    return f"{path}\n  sha256:{digest}; {known}\n  {len(state)} tensors of {numbers} numbers: {rooms}"


def load_model(
    name: str,
    weights: Path | None,
    device: torch.device,
    architecture: str | None = None,
    precision: Precision = "auto",
) -> PromptableModel:
    """Load a promptable model, ready for inference.

    Parameters
    ----------
    name
        A published name, or a name of one's own; `name=architecture` says the architecture too.
    weights
        The weights file; None takes the file inside the package, which only `small` has.
    device
        Where the network goes.
    architecture
        The published model whose network and preprocessing the weights are for, where `name` is one's own.
    precision
        In which the encoder computes when it is only used. Stages that share embeddings load with the same one.

    Raises
    ------
    ConfigError
        If the architecture is not known.
    WeightsError
        If the file is missing, has another checksum than the published one, carries code, or does not fit the network.
    """
    own, network = split_model(name, architecture)
    path = find_weights(own, weights, network)
    state, digest, header = read_state(path), file_digest(path), read_header(path)
    if header.architecture not in ("", network):
        raise WeightsError(
            f"weights file {path} for {own} says that it is for {header.architecture}, expected {network}; correct the "
            "architecture"
        )
    state, adapters = split_adapters(state) if header.adapter_width else (state, {})
    if network.startswith("sam2"):
        from mammoflow.segmentation.sam2 import build_sam2_model

        model = build_sam2_model(network, state, digest, device)
    else:
        from mammoflow.segmentation.sam import build_sam_model

        model = build_sam_model(network, state, digest, device)
    if header.adapter_width:
        load_adapters(model.network, header.adapter_width, adapters)
        model.network.eval()
    # The digest keeps the architecture's name: the same weights under two names share their embeddings.
    model.name = own
    model.use_precision(precision_of_masks(precision, network))
    return model
