"""What a study lacks that other studies have, and what the report can therefore not say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mammoflow.config.from_run import ELSEWHERE
from mammoflow.evaluation.candidates import CLASSIFIER
from mammoflow.tables.images import IN_PIXELS
from mammoflow.tables.study import applies_only

Row = dict[str, Any]


def without_millimetres(origins: Sequence[str | None]) -> list[str]:
    """Say that lengths are in pixels where images have no spacing; nothing where all have one.

    Parameters
    ----------
    origins
        `spacing_origin` of each image.
    """
    count = sum(origin == IN_PIXELS for origin in origins)
    if not count:
        return []
    return [
        f"{count} of {len(origins)} images have no pixel spacing. Their lengths and areas are in pixels of the stored "
        "image, also where a heading says mm. They have no features and no DICOM objects, which need millimetres."
    ]


def absences(study: Row, counts: Sequence[Row], headline: Sequence[Row], provenance: Row) -> list[str]:
    """Return one sentence for each thing that the study or the run lacks; none for a study that has everything.

    Parameters
    ----------
    study
        Content of `study.json`.
    counts
        Rows of `report.content.split_counts`; the last one is about all lesions.
    headline
        Rows of `comparison.csv`; the first one is the radiologist.
    provenance
        Content of `provenance.json`.
    """
    return [*_labels(counts[-1]), *_reader(headline[0], counts), *_classifiers(study, headline, provenance)]


def _labels(total: Row) -> list[str]:
    known = total["lesions"] - total["unlabelled"]
    if not total["lesions"]:
        return ["The study has no lesion: there are images, and no masks, features and figures of lesions."]
    if not known:
        return [
            "No lesion has a known malignancy. There are masks, their scores against the reference, and features; "
            "there are no AUC, sensitivity, specificity and no features by label."
        ]
    if total["malignant"] in (0, known):
        kind = "malignant" if total["malignant"] else "benign"
        return [
            f"All {known} lesions with a label are {kind}. AUC, its differences and features by label need both "
            "classes and are not defined."
        ]
    return []


def _reader(birads: Row, counts: Sequence[Row]) -> list[str]:
    if birads["n"] or counts[-1]["lesions"] == counts[-1]["unlabelled"]:
        return []
    return [
        "No test lesion has a BI-RADS assessment. No model is compared with the radiologist, and each is compared with "
        "the floors alone."
    ]


def _classifiers(study: Row, headline: Sequence[Row], provenance: Row) -> list[str]:
    said = []
    if applies_only(study):
        said.append(
            "Every patient is test, and nothing was trained on this study. What would need training lesions has n = 0: "
            "models on features, fusions, and the floors of single columns."
        )
    training = provenance.get("training", {})
    runs = sorted({str(record[ELSEWHERE]["run"]) for record in training.values() if record.get(ELSEWHERE)})
    if runs:
        said.append(
            f"The classifiers were trained elsewhere, in the run {', '.join(runs)}, which gave their calibration and "
            "thresholds."
        )
    if not training and not any(row["family"] == CLASSIFIER for row in headline):
        said.append("The run has no classifier: classification.run is empty.")
    return said
