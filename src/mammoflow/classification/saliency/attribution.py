"""Saliency maps of a classifier of pictures, by captum: what speaks for malignancy, and where it is."""

from __future__ import annotations

from collections.abc import Callable

import torch
from captum.attr import IntegratedGradients, LayerGradCam
from torch import Tensor, nn
from torch.nn.functional import interpolate

from mammoflow.classification.classifier import Classifier
from mammoflow.classification.learner import FLIPPED_AXES
from mammoflow.classification.network import Network
from mammoflow.config.classification import TestTimeFlips
from mammoflow.config.saliency import SaliencyMethod
from mammoflow.errors import ConfigError

Forward = Callable[[Tensor], Tensor]


def saliency_maps(
    classifier: Classifier, pictures: Tensor, method: SaliencyMethod, flips: TestTimeFlips, steps: int
) -> Tensor:
    """Return what speaks for malignancy at each pixel.

    `grad_cam`: the channels of the last feature map, weighted by the mean gradient of the logit (Selvaraju et al., ICCV
    2017), enlarged bilinearly. `integrated_gradients`: gradients summed on the way from the level at which the input of
    the network is 0 (Sundararajan et al., ICML 2017), added over the channels. Where predictions are averages over
    flips, so are maps. What speaks against malignancy is 0. Feature vectors are at their training mean, and covariates
    at 0, as those of a lesion of which nothing is known.

    Parameters
    ----------
    classifier
        In evaluation mode.
    pictures
        (n, 1 or 3, side, side) in 0 to 1, on the classifier's device.
    method
        How the maps are made.
    flips
        Flips over which predictions are averaged.
    steps
        Steps of integrated gradients.

    Returns
    -------
    Tensor
        (n, side, side) float32, not negative.

    Raises
    ------
    ConfigError
        If Grad-CAM is asked of a network without a feature map of more than one pixel.
    """
    forward = _forward(classifier, len(pictures))
    if method == "grad_cam":
        grad_cam = LayerGradCam(forward, last_feature_map(classifier.network, forward, pictures[:1]))

        def attribute(shown: Tensor) -> Tensor:
            return grad_cam.attribute(shown)[:, 0]  # type: ignore[no-any-return]
    else:
        gradients = IntegratedGradients(forward)
        levels = classifier.mean if len(classifier.mean) == pictures.shape[1] else classifier.mean.mean(0, keepdim=True)
        mean = levels.expand_as(pictures[:1])

        def attribute(shown: Tensor) -> Tensor:
            parts = gradients.attribute(shown, mean, n_steps=steps, internal_batch_size=len(shown))
            return parts.sum(dim=1)  # type: ignore[no-any-return]

    signed = [attribute(pictures.flip(axes)).flip(axes) for axes in FLIPPED_AXES[flips]]
    positive = torch.stack(signed).mean(dim=0).detach().float().clamp(min=0)
    return interpolate(positive[:, None], pictures.shape[-2:], mode="bilinear")[:, 0]


def _forward(classifier: Classifier, most: int) -> Forward:
    """Return the logits of pictures as a function.

    Feature vectors are at their mean, which is 0 because they are standardised. Covariates are 0, which is unknown.
    """
    first = next(layer for layer in classifier.head if isinstance(layer, nn.Linear))
    vectors = torch.zeros(most, first.in_features - classifier.network.width, device=classifier.mean.device)

    def forward(pictures: Tensor) -> Tensor:
        joined = vectors[:1].expand(len(pictures), -1) if vectors.shape[1] else None
        logits: Tensor = classifier({"picture": pictures}, joined)
        return logits

    return forward


def last_feature_map(network: Network, forward: Forward, picture: Tensor) -> nn.Module:
    """Return the module of a network whose output is its last feature map of more than one pixel.

    Parameters
    ----------
    network
        The network; if it names its `feature_map`, that module is taken.
    forward
        Runs the network on a picture.
    picture
        (1, channels, side, side).

    Raises
    ------
    ConfigError
        If no module of the network has such an output.
    """
    found: list[nn.Module] = []

    def look(module: nn.Module, _inputs: object, output: object) -> None:
        if not isinstance(output, Tensor) or output.ndim != 4 or min(output.shape[2:]) < 2:
            return
        if len(output) == len(picture):  # a map of several crops of a picture has a row for each crop
            found.append(module)

    modules = network.modules() if network.feature_map is None else (network.feature_map,)
    hooks = [module.register_forward_hook(look) for module in modules]
    try:
        with torch.no_grad():
            forward(picture)
    finally:
        for hook in hooks:
            hook.remove()
    if not found:
        raise ConfigError(
            f"{type(network).__name__} has no feature map of more than one pixel; expected one for Grad-CAM; set "
            "saliency.methods to [integrated_gradients], or take larger pictures"
        )
    return found[-1]
