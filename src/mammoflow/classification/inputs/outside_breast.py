"""A leak probe: everything of the image except the breast, such as labels, tape and borders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from mammoflow.config.pictures import PictureOptions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mammoflow.classification.cases import Cases
    from mammoflow.classification.samples import Files, Job, Samples

NEEDS = ("images",)
GIVES = "picture"


class Options(PictureOptions):
    """Options of the input `outside_breast`."""

    grow_mm: float = Field(
        5.0, ge=0, le=50, description="The blanked region is the breast, enlarged by this number of millimetres."
    )


def read(options: Options, cases: Cases, files: Files, job: Job) -> Samples:
    """Prepare what each image shows outside the breast; each lesion gets the probability of its image.

    The whole canonical image is padded to a square and the grown breast region is 0. An AUC away from 0.5 says that
    labels, tape, borders, the size of the film or, on a background that is not black, the outline of the breast tell
    the classes apart.
    """
    import numpy as np

    from mammoflow.classification.pictures import PictureSamples, prepare_pictures

    columns = ["folder", "image_file", "breast_file", "row_spacing_mm", "column_spacing_mm"]
    pictures = prepare_pictures(
        lambda row: border_picture(
            Path(row[0]) / row[1], Path(row[0]) / row[2], options.grow_mm / row[3], options.grow_mm / row[4], options
        ),
        list(cases.images[columns].itertuples(index=False, name=None)),
        options.image_px,
        job.cache / "pictures.npy",
        job.threads,
        "pictures outside the breast",
    )
    image_of = cases.lesions["image_index"].to_numpy(dtype=np.intp)
    everything = np.arange(len(cases.lesions))
    return PictureSamples(
        pictures,
        image_of,
        cases.labels,
        cases.lesions["split"].to_numpy(dtype=object),
        everything,
        {"samples": len(everything)},
        options,
    )


def border_picture(
    image_file: Path, breast_file: Path, grow_rows: float, grow_columns: float, options: Options
) -> npt.NDArray[np.uint16]:
    """Return a canonical image (side, side), padded to a square, 0 in the breast grown by some rows and columns."""
    import cv2
    import numpy as np

    from mammoflow.classification.pictures import as_grey, cut, resize
    from mammoflow.storage.files import read_image, read_mask

    image, breast = read_image(image_file), read_mask(breast_file)
    reach = round(grow_columns), round(grow_rows)
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach[0] + 1, 2 * reach[1] + 1))
    grown = cv2.dilate(breast.astype(np.uint8), element) > 0
    side = max(image.shape)
    return as_grey(resize(cut(np.where(grown, 0, image), 0, 0, side, side), options.image_px))
