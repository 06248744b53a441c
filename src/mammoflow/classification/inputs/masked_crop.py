"""Masked crop: the lesion cut out along its mask, everything outside the mask black."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from mammoflow.config.pictures import PictureOptions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mammoflow.classification.cases import Cases
    from mammoflow.classification.crops import LesionFiles
    from mammoflow.classification.samples import Files, Job, Samples

NEEDS = ("images", "masks")
GIVES = "picture"


class Options(PictureOptions):
    """Options of the input `masked_crop`."""

    mask: Literal["predicted", "reference"] = Field(
        "predicted", description="Mask along which the lesion is cut out; reference is an oracle and is marked as such."
    )
    crop_margin: float = Field(
        0.1, ge=0, le=1, description="Margin of the crop on each side, as a share of the lesion's longer side."
    )
    padding_px: int | None = Field(
        None,
        ge=0,
        le=500,
        description="Margin in canonical pixels on each side, in place of crop_margin; null uses crop_margin.",
    )
    least_dice: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Leave lesions whose predicted mask has a Dice of this or less with the reference out of "
        "training and prediction. This is an oracle and is marked as such. null keeps all.",
    )


def read(options: Options, cases: Cases, files: Files, job: Job) -> Samples:
    """Cut out every lesion; one whose mask is empty or absent is shown as its annotated box, and counted."""
    import numpy as np

    from mammoflow.classification.cases import mask_paths, predicted_masks
    from mammoflow.classification.crops import files_of_lesions, mask_dice, masked_crop
    from mammoflow.classification.pictures import PictureSamples, prepare_pictures

    masks_of_model = predicted_masks(files.masks)
    masks = mask_paths(cases, masks_of_model, options.mask)
    items = list(enumerate(files_of_lesions(cases, masks)))
    fallback = np.zeros(len(items), dtype=np.bool_)

    def picture(item: tuple[int, LesionFiles]) -> npt.NDArray[np.uint16]:
        row, lesion = item
        crop, fallback[row] = masked_crop(lesion, options.crop_margin, options.image_px, options.padding_px)
        return crop

    pictures = prepare_pictures(
        picture, items, options.image_px, job.cache / "pictures.npy", job.threads, "masked crops"
    )
    lesions = np.arange(len(cases.lesions))
    oracle = options.mask == "reference" or options.least_dice is not None
    samples = PictureSamples(
        pictures,
        lesions,
        cases.labels,
        cases.lesions["split"].to_numpy(dtype=object),
        lesions,
        {"lesions_without_mask": int(fallback.sum()), "sees_reference_mask": oracle},
        options,
    )
    samples.rests_on_model = options.mask == "predicted"
    if options.least_dice is not None:
        dice = mask_dice(mask_paths(cases, masks_of_model, "predicted"), mask_paths(cases, masks_of_model, "reference"))
        samples.usable = dice > options.least_dice
        samples.notes["lesions_left_out_by_dice"] = int((~samples.usable).sum())
    return samples


def masks_on_pictures(
    options: Options, cases: Cases, files: Files, lesions: Sequence[Path]
) -> Iterator[npt.NDArray[np.float32]]:
    """Yield which share of each pixel of its crop every lesion's mask covers."""
    from mammoflow.classification.cases import mask_paths, predicted_masks
    from mammoflow.classification.crops import cover_of_crop, files_of_lesions

    masks = mask_paths(cases, predicted_masks(files.masks), options.mask)
    for crop, lesion in zip(files_of_lesions(cases, masks), lesions, strict=True):
        yield cover_of_crop(crop, lesion, options.crop_margin, options.image_px, options.padding_px)
