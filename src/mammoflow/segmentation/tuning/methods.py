"""What each method trains of a promptable model: parameters by part, batch normalisation, recomputed activations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from torch import Tensor, nn

from mammoflow.config.tuning import ATTENTION_METHODS, TuneSettings, TuningMethod
from mammoflow.segmentation.embedding.training_sources import EmbeddingSource, EncoderSource
from mammoflow.segmentation.layers.adapters import insert_adapters
from mammoflow.segmentation.layers.attention_blocks import checkpointed, find_blocks
from mammoflow.segmentation.layers.high_frequency import insert_high_frequency
from mammoflow.segmentation.layers.visual_prompts import insert_visual_prompts
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.tuning.lora import insert_lora
from mammoflow.segmentation.tuning.stored import ENCODING_PARTS, PROMPT_PARTS
from mammoflow.storage.arrays import ArrayStore
from mammoflow.training.batch_norm import frozen_statistics, may_recompute

IMAGE_PARTS = ("image_encoder", "prompt_encoder", "mask_decoder", "sam_prompt_encoder", "sam_mask_decoder")
"""Parts of SAM and SAM 2 that a single image goes through; SAM 2's memory of a video's frames is not among them."""

IMAGES_ENCODED_TOGETHER = 4

Part = Literal["decoder", "encoder", "added", "biases"]


@dataclass(frozen=True)
class Prepared:
    """A model made ready for training.

    Attributes
    ----------
    model
        The model; of its network only what is trained asks for gradients.
    groups
        The optimiser's parameter groups. Each has its highest learning rate `lr` and its `part`: `decoder`, `encoder`
        (everything else of the network), `added` (LoRA, adapters, visual prompts, ...) or `biases` (of the encoder).
    modules
        Parts that are in training mode while the model is trained.
    encodes
        Whether the image encoder changes, so that stored embeddings cannot be used.
    recomputes
        Whether activations may be computed again for the gradient, where the network allows it.
    total_parameters
        Numbers in the network before anything was added to it.
    """

    model: PromptableModel
    groups: list[dict[str, Any]]
    modules: list[nn.Module]
    encodes: bool
    recomputes: bool
    total_parameters: int

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Return all that is trained."""
        return [parameter for group in self.groups for parameter in group["params"]]

    @property
    def trainable_parameters(self) -> int:
        """Return how many numbers are trained."""
        return sum(parameter.numel() for parameter in self.parameters)

    @contextmanager
    def recomputed(self) -> Iterator[None]:
        """Let the blocks of an encoder that is trained keep only their inputs during a forward pass.

        A network without blocks is computed again as a whole by its embedding source. A network with batch
        normalisation is passed through once, because a second pass would count twice in running statistics.
        """
        if not (self.encodes and self.recomputes and may_recompute(self.model.network)):
            yield
            return
        with checkpointed(self.model.network):
            yield

    def embeddings(self, images: pd.DataFrame, store: Path) -> EmbeddingSource | EncoderSource:
        """Return where the embeddings come from: of a frozen encoder from the store, else computed anew.

        Parameters
        ----------
        images
            Rows of CANONICAL_IMAGES with the column `folder`, that of their shard.
        store
            Folder of the stored embeddings. Those that it lacks are encoded and stored before the first step.
        """
        if self.encodes:
            whole = self.recomputes and not find_blocks(self.model.network)
            return EncoderSource(self.model, images, recompute=whole)
        source = EmbeddingSource(self.model, images, ArrayStore(store), IMAGES_ENCODED_TOGETHER)
        for _ in source.all():
            pass
        return source


def prepare(model: PromptableModel, method: TuningMethod, settings: TuneSettings) -> Prepared:
    """Freeze a model except for what a method trains, and add what it adds.

    Parameters
    ----------
    model
        The model.
    method
        What is trained: the decoder, all that an image goes through, or what is added to the encoder.
    settings
        Highest learning rates of the parts, sizes of what is added, and whether activations are computed again.

    Raises
    ------
    ConfigError
        If the method needs attention and the image encoder has none.
    """
    model.network.eval()
    model.network.requires_grad_(False)
    total = sum(parameter.numel() for parameter in model.network.parameters())
    groups: list[dict[str, Any]] = []
    modules: list[nn.Module] = []
    if method in ATTENTION_METHODS:
        groups.append(_group("added", _add(model.network, method, settings), settings.added_learning_rate))
    if method == "bitfit":
        groups.append(_group("biases", _biases(model.network), settings.added_learning_rate))
    if method in ("decoder", "all") or settings.tune_decoder:
        groups.append(_decoder_group(model, settings, encodes=method != "decoder"))
        modules.append(model.decoder)
    if method == "all":
        encoder, encoding_modules = _encoder_group(model, settings.encoder_learning_rate)
        groups.append(encoder)
        modules += encoding_modules
    for group in groups:
        for parameter in group["params"]:
            parameter.requires_grad_(True)
    return Prepared(model, groups, modules, method != "decoder", settings.gradient_checkpointing, total)


def set_mode(prepared: Prepared, training: bool) -> None:
    """Put what is trained into training mode and everything else into evaluation mode.

    The statistics of batch normalisation stay as they are, because a batch here holds the prompts of a few images. In
    training SAM 2's single head answers for itself.
    """
    prepared.model.network.eval()
    if training:
        for module in prepared.modules:
            module.train()
            frozen_statistics(module)


def _add(network: nn.Module, method: TuningMethod, settings: TuneSettings) -> list[nn.Parameter]:
    """Add what a method adds to an encoder, and return its parameters."""
    if method == "lora":
        return insert_lora(network, settings.lora_layers, settings.rank, settings.alpha)
    if method == "sam_adapter":
        return insert_high_frequency(network)
    if method == "vpt":
        return insert_visual_prompts(network, settings.visual_prompts, settings.prompted_layers)
    return insert_adapters(network, settings.adapter_width)


def _biases(network: nn.Module) -> list[nn.Parameter]:
    """Return the biases of the image encoder (Ben Zaken et al., BitFit, ACL 2022)."""
    encoder = getattr(network, "image_encoder", network)
    return [item for name, item in encoder.named_parameters() if name.rpartition(".")[2] == "bias"]


def _group(part: Part, parameters: Sequence[nn.Parameter], rate: float) -> dict[str, Any]:
    return {"params": list(parameters), "lr": rate, "part": part}


def _decoder_group(model: PromptableModel, settings: TuneSettings, encodes: bool) -> dict[str, Any]:
    """Return the decoder's group; what runs while an image is encoded is frozen where the encoder is."""
    frozen = () if encodes else ENCODING_PARTS
    tuned = [item for name, item in model.decoder.named_parameters() if name.partition(".")[0] not in frozen]
    if settings.tune_prompt_encoder and settings.method != "all":
        parts = [getattr(model.network, name, None) for name in PROMPT_PARTS]
        tuned += [item for part in parts if isinstance(part, nn.Module) for item in part.parameters()]
    return _group("decoder", tuned, settings.learning_rate)


def _encoder_group(model: PromptableModel, rate: float) -> tuple[dict[str, Any], list[nn.Module]]:
    """Return the group of everything but the decoder, and the modules that hold it."""
    network = model.network
    modules = [part for name in IMAGE_PARTS if isinstance(part := getattr(network, name, None), nn.Module)]
    modules = modules or [network]
    decoder = {id(parameter) for parameter in model.decoder.parameters()}
    rest = [item for module in modules for item in module.parameters() if id(item) not in decoder]
    return _group("encoder", rest, rate), modules


def changing_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the weights that are trained and the statistics beside them, by name: what a checkpoint must keep."""
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    buffers = {name for name, _ in network.named_buffers()}
    return {name: tensor for name, tensor in network.state_dict().items() if name in trained | buffers}
