"""The fold stage: the tables of cohort and images with the sides that patients have in one fold.

Films, breast regions and patches stay where the image stage wrote them; the tables of a fold point to them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from pandera.pandas import DataFrameSchema

from mammoflow.cohort.step_counts import describe_parts
from mammoflow.config.split_names import SPLITS
from mammoflow.errors import StudyError
from mammoflow.storage.files import read_json, write_text
from mammoflow.tables.cohort import EXCLUDED, FOLDS, IMAGES, LESIONS
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS

FILE_COLUMN = "_file"
"""End of the names of columns that hold a path relative to the folder of their table."""


def write_fold(fold: int, cohort: Path, images: Sequence[Path], output: Path) -> None:
    """Write the tables of one fold: `cohort/` and `images/<shard>/` as a run of this fold alone would have them.

    Parameters
    ----------
    fold
        Number of the fold, from 0.
    cohort
        Folder of the cohort stage of a run that makes every fold.
    images
        Folders of the image stage, one for each shard.
    output
        Folder of the fold.

    Raises
    ------
    StudyError
        If the cohort has no such fold, or a patient of a table has no side in it.
    """
    folds = read_table(cohort / "folds.parquet", FOLDS)
    sides = folds[folds["fold"] == fold].set_index("patient_id")["split"]
    if sides.empty:
        raise StudyError(
            f"{cohort / 'folds.parquet'} has no fold {fold}; expected one of "
            f"{', '.join(map(str, sorted(folds['fold'].unique())))}"
        )
    tables = {name: read_table(cohort / f"{name}.parquet", schema) for name, schema in _OF_COHORT.items()}
    divided = {name: _on_sides(table, sides, name) for name, table in tables.items()}
    for name, table in divided.items():
        write_table(table, _OF_COHORT[name], output / "cohort" / f"{name}.parquet")
    _write_excluded(cohort, output / "cohort")
    study = read_json(cohort / "study.json")
    study["split"]["fold"] = fold
    study["counts"]["by_split"] = describe_parts(divided["images"], divided["lesions"], "split", SPLITS)
    write_text(output / "cohort" / "study.json", json.dumps(study, indent=2, ensure_ascii=False) + "\n")
    for folder in images:
        target = output / "images" / folder.name
        for name, schema in _OF_IMAGES.items():
            table = _on_sides(read_table(folder / f"{name}.parquet", schema), sides, name)
            write_table(_pointing_from(table, folder, target), schema, target / f"{name}.parquet")
        _write_excluded(folder, target)


_OF_COHORT: dict[str, DataFrameSchema] = {"images": IMAGES, "lesions": LESIONS}
_OF_IMAGES: dict[str, DataFrameSchema] = {"images": CANONICAL_IMAGES, "lesions": CANONICAL_LESIONS}


def _on_sides(table: pd.DataFrame, sides: pd.Series, name: str) -> pd.DataFrame:
    """Return a table with the sides of its patients."""
    split = table["patient_id"].map(sides)
    if split.isna().any():
        raise StudyError(
            f"patient {table.loc[split.isna(), 'patient_id'].iloc[0]!r} of the table {name} has no side in this fold; "
            "expected each patient in folds.parquet; run the cohort stage again"
        )
    return table.assign(split=split)


def _pointing_from(table: pd.DataFrame, folder: Path, target: Path) -> pd.DataFrame:
    """Return a table of `folder` whose paths are relative to another folder."""
    way = Path(os.path.relpath(folder, target)).as_posix()
    columns = [name for name in table.columns if name.endswith(FILE_COLUMN)]
    return table.assign(**{name: f"{way}/" + table[name] for name in columns})


def _write_excluded(source: Path, target: Path) -> None:
    write_table(read_table(source / "excluded.parquet", EXCLUDED), EXCLUDED, target / "excluded.parquet")
