"""What every automatic model offers: a probability of lesion for each pixel of an image, without a prompt."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mammoflow.segmentation.precision import computing_in
from mammoflow.segmentation.protocol.network_input import NetworkInput
from mammoflow.segmentation.protocol.segmenter import Segmenter


class AutomaticModel(Segmenter):
    """A segmentation model that needs no prompt.

    `logits` is the differentiable core for training. `probability_maps` is what the stages use; a model that looks at
    an image in several parts overrides it. Images come on the network's grid (`NetworkInput.place`), so `preprocess`
    makes channels of levels and leaves rows and columns as they are.

    Attributes
    ----------
    input
        The grid on which the network sees an image.
    threshold
        Probability above which a pixel is lesion, as the training chose it on validation images.
    """

    input: NetworkInput = NetworkInput()
    threshold: float = 0.5

    @abstractmethod
    def logits(self, batch: Tensor) -> Tensor:
        """Return the lesion logits (images, 1, rows, columns) of inputs (images, channels, rows, columns).

        The inputs are on the model's device. Differentiable.
        """

    def training_logits(self, batch: Tensor) -> list[Tensor]:
        """Return the logits of all outputs that are trained, each (images, 1, rows, columns); the last is `logits`.

        A network with side outputs overrides it.
        """
        return [self.logits(batch)]

    @torch.inference_mode()
    def probability_maps(self, images: Sequence[npt.NDArray[np.uint16]]) -> list[npt.NDArray[np.float32]]:
        """Return the probability of lesion (height, width) for each image on the network's grid.

        The images have one height and width; those in colours are (height, width, 3).
        """
        self.network.eval()
        batch = torch.stack([self.preprocess(image) for image in images]).to(self.device)
        with computing_in(self.precision, self.device):
            logits = self.logits(batch)
        maps = []
        for image, image_logits in zip(images, logits.float(), strict=True):
            enlarged = self.upscale(image_logits[None], (image.shape[0], image.shape[1]))
            maps.append(enlarged[0, 0].sigmoid().cpu().numpy())
        return maps
