"""Paths in case tables as people write them: absolute ones, links, other spellings, and ones that leave the study."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from tests.unit.cohort.small_study import Study, table_of

ACCENTED = "mammö"


@pytest.fixture
def study(tmp_path: Path) -> Study:
    study = Study(tmp_path / "study")
    study.folder.mkdir()
    study.write_pictures(table_of())
    return study


def select(study: Study, path: str) -> tuple[int, list[str]]:
    """Return how many images are found, and why one is not, where the first row of a table has another path."""
    table = table_of()
    table.loc[0, "image"] = path
    found = study.select(table)
    return len(found.images), found.details


@pytest.mark.parametrize(
    "path",
    [
        "./images/0.png",
        "images//0.png",
        "masks/../images/0.png",
        "images\\0.png",
        " images/0.png ",
        "{study}/images/0.png",
    ],
)
def test_one_path_in_several_ways_is_the_same_file(study: Study, path: str) -> None:
    assert select(study, path.format(study=study.folder)) == (8, [])


def test_an_absolute_path_through_a_link_to_the_study_is_found(study: Study, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(study.folder)
    assert select(study, f"{tmp_path}/link/images/0.png") == (8, [])


def test_a_folder_that_is_linked_into_the_study_is_followed(study: Study, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (study.folder / "images" / "0.png").rename(tmp_path / "disk" / "0.png")
    (study.folder / "linked").symlink_to(tmp_path / "disk")
    assert select(study, "linked/0.png") == (8, [])


@pytest.mark.parametrize("path", ["../other.txt", "images/../../other.txt", "/etc/hostname", "C:\\films\\0.png"])
def test_a_path_that_leaves_the_study_is_excluded(study: Study, path: str) -> None:
    found, details = select(study, path)
    assert found == 7
    assert details, "the row and its lesion are listed"
    assert all("does not stay below the study folder" in detail for detail in details)


@pytest.mark.parametrize(
    ("on_disk", "in_table"),
    [
        ("a.png", "a.PNG"),
        ("Film.png", "film.png"),
        (f"{unicodedata.normalize('NFD', ACCENTED)}.png", f"{unicodedata.normalize('NFC', ACCENTED)}.png"),
        (f"{unicodedata.normalize('NFC', ACCENTED)}.png", f"{unicodedata.normalize('NFD', ACCENTED)}.png"),
    ],
)
def test_another_spelling_of_a_file_is_named(study: Study, on_disk: str, in_table: str) -> None:
    folder = study.folder / "films"
    folder.mkdir()
    (study.folder / "images" / "0.png").rename(folder / on_disk)
    table = table_of()
    table["image"] = table["image"].where(table.index != 0, f"films/{in_table}")
    study.write_pictures = lambda table: None  # type: ignore[method-assign]
    found = study.select(table)
    assert len(found.images) == 7
    assert all(f"its folder has {on_disk!r}: correct the spelling" in detail for detail in found.details)
    assert found.details
