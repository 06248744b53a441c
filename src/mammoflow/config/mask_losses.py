"""Losses of automatic segmentation by name.

A module of `segmentation/mask_losses` is a member of the family. Its top level holds `Options`, if it has any, and

    loss(logits: Tensor, targets: Tensor, options: Options) -> Tensor

which gives the mean loss of logits (N, 1, rows, columns) with targets of the same shape, 0 or 1.
"""

from __future__ import annotations

from mammoflow.config.members import Family

MASK_LOSSES = Family("mammoflow.segmentation.mask_losses", "loss")
