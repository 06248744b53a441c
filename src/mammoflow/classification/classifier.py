"""A classifier: standardised inputs, a network, and a last layer over its features."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from mammoflow.classification.network import Network
from mammoflow.classification.standardiser import LARGEST

SMALLEST_DEVIATION = 1e-6


class Classifier(nn.Module):
    """Network and head; feature vectors join the network's features before the last layer.

    Parameters
    ----------
    network
        Turns inputs into features.
    mean, deviation
        Of the training samples, or of what the network's weights ask for; they go with one sample's tensor. Constant
        numbers of a vector have the deviation 0, and are not scaled.
    vectors
        Columns of the feature vectors; 0 without.
    dropout
        Before each layer of the head.
    hidden
        Widths of dense layers with ReLU before the last layer.
    outputs
        1 for a logit; 2 for a softmax over two outputs, whose probability is the sigmoid of their difference; several
        for classes.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        network: Network,
        mean: Tensor,
        deviation: Tensor,
        vectors: int,
        dropout: float,
        hidden: Sequence[int] = (),
        outputs: int = 1,
    ) -> None:
        super().__init__()
        self.network = network
        layers: list[nn.Module] = []
        widths = [network.width + vectors, *hidden]
        for before, after in pairwise(widths):
            layers += [nn.Dropout(dropout), nn.Linear(before, after), nn.ReLU()]
        self.head = nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(widths[-1], outputs))
        self.register_buffer("mean", mean.float())
        self.register_buffer("deviation", torch.where(deviation > SMALLEST_DEVIATION, deviation, 1.0).float())

    def forward(self, inputs: dict[str, Tensor], vectors: Tensor | None = None) -> Tensor:
        """Return the logits (n,) of malignancy.

        Parameters
        ----------
        inputs
            Tensors of n samples by name.
        vectors
            (n, columns) standardised features, or None.
        """
        outputs = self.outputs(inputs, vectors)
        return outputs[:, 1] - outputs[:, 0] if outputs.shape[1] == 2 else outputs[:, 0]

    def outputs(self, inputs: dict[str, Tensor], vectors: Tensor | None = None) -> Tensor:
        """Return the float32 outputs (n, outputs) of the head; the parameters are those of `forward`.

        The head computes in fp32 under autocast too: bf16 keeps three digits, which gives different samples one logit.
        """
        standard = {name: self._standardise(name, tensor) for name, tensor in inputs.items()}
        features = self.network(standard).float()
        with torch.autocast(features.device.type, enabled=False):
            if vectors is not None:
                features = torch.cat([features, vectors.float()], dim=1)
            outputs: Tensor = self.head(features)
        return outputs

    def _standardise(self, name: str, tensor: Tensor) -> Tensor:
        standard: Tensor = (tensor - self.mean) / self.deviation
        return standard.clamp(-LARGEST, LARGEST) if name == "vector" else standard
