"""Context crop: a square of fixed size in millimetres around the lesion, standardised in grey level, nothing masked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.pictures import ContextCropOptions as Options

if TYPE_CHECKING:
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
