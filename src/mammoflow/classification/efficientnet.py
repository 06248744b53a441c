"""EfficientNet-B0 (Tan and Le, ICML 2019) for grey pictures, with a feature vector beside the picture if wanted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from efficientnet_pytorch import EfficientNet
from torch import Tensor, nn
from torchvision.transforms import v2

from mammoflow.classification.training import Classifier, Scores
from mammoflow.errors import WeightsError
from mammoflow.training.fitting import Rows
from mammoflow.weights.checkpoint import read_state

CHANNELS = 1280
"""Width of EfficientNet-B0's last feature map."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)

BATCH_NORM_MOMENTUM = 0.9
"""Kept share of the running statistics: the published .99 needs thousands of steps, a study here has hundreds."""


def backbone(weights: str) -> nn.Module:
    """Build EfficientNet-B0 without its last layer, from random weights or from a file.

    Raises
    ------
    WeightsError
        If the file is missing, carries something other than tensors, or does not fit.
    """
    network: nn.Module = EfficientNet.from_name(
        "efficientnet-b0", include_top=False, batch_norm_momentum=BATCH_NORM_MOMENTUM
    )
    # torch's own Swish gives the same values as the package's and takes two thirds of the time of a training step
    for module in network.modules():
        if hasattr(module, "_swish"):
            module._swish = nn.SiLU()
    if weights:
        state = {name: tensor for name, tensor in read_weights(Path(weights)).items() if not name.startswith("_fc.")}
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise WeightsError(
                f"weights {weights} do not fit EfficientNet-B0 of efficientnet-pytorch: {error}"
            ) from error
    return network


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a file of tensors by name (safetensors, or torch's format) without executing anything in it.

    Raises
    ------
    WeightsError
        If the file is missing or holds something other than tensors by name.
    """
    if not path.is_file():
        raise WeightsError(
            f"weights file {path} does not exist; expected ImageNet weights of EfficientNet-B0 as efficientnet-pytorch "
            "publishes them. Fetch them, or leave efficientnet.weights empty to start from random weights"
        )
    return read_state(path)


def augmentation(rotation_degrees: float, brightness: float) -> v2.Transform:
    """Return what a training picture (1, side, side) in 0..1 goes through: flips, rotation, brightness."""
    steps: list[v2.Transform] = [v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()]
    if rotation_degrees:
        steps.append(v2.RandomRotation(rotation_degrees, interpolation=v2.InterpolationMode.BILINEAR))
    if brightness:
        steps.append(v2.ColorJitter(brightness=brightness))
    return v2.Compose(steps)


class PictureClassifier(Classifier):
    """EfficientNet-B0's pooled features, with a vector beside them where given, and one linear layer.

    Parameters
    ----------
    pictures
        (pictures, side, side) uint16.
    picture_of
        (samples,) row of each sample's picture; several lesions may share one.
    vectors
        (samples, columns) standardised features, or None.
    training_pictures
        Rows of the pictures from which the grey levels' mean and deviation are taken.
    weights
        File of ImageNet weights, or "".
    dropout
        Before the last layer.
    augment
        What training pictures go through.
    """

    def __init__(
        self,
        pictures: npt.NDArray[np.uint16],
        picture_of: Rows,
        vectors: npt.NDArray[np.float32] | None,
        training_pictures: Rows,
        weights: str,
        dropout: float,
        augment: v2.Transform,
    ) -> None:
        super().__init__()
        self.pictures, self.picture_of, self.vectors = pictures, picture_of, vectors
        self.augment = augment
        # channels-last order makes a training step on a CPU three times as fast
        self.backbone = backbone(weights).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        width = CHANNELS + (0 if vectors is None else vectors.shape[1])
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, 1))
        mean, deviation = _levels(pictures[training_pictures], bool(weights))
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    mean: Tensor
    deviation: Tensor

    def inputs(self, rows: Rows) -> Tensor:
        """Return the network's input (rows, 3, side, side), augmented in training."""
        levels = self.pictures[self.picture_of[rows]].astype(np.float32) / np.float32(65535)
        grey = torch.from_numpy(levels)[:, None]
        if self.training:
            grey = torch.stack([self.augment(picture) for picture in grey])
        colour = grey.to(self.mean.device).expand(-1, 3, -1, -1)
        return ((colour - self.mean) / self.deviation).contiguous(memory_format=torch.channels_last)

    def forward(self, rows: Rows) -> Scores:
        """Score the samples of some rows."""
        features = self.backbone(self.inputs(rows)).flatten(1)
        if self.vectors is not None:
            beside = torch.from_numpy(self.vectors[rows]).to(features.device, features.dtype)
            features = torch.cat([features, beside], dim=1)
        return Scores(self.head(features)[:, 0])


def _levels(pictures: npt.NDArray[np.uint16], imagenet: bool) -> tuple[Tensor, Tensor]:
    """Return mean and deviation (3, 1, 1) by which inputs are standardised."""
    if imagenet:
        return torch.tensor(IMAGENET_MEAN).view(3, 1, 1), torch.tensor(IMAGENET_DEVIATION).view(3, 1, 1)
    mean = float(pictures.mean(dtype=np.float64)) / 65535
    deviation = max(float(pictures.std(dtype=np.float64)) / 65535, 1e-4)
    return torch.full((3, 1, 1), mean), torch.full((3, 1, 1), deviation)
