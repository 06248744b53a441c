"""The classifiers of the default configuration."""

from __future__ import annotations

from typing import Any

DEFAULT_RUN = ("context_crop", "perceptron_frozen", "perceptron_decoder_tuned", "perceptron_all_tuned")
"""Classifiers that the default configuration trains; an overlay may name the others."""


def entries() -> dict[str, dict[str, Any]]:
    """Return the entries of `classification.classifiers` by name."""
    efficientnet = {"network": "efficientnet_b0", "epochs": 12, "dropout": 0.2}
    perceptron = {"input": "prompted", "network": "perceptron", "epochs": 15, "dropout": 0.3}
    return {
        "context_crop": {
            "title": "EfficientNet-Lite0 context crop", "input": "context_crop", "network": "efficientnet_lite0",
            "weights": "published", "epochs": 10, "learning_rate": 3e-4, "test_time_flips": "all",
            "input_options": {"image_px": 96, "centre": "box"},
        },
        "efficientnet_masked_crop": {**efficientnet, "title": "EfficientNet-B0 masked crop", "input": "masked_crop"},
        "efficientnet_whole_image": {**efficientnet, "title": "EfficientNet-B0 whole image", "input": "whole_image"},
        "efficientnet_whole_image_radiomics": {
            **efficientnet, "title": "EfficientNet-B0 whole image radiomics", "input": "whole_image",
            "vectors": ["radiomics"],
        },
        "perceptron_frozen": {**perceptron, "title": "Perceptron frozen", "input_options": {"tune": "none"}},
        "perceptron_decoder_tuned": {
            **perceptron, "title": "Perceptron decoder tuned", "input_options": {"tune": "decoder"},
        },
        "perceptron_all_tuned": {**perceptron, "title": "Perceptron all tuned", "input_options": {"tune": "all"}},
    }  # fmt: skip
