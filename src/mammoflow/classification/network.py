"""Networks that turn the inputs of samples into features; they know nothing of the study."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from mammoflow.config.pictures import Combine
from mammoflow.config.weights import WeightsSource
from mammoflow.errors import WeightsError
from mammoflow.weights.checkpoint import read_state

Levels = tuple[tuple[float, ...], tuple[float, ...]]

IMAGENET_LEVELS: Levels = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of red, green and blue by which networks trained on ImageNet standardise pictures in 0..1."""


class Network(nn.Module, ABC):
    """Tensors in, features out.

    Attributes
    ----------
    width
        Number of features of a sample.
    levels
        Mean and deviation of each channel by which pictures in 0..1 are standardised before the network, as its
        weights ask for; None standardises by the training pictures.
    """

    width: int
    levels: Levels | None = None

    @property
    def feature_map(self) -> nn.Module | None:
        """The module whose output is the feature map of the whole picture; None if it is the last one that runs."""
        return None

    @abstractmethod
    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Return features (n, width) of standardised inputs: `picture` (n, 1 or 3, side, side) or `vector` (n, m)."""


class PictureNetwork(Network):
    """A network of colour pictures; a grey channel is repeated three times.

    Parameters
    ----------
    backbone
        Turns pictures (n, 3, side, side) into features (n, width), or (n, width, 1, 1).
    width
        Number of features.
    levels
        See `Network`.
    """

    def __init__(self, backbone: nn.Module, width: int, levels: Levels | None) -> None:
        super().__init__()
        self.width, self.levels = width, levels
        # channels-last order makes a training step on a CPU three times as fast
        self.backbone = backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Return features (n, width) of `picture`."""
        colour = inputs["picture"].expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        features: Tensor = self.backbone(colour)
        return features.flatten(1)


class SharedNetwork(Network):
    """A network of pictures that looks at each picture of a sample with the same weights.

    Parameters
    ----------
    network
        Turns one picture into features.
    combine
        How the features of the pictures become those of the sample. `mean` and `max` do not depend on the order of the
        pictures.
    pictures
        Pictures of a sample.
    """

    def __init__(self, network: Network, combine: Combine, pictures: int) -> None:
        super().__init__()
        self.network, self.combine, self.pictures, self.levels = network, combine, pictures, network.levels
        self.width = network.width * (pictures if combine == "concatenate" else 1)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Return features (n, width) of `picture` (n, pictures, channels, side, side)."""
        pictures = inputs["picture"]
        features: Tensor = self.network({"picture": pictures.flatten(0, 1)}).unflatten(0, pictures.shape[:2])
        if self.combine == "concatenate":
            return features.flatten(1)
        return features.amax(dim=1) if self.combine == "max" else features.mean(dim=1)

    def further_loss(self, labels: Tensor, weight: Tensor) -> Tensor:
        """Return the loss that the network itself adds: each picture has the label of its sample.

        Parameters
        ----------
        labels
            (n,): 1 malignant, 0 benign.
        weight
            Of malignant samples.
        """
        further: Callable[[Tensor, Tensor], Tensor] | None = getattr(self.network, "further_loss", None)
        if further is None:
            return torch.zeros((), device=labels.device)
        return further(labels.repeat_interleave(self.pictures), weight)  # the pictures of a sample follow each other


class VectorNetwork(Network):
    """A network of vectors.

    Parameters
    ----------
    layers
        Turns vectors (n, m) into features (n, width).
    width
        Number of features.
    """

    def __init__(self, layers: nn.Module, width: int) -> None:
        super().__init__()
        self.layers, self.width = layers, width

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Return features (n, width) of `vector`."""
        features: Tensor = self.layers(inputs["vector"])
        return features


def load_weights(module: nn.Module, path: Path, source: WeightsSource, without: tuple[str, ...]) -> None:
    """Load a file of tensors by name (safetensors, or torch's format) without executing anything in it.

    Parameters
    ----------
    module
        What the weights are for.
    path
        The file.
    source
        Where such weights are published, for messages.
    without
        Beginnings of names that the module does not have, such as those of a last layer.

    Raises
    ------
    WeightsError
        If the file is missing, holds something other than tensors by name, or does not fit.
    """
    if not path.is_file():
        raise WeightsError(
            f"weights file {path} does not exist; expected {source.title} as {source.page} publishes it. Fetch it, or "
            "leave `weights` of the classifier empty to start from random weights"
        )
    state = {name: tensor for name, tensor in read_state(path).items() if not name.startswith(without)}
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"weights {path} do not fit {source.title}: {error}") from error
