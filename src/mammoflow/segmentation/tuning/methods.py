"""What each method trains of a promptable model, and the weights that come of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from mammoflow.config.tuning import TuneSettings, TuningMethod
from mammoflow.segmentation.layers.adapters import insert_adapters
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.tuning.lora import insert_lora, merge_lora

IMAGE_PARTS = ("image_encoder", "prompt_encoder", "mask_decoder", "sam_prompt_encoder", "sam_mask_decoder")
"""Parts of SAM and SAM 2 that a single image goes through; SAM 2's memory of a video's frames is not among them."""

ENCODING_PARTS = ("conv_s0", "conv_s1")
"""Layers of SAM 2's decoder that run when an image is encoded, so that stored embeddings hold their output."""


@dataclass(frozen=True)
class Prepared:
    """A model made ready for training.

    Attributes
    ----------
    model
        The model; of its network only what is trained asks for gradients.
    method
        How it is tuned.
    groups
        The optimiser's parameter groups, each with its highest learning rate.
    modules
        Parts that are in training mode while it is trained.
    total_parameters
        Numbers in the network before anything was added to it.
    """

    model: PromptableModel
    method: TuningMethod
    groups: list[dict[str, Any]]
    modules: list[nn.Module]
    total_parameters: int

    @property
    def encodes(self) -> bool:
        """Tell whether the image encoder changes, so that stored embeddings cannot be used."""
        return self.method != "decoder"

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Return all that is trained."""
        return [parameter for group in self.groups for parameter in group["params"]]

    @property
    def trainable_parameters(self) -> int:
        """Return how many numbers are trained."""
        return sum(parameter.numel() for parameter in self.parameters)


def prepare(model: PromptableModel, method: TuningMethod, settings: TuneSettings) -> Prepared:
    """Freeze a model but for what a method trains, and add what it adds.

    Raises
    ------
    ConfigError
        If the method needs attention and the image encoder has none.
    """
    network = model.network
    total = sum(parameter.numel() for parameter in network.parameters())
    network.eval()
    network.requires_grad_(False)
    groups: list[dict[str, Any]] = []
    modules: list[nn.Module] = []
    if method == "lora":
        added = insert_lora(network, settings.lora_layers, settings.rank, settings.alpha)
        groups.append({"params": added, "lr": settings.added_learning_rate})
    elif method == "adapters":
        added = insert_adapters(network, settings.adapter_width)
        groups.append({"params": added, "lr": settings.added_learning_rate})
    if method in ("decoder", "all") or settings.tune_decoder:
        frozen = ENCODING_PARTS if method == "decoder" else ()
        tuned = [item for name, item in model.decoder.named_parameters() if name.partition(".")[0] not in frozen]
        groups.append({"params": tuned, "lr": settings.learning_rate})
        modules.append(model.decoder)
    if method == "all":
        parts = [part for name in IMAGE_PARTS if isinstance(part := getattr(network, name, None), nn.Module)]
        seen = {id(parameter) for parameter in model.decoder.parameters()}
        rest = [item for part in parts or [network] for item in part.parameters() if id(item) not in seen]
        groups.append({"params": rest, "lr": settings.encoder_learning_rate})
        modules += parts or [network]
    for group in groups:
        for parameter in group["params"]:
            parameter.requires_grad_(True)
    return Prepared(model, method, groups, modules, total)


def set_mode(prepared: Prepared, training: bool) -> None:
    """Put what is trained into training mode and everything else into evaluation mode.

    Statistics of batch normalisation stay as they are, for a batch here holds the prompts of a few images, and in
    training SAM 2's single head answers for itself.
    """
    prepared.model.network.eval()
    if training:
        for module in prepared.modules:
            module.train()
            for part in module.modules():
                if isinstance(part, nn.BatchNorm2d):
                    part.eval()


def changing_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the weights that are trained and the statistics beside them, by name: what a checkpoint must keep."""
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    buffers = {name for name, _ in network.named_buffers()}
    return {name: tensor for name, tensor in network.state_dict().items() if name in trained | buffers}


def final_state(prepared: Prepared) -> dict[str, Tensor]:
    """Return the tuned weights by name, updates of LoRA merged: those of an ordinary network, or with adapters."""
    merge_lora(prepared.model.network)
    state = prepared.model.network.state_dict()
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
