"""The one interface of image encoders: pictures in, feature maps out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from mammoflow.errors import ConfigError
from mammoflow.weights.checkpoint import load_state

STRIDES = (4, 8, 16, 32)
"""Pixels of the picture for each pixel of a map of most encoders."""

Levels = tuple[tuple[float, float, float], tuple[float, float, float]]

IMAGENET_LEVELS: Levels = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of red, green and blue by which networks trained on ImageNet standardise pictures in 0..1."""


class Encoder(nn.Module, ABC):
    """Pictures to feature maps.

    Attributes
    ----------
    channels
        Of the maps, the finest first.
    strides
        Pixels of the picture for each pixel of a map, the finest first.
    levels
        Mean and deviation of the channels by which pictures in 0..1 are standardised before the encoder.
    transformer
        Whether it is a plain vision transformer, which is faster in bf16 on some CPUs too.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...] = STRIDES
    levels: Levels = IMAGENET_LEVELS
    transformer: bool = False

    @abstractmethod
    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Return maps (N, channels, rows / stride, columns / stride) of standardised pictures (N, 3, rows, columns).

        Rows and columns of the pictures are multiples of 32.
        """

    @property
    def pretrained(self) -> nn.Module:
        """The part for which published weights exist; by default everything."""
        return self

    def added_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that are trained even if the encoder is frozen, such as those of adapters."""
        pretrained = {id(parameter) for parameter in self.pretrained.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in pretrained]

    def add_prompts(self, tokens: int) -> None:
        """Add learned tokens to each layer (visual prompt tuning), or keep as many as there are.

        Raises
        ------
        ConfigError
            If the encoder takes none, or has another number of them.
        """
        raise ConfigError(
            f"visual_prompts is {tokens}, but {type(self).__name__} is no plain vision transformer; expected 0"
        )

    def load_pretrained(self, state: dict[str, Tensor], name: str) -> None:
        """Load published weights into the part for which they exist.

        Parameters
        ----------
        state
            Weights by name, in the publisher's layout.
        name
            What messages call them.

        Raises
        ------
        WeightsError
            If names or shapes do not fit.
        """
        load_state(self.pretrained, self.chosen_weights(state), name, type(self).__name__)

    def chosen_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights of the encoder among published ones, with the names of `pretrained`."""
        return state


def without(state: dict[str, Tensor], beginnings: Sequence[str]) -> dict[str, Tensor]:
    """Return the weights whose names begin with none of some texts."""
    return {name: tensor for name, tensor in state.items() if not name.startswith(tuple(beginnings))}


def below(state: dict[str, Tensor], beginnings: Sequence[str]) -> dict[str, Tensor]:
    """Return the weights below the first of some prefixes that any name has, without it; all if there is none."""
    for beginning in beginnings:
        chosen = {name.removeprefix(beginning): tensor for name, tensor in state.items() if name.startswith(beginning)}
        if chosen:
            return chosen
    return state
