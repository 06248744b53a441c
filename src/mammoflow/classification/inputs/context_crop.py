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
    from mammoflow.classification.samples import Files, Job, Samples

NEEDS = ("images", "masks")
GIVES = "picture"


def needs(options: Options) -> tuple[str, ...]:
    """Return what the input reads: no masks where the square is centred on the box and shows no mask."""
    return NEEDS if options.looks_at_mask else ("images",)


def read(options: Options, cases: Cases, files: Files, job: Job) -> Samples:
    """Cut a square around every lesion; where a mask is empty or absent the annotated box takes its place, counted."""
    from mammoflow.classification.context import read_squares

    return read_squares(options, cases, files, job)


def masks_on_pictures(
    options: Options, cases: Cases, files: Files, lesions: Sequence[Path]
) -> Iterator[npt.NDArray[np.float32]]:
    """Yield which share of each pixel of its square every lesion's mask covers."""
    from mammoflow.classification.context import cover_of_square, squares

    for square, lesion in zip(squares(options, cases, files), lesions, strict=True):
        yield cover_of_square(square, lesion, options)
