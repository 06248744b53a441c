"""The content of the report: the tables of the comparison in the order of the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.config.foreign import FOREIGN
from mammoflow.config.split_names import SPLITS
from mammoflow.errors import StudyError
from mammoflow.evaluation.candidates import (
    CEILING,
    CLASSIFIER,
    FEATURE_MODEL,
    FLOOR,
    FUSION,
    READER,
    classifier_titles,
    display_name,
)
from mammoflow.evaluation.seen_patients import SEEN_NOTE
from mammoflow.evaluation.segmentation_tables import CHOSEN
from mammoflow.storage.files import file_digest, read_json
from mammoflow.tables.cohort import LESIONS
from mammoflow.tables.files import read_table
from mammoflow.tables.study import MARKS, has_every_fold

Row = dict[str, Any]

FAMILIES = (
    (READER, "The radiologist"),
    (CLASSIFIER, "Trained classifiers"),
    (FUSION, "The radiologist's words, alone and with a classifier"),
    (FEATURE_MODEL, "Models on features"),
    (FLOOR, "Floors"),
    (CEILING, "Ceiling"),
)

NAMES = (
    "patient_id", "breast_id", "image_id", "finding_id", "lesion_id", "id", "path", "detail", "model", "model_a",
    "model_b", "title", "family", "source", "data_set", "trained_on", "started_from", "untuned", "base", "change",
    "network", "loss", "input", "feature", "grouping", "group", "class", "lesion_type", "type", "side", "view",
    "birads_category", "first_run", "second_run", "mark", "note",
)  # fmt: skip
"""Columns that hold names. A name may have the form of a number, such as the id 0007."""

NAMES_OF_TABLES = {
    "foreign_unmatched": ("key", "value", "row", "problem"),
    "class_confusion": ("reference", "predicted"),
}
"""Further columns of names, whose columns of the same name in other tables hold numbers."""


def read_results(path: Path, **options: Any) -> pd.DataFrame:
    """Read a CSV table of results: names stay text, and an empty field alone is missing.

    Parameters
    ----------
    path
        The file; the name of the table is that of the file without the suffix.
    **options
        Further options of `pandas.read_csv`.

    Raises
    ------
    OSError, ValueError
        If the file cannot be read; `pandas.errors.EmptyDataError` if it has no columns.
    """
    names = dict.fromkeys((*NAMES, *NAMES_OF_TABLES.get(path.stem, ())), str)
    # pieces of a large file would each guess whether a column holds numbers
    return pd.DataFrame(
        pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=names, low_memory=False, **options)
    )


ENTRIES = (
    ("features", ("features",)),
    ("segmentation", ("segmentation",)),
    ("segmentation_models", ("trained",)),
    ("classifiers", ("predictions", "class_predictions")),
    ("saliency", ("saliency",)),
)
"""Folder of the settings files of entries of the configuration -> kinds of inputs that the jobs of these made."""

IN_FOLDER = ("features", "segmentation")
"""Kinds of inputs with one path for each shard."""


@dataclass(frozen=True)
class Tables:
    """The CSV tables of a stage, by name, as rows in which an empty field is None.

    Attributes
    ----------
    folder
        Of the tables.
    stage
        What has to run again where a table cannot be read.
    """

    folder: Path
    stage: str = "comparison"

    def rows(self, name: str) -> list[Row]:
        """Return the rows of `name`.csv.

        Raises
        ------
        StudyError
            If the table is missing or cannot be read.
        """
        path = self.folder / f"{name}.csv"
        try:
            table = read_results(path)
        except pd.errors.EmptyDataError:
            return []
        except (OSError, ValueError) as error:
            raise StudyError(f"table {path} cannot be read ({error}); run the {self.stage} again") from error
        return [
            {
                str(key): None if isinstance(value, float) and math.isnan(value) else value
                for key, value in record.items()
            }
            for record in table.to_dict("records")
        ]


def by_family(rows: Iterable[Row], titles: Mapping[str, str]) -> list[tuple[str, list[Row]]]:
    """Group rows of the comparison under the headings of the page, and number their notes."""
    shown = [dict(row, name=display_name(str(row["model"]), titles), notes=own_notes(row)) for row in rows]
    groups = [(heading, [row for row in shown if row["family"] == family]) for family, heading in FAMILIES]
    groups = [part for group in groups for part in _other_tools_apart(*group)]
    return [(heading, group) for heading, group in groups if group]


def _other_tools_apart(heading: str, rows: list[Row]) -> list[tuple[str, list[Row]]]:
    """Put scores of other tools, which are compared as classifiers, under a heading of their own."""
    others = [row for row in rows if row["family"] == CLASSIFIER and FOREIGN in row["notes"]]
    return [(heading, [row for row in rows if row not in others]), ("Scores of other tools", others)]


def score_the_same_lesions(headline: Iterable[Row], common: Iterable[Row]) -> bool:
    """Tell whether all models that score any lesion score the same ones, so that no table of common lesions is needed.

    Parameters
    ----------
    headline, common
        Rows of `comparison.csv` and of `comparison_common_lesions.csv`.
    """
    counts = {row["model"]: row["n"] for row in common}
    return all(row["n"] == counts.get(row["model"]) for row in headline if row["n"])


def own_notes(row: Row) -> list[str]:
    """Return a row's notes without those on the whole study, which are at the top of the page."""
    notes = str(row.get("note") or "").split("; ")
    return [note for note in notes if note and note not in MARKS]


def seen_sentences(headline: Iterable[Row], segmentation: Iterable[Row]) -> list[str]:
    """Say which models were trained on how many test patients, from the rows that depend on them.

    Parameters
    ----------
    headline, segmentation
        Rows of `comparison.csv` and of `segmentation.csv`.
    """
    notes = [note.removeprefix(SEEN_NOTE) for row in headline for note in own_notes(row) if note.startswith(SEEN_NOTE)]
    notes += [
        f"{display_name(str(row['model']))} segmented {row['patients']:g} test patients and was trained on "
        f"{row['patients_seen']:g} of them"
        for row in segmentation
        if row["split"] == "test" and row["selection"] == CHOSEN and row["patients_seen"]
    ]
    return list(dict.fromkeys(notes))


def division(study: Row) -> str:
    """Say in words how the study was divided."""
    split = study.get("split")
    method = split.get("method") if isinstance(split, dict) else None
    if not isinstance(split, dict) or method is None:
        return "divided by patient"
    if has_every_fold(study):
        return f"divided by patient into {split.get('folds')} folds, each of which is the test split once"
    words = {
        "kfold": f"divided by patient (fold {split.get('fold')} of {split.get('folds')}, counted from 0, is test)",
        "leave_one_source_out": f"divided by source ({split.get('test_source')} is test)",
        "by_image": "divided by image, as in the published protocol, so that patients are on both sides",
        "apply": "all of them on the test side, so that nothing was trained on this study",
    }
    return words.get(str(method), f"divided by patient ({method} split)")


def split_counts(cohort: Path) -> list[Row]:
    """Count patients, images, lesions, malignant and unlabelled ones of each split that has lesions, and of all."""
    lesions = read_table(cohort / "lesions.parquet", LESIONS)
    by_split = [(split, lesions[lesions["split"] == split]) for split in SPLITS]
    return [
        {
            "split": name,
            "patients": int(part["patient_id"].nunique()),
            "images": int(part["image_id"].nunique()),
            "lesions": len(part),
            "malignant": int((part["malignant"] == 1).sum()),
            "unlabelled": int(part["malignant"].isna().sum()),
        }
        for name, part in [*by_split, ("all", lesions)]
        if len(part) or name == "all"
    ]


def names_of_inputs(inputs: Mapping[str, Sequence[str]], kind: str) -> list[str]:
    """Return the models, families or classifiers of one kind of what the comparison read.

    Parameters
    ----------
    inputs
        Folders and files by kind, as the record of the comparison has them.
    kind
        Of the inputs, such as `features`.
    """
    paths = [Path(path) for path in inputs.get(kind, ())]
    # a shard or a table is in the folder of the name; the others are that folder
    inside = kind in IN_FOLDER
    return list(dict.fromkeys(path.parent.name if inside or path.suffix == ".parquet" else path.name for path in paths))


def settings_files(folder: Path, inputs: Mapping[str, Sequence[str]]) -> list[Row]:
    """Return name, digest and text of each job's settings file, if the run has settings files.

    Parameters
    ----------
    folder
        Of the settings files. Those of models, families and classifiers that the comparison did not read are of an
        earlier configuration, and are left out.
    inputs
        Folders and files by kind, as the record of the comparison has them.
    """
    read = {place: [name for kind in kinds for name in names_of_inputs(inputs, kind)] for place, kinds in ENTRIES}
    files = sorted(folder.rglob("*.yaml")) if folder.is_dir() else []
    files = [path for path in files if path.stem in read.get(path.parent.name, [path.stem])]
    return [
        {
            "name": path.relative_to(folder).with_suffix("").as_posix(),
            "digest": file_digest(path),
            "text": path.read_text(encoding="utf-8").strip(),
        }
        for path in files
    ]


def training_rows(provenance: Row) -> list[Row]:
    """Return one row for each trained classifier, with all values of its record and nested names joined."""
    records = sorted(provenance.get("training", {}).items())
    titles = classifier_titles(dict(records))
    return [{"name": display_name(model, titles), "facts": dict(_flat(record))} for model, record in records]


def weights_rows(provenance: Row) -> list[Row]:
    """Return one row for each segmentation model and classifier: which weights, their licence, digest and origin.

    The tables of other tools' scores follow.
    """
    recorded = provenance.get("weights", {})
    titles = classifier_titles(provenance.get("training", {}))
    rows = [("segmentation", model, origin) for model, origin in recorded.get("segmentation", {}).items()]
    rows += [("first weights", model, origin) for model, origin in sorted(recorded.get("classification", {}).items())]
    shown = [{"kind": kind, "name": display_name(model, titles), **origin} for kind, model, origin in rows]
    for tool, origin in provenance.get("predictions", {}).items():
        facts = {"title": f"table {origin['file']}", "sha256": origin["sha256"], "licence": "", "source": ""}
        shown.append({"kind": "scores of another tool", "name": tool, **facts})
    return shown


def _flat(record: Row, before: str = "") -> list[tuple[str, Any]]:
    facts: list[tuple[str, Any]] = []
    for key, value in record.items():
        name = f"{before}{key}"
        facts += _flat(value, f"{name}: ") if isinstance(value, dict) else [(name, value)]
    return facts


def read_provenance(comparison: Path) -> Row:
    """Read the record that the comparison wrote to its folder."""
    return read_json(comparison / "provenance.json")
