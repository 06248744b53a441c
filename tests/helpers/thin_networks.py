"""Thin sizes of segmentation networks, so that contract tests train each of them in a second."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

MODELS = "mammoflow.segmentation.models"
ENCODERS = "mammoflow.segmentation.encoders"

HIERA = {"embed_dim": 16, "num_heads": 1, "stages": (1, 1, 2, 1), "global_att_blocks": (3,),
         "window_pos_embed_bkg_spatial_size": (7, 7)}  # fmt: skip

# What tests replace, by module and name. A member that is not here is tested with its own size.
THIN: dict[str, dict[str, Any]] = {
    f"{MODELS}.unet": {"BASE_WIDTHS": {"unet": 4, "unet_16": 2}},
    f"{MODELS}.unet_keras": {"BASE_WIDTHS": {"unet_keras": 4, "unet_keras_16": 2}},
    f"{MODELS}.setr": {"LAYOUTS": dict.fromkeys(("setr_large", "setr_small", "setr_tiny"), ((32, 2, 2, 32), 8))},
    f"{ENCODERS}.hiera": {"LAYOUTS": dict.fromkeys(("tiny", "small", "base_plus", "large"), HIERA)},
    f"{ENCODERS}.efficientnet_lite0": {"WIDTH": 0.1},
    f"{ENCODERS}.vgg16": {"LAYOUT": [8, "M", 8, "M", 8, "M", 8, "M", 8, "M"]},
    "mammoflow.segmentation.layers.receptive_fields": {"WIDTH": 8},
    "mammoflow.segmentation.networks.tiny_vit": {
        "WIDTHS": (8, 8, 16, 16), "DEPTHS": (1, 1, 1, 1), "HEADS": (1, 1, 2, 2), "EMBEDDING": 16
    },
    f"{ENCODERS}.tiny_vit": {"EMBEDDING": 16},
}  # fmt: skip


def make_thin(patch: pytest.MonkeyPatch) -> None:
    """Replace the sizes of all networks by thin ones."""
    for module, names in THIN.items():
        loaded = importlib.import_module(module)
        for name, value in names.items():
            patch.setattr(loaded, name, value)
