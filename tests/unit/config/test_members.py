"""Members of a family: found by file name, their options checked by their own model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import Field, create_model

from mammoflow.config.base import Settings, validate_settings
from mammoflow.config.cohort import READERS
from mammoflow.config.documentation import settings_text
from mammoflow.config.members import MemberOf, NoOptions, OptionsOf
from mammoflow.errors import ConfigError

SOURCE = """
from pydantic import Field

from mammoflow.config.base import Settings


class Options(Settings):
    rank: int = Field(4, ge=1, description="Rank.")
"""


@pytest.fixture
def entry_model(add_member: Callable[..., object]) -> type[Settings]:
    """Settings that name a data set reader, one of which has options, and hold its options."""
    add_member(READERS, "with-rank", SOURCE)
    reader = Annotated[str, MemberOf(READERS)]
    options = Annotated[Settings, OptionsOf(READERS, "reader")]
    return create_model(
        "Entry",
        __base__=Settings,
        reader=(reader, "with-rank"),
        options=(options, Field(default_factory=NoOptions, validate_default=True)),
    )


def test_members_are_found_by_their_file_names(entry_model: type[Settings]) -> None:
    assert {"cbis-ddsm", "with-rank", "table"} <= set(READERS.names())
    assert READERS.module("with-rank") == "mammoflow.cohort.readers.with_rank"
    assert READERS.file("with-rank").name == "with_rank.py"


def test_options_are_those_of_the_member_that_is_named(entry_model: type[Settings]) -> None:
    entry: Any = entry_model.model_validate({"options": {"rank": 8}})
    assert entry.options.rank == 8
    assert "rank: 8" in settings_text(entry)
    again: Any = entry_model.model_validate({"reader": "with-rank"})
    assert again.options.rank == 4


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"options": {"rank": 0}}, r"options\.rank: found 0; expected: .*greater than or equal to 1"),
        ({"options": {"rnk": 1}}, r"options\.rnk: unknown key"),
        ({"reader": "table", "options": {"rank": 1}}, r"options\.rank: unknown key"),
        (
            {"reader": "with-rnk"},
            r"reader: 'with-rnk' is no data set reader; expected one of .*table",
        ),
    ],
)
def test_mistake_names_the_key(entry_model: type[Settings], values: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        validate_settings(entry_model, values, "the configuration")
