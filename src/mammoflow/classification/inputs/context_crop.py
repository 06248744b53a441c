"""Context crop: a square of fixed size in millimetres around the lesion, standardised in grey level, nothing masked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mammoflow.config.pictures import ContextCropOptions as Options

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mammoflow.classification.cases import Cases
    from mammoflow.classification.context import ContextFiles
    from mammoflow.classification.samples import Files, Job, Samples

NEEDS = ("images", "masks")
GIVES = "picture"


def needs(options: Options) -> tuple[str, ...]:
    """Return what the input reads: no masks where the square is centred on the box and shows no mask."""
    return NEEDS if looks_at_mask(options) else ("images",)


def looks_at_mask(options: Options) -> bool:
    """Tell whether a mask gives the centre or a channel."""
    return options.centre == "mask" or options.mask_channel


def read(options: Options, cases: Cases, files: Files, job: Job) -> Samples:
    """Cut a square around every lesion; where a mask is empty or absent the annotated box takes its place, counted."""
    import numpy as np

    from mammoflow.classification.context import ContextSamples, cached_side, context_crop
    from mammoflow.classification.pictures import prepare_pictures

    with_mask = looks_at_mask(options)
    items = list(enumerate(squares(options, cases, files)))
    fallback = np.zeros(len(items), dtype=np.bool_)

    def picture(item: tuple[int, ContextFiles]) -> npt.NDArray[np.uint16]:
        row, lesion = item
        crop, fallback[row] = context_crop(lesion, options)
        return crop

    channels = 2 if options.mask_channel else 1
    file = job.cache / "pictures.npy"
    pictures = prepare_pictures(picture, items, cached_side(options), file, job.threads, "context crops", channels)
    notes: dict[str, object] = {"sees_reference_mask": with_mask and options.mask == "reference"}
    if with_mask:
        notes["lesions_without_mask"] = int(fallback.sum())
    split = cases.lesions["split"].to_numpy(dtype=object)
    samples = ContextSamples(pictures, cases.labels, split, notes, options)
    samples.rests_on_model = with_mask and options.mask == "predicted"
    return samples


def squares(options: Options, cases: Cases, files: Files) -> list[ContextFiles]:
    """Return what is read for the square of each lesion."""
    from mammoflow.classification.cases import mask_paths, predicted_masks
    from mammoflow.classification.context import files_of_lesions

    masks: list[Path | None] = [None] * len(cases.lesions)
    if looks_at_mask(options):
        masks = mask_paths(cases, predicted_masks(files.masks), options.mask)
    return files_of_lesions(cases, masks)


def masks_on_pictures(
    options: Options, cases: Cases, files: Files, lesions: Sequence[Path]
) -> Iterator[npt.NDArray[np.float32]]:
    """Yield which share of each pixel of its square every lesion's mask covers."""
    from mammoflow.classification.context import cover_of_square

    for square, lesion in zip(squares(options, cases, files), lesions, strict=True):
        yield cover_of_square(square, lesion, options)
