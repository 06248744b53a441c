"""Prompts as tensors: boxes, points and masks of an earlier iteration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


@dataclass(frozen=True)
class Prompts:
    """N prompts of one kind, for one decoding; each has the same parts as the others.

    Boxes and points go to a network as its upstream predictor takes them: scaled with the image, and no more.

    Attributes
    ----------
    boxes
        (N, 4): x0, y0, x1, y1 in canonical pixels, half-open; None for prompts without a box.
    points
        (N, P, 2): x, y in canonical pixels; None for prompts without points.
    labels
        (N, P): 1 where a point lies on the lesion, 0 where it does not, -1 where it only fills the row up. A network
        sees a filled place as "not a point"; that is not quite what it sees of a shorter row, so a row is better not
        filled where the numbers shall be upstream's.
    mask_logits
        (N, 1, rows, columns): low-resolution logits of an earlier iteration.
    several_masks
        Ask for the three heads for ambiguous prompts instead of the single one.

    Raises
    ------
    ValueError
        If there is no part at all, points lack labels, or the parts differ in length.
    """

    boxes: Tensor | None = None
    points: Tensor | None = None
    labels: Tensor | None = None
    mask_logits: Tensor | None = None
    several_masks: bool = False

    def __post_init__(self) -> None:
        """Refuse parts that do not belong together."""
        if (self.points is None) != (self.labels is None):
            raise ValueError("points and labels of a prompt come together; found one without the other")
        lengths = {len(tensor) for tensor in self._parts() if tensor is not None}
        if len(lengths) != 1:
            raise ValueError(f"parts of {sorted(lengths)} prompts, expected at least one part, all of one length")

    @classmethod
    def of(
        cls,
        boxes: npt.NDArray[np.floating] | None = None,
        points: npt.NDArray[np.floating] | None = None,
        labels: npt.NDArray[np.integer] | None = None,
        mask_logits: npt.NDArray[np.float32] | None = None,
        several_masks: bool = False,
    ) -> Prompts:
        """Make prompts from arrays."""

        def tensor(array: npt.NDArray[np.generic] | None, kind: torch.dtype) -> Tensor | None:
            return None if array is None else torch.as_tensor(array, dtype=kind)

        return cls(
            tensor(boxes, torch.float32),
            tensor(points, torch.float32),
            tensor(labels, torch.int32),
            tensor(mask_logits, torch.float32),
            several_masks,
        )

    def _parts(self) -> tuple[Tensor | None, ...]:
        return self.boxes, self.points, self.labels, self.mask_logits

    def __len__(self) -> int:
        """Return N."""
        return next(len(tensor) for tensor in self._parts() if tensor is not None)

    def to(self, device: torch.device) -> Prompts:
        """Return the prompts on a device."""
        boxes, points, labels, logits = (None if tensor is None else tensor.to(device) for tensor in self._parts())
        return Prompts(boxes, points, labels, logits, self.several_masks)
