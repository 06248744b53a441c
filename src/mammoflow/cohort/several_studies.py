"""Several studies in one cohort: their tables under ids that no two of them share, their flow diagrams added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.cohort.reader import Exclusion
from mammoflow.cohort.selection import Flow, Selection
from mammoflow.config.cohort import DatasetSettings
from mammoflow.storage.names import safe_name

IDS = ("patient_id", "image_id", "lesion_id", "finding_id")


@dataclass(frozen=True)
class Pool:
    """What is left of all studies of a cohort.

    Attributes
    ----------
    rows
        All rows that could be read, with `source`.
    images, lesions
        What can be used, with `source` and, where there are several studies, `study`, the folder of each row's paths.
    excluded
        Every exclusion.
    flow
        Steps of the flow diagram.
    official_test
        Patients with a row of the official test set, be it one that a reader left out.
    """

    rows: pd.DataFrame
    images: pd.DataFrame
    lesions: pd.DataFrame
    excluded: list[Exclusion]
    flow: Flow
    official_test: frozenset[str] = frozenset()


def pool_studies(selections: Sequence[Selection], datasets: Sequence[DatasetSettings], studies: Sequence[Path]) -> Pool:
    """Join what is left of the studies.

    A study keeps its ids unless one of them is used by a study before it; then all of its ids carry its name in front,
    since the same patient number means another person there. A single study is never renamed.

    Parameters
    ----------
    selections, datasets, studies
        What is left of each study, its settings and its folder, in the same order.
    """
    taken: set[tuple[str, str]] = set()
    hidden = any(dataset.anonymous_ids for dataset in datasets)
    rows, images, lesions, excluded = [], [], [], []
    official_test: set[str] = set()
    for selection, dataset, study in zip(selections, datasets, studies, strict=True):
        ids, prefix = [(name, str(value)) for name in IDS for value in selection.rows[name].dropna()], ""
        while not taken.isdisjoint((name, prefix + value) for name, value in ids):
            prefix += f"{safe_name(dataset.name)}_"
        taken.update((name, prefix + value) for name, value in ids)
        place: dict[str, Any] = {"source": dataset.name, "phantom": selection.phantom}
        place |= {"study": str(study)} if len(studies) > 1 else {}
        place |= {"anonymous": bool(dataset.anonymous_ids)} if hidden else {}
        rows.append(_renamed(selection.rows, prefix).assign(source=dataset.name))
        study_images = _renamed(pd.DataFrame(selection.resolved.images), prefix)
        images.append(study_images.assign(**place, default_spacing_mm=dataset.spacing_mm))
        lesions.append(_renamed(pd.DataFrame(selection.resolved.lesions), prefix).assign(**place))
        excluded += [_renamed_exclusion(exclusion, prefix) for exclusion in selection.resolved.excluded]
        official_test |= {prefix + patient for patient in selection.official_test}
    flow = _added([selection.flow for selection in selections])
    return Pool(_joined(rows), _joined(images), _joined(lesions), excluded, flow, frozenset(official_test))


def _joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join tables; values keep their types, as a column may be absent or empty in one of them."""
    if len(tables) == 1:
        return tables[0].reset_index(drop=True)
    joined = pd.concat([table.astype(object) for table in tables], ignore_index=True)
    return joined.where(joined.notna(), None)


def _renamed(table: pd.DataFrame, prefix: str) -> pd.DataFrame:
    if not prefix:
        return table
    ids = [name for name in IDS if name in table.columns]
    return table.assign(**{name: table[name].map(lambda value: f"{prefix}{value}", na_action="ignore") for name in ids})


def _renamed_exclusion(exclusion: Exclusion, prefix: str) -> Exclusion:
    if not prefix:
        return exclusion
    names = ("patient_id", "image_id", "lesion_id")
    return replace(exclusion, **{name: prefix + value for name in names if (value := getattr(exclusion, name))})


def _added(flows: Sequence[Flow]) -> Flow:
    """Add the flow diagrams of studies that share no id, step by step."""
    if len(flows) == 1:
        return flows[0]
    steps: Flow = []
    for of_studies in zip(*flows, strict=True):
        reasons: Counter[str] = Counter()
        for step in of_studies:
            reasons.update(step["excluded"])
        counts = {name: sum(step[name] for step in of_studies) for name in ("images", "lesions", "patients")}
        steps.append({"step": of_studies[0]["step"], **counts, "excluded": dict(reasons.most_common())})
    return steps
