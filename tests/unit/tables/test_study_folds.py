"""Which studies have every fold in one run."""

from __future__ import annotations

import pytest

from mammoflow.config.split import SplitSettings
from mammoflow.tables.study import has_every_fold


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ({}, False),
        ({"method": "kfold"}, True),
        ({"method": "kfold", "fold": 2}, False),
        ({"method": "official"}, False),
    ],
)
def test_only_a_split_into_folds_without_a_number_has_every_fold(split: dict[str, object], expected: bool) -> None:
    settings = SplitSettings.model_validate(split)
    assert has_every_fold({"split": settings.model_dump()}) is settings.all_folds is expected


def test_a_study_without_a_split_has_no_folds() -> None:
    assert not has_every_fold({})
