"""An automatic model, built, filled with its weights, and used as their training chose it."""

from __future__ import annotations

import torch

from mammoflow.config.inference import Precision
from mammoflow.errors import ConfigError
from mammoflow.segmentation.loading import load_model
from mammoflow.segmentation.protocol.automatic import AutomaticModel
from mammoflow.segmentation.protocol.network_input import NetworkInput
from mammoflow.weights.header import read_header
from mammoflow.weights.registry import ModelSpec, find_weights


def load_automatic(model: ModelSpec, device: torch.device, precision: Precision = "auto") -> AutomaticModel:
    """Load an automatic model with the input and the threshold that the header of its weights names.

    Parameters
    ----------
    model
        Its name, its architecture and its weights file.
    device
        Where the network goes.
    precision
        In which it computes when it is only used.

    Raises
    ------
    ConfigError
        If the model needs prompts.
    WeightsError
        If the file is missing, has another checksum than the published one, carries code, or does not fit the network.
    """
    loaded = load_model(model, device, precision)
    if not isinstance(loaded, AutomaticModel):
        raise ConfigError(f"{model.name} ({model.architecture}) needs prompts; expected an automatic model")
    setup = read_header(find_weights(model)).automatic
    if setup is not None:
        clahe = (setup.clahe_clip, setup.clahe_tiles, setup.clahe_bins)
        loaded.input = NetworkInput(setup.side_px, setup.spacing_mm, setup.stretched, *clahe, setup.colour)
        loaded.threshold = setup.threshold
    return loaded
