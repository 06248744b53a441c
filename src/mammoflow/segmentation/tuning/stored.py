"""Tuned weights as they are stored: what was tuned, on top of the weights that the tuning started from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from mammoflow.errors import WeightsError
from mammoflow.segmentation.layers.adapters import insert_adapters
from mammoflow.segmentation.layers.high_frequency import MARK as HIGH_FREQUENCY_MARK
from mammoflow.segmentation.layers.high_frequency import insert_high_frequency
from mammoflow.segmentation.layers.visual_prompts import load_visual_prompts
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.segmenter import Segmenter
from mammoflow.segmentation.tuning.lora import insert_lora, merge_lora
from mammoflow.storage.files import file_digest
from mammoflow.weights.header import BaseWeights, WeightsHeader
from mammoflow.weights.registry import ModelSpec

PROMPT_PARTS = ("prompt_encoder", "sam_prompt_encoder")
"""Parts that turn points, boxes and masks into embeddings."""

ENCODING_PARTS = ("conv_s0", "conv_s1")
"""Layers of SAM 2's decoder that run when an image is encoded, so that stored embeddings hold their output."""


def tuned_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that were trained, by name: those that ask for gradients."""
    trained = {name: item for name, item in network.named_parameters() if item.requires_grad}
    return {name: item.detach().cpu().contiguous().clone() for name, item in trained.items()}


@torch.no_grad()
def apply_tuned(network: nn.Module, header: WeightsHeader, state: Mapping[str, Tensor]) -> None:
    """Bring tuned weights into the network that the tuning started from; updates of LoRA are merged.

    Parameters
    ----------
    network
        The network with the weights of the base.
    header
        What the file of the tuned weights says about itself.
    state
        Its weights by name.

    Raises
    ------
    ConfigError
        If the network has no attention and the weights need it.
    WeightsError
        If the weights do not fit the network.
    """
    load_visual_prompts(network, state)
    if header.adapter_width is not None:
        insert_adapters(network, header.adapter_width)
    if any(HIGH_FREQUENCY_MARK in name for name in state):
        insert_high_frequency(network)
    if header.lora is not None:
        insert_lora(network, header.lora.layers, header.lora.rank, header.lora.alpha)
    unknown = sorted(set(state) - set(network.state_dict()))
    if unknown:
        raise WeightsError(f"tuned weights do not fit the network: it has no {unknown[:3]}")
    try:
        network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"tuned weights do not fit the network: {error}") from error
    merge_lora(network)


def leaves_encoder(model: Segmenter, names: Iterable[str]) -> bool:
    """Tell whether changed weights leave the embeddings of images as they are: they are of decoder or prompt encoder.

    Parameters
    ----------
    model
        The model.
    names
        Names of the changed weights in its network.
    """
    if not isinstance(model, PromptableModel):
        return False
    parts = [model.decoder, *(getattr(model.network, name, None) for name in PROMPT_PARTS)]
    later = {
        id(item)
        for part in parts
        if isinstance(part, nn.Module)
        for name, item in part.named_parameters()
        if name.partition(".")[0] not in ENCODING_PARTS
    }
    of_name = dict(model.network.named_parameters())
    return all(name in of_name and id(of_name[name]) in later for name in names)


def find_base(base: BaseWeights, architecture: str, tuned: Path) -> ModelSpec:
    """Return the model that a tuning started from, with its weights where they were, or beside the tuned ones.

    Raises
    ------
    WeightsError
        If the file is at neither place, or is another one.
    """
    spec = ModelSpec(base.name, architecture, Path(base.file) if base.file else None)
    beside = tuned.parent / Path(base.file).name if base.file else None
    for file in (spec.file, beside):
        if file is not None and file.is_file() and file_digest(file) == base.sha256:
            return ModelSpec(base.name, architecture, file if base.file else None)
    raise WeightsError(
        f"weights file {tuned} has only what was tuned of {base.name}; found no file with the digest {base.sha256} at "
        f"{spec.file}; expected the weights of {base.name} there, or with their name beside {tuned.name}"
    )
