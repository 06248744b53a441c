"""What `study.json`, the cohort's record of the study, says of every result: phantoms, a leaking split, notes."""

from __future__ import annotations

from typing import Any

import pandas as pd

PHANTOM = "phantom"
"""The mark of results of synthetic images, which say nothing about patients."""

LEAKING = "leaking split"
"""The mark of results of a split that puts patients on two sides on purpose."""

MARKS = (PHANTOM, LEAKING)


def is_phantom(study: dict[str, Any]) -> bool:
    """Tell whether the study, or a part of it, is made of phantoms."""
    return bool(study.get("phantom", False))


def is_leaking(study: dict[str, Any]) -> bool:
    """Tell whether the split puts patients on two sides on purpose (the published protocol)."""
    split = study.get("split")
    return isinstance(split, dict) and bool(split.get("leaking", False))


def is_cbis_ddsm(study: dict[str, Any]) -> bool:
    """Tell whether the study is CBIS-DDSM, or a part of it, and nothing else: by its reader, or by its name.

    A phantom study is written as a CBIS-DDSM download looks, and is none.
    """
    sources = study.get("sources") or [study]
    return bool(sources) and not is_phantom(study) and all(_is_cbis_ddsm(source) for source in sources)


def _is_cbis_ddsm(source: dict[str, Any]) -> bool:
    name = str(source.get("name", "")).lower().replace("_", "-")
    return source.get("reader") == "cbis-ddsm" or name.startswith("cbis-ddsm")


def has_every_fold(study: dict[str, Any]) -> bool:
    """Tell whether the run makes every fold of a split into folds."""
    split = study.get("split")
    return isinstance(split, dict) and split.get("method") == "kfold" and split.get("fold") == "all"


def applies_only(study: dict[str, Any]) -> bool:
    """Tell whether every patient is test and nothing is trained on the study."""
    split = study.get("split")
    return isinstance(split, dict) and split.get("method") == "apply"


def study_notes(study: dict[str, Any]) -> list[str]:
    """Return the notes of the study; a semicolon, which parts the notes of a row, becomes a comma."""
    return [str(note).replace(";", ",") for note in study.get("notes") or []]


def study_note(study: dict[str, Any]) -> str:
    """Return what a reader must know of every result of the study: its marks and its notes, parted by semicolons."""
    marks = [mark for mark, applies in ((PHANTOM, is_phantom(study)), (LEAKING, is_leaking(study))) if applies]
    return "; ".join([*marks, *study_notes(study)])


def noted(table: pd.DataFrame, study: dict[str, Any]) -> pd.DataFrame:
    """Return a table with the study's note in the column `note` of every row, unless it has such a column."""
    return table if "note" in table.columns else table.assign(note=study_note(study))
