"""One study: from all rows of its tables to the images and lesions that can be used, everything else with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mammoflow.cohort.agreement import OF_IMAGE, refuse_contradictions
from mammoflow.cohort.birads_convention import label_by_birads
from mammoflow.cohort.id_spellings import refuse_similar_patients
from mammoflow.cohort.image_classes import with_classed_images, with_image_classes
from mammoflow.cohort.losses import describe_losses
from mammoflow.cohort.numbers import quoted
from mammoflow.cohort.reader import Exclusion, Reader, Row
from mammoflow.cohort.resolution import Resolved, resolve_files
from mammoflow.cohort.step_counts import flow_step
from mammoflow.cohort.table_files import ORIGIN, records
from mammoflow.cohort.unread_rows import official_test_patients
from mammoflow.config.cohort import Unlabelled
from mammoflow.errors import ExcludedCase, StudyError
from mammoflow.reasons.cohort import CohortReason
from mammoflow.reasons.labels import LabelReason
from mammoflow.reasons.lesions import LesionReason

Flow = list[dict[str, Any]]
REFERENCE = ("mask_name", "mask_item", "mask_value", "box_y0", "box_x0", "box_y1", "box_x1")
"""Columns that say where a lesion is; not every reader has all of them."""


@dataclass(frozen=True)
class Selection:
    """What is left of one study.

    Attributes
    ----------
    rows
        All rows that could be read, before anything is left out.
    resolved
        Images and lesions with their files, and every exclusion.
    flow
        Steps of the flow diagram.
    phantom
        Whether the study is synthetic.
    official_test
        Those of its patients who have a row of the official test set, be it one that was left out.
    """

    rows: pd.DataFrame
    resolved: Resolved
    flow: Flow
    phantom: bool
    official_test: frozenset[str] = frozenset()


class NothingLeft(StudyError):
    """A study has no lesion that can be used.

    Parameters
    ----------
    message
        Which values in which rows are the cause.
    excluded
        Every exclusion.
    """

    def __init__(self, message: str, excluded: list[Exclusion]) -> None:
        super().__init__(message)
        self.excluded = excluded


def select_cases(reader: Reader, unlabelled: Unlabelled = "leave_out", classes: Sequence[str] = ()) -> Selection:
    """Read a study and leave out what cannot be used.

    Parameters
    ----------
    reader
        Of the study.
    unlabelled
        What becomes of lesions of unknown malignancy, and of images without a lesion that can be used: `keep` or
        `leave_out`.
    classes
        Names of the classes of images; an image with a class stays without a lesion that can be used.

    Raises
    ------
    StudyError
        If a table or a column is missing, or one patient seems to be spelled in two ways.
    NothingLeft
        If no lesion can be used.
    """
    keep = unlabelled == "keep"
    rows, unread = reader.read_rows()
    patients = [*rows["patient_id"].dropna().astype(str), *sorted(reader.official_test)]
    refuse_similar_patients(patients, reader.dataset.ids_differ, reader.dataset.name)
    official_test = reader.official_test | official_test_patients(rows)
    rows, torn = refuse_contradictions(rows, "image_id", OF_IMAGE, "image")
    unread = [*unread, *torn]
    if keep:
        rows, unread = _with_unannotated(reader, rows, unread)
    rows = label_by_birads(rows.reset_index(drop=True), reader.dataset)
    unique, repeated, repeated_normal = _drop_repeated(rows)
    unique, denied = _drop_denied(unique)
    unique = with_image_classes(unique, classes, [*unread, *repeated], reader)
    candidates, without_label = (unique, []) if keep else _drop_unlabelled(unique, reader.label_column)
    candidates = with_classed_images(candidates, unique)
    resolved = resolve_files(reader, candidates, keep)
    reader.notes += reader.closing_notes()
    flow = [
        flow_step("rows of the case tables", rows, [], unread),
        flow_step("readable, not repeated, not marked unusable", unique, [*unread, *repeated]),
        *([] if keep else [flow_step("malignancy known", candidates, without_label)]),
        *_file_steps(candidates, resolved),
    ]
    before = [*unread, *repeated, *repeated_normal, *denied, *without_label]
    images = {image["image_id"] for image in resolved.images}
    lost_images = {exclusion.image_id for exclusion in [*before, *resolved.excluded] if exclusion.level == "image"}
    emptied = _images_without_rows(before, images | lost_images)
    resolved.excluded = [*before, *emptied, *resolved.excluded]
    _mark_annotated(resolved, candidates, reader)
    if not resolved.lesions:
        raise NothingLeft(_nothing_left(reader, resolved), resolved.excluded)
    # A patient without any other row has nothing in the cohort, and the id may be another patient's of another study.
    official_test &= set(rows["patient_id"])
    return Selection(rows, resolved, flow, reader.is_phantom(), frozenset(official_test))


def _with_unannotated(
    reader: Reader, rows: pd.DataFrame, unread: list[Exclusion]
) -> tuple[pd.DataFrame, list[Exclusion]]:
    """Add the images of whose lesions nothing is known; their exclusions go."""
    unannotated = reader.unannotated_images()
    images = {row["image_id"] for row in unannotated}
    return (
        pd.DataFrame([*records(rows), *unannotated], columns=list(rows.columns)),
        [exclusion for exclusion in unread if exclusion.image_id not in images],
    )


def _file_steps(rows: pd.DataFrame, resolved: Resolved) -> Flow:
    """Return the steps that look for files: of images, and of the lesions on them."""
    unfound = _unfound(resolved)
    images = {image["image_id"] for image in resolved.images}
    lesions = {lesion["lesion_id"] for lesion in resolved.lesions}
    return [
        flow_step(
            "image readable",
            rows[~rows["image_id"].isin(unfound)],
            [exclusion for exclusion in resolved.excluded if exclusion.image_id in unfound],
        ),
        flow_step(
            "mask or box found",
            rows[rows["image_id"].isin(images)],
            [exclusion for exclusion in resolved.excluded if exclusion.image_id not in unfound],
            lesions=len(lesions),
        ),
    ]


def _mark_annotated(resolved: Resolved, rows: pd.DataFrame, reader: Reader) -> None:
    """Say of each image whether every lesion that the case tables name on it can be used."""
    lost = reader.in_doubt | {
        exclusion.image_id
        for exclusion in resolved.excluded
        if exclusion.level in ("row", "lesion") and exclusion.reason is not CohortReason.DUPLICATE_ROW
    }
    unannotated = set(rows.loc[rows["lesion_id"].isna(), "image_id"])
    for image in resolved.images:
        image["fully_annotated"] = image["image_id"] not in lost | unannotated


def _nothing_left(reader: Reader, resolved: Resolved) -> str:
    losses = describe_losses(resolved.excluded)
    if resolved.images:
        count = len(resolved.images)
        losses.insert(0, f"{count} images are usable, none has a lesion that can be used; expected at least one lesion")
    losses = losses or ["the table has no rows"]
    notes = [f"note: {note}" for note in reader.notes]
    return (
        f"no lesion of the study {reader.dataset.name!r} in {reader.study} can be used: "
        f"{'; '.join([*losses, *notes])}. "
        "Check cohort.dataset.folder, correct the table, or say in cohort.dataset.options what its words mean"
    )


def _unfound(resolved: Resolved) -> set[str]:
    """Return the images whose own file is unusable."""
    return {
        exclusion.image_id
        for exclusion in resolved.excluded
        if exclusion.level == "image" and exclusion.reason is not LesionReason.NO_LESIONS
    }


def _drop_repeated(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[Exclusion], list[Exclusion]]:
    """Keep one row per lesion, the first whose malignancy is known, and none where the rows disagree about it.

    A row whose mask or box is not that of the kept row is no repeat: its outline is lost.

    Returns
    -------
    tuple
        The rows that stay, and the exclusions of rows of lesions and of normal images; the latter are no lost lesions.
    """
    known_first = rows["label"].isna().sort_values(kind="stable").index
    lesion_ids = rows["lesion_id"].reindex(known_first)
    repeated = (lesion_ids.duplicated() & lesion_ids.notna()).reindex(rows.index)
    torn = rows.groupby("lesion_id")["label"].transform("nunique") > 1
    firsts = rows[~(repeated | torn) & rows["lesion_id"].isin(rows.loc[repeated, "lesion_id"])]
    kept = {row["lesion_id"]: _reference(row) for row in records(firsts)}
    of_lesions: list[Exclusion] = []
    of_normal: list[Exclusion] = []
    for row, conflict in zip(records(rows[repeated | torn]), torn[repeated | torn], strict=True):
        reference = _reference(row)
        is_marked = any(value != "" for value in reference)
        if conflict:
            problem = ExcludedCase(LabelReason.LABEL_CONFLICT, f"rows of {row['lesion_id']} differ in malignancy")
        elif row["label"] != "normal" and is_marked and reference != kept[row["lesion_id"]]:
            detail = (
                f"{_origin(row)}a second row for {row['lesion_id']} with another mask or box; expected one mask or box "
                "for each lesion; the first row, or the first with a label, is used: give each lesion its own number"
            )
            problem = ExcludedCase(CohortReason.CONTRADICTION, detail)
        else:
            problem = ExcludedCase(CohortReason.DUPLICATE_ROW, f"a second row for {row['lesion_id']}")
        (of_normal if row["label"] == "normal" else of_lesions).append(Exclusion.of("row", problem, row))
    return rows[~(repeated | torn)], of_lesions, of_normal


def _reference(row: Row) -> tuple[Any, ...]:
    """Return the mask and box of a row; each blank is "", so that blanks are equal."""
    values = (row.get(name) for name in REFERENCE)
    return tuple("" if pd.isna(value) else value for value in values)


def _origin(row: Row) -> str:
    return f"{row[ORIGIN]}: " if row.get(ORIGIN) else ""


def _drop_denied(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[Exclusion]]:
    """Leave out what calls an image normal on which other rows have lesions; if those are lost, so is the image."""
    normal = rows["label"] == "normal"
    denied = normal & rows["image_id"].isin(rows.loc[~normal, "image_id"])
    detail = "labelled normal, but other rows of the image have lesions"
    return rows[~denied], [
        Exclusion.of("row", ExcludedCase(LabelReason.LABEL_CONFLICT, f"{_origin(row)}{detail}"), row)
        for row in records(rows[denied])
    ]


def _drop_unlabelled(rows: pd.DataFrame, column: str) -> tuple[pd.DataFrame, list[Exclusion]]:
    labelled = rows["label"].notna()
    unlabelled = rows[~labelled].astype(object)
    excluded = []
    for row in records(unlabelled.where(unlabelled.notna(), None)):
        pathology = "not given" if row["pathology"] is None else quoted(str(row["pathology"]))
        birads = "not given" if row["birads"] is None else f"{row['birads']:g}"
        problem = ExcludedCase(LabelReason.NO_LABEL, f"{_origin(row)}{column} is {pathology}, BI-RADS {birads}")
        excluded.append(Exclusion.of("lesion", problem, row))
    return rows[labelled], excluded


def _images_without_rows(excluded: list[Exclusion], accounted: set[str]) -> list[Exclusion]:
    """Exclude the images that lost all their rows before their file was looked for."""
    lost = {exclusion.image_id: exclusion for exclusion in excluded if exclusion.image_id not in accounted | {""}}
    detail = "all of its rows were left out"
    return [Exclusion("image", LesionReason.NO_LESIONS, detail, last.patient_id, name) for name, last in lost.items()]
