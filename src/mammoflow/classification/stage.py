"""The classification stage: one entry for each family of classifiers."""

from __future__ import annotations

from mammoflow.classification.efficientnet_stage import train_efficientnet
from mammoflow.classification.perceptron_stage import train_perceptron

__all__ = ["train_efficientnet", "train_perceptron"]
