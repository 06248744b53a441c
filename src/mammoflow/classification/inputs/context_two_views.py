"""Two views: the context crop of a lesion beside that of the same finding in the other view of the breast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.pictures import TwoViewOptions as Options

if TYPE_CHECKING:
    from mammoflow.classification.cases import Cases
    from mammoflow.classification.samples import Files, Job, Samples

NEEDS = ("images", "masks")
GIVES = "picture"
PICTURES = 2


def needs(options: Options) -> tuple[str, ...]:
    """Return what the input reads: no masks where the squares are centred on the boxes and show no mask."""
    return NEEDS if options.looks_at_mask else ("images",)


def read(options: Options, cases: Cases, files: Files, job: Job) -> Samples:
    """Cut a square around every lesion and lay two together; a lesion without another view is shown twice, counted.

    Raises
    ------
    StudyError
        If lesions of several patients have one `finding_id`.
    """
    from mammoflow.classification.context import read_squares
    from mammoflow.classification.two_views import TwoViewSamples, rows_of_other_view

    return TwoViewSamples(read_squares(options, cases, files, job), rows_of_other_view(cases), options.combine)
