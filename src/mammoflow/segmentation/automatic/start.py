"""The automatic model that a training starts from, with the grid on which it sees an image."""

from __future__ import annotations

from mammoflow.config.automatic import AutomaticInputSettings
from mammoflow.errors import ConfigError
from mammoflow.segmentation.automatic.loading import load_automatic
from mammoflow.segmentation.loading import build_model
from mammoflow.segmentation.protocol.automatic import AutomaticModel
from mammoflow.segmentation.protocol.network_input import NetworkInput
from mammoflow.segmentation.training_task import TrainingTask


def network_input(options: AutomaticInputSettings) -> NetworkInput:
    """Return the grid on which a model sees an image."""
    spacing = options.spacing_mm if options.input == "patch" else None
    clahe = (options.clahe_clip, options.clahe_tiles)
    return NetworkInput(options.side_px, spacing, options.input == "stretched", *clahe, colour=options.colour)


def starting_model(task: TrainingTask) -> AutomaticModel:
    """Return the model with the weights that a training starts from, in fp32, on the grid of the task's options.

    Raises
    ------
    ConfigError
        If the architecture needs prompts.
    WeightsError
        If the weights to start from are missing or do not fit.
    """
    if task.start is not None:
        model = load_automatic(task.start, task.device, "fp32")
    else:
        built = build_model(task.architecture, None, "random", task.device)
        if not isinstance(built, AutomaticModel):
            raise ConfigError(f"{task.architecture} needs prompts; expected an automatic architecture, such as unet")
        model = built
    model.input = network_input(task.options)
    return model
