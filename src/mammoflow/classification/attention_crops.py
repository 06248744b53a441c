"""A network that looks at a picture as a whole, and again at the places that its saliency map marks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mammoflow.classification.network import Network

STAGES = 4
GROUP_CHANNELS = 8
LEAST_CROP_PX = 16
NEARLY_0 = 1e-6


def stages(width: int) -> nn.Sequential:
    """Return four stages of a convolution with stride 2 and another one, with normalisation over groups of channels."""
    layers: list[nn.Module] = []
    before = 1
    for stage in range(STAGES):
        after = width * 2**stage
        for stride in (2, 1):
            layers += [
                nn.Conv2d(before, after, 3, stride, 1, bias=False),
                nn.GroupNorm(after // GROUP_CHANNELS, after),
                nn.ReLU(),
            ]
            before = after
    return nn.Sequential(*layers)


class AttentionCrops(Network):
    """Global features, a saliency map, crops at its largest values, and gated attention over the crops.

    The probability of the picture by its saliency map alone is the mean of the largest values. Crops are cut where the
    map has its largest mean, one after the other; what a crop covers does not count again. No gradient flows through
    their places. The attention is that of Ilse et al. (ICML 2018). The features are the largest value of each global
    channel, the attended crop, and the logit of the map. `further_loss` trains the map and the crops by the label.

    Parameters
    ----------
    width
        Channels of the first stage of both networks.
    crops, crop_share
        Number of crops, and their side as a share of the picture's.
    top_share
        Share of the largest values of the map that are averaged.
    sparsity
        Weight of the mean of the map in `further_loss`.
    """

    def __init__(self, width: int, crops: int, crop_share: float, top_share: float, sparsity: float) -> None:
        super().__init__()
        self.crops, self.crop_share, self.top_share, self.sparsity = crops, crop_share, top_share, sparsity
        channels = width * 2 ** (STAGES - 1)
        self.whole, self.local = stages(width), stages(width)
        self.saliency = nn.Conv2d(channels, 1, 1)
        self.value, self.gate = nn.Linear(channels, width), nn.Linear(channels, width)
        self.attention, self.crop_logit = nn.Linear(width, 1), nn.Linear(channels, 1)
        self.width = 2 * channels + 2
        self._seen: tuple[Tensor, Tensor, Tensor] | None = None

    @property
    def feature_map(self) -> nn.Module:
        """The stages of the whole picture; those of the crops run after them."""
        return self.whole

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Return features (n, width) of `picture` (n, 1 or 3, side, side), whose channels are averaged."""
        picture = inputs["picture"].mean(dim=1, keepdim=True)
        features = self.whole(picture)
        saliency = self.saliency(features).float().sigmoid()  # in bf16 a probability near 1 is 1, and its logit inf
        probability = self.pooled(saliency).clamp(NEARLY_0, 1 - NEARLY_0)
        cut = self.cut(picture, saliency.detach())
        local = self.local(cut.flatten(0, 1)).amax(dim=(-2, -1)).unflatten(0, cut.shape[:2])
        weights = self.attention(self.value(local).tanh() * self.gate(local).sigmoid()).softmax(dim=1)
        attended = (weights * local).sum(dim=1)
        crop_logit = self.crop_logit(attended)
        self._seen = (saliency, probability, crop_logit[:, 0].float()) if self.training else None
        logit = torch.logit(probability)[:, None]
        return torch.cat([features.amax(dim=(-2, -1)), attended, logit, crop_logit], dim=1)

    def pooled(self, saliency: Tensor) -> Tensor:
        """Return the mean (n,) of the largest values of maps (n, 1, rows, columns)."""
        flat = saliency.flatten(1)
        number = max(1, round(self.top_share * flat.shape[1]))
        return flat.topk(number, dim=1).values.mean(dim=1)

    def places(self, saliency: Tensor, side: int, shape: tuple[int, int]) -> Tensor:
        """Return the top left corners (n, crops, 2) of crops in a picture of a shape (rows, columns).

        Parameters
        ----------
        saliency
            (n, 1, rows, columns) of the coarse map.
        side
            Of a crop in pixels of the picture.
        shape
            (rows, columns) of the picture.
        """
        rows, columns = saliency.shape[-2:]
        window = tuple(
            max(1, round(side * cells / pixels)) for cells, pixels in zip((rows, columns), shape, strict=True)
        )
        left = saliency.clone()
        corners = []
        for _ in range(self.crops):
            means = functional.avg_pool2d(left, window, stride=1)
            place = means.flatten(1).argmax(dim=1)
            y, x = place // means.shape[-1], place % means.shape[-1]
            for sample, (first, second) in enumerate(zip(y.tolist(), x.tolist(), strict=True)):
                left[sample, :, first : first + window[0], second : second + window[1]] = 0
            centres = [
                (start + length / 2) * pixels / cells
                for start, length, pixels, cells in zip((y, x), window, shape, (rows, columns), strict=True)
            ]
            corners.append(
                torch.stack(
                    [
                        (centre - side / 2).round().clamp(0, pixels - side).long()
                        for centre, pixels in zip(centres, shape, strict=True)
                    ],
                    dim=1,
                )
            )
        return torch.stack(corners, dim=1)

    def cut(self, picture: Tensor, saliency: Tensor) -> Tensor:
        """Return crops (n, crops, 1, side, side) of pictures (n, 1, rows, columns)."""
        shape = (int(picture.shape[-2]), int(picture.shape[-1]))
        side = min(*shape, max(LEAST_CROP_PX, round(self.crop_share * max(shape))))
        corners = self.places(saliency, side, shape)
        return torch.stack(
            [
                torch.stack([image[:, y : y + side, x : x + side] for y, x in of_image])
                for image, of_image in zip(picture, corners.tolist(), strict=True)
            ]
        )

    def further_loss(self, labels: Tensor, weight: Tensor) -> Tensor:
        """Return the losses of the map and of the crops for the pictures of the last pass in training mode.

        Parameters
        ----------
        labels
            (n,): 1 malignant, 0 benign.
        weight
            Of malignant pictures.
        """
        if self._seen is None:
            return torch.zeros((), device=labels.device)
        saliency, probability, crop_logit = self._seen
        of_map = functional.binary_cross_entropy_with_logits(torch.logit(probability), labels, pos_weight=weight)
        of_crops = functional.binary_cross_entropy_with_logits(crop_logit, labels, pos_weight=weight)
        return of_map + of_crops + self.sparsity * saliency.mean()
