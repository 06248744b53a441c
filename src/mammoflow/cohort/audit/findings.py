"""The questions that an audit answers, each with a count, and whether the answer is as it should be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from mammoflow.cohort.audit.doubles import several_lesions
from mammoflow.cohort.audit.image_tables import has_flags
from mammoflow.cohort.audit.study_flow import StudyFlow
from mammoflow.cohort.audit.study_tables import MALIGNANT, StudyTables
from mammoflow.cohort.step_counts import names_lesion
from mammoflow.cohort.words import IDENTICAL

State = Literal["in order", "worth knowing", "problem", "not looked at"]


@dataclass(frozen=True)
class Finding:
    """One question and its answer.

    Attributes
    ----------
    key
        Stable name, for programs.
    question
        What was looked for.
    count
        How many were found; None where it could not be looked at.
    state
        Whether this is as it should be.
    meaning
        What it says about results on this study, and what mammoflow does about it.
    """

    key: str
    question: str
    count: int | None
    state: State
    meaning: str


def findings(tables: StudyTables, audit_tables: Mapping[str, pd.DataFrame], flow: StudyFlow) -> list[Finding]:
    """Answer every question, from the tables that the audit made.

    Parameters
    ----------
    tables
        Of the study.
    audit_tables
        Tables that the audit made, by name.
    flow
        The flow diagram.
    """
    return [
        *_leaks(tables, audit_tables),
        *_films(tables, audit_tables),
        *_lesions(tables.rows, audit_tables),
        *_images(tables, audit_tables),
        _losses(flow),
    ]


def _leaks(tables: StudyTables, audit_tables: Mapping[str, pd.DataFrame]) -> list[Finding]:
    split = tables.study.get("split")
    leaking = isinstance(split, dict) and bool(split.get("leaking") or split.get("method") == "by_image")
    shared, official = audit_tables["split_leaks"], audit_tables["patients_in_both_official_splits"]
    meaning = "Figures of this run are too good: models have seen patients of the test split."
    meaning += " The split was asked to be so (the published protocol)." if leaking else ""
    both = "Each type's own official split is clean; pooled, the types share these patients, and a model that is "
    both += "trained on one side of one type has seen test patients of the other."
    given = tables.rows["official_split"].isin(["train", "test"]).any()
    return [
        _counted(
            "patients_in_several_splits",
            "Patients in more than one split of this run",
            shared,
            "problem",
            meaning,
            "This run's split keeps every patient on one side.",
        ),
        _counted(
            "patients_in_both_official_splits",
            "Patients in both official splits",
            official,
            "worth knowing",
            both,
            "The official sides share no patient." if given else "The study has no official split.",
        ),
        _counted(
            "similar_patients",
            "Patients whose ids differ from another one's in the spelling only",
            audit_tables["similar_patients"],
            "worth knowing",
            "The settings say that they are different patients (cohort.dataset.ids_differ). If not, one patient "
            "may be on two sides of the split.",
        ),
    ]


def _films(tables: StudyTables, audit_tables: Mapping[str, pd.DataFrame]) -> list[Finding]:
    twice, same = audit_tables["films_stored_twice"], audit_tables["identical_pixels"]
    differing = twice[~twice["content"].isin([IDENTICAL, "not compared"])]
    meaning = "Each counts as one image; a split by file would put the same film on both sides."
    answers = [
        _counted("films_stored_twice", "Films stored under more than one name", twice, "worth knowing", meaning),
        _counted(
            "copies_that_differ",
            "Of these, copies whose pixels differ or cannot be read",
            differing,
            "problem",
            "Lesions of the second copy may not lie where their masks say.",
            "No copy differs.",
        ),
    ]
    if not tables.prepared:
        later = "Asked of the canonical images, once they are prepared."
        return [*answers, Finding("identical_pixels", "Images with identical pixels", None, "not looked at", later)]
    crossing, conflicts = same[same["several_splits"].astype(bool)], same[same["label_conflict"].astype(bool)]
    return [
        *answers,
        _counted(
            "identical_pixels",
            "Images whose pixels are under another image's id too",
            same,
            "problem",
            "The same picture counts more than once.",
            "Every image is a picture of its own.",
        ),
        _counted(
            "identical_pixels_across_splits",
            "Of these, images with a twin in another split",
            crossing,
            "problem",
            "Test pictures were seen in training.",
            "None crosses the split.",
        ),
        _counted(
            "identical_pixels_with_label_conflict",
            "Of these, images whose twin has another label",
            conflicts,
            "problem",
            "At least one label is wrong.",
            "No labels contradict each other.",
        ),
    ]


def _lesions(rows: pd.DataFrame, audit_tables: Mapping[str, pd.DataFrame]) -> list[Finding]:
    several, conflicts = audit_tables["several_lesions"], audit_tables["conflicting_findings"]
    once = several_lesions(rows, "image_id")
    lesions = rows[names_lesion(rows)]
    incomplete, benign_like = lesions["birads"] == 0, lesions["birads"].isin([1, 2]) & (lesions["label"] == MALIGNANT)
    meaning = "A label of the whole image is no label of a lesion."
    if len(once) != len(several):
        meaning += f" Counting films that are stored twice once: {len(once)}, {int(once['mixed'].sum())} of them mixed."
    return [
        _counted("images_with_several_lesions", "Films with several lesions", several, "worth knowing", meaning),
        _counted(
            "images_with_mixed_labels",
            "Of these, films with malignant and benign lesions",
            several[several["mixed"]],
            "worth knowing",
            "A crop or mask, not the image, has to be classified.",
        ),
        _counted(
            "conflicting_findings",
            "Findings that are malignant on one view and benign on another",
            conflicts,
            "worth knowing",
            "Either the label or the number of the finding is wrong on one view.",
        ),
        _counted(
            "birads_zero",
            "Rows with BI-RADS 0 (incomplete)",
            lesions[incomplete.fillna(False)],
            "worth knowing",
            "Incomplete is not below 1; comparison.birads_zero says how these rows count.",
        ),
        _counted(
            "malignant_below_birads_three",
            "Malignant rows with BI-RADS 1 or 2",
            lesions[benign_like.fillna(False)],
            "worth knowing",
            "Missed at reading, or a slip in the table.",
        ),
    ]


def _images(tables: StudyTables, audit_tables: Mapping[str, pd.DataFrame]) -> list[Finding]:
    questions = {
        "default_spacing": "Images with the default pixel spacing",
        "flagged_images": "Images that the image stage flags",
        "flagged_lesions": "Lesions that the image stage flags",
    }
    if not tables.prepared:
        later = "Known once the images are prepared."
        return [Finding(key, question, None, "not looked at", later) for key, question in questions.items()]
    spacing = audit_tables["spacing"]
    guessed = int(spacing.loc[spacing["origin"] == "default", "images"].sum())
    default = (
        "Every millimetre on these images depends on one configured number." if guessed else "No spacing is guessed."
    )
    return [
        Finding("default_spacing", questions["default_spacing"], guessed, _state(guessed), default),
        _flagged("flagged_images", questions["flagged_images"], tables.canonical, audit_tables["flagged_images"]),
        _flagged("flagged_lesions", questions["flagged_lesions"], tables.usable, audit_tables["flagged_lesions"]),
    ]


def _flagged(key: str, question: str, cases: pd.DataFrame, flagged: pd.DataFrame) -> Finding:
    """Count the cases with a flag; the meaning has the count of each flag."""
    if not has_flags(cases):
        return Finding(key, question, None, "not looked at", "The image stage recorded no flags.")
    count = int(flagged.iloc[:, 0].nunique())
    counts = "; ".join(f"{flag}: {number}" for flag, number in flagged["flag"].value_counts().items())
    return Finding(key, question, count, _state(count), counts or "The image stage found nothing odd.")


def _losses(flow: StudyFlow) -> Finding:
    lost = flow.unexplained()
    meaning = "Tables of two runs may be mixed; run the stages again." if lost else "Everything left out has a reason."
    return Finding(
        "lost_without_reason", "Lesions gone without a reason", lost, "problem" if lost else "in order", meaning
    )


def _counted(
    key: str, question: str, cases: pd.DataFrame, state: State, meaning: str, absent: str = "None found."
) -> Finding:
    """Make a finding of a table of cases; where it is empty all is in order, and `absent` says so."""
    if cases.empty:
        return Finding(key, question, 0, "in order", absent)
    return Finding(key, question, len(cases), state, meaning)


def _state(count: int) -> State:
    return "worth knowing" if count else "in order"
