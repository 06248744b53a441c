"""A segmentation model, built and filled with its weights."""

from __future__ import annotations

import torch
from torch import Tensor

from mammoflow.config.architectures import ARCHITECTURE_MODULES, architecture, module_of, why_grey_only
from mammoflow.config.inference import EncoderUse, Precision
from mammoflow.errors import ConfigError, WeightsError
from mammoflow.segmentation.layers.adapters import load_adapters, split_adapters
from mammoflow.segmentation.layers.visual_prompts import MARK as PROMPTS_MARK
from mammoflow.segmentation.layers.visual_prompts import load_visual_prompts
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.segmenter import Segmenter
from mammoflow.segmentation.tuning.stored import apply_tuned, find_base, leaves_encoder
from mammoflow.storage.files import file_digest, text_digest
from mammoflow.weights.checkpoint import read_state
from mammoflow.weights.header import read_header, why_colours
from mammoflow.weights.registry import ModelSpec, find_weights


def build_model(name: str, state: dict[str, Tensor] | None, digest: str, device: torch.device) -> Segmenter:
    """Build a model of an architecture, in evaluation mode.

    Parameters
    ----------
    name
        Name of the architecture.
    state
        Weights by name; None leaves random weights from torch's generator, for training and tests.
    digest
        Digest of the weights.
    device
        Where the network goes.

    Raises
    ------
    ConfigError
        If the architecture makes no masks.
    ValueError
        If it is not known.
    WeightsError
        If names or shapes of the weights do not fit the network.
    """
    if not architecture(name).segments:
        raise ConfigError(f"{name} draws lesions and makes no masks; expected a segmentation model, such as unet_16")
    model: Segmenter = ARCHITECTURE_MODULES.load(module_of(name)).build(name, state, digest, device)
    return model


def load_model(model: ModelSpec, device: torch.device, precision: Precision = "auto") -> Segmenter:
    """Load a segmentation model, ready for inference.

    Parameters
    ----------
    model
        Its name, its architecture and its weights file.
    device
        Where the network goes.
    precision
        In which it computes when it is only used. Stages that share embeddings load with the same one. `auto` gives
        the architecture's own choice first.

    Raises
    ------
    WeightsError
        If the file is missing, has another checksum than the published one, carries code, or does not fit the network.
    """
    loaded = _load(model, device)
    loaded.network.eval()
    # The digest keeps the architecture's name: the same weights under two names share their embeddings.
    loaded.name = model.name
    loaded.use_precision(architecture(model.architecture).precision if precision == "auto" else precision)
    return loaded


def _load(model: ModelSpec, device: torch.device) -> Segmenter:
    """Build the network of a weights file; one that holds only what was tuned is brought on top of its base."""
    path = find_weights(model)
    state, digest, header = read_state(path), file_digest(path), read_header(path)
    if header.architecture not in ("", model.architecture):
        raise WeightsError(
            f"weights file {path} for {model.name} says that it is for {header.architecture}, expected "
            f"{model.architecture}; correct the architecture"
        )
    if header.base is None:
        return _whole(model.architecture, state, digest, header.adapter_width, device)
    loaded = _load(find_base(header.base, model.architecture, path), device)
    apply_tuned(loaded.network, header, state)
    loaded.encoder_digest = loaded.embedding_digest if leaves_encoder(loaded, state) else ""
    loaded.digest = text_digest(loaded.digest, digest)
    return loaded


def _whole(
    name: str, state: dict[str, Tensor], digest: str, adapter_width: int | None, device: torch.device
) -> Segmenter:
    """Build a network of which a file has all weights, adapters and visual prompts among them."""
    state, adapters = split_adapters(state) if adapter_width else (state, {})
    prompts = {key: tensor for key, tensor in state.items() if PROMPTS_MARK in key}
    loaded = build_model(name, {key: state[key] for key in state if key not in prompts}, digest, device)
    load_visual_prompts(loaded.network, prompts)
    if adapter_width:
        load_adapters(loaded.network, adapter_width, adapters)
    return loaded


def load_promptable(model: ModelSpec, device: torch.device, use: EncoderUse | None = None) -> PromptableModel:
    """Load a promptable model, as `load_model` does.

    Parameters
    ----------
    model
        Its name, its architecture and its weights file.
    device
        Where the network goes.
    use
        In which numbers it computes and whether it sees colours; None takes the defaults. Stages that share embeddings
        load with the same.

    Raises
    ------
    ConfigError
        If the model takes no prompts, sees no colours and is to see some, or was tuned on colours and is to see none.
    WeightsError
        As `load_model`.
    """
    use = use or EncoderUse()
    loaded = load_model(model, device, use.precision)
    if not isinstance(loaded, PromptableModel):
        raise ConfigError(
            f"{model.name} ({model.architecture}) is an automatic model; expected a promptable one, such as small"
        )
    problem = why_grey_only(model.architecture) if use.colour == "rgb" else why_colours(find_weights(model))
    if problem:
        raise ConfigError(f"model {model.name} with segmentation.colour: {use.colour}: {problem}")
    loaded.colour = use.colour
    return loaded
