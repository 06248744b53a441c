"""Published weights of VGG-16 for ImageNet, which classifiers and segmentation models share."""

from __future__ import annotations

from mammoflow.config.weights import WeightsSource

# The publisher gives no checksum beside the digits in the file's name, which are the first of the SHA-256.
VGG16 = WeightsSource(
    "vgg16-397923af.pth",
    "https://download.pytorch.org/models/vgg16-397923af.pth",
    "https://github.com/pytorch/vision",
    "",
    "BSD-3-Clause",
    "VGG-16, ImageNet",
)
