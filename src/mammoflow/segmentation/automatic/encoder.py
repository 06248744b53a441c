"""The encoder of an automatic model before its training: first weights, visual prompts, and what of it is frozen."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from mammoflow.config.architectures import ARCHITECTURE_MODULES, module_of
from mammoflow.config.automatic import AutomaticTrainingSettings
from mammoflow.config.weights import PUBLISHED, WeightsSource
from mammoflow.errors import ConfigError, WeightsError
from mammoflow.segmentation.encoders.interface import Encoder
from mammoflow.segmentation.networks.encoder_decoder import EncoderDecoder
from mammoflow.weights.checkpoint import read_state
from mammoflow.weights.registry import packaged_weights


def encoder_of(network: nn.Module) -> Encoder | None:
    """Return the encoder of a network that has one for which there are weights."""
    return network.encoder if isinstance(network, EncoderDecoder) else None


def prepare_encoder(
    network: nn.Module, architecture: str, options: AutomaticTrainingSettings, has_weights: bool
) -> list[str]:
    """Load first weights into an encoder, add prompts, and freeze what is not trained.

    Parameters
    ----------
    network
        The network of an automatic model.
    architecture
        Its architecture.
    options
        Options of the recipe.
    has_weights
        Whether the network has the weights of an earlier training.

    Returns
    -------
    list
        Names of the tensors of the network that the training leaves as they are; empty for an encoder that is trained.

    Raises
    ------
    ConfigError
        If an option needs an encoder, or another one.
    WeightsError
        If the weights are missing, carry code, or do not fit.
    """
    encoder = encoder_of(network)
    if encoder is None:
        wanted = options.encoder_weights or options.visual_prompts or options.encoder == "frozen"
        if wanted:
            raise ConfigError(
                f"{architecture} has no encoder with weights of its own; expected no encoder_weights and no "
                "visual_prompts, and encoder: auto or trained"
            )
        return []
    if options.encoder_weights:
        path = encoder_weights_file(architecture, options.encoder_weights)
        encoder.load_pretrained(read_state(path), str(path))
    if options.visual_prompts:
        encoder.add_prompts(options.visual_prompts)
    if not _freezes(network, options, has_weights or bool(options.encoder_weights)):
        return []
    trained = {id(parameter) for parameter in encoder.added_parameters()}
    for parameter in encoder.parameters():
        parameter.requires_grad_(id(parameter) in trained)
    return [f"encoder.{name}" for name, tensor in _tensors(encoder) if id(tensor) not in trained]


def encoder_weights_file(architecture: str, wanted: str) -> Path:
    """Return the file of an encoder's first weights.

    Parameters
    ----------
    architecture
        The architecture.
    wanted
        `published`, or a file.

    Raises
    ------
    WeightsError
        If a package brings no such file, or the file is not there.
    """
    if wanted != PUBLISHED:
        if not Path(wanted).is_file():
            raise WeightsError(
                f"encoder_weights: found {wanted!r}, which is no file; expected weights; correct the path"
            )
        return Path(wanted)
    source = published_encoder(architecture)
    if source is None or source.package is None:
        known = f" of {source.title} ({source.url})" if source else ""
        raise WeightsError(
            f"encoder_weights is published, but no package brings weights for the encoder of {architecture}; expected "
            f"the path of a file{known}"
        )
    return packaged_weights(architecture, source)


def published_encoder(architecture: str) -> WeightsSource | None:
    """Return the source of the published weights of an architecture's encoder; None where none is known."""
    source: WeightsSource | None = getattr(ARCHITECTURE_MODULES.load(module_of(architecture)), "ENCODER_WEIGHTS", None)
    return source


def _freezes(network: nn.Module, options: AutomaticTrainingSettings, has_weights: bool) -> bool:
    """Tell whether the encoder is frozen."""
    if options.encoder != "auto":
        return options.encoder == "frozen"
    return has_weights and (bool(getattr(network, "published_frozen", False)) or options.visual_prompts > 0)


def _tensors(encoder: Encoder) -> list[tuple[str, Tensor]]:
    """Return the parameters and buffers of an encoder by name, as they are in its state."""
    saved = encoder.state_dict(keep_vars=True)
    return [(str(name), tensor) for name, tensor in saved.items()]
