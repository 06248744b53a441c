"""Whole image: the breast, cut to its region and padded to a square."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from mammoflow.config.pictures import PictureOptions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mammoflow.classification.cases import Cases
    from mammoflow.classification.samples import Files, Job, Samples

NEEDS = ("images",)
GIVES = "picture"
SEES_IMAGES = True
"""A sample is an image where no feature vectors tell its lesions apart, so the classes of images can be learned."""


class Options(PictureOptions):
    """Options of the input `whole_image`."""

    mask_overlay: Literal["none", "predicted", "reference"] = Field(
        "none",
        description="Mask that is drawn over the image in red. predicted is that of segmentation.default_model: of an "
        "automatic model everything above the threshold, of a promptable one the masks of the prompted lesions. "
        "reference is an oracle and is marked as such.",
    )
    colour: Literal["grey", "rgb"] = Field(
        "grey",
        description="What the network sees of pictures whose colours differ: their grey levels, or red, green and blue "
        "(rgb), for which images.colour is keep. A picture without colours is grey in three equal channels.",
    )

    @model_validator(mode="after")
    def check_overlay_on_colours(self) -> Self:
        """Refuse a red mask over colours."""
        if self.colour == "rgb" and self.mask_overlay != "none":
            raise ValueError(
                f"mask_overlay is {self.mask_overlay} and colour is rgb, but a red mask would look like red tissue; "
                "expected mask_overlay: none or colour: grey"
            )
        return self


def needs(options: Options) -> tuple[str, ...]:
    """Return what the input reads: masks where predicted ones are drawn."""
    return ("images", "masks") if options.mask_overlay == "predicted" else NEEDS


def read(options: Options, cases: Cases, files: Files, job: Job) -> Samples:
    """Prepare the breast of each image.

    Each image is one sample, malignant if any of its lesions is, and a lesion gets the probability of its image. Where
    every lesion must be a sample of its own, lesions of one image share its picture.
    """
    import numpy as np

    from mammoflow.classification.pictures import PictureSamples, prepare_pictures

    items = [
        (Path(row["folder"]) / row["image_file"], Path(row["folder"]) / row["breast_file"])
        for row in cases.images.to_dict("records")
    ]
    prepared = (options.image_px, job.cache / "pictures.npy", job.threads, "breast pictures")
    notes: dict[str, object] = {}
    kind: type[PictureSamples]
    if options.colour == "rgb":
        from mammoflow.classification.colours import COLOURS, ColourSamples
        from mammoflow.imaging.kept_colours import FILE, check_colours

        check_colours(cases.images, "the input whole_image")
        rows = cases.images.to_dict("records")
        pictures = prepare_pictures(
            lambda row: colour_picture(row, options.image_px), rows, *prepared, channels=COLOURS
        )
        kind = ColourSamples
        notes = {"images_in_colour": int(cases.images[FILE].notna().sum())}
    elif options.mask_overlay == "none":
        pictures = prepare_pictures(lambda item: breast_picture(*item, options.image_px), items, *prepared)
        kind = PictureSamples
    else:
        from mammoflow.classification.overlays import OverlaidSamples, image_masks

        masks, without = image_masks(cases, files.masks, options.mask_overlay), np.zeros(len(items), dtype=np.bool_)

        def overlaid(item: tuple[int, tuple[Path, Path]]) -> npt.NDArray[np.uint16]:
            row, shown = item
            mask = masks.read(row)
            without[row] = mask is None or not mask.any()
            return np.stack([breast_picture(*shown, options.image_px), mask_picture(mask, shown[1], options.image_px)])

        pictures, kind = prepare_pictures(overlaid, list(enumerate(items)), *prepared, channels=2), OverlaidSamples
        notes = {"overlay": masks.origin, "images_without_overlay": int(without.sum())}
        notes["sees_reference_mask"] = masks.origin == "reference"
    image_of = cases.lesions["image_index"].to_numpy(dtype=np.intp)
    lesions, images = np.arange(len(cases.lesions)), np.arange(len(cases.images))
    table, labels, picture_of, sample_of = (
        (cases.lesions, cases.labels, image_of, lesions)
        if job.each_lesion
        else (cases.images, cases.image_labels, images, image_of)
    )
    split = table["split"].to_numpy(dtype=object)
    samples = kind(pictures, picture_of, labels, split, sample_of, {"samples": len(labels), **notes}, options)
    samples.rests_on_model = options.mask_overlay == "predicted"
    return samples


def mask_picture(mask: npt.NDArray[np.bool_] | None, breast_file: Path, side: int) -> npt.NDArray[np.uint16]:
    """Return which share of each pixel (side, side) of `breast_picture` a mask covers; 65535 is all of it."""
    import numpy as np

    from mammoflow.classification.pictures import WHITE, as_grey, cut, resize
    from mammoflow.storage.files import read_mask

    if mask is None:
        return np.zeros((side, side), dtype=np.uint16)
    square = square_around(read_mask(breast_file))
    return as_grey(WHITE * resize(cut(mask.astype(np.float32), *square), side))


def breast_picture(image_file: Path, breast_file: Path, side: int) -> npt.NDArray[np.uint16]:
    """Return the breast of a canonical image (side, side), cut to its region, padded to a square, 0 outside."""
    from mammoflow.storage.files import read_image, read_mask

    return _on_square(read_image(image_file), read_mask(breast_file), side)


def colour_picture(row: Mapping[Any, Any], side: int) -> npt.NDArray[np.uint16]:
    """Return the picture of an image (3, side, side), cut as `breast_picture` does; grey in all three without colours.

    Parameters
    ----------
    row
        Row of CANONICAL_IMAGES with `folder`.
    side
        Side in pixels.

    Raises
    ------
    StudyError
        If the image stage did not keep colours.
    """
    import numpy as np

    from mammoflow.imaging.kept_colours import read_colours
    from mammoflow.storage.files import read_image, read_mask

    folder = Path(row["folder"])
    colours, breast = read_colours(folder, row), read_mask(folder / row["breast_file"])
    if colours is None:
        return np.stack([_on_square(read_image(folder / row["image_file"]), breast, side)] * 3)
    return np.stack([_on_square(plane, breast, side) for plane in np.moveaxis(colours, -1, 0)])


def _on_square(levels: npt.NDArray[np.generic], breast: npt.NDArray[np.bool_], side: int) -> npt.NDArray[np.uint16]:
    """Return the levels (side, side) of the square around a region, 0 outside the region."""
    import numpy as np

    from mammoflow.classification.pictures import as_grey, cut, resize

    shown = breast if breast.any() else np.ones_like(breast)
    return as_grey(resize(cut(np.where(shown, levels, 0), *square_around(shown)), side))


def square_around(breast: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return y0, x0, y1, x1 of the square around a region, or around the image where the region is empty."""
    import numpy as np

    shown = breast if breast.any() else np.ones_like(breast)
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    length = max(y1 - y0, x1 - x0)
    top, left = y0 - (length - (y1 - y0)) // 2, x0 - (length - (x1 - x0)) // 2
    return top, left, top + length, left + length


def masks_on_pictures(
    options: Options, cases: Cases, files: Files, lesions: Sequence[Path]
) -> Iterator[npt.NDArray[np.float32]]:
    """Yield which share of each pixel of the picture of its image every lesion's mask covers."""
    import numpy as np

    from mammoflow.classification.pictures import cut, resize
    from mammoflow.storage.files import read_mask

    shown = cases.images.iloc[cases.lesions["image_index"]]
    for folder, breast_file, lesion in zip(shown["folder"], shown["breast_file"], lesions, strict=True):
        square = square_around(read_mask(Path(folder) / breast_file))
        yield resize(cut(read_mask(lesion).astype(np.float32), *square), options.image_px)
