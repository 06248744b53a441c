"""Prompts of several lesions through a promptable model at once, differentiable, and the loss and Dice of its masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mammoflow.config.prompts import PromptKind
from mammoflow.config.tuning import TuneSettings
from mammoflow.segmentation.embedding.network_square import SQUARE, SquarePlace, place_in_square
from mammoflow.segmentation.embedding.training_sources import BoundedCache, EmbeddingSource, EncoderSource
from mammoflow.segmentation.losses import mask_iou, segmentation_loss
from mammoflow.segmentation.protocol.prediction import Embedding, Prediction
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.prompts import Prompts
from mammoflow.segmentation.tuning.lesions import DrawnPrompts, TuningLesions, draw_prompts, exact_prompts
from mammoflow.training.batching import Rows


class Decoding:
    """Decodes lesions by row; images of any size go together, as boxes are given in the model's square.

    Parameters
    ----------
    model
        The model that is tuned.
    data
        Its lesions.
    source
        Of embeddings: stored ones, or computed ones where the encoder is trained.
    settings
        Prompts, passes, heads and loss.
    """

    def __init__(
        self,
        model: PromptableModel,
        data: TuningLesions,
        source: EmbeddingSource | EncoderSource,
        settings: TuneSettings,
    ) -> None:
        self.model, self.data, self.source, self.settings = model, data, source, settings
        self.image_of: Rows = data.lesions["image_index"].to_numpy(dtype=np.intp)
        sizes = [data.size(image) for image in range(len(data.images))]
        place_of = {size: place_in_square(model, size) for size in sorted(set(sizes))}
        self.places: list[SquarePlace] = [place_of[size] for size in sizes]
        self.targets: dict[tuple[int, int], BoundedCache[npt.NDArray[np.uint8]]] = {}

    def loss(self, rows: Rows, epoch: int, kind: PromptKind) -> Tensor:
        """Return the training loss of some lesions, averaged over their prompts and passes.

        What is drawn for a lesion follows from seed, epoch and row alone: neither batch nor a resumed run change it.
        """
        drawn = [
            draw_prompts(self.data, int(row), kind, self.settings, self._generator(epoch, int(row))) for row in rows
        ]
        prompts = self._prompts(rows, drawn)
        embedding = self._embedding(rows, self.settings.prompts)
        several = {"single": [False], "three": [True], "both": [False, True]}[self.settings.heads]
        losses = [self._passes(rows, embedding, prompts, heads) for heads in several]
        return torch.stack(losses).mean()

    def _generator(self, epoch: int, row: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, epoch, row])

    def _passes(self, rows: Rows, embedding: Embedding, prompts: Prompts, several: bool) -> Tensor:
        """Decode the prompts once, then again with the best mask of the pass before, and return the mean loss."""
        losses, logits = [], None
        for _ in range(self.settings.iterations):
            asked = Prompts(prompts.boxes, prompts.points, prompts.labels, logits, several)
            prediction = self.model.predict(embedding, asked, (SQUARE, SQUARE))
            targets = self._targets(rows, prediction.low_res_logits)
            losses.append(
                segmentation_loss(prediction.low_res_logits, prediction.predicted_iou, targets, self.settings.iou_loss)
            )
            logits = best_mask(prediction).detach()
        return torch.stack(losses).mean()

    @torch.no_grad()
    def dice(self, rows: Rows, margin_mm: float) -> npt.NDArray[np.float64]:
        """Return the Dice (n,) of the first pass for the exact prompt, on each lesion's canonical grid.

        The prompt has the first kind of the settings: the box with a margin, the deepest point, or both.
        """
        kind = self.settings.kinds[0]
        prompts = self._prompts(rows, [exact_prompts(self.data, int(row), kind, margin_mm) for row in rows])
        asked = replace(prompts, several_masks=self.settings.heads == "three")
        prediction = self.model.predict(self._embedding(rows, 1), asked, (SQUARE, SQUARE))
        logits = best_mask(prediction).float()
        dice = []
        for place, row in enumerate(rows):
            mask = self.data.mask(int(row))
            canonical = self.model.upscale(logits[place : place + 1], (mask.shape[0], mask.shape[1]))
            iou = float(mask_iou(canonical, torch.from_numpy(mask).to(canonical.device).float()[None, None]))
            dice.append(2 * iou / (1 + iou))
        return np.array(dice)

    def _prompts(self, rows: Rows, drawn: Sequence[DrawnPrompts]) -> Prompts:
        """Bring the prompts of some lesions, each with as many, into the model's square."""
        places = [self.places[self.image_of[row]] for row in rows]
        boxes = points = labels = None
        if drawn[0].boxes is not None:
            in_square = [
                place.boxes(np.asarray(prompts.boxes, dtype=np.float32))
                for place, prompts in zip(places, drawn, strict=True)
            ]
            boxes = np.concatenate(in_square) * SQUARE
        if drawn[0].points is not None:
            in_square = [
                place.points(np.asarray(prompts.points, dtype=np.float32))
                for place, prompts in zip(places, drawn, strict=True)
            ]
            points = np.concatenate(in_square) * SQUARE
            labels = np.concatenate([prompts.labels for prompts in drawn if prompts.labels is not None])
        return Prompts.of(boxes, points, labels).to(self.model.device)

    def _embedding(self, rows: Rows, prompts: int) -> Embedding:
        """Return one embedding for each prompt; each image is encoded once."""
        images, place = np.unique(self.image_of[rows], return_inverse=True)
        once = self.source.embed(images)
        where = torch.from_numpy(np.repeat(place, prompts)).to(self.model.device)
        return {name: tensor[where] for name, tensor in once.items()}

    def _targets(self, rows: Rows, logits: Tensor) -> Tensor:
        """Return the references (N, 1, rows, columns) of N prompts in 0..1 on the decoder's grid."""
        grid = int(logits.shape[-2]), int(logits.shape[-1])
        if grid not in self.targets:

            def load(row: int) -> npt.NDArray[np.uint8]:
                place: SquarePlace = self.places[self.image_of[row]]
                return place.coverage(self.data.mask(row), *grid)

            self.targets[grid] = BoundedCache(load, lambda array: array.nbytes, limit=500_000_000)
        levels = np.stack([self.targets[grid].get(int(row)) for row in rows])
        tensor = torch.from_numpy(levels).to(logits.device).float()[:, None] / 255
        return tensor.repeat_interleave(len(logits) // len(rows), dim=0)


def best_mask(prediction: Prediction) -> Tensor:
    """Return the mask logits (N, 1, rows, columns) of the head with the best predicted IoU."""
    best = prediction.predicted_iou.argmax(dim=1)
    place = torch.arange(len(best), device=best.device)
    return prediction.low_res_logits[place, best][:, None]
