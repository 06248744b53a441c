"""A picture of the random changes of training images: each one on the same film, with the outline of its reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mammoflow.config.architectures import architecture
from mammoflow.config.augmentation import AUGMENTATIONS, AugmentationName
from mammoflow.errors import ConfigError, StudyError
from mammoflow.evaluation.drawing import drawing, put_title
from mammoflow.imaging.geometry import Mask
from mammoflow.segmentation.automatic.augmentation import Channels, augment
from mammoflow.segmentation.automatic.copy_paste import paste_lesion
from mammoflow.segmentation.automatic.samples import TrainingImages, read_training_images
from mammoflow.segmentation.protocol.network_input import NetworkInput

COLUMNS = 4
OUTLINE = "#E69F00"

DRAWS = 8
"""Draws of each change, of which the one that changes the most is shown."""

ON_BATCHES = ("cutmix",)
"""Changes that mix images of a batch."""


def draw_augmentations(folders: list[Path], output: Path, image_id: str, side_px: int, seed: int, network: str) -> str:
    """Draw a training image as it is, and with each change alone, a strong one; the last ones need a second image.

    Parameters
    ----------
    folders
        Folders of image-stage shards.
    output
        The PNG file.
    image_id
        The image; "" takes the training image with the largest lesion.
    side_px
        Longest side of the image in the network's pixels.
    seed
        Of the changes.
    network
        Automatic architecture whose preprocessing is used.

    Returns
    -------
    str
        The id of the image.

    Raises
    ------
    ConfigError
        If the architecture needs prompts.
    StudyError
        If the image is no training image with a complete reference and a lesion.
    """
    images = read_training_images(folders)
    row = _row(images, image_id)
    others = [int(other) for other in images.with_lesions("train") if int(other) != row]
    shown, other = (_prepared(images, each, side_px, network) for each in (row, others[0] if others else row))
    panels = {"as it is": shown}
    for name in AUGMENTATIONS:
        panels[name] = _mixed(shown, other) if name in ON_BATCHES else _changed(shown, name, [seed, len(panels)])
    pasted = [paste_lesion(*shown, *other, np.random.default_rng([seed, draw])) for draw in range(DRAWS)]
    panels["copy-paste"] = max(pasted, key=lambda draw: int(np.count_nonzero(draw[1])))  # a place may not be found
    _draw(output, panels, images.phantom)
    return str(images.images.iloc[row]["image_id"])


def _row(images: TrainingImages, image_id: str) -> int:
    """Return the row of an image, or of that with the largest lesion."""
    rows = images.with_lesions("train")
    if image_id:
        named = [int(row) for row in rows if images.images.iloc[row]["image_id"] == image_id]
        if not named:
            raise StudyError(
                f"{image_id} is no training image with a lesion and all its masks; expected one, such as "
                f"{images.images.iloc[rows[0]]['image_id']}"
            )
        return named[0]
    areas = [max((y1 - y0) * (x1 - x0) for y0, x0, y1, x1 in images.images.iloc[row]["boxes"]) for row in rows]
    return int(rows[int(np.argmax(areas))])


def _prepared(images: TrainingImages, row: int, side_px: int, network: str) -> tuple[Channels, Mask]:
    """Return an image as an automatic network sees it, and its reference."""
    import torch

    from mammoflow.segmentation.loading import build_model
    from mammoflow.segmentation.protocol.automatic import AutomaticModel

    model = None if architecture(network).prompted else build_model(network, None, "random", torch.device("cpu"))
    if not isinstance(model, AutomaticModel):
        raise ConfigError(f"--architecture: {network} needs prompts; expected an automatic one, such as unet_16")
    grey, lesions = images.read(row, NetworkInput(side_px))
    return model.preprocess(grey).numpy(), lesions


def _changed(shown: tuple[Channels, Mask], name: AugmentationName, seed: list[int]) -> tuple[Channels, Mask]:
    """Return the draw of a change that changes the image the most."""
    draws = [augment(shown[0], [shown[1]], np.random.default_rng([*seed, draw]), [name]) for draw in range(DRAWS)]
    channels, (mask,) = max(draws, key=lambda draw: float(np.abs(draw[0] - shown[0]).mean()))
    return channels, mask


def _mixed(shown: tuple[Channels, Mask], other: tuple[Channels, Mask]) -> tuple[Channels, Mask]:
    """Return an image with a rectangle of another one."""
    import torch

    from mammoflow.training.views import Mix

    pictures = torch.from_numpy(np.stack([shown[0], other[0]]))
    masks = torch.from_numpy(np.stack([shown[1], other[1]])[:, None].astype(np.float32))
    generator = torch.Generator().manual_seed(0)
    mix = Mix.drawn(masks, generator)
    swapped = Mix(mix.inside, torch.tensor([1, 0]))
    return swapped(pictures)[0].numpy(), swapped(masks)[0, 0].numpy() > 0.5


def _draw(output: Path, panels: dict[str, tuple[Channels, Mask]], phantom: bool) -> None:
    rows = -(-len(panels) // COLUMNS)
    with drawing(output, 1.75 * rows + 0.5) as figure:
        put_title(figure, "Changes of training images, with the outline of the reference", phantom)
        axes = np.atleast_1d(figure.subplots(rows, COLUMNS)).ravel()
        for each in axes:
            each.set_axis_off()
        low, high = (float(value) for value in np.percentile(panels["as it is"][0], [1, 99.8]))
        for each, (name, (channels, mask)) in zip(axes, panels.items(), strict=False):
            levels = np.where(channels[0] == 0, low, channels[0])  # background is black
            each.imshow(levels, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
            if mask.any():
                each.contour(mask, levels=[0.5], colors=OUTLINE, linewidths=0.9)
            each.set_title(name, fontsize=8.5, loc="left")
