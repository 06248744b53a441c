"""The three-layer perceptron on what a promptable model knows about a lesion."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from mammoflow.classification.frame import box_weights
from mammoflow.classification.standardiser import LARGEST
from mammoflow.classification.training import Classifier, Scores
from mammoflow.errors import ConfigError
from mammoflow.segmentation.protocol.prediction import Prediction
from mammoflow.training.fitting import Rows

BOX_SHARE = 1e-3
"""Weight of the box beside the soft mask, so that an empty mask leaves the mean over the box and not noise."""


def pooled_features(embedding: Tensor, prediction: Prediction, boxes: Tensor) -> Tensor:
    """Return what the perceptron reads about n lesions.

    Parameters
    ----------
    embedding
        (n, channels, rows, columns) image embedding of each lesion's image.
    prediction
        Of the n boxes; its first head is used.
    boxes
        (n, 4): x0, y0, x1, y1 as fractions of the network's square.

    Returns
    -------
    Tensor
        (n, 2 channels + token channels): mean of the embedding under the soft predicted mask, mean within the box,
        the decoder's mask token.

    Raises
    ------
    ConfigError
        If the model has no mask tokens.
    """
    if prediction.tokens is None:
        raise ConfigError("the promptable model gives no token for each mask; expected one that does, such as small")
    rows, columns = embedding.shape[-2:]
    box = box_weights(boxes.float(), int(rows), int(columns))
    mask = adaptive_avg_pool2d(prediction.low_res_logits[:, :1].float().sigmoid(), (int(rows), int(columns)))[:, 0]
    under_mask = _weighted_mean(embedding, mask + BOX_SHARE * box)
    in_box = _weighted_mean(embedding, box + 1e-6)
    return torch.cat([under_mask, in_box, prediction.tokens[:, 0].float()], dim=1)


def _weighted_mean(embedding: Tensor, weights: Tensor) -> Tensor:
    shares = weights / weights.sum(dim=(-2, -1), keepdim=True)
    return torch.einsum("nchw,nhw->nc", embedding.float(), shares)


class Perceptron(nn.Module):
    """Three linear layers on standardised features.

    Parameters
    ----------
    mean, deviation
        (features,) of the training lesions' features.
    hidden
        Widths of the two hidden layers.
    dropout
        Between the layers.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Tensor, deviation: Tensor, hidden: list[int], dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        first, second = hidden
        self.layers = nn.Sequential(
            nn.Linear(len(mean), first), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(first, second), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(second, 1),
        )  # fmt: skip

    @classmethod
    def fit_input(cls, training: npt.NDArray[np.float32], hidden: list[int], dropout: float) -> Perceptron:
        """Build a perceptron whose input is standardised by training features (lesions, features)."""
        deviation = training.std(axis=0, dtype=np.float64)
        deviation = np.where(deviation > 1e-6, deviation, 1.0)
        mean = training.mean(axis=0, dtype=np.float64)
        return cls(torch.from_numpy(mean).float(), torch.from_numpy(deviation).float(), hidden, dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (n,) of features (n, features)."""
        standard = ((features - self.mean) / self.deviation).clamp(-LARGEST, LARGEST)
        logits: Tensor = self.layers(standard)[:, 0]
        return logits


class FeatureClassifier(Classifier):
    """The perceptron on features that were computed once (lesions, features)."""

    def __init__(self, perceptron: Perceptron, features: npt.NDArray[np.float32]) -> None:
        super().__init__()
        self.perceptron = perceptron
        self.features = features

    def forward(self, rows: Rows) -> Scores:
        """Score the lesions of some rows."""
        return Scores(self.perceptron(torch.from_numpy(self.features[rows]).to(self.perceptron.mean.device)))
