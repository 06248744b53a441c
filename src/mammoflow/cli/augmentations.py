"""The command that shows the random changes of training images: `augmentations`."""

from __future__ import annotations

from pathlib import Path

import click

from mammoflow.cli.group import main
from mammoflow.cli.options import file, input_folders


@main.command()
@input_folders("--images", "Folder of a shard of images; once for each shard.")
@click.option(
    "--image-id", default="", show_default=False, help="Training image; by default the one with the largest lesion."
)
@click.option("--architecture", default="unet_16", help="Automatic model whose preprocessing is used.")
@click.option("--side-px", default=256, type=click.IntRange(32, 4096), help="Longest side in the network's pixels.")
@click.option("--seed", default=0, type=click.IntRange(min=0), help="Seed of the changes.")
@click.option("--output", required=True, type=file(), help="PNG file to write.")
def augmentations(
    images: tuple[Path, ...], image_id: str, architecture: str, side_px: int, seed: int, output: Path
) -> None:
    """Draw each random change of training images on one film.

    The picture shows the outline of the reference, which moves with the image.
    """
    from mammoflow.errors import ConfigError
    from mammoflow.report.augmentations import draw_augmentations
    from mammoflow.run.console import say

    if output.suffix.lower() != ".png":
        raise ConfigError(f"--output: found {output}; expected a name that ends with .png")
    if output.exists():
        raise ConfigError(f"--output: {output} exists; expected a new file; nothing was changed")
    shown = draw_augmentations(list(images), output, image_id, side_px, seed, architecture)
    say(f"augmentations: {shown} -> {output}")
