"""The comparison of a finished run, read from its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.errors import StudyError
from mammoflow.evaluation.candidates import Candidate
from mammoflow.storage.files import read_json
from mammoflow.tables.files import read_csv


@dataclass(frozen=True)
class Protocol:
    """The comparison of a finished run.

    Attributes
    ----------
    folder
        Folder of the run.
    split
        Method of its split.
    leaking
        Whether the split leaks.
    lesions
        Labelled test lesions, indexed by lesion: `malignant`, `patient_id`, `fold`.
    candidates
        Every row of the comparison that scores one of them, by name.
    undecided
        Names of those without calls.
    titles, oracles
        Title of each row in the report, and whether the reference was used.
    headline
        Rows of comparison.csv, indexed by model.
    settings
        Of the comparison.
    """

    folder: Path
    split: str
    leaking: bool
    lesions: pd.DataFrame
    candidates: dict[str, Candidate]
    undecided: frozenset[str]
    titles: dict[str, str]
    oracles: dict[str, bool]
    headline: pd.DataFrame
    settings: ComparisonSettings


def read_protocol(folder: Path) -> Protocol:
    """Read the comparison of a finished run.

    Raises
    ------
    StudyError
        If the folder has no finished comparison.
    """
    comparison = folder / "comparison"
    needed = [comparison / name for name in ("predictions.csv", "comparison.csv", "provenance.json")]
    needed.append(folder / "cohort" / "study.json")
    for path in needed:
        if not path.is_file():
            raise StudyError(f"{path} does not exist; expected the folder of a finished run, such as results/phantom")
    names = dict.fromkeys(("patient_id", "lesion_id", "model", "title", "family"), str)
    table = read_csv(needed[0], dtype=names, keep_default_na=True, low_memory=False)
    table = table[(table["split"] == "test") & table["malignant"].notna()]
    described = table.drop_duplicates("lesion_id").set_index("lesion_id")
    rows = {str(model): part for model, part in table.groupby("model", sort=False)}
    study = read_json(needed[3])
    return Protocol(
        folder,
        str((study.get("split") or {}).get("method", "")),
        bool(table["leaking"].any()),
        described[["malignant", "patient_id", "fold"]],
        {model: _candidate(model, part) for model, part in rows.items()},
        frozenset(model for model, part in rows.items() if part["predicted"].isna().all()),
        {model: str(part["title"].iloc[0]) for model, part in rows.items()},
        {model: bool(part["oracle"].any()) for model, part in rows.items()},
        read_csv(needed[1], dtype=names).set_index("model"),
        ComparisonSettings.model_validate(read_json(needed[2])["comparison"] | {"predictions": []}),
    )


def _candidate(model: str, rows: pd.DataFrame) -> Candidate:
    runs = {
        int(str(seed)): part.set_index("lesion_id")[["score", "predicted"]].astype("float64").fillna({"predicted": 0.0})
        for seed, part in rows.groupby("seed")
    }
    return Candidate(model, str(rows["family"].iloc[0]), runs)
