"""Masked crop: the lesion cut out along its mask, everything outside the mask black."""

from __future__ import annotations

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
        "predicted", description="Whose mask cuts out the lesion; reference is an oracle, and marked as such."
    )
    crop_margin: float = Field(
        0.1, ge=0, le=1, description="Margin of the crop on each side, as a share of the lesion's longer side."
    )


def read(options: Options, cases: Cases, files: Files, job: Job) -> Samples:
    """Cut out every lesion; one whose mask is empty or absent is shown as its annotated box, and counted."""
    import numpy as np

    from mammoflow.classification.cases import mask_paths, predicted_masks
    from mammoflow.classification.crops import files_of_lesions, masked_crop
    from mammoflow.classification.pictures import PictureSamples, prepare_pictures

    masks = mask_paths(cases, predicted_masks(files.masks), options.mask)
    items = list(enumerate(files_of_lesions(cases, masks)))
    fallback = np.zeros(len(items), dtype=np.bool_)

    def picture(item: tuple[int, LesionFiles]) -> npt.NDArray[np.uint16]:
        row, lesion = item
        crop, fallback[row] = masked_crop(lesion, options.crop_margin, options.image_px)
        return crop

    pictures = prepare_pictures(
        picture, items, options.image_px, job.cache / "pictures.npy", job.threads, "masked crops"
    )
    lesions = np.arange(len(cases.lesions))
    samples = PictureSamples(
        pictures,
        lesions,
        cases.labels,
        cases.lesions["split"].to_numpy(dtype=object),
        lesions,
        {"lesions_without_mask": int(fallback.sum()), "sees_reference_mask": options.mask == "reference"},
        options,
    )
    samples.rests_on_model = options.mask == "predicted"
    return samples
