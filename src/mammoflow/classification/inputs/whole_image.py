"""Whole image: the breast, cut to its region and padded to a square."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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


def read(options: Options, cases: Cases, files: Files, job: Job) -> Samples:
    """Prepare the breast of each image.

    Each image is one sample, malignant if any of its lesions is, and a lesion gets the probability of its image. Where
    every lesion must be a sample of its own, lesions of one image share its picture.
    """
    import numpy as np

    from mammoflow.classification.pictures import PictureSamples, prepare_pictures

    pictures = prepare_pictures(
        lambda item: breast_picture(*item, options.image_px),
        [
            (Path(row["folder"]) / row["image_file"], Path(row["folder"]) / row["breast_file"])
            for row in cases.images.to_dict("records")
        ],
        options.image_px,
        job.cache / "pictures.npy",
        job.threads,
        "breast pictures",
    )
    image_of = cases.lesions["image_index"].to_numpy(dtype=np.intp)
    lesions, images = np.arange(len(cases.lesions)), np.arange(len(cases.images))
    table, labels, picture_of, sample_of = (
        (cases.lesions, cases.labels, image_of, lesions)
        if job.each_lesion
        else (cases.images, cases.image_labels, images, image_of)
    )
    return PictureSamples(
        pictures,
        picture_of,
        labels,
        table["split"].to_numpy(dtype=object),
        sample_of,
        {"samples": len(labels)},
        options,
    )


def breast_picture(image_file: Path, breast_file: Path, side: int) -> npt.NDArray[np.uint16]:
    """Return the breast of a canonical image (side, side), cut to its region, padded to a square, 0 outside."""
    import numpy as np

    from mammoflow.classification.pictures import as_grey, cut, resize
    from mammoflow.storage.files import read_image, read_mask

    image, breast = read_image(image_file), read_mask(breast_file)
    if not breast.any():
        breast = np.ones(image.shape, dtype=np.bool_)
    return as_grey(resize(cut(np.where(breast, image, 0), *square_around(breast)), side))


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
