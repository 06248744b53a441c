"""Inner folds of image shards: training patients alone, each held out once, as a recipe reads them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from mammoflow.errors import StudyError
from mammoflow.segmentation.automatic.samples import read_training_images
from mammoflow.segmentation.protocol.network_input import NetworkInput
from mammoflow.segmentation.search.inner_folds import InnerShards
from mammoflow.segmentation.tuning.lesions import read_lesions
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES

from ..automatic.tiny_images import Disc, Film, write_shard

TRAIN = {f"discs/T{number}" for number in range(8)}


def films(numbers: Sequence[int], normal: bool) -> list[Film]:
    """Training patients with a lesion, of whom some have a second image; patients of the other sides; and a normal."""
    found = [Film(f"T{number}_a", f"T{number}", "train", [Disc(20 + number, 20)]) for number in numbers]
    found += [Film(f"T{number}_b", f"T{number}", "train") for number in numbers[:2]]
    found += [Film(f"{split}{numbers[0]}", f"{split}{numbers[0]}", split, [Disc(30, 24)]) for split in OTHERS]
    return found + ([Film("T7_a", "T7", "train")] if normal else [])


OTHERS = ("validation", "test")


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two shards."""
    return [
        write_shard(tmp_path / "00", films(range(4), normal=True)),
        write_shard(tmp_path / "01", films(range(4, 7), normal=False)),
    ]


def test_a_recipe_sees_training_patients_alone_and_each_is_held_out_once(folders: list[Path], tmp_path: Path) -> None:
    inner = InnerShards.draw(folders, 3, seed=0)
    assert set(inner.patients()) == TRAIN
    held_out: list[str] = []
    for fold in range(3):
        shards = inner.write(fold, tmp_path / f"fold-{fold}")
        images = read_training_images(shards)
        trained, validated = images.patients("train"), images.patients("validation")
        assert not set(trained) & set(validated)
        assert set(trained) | set(validated) == TRAIN
        lesions = read_lesions(shards)
        assert lesions.patients("validation") == [each for each in validated if each != "discs/T7"]
        assert len(lesions.patients("validation")) >= 2  # 7 patients with a lesion in 3 folds
        held_out += validated
    assert sorted(held_out) == sorted(TRAIN)
    assert sum(count["patients"] for count in inner.counts()) == 8
    assert sum(count["images"] for count in inner.counts()) == 7 + 4 + 1
    assert sum(count["lesions"] for count in inner.counts()) == 7


def test_the_tables_point_to_the_same_pictures_and_masks(folders: list[Path], tmp_path: Path) -> None:
    """A copy of each shard has no picture, so what is read comes from the place where the image stage wrote it."""
    whole = read_training_images(folders)
    images = read_training_images(InnerShards.draw(folders, 2, seed=0).write(0, tmp_path / "inner"))
    grid = NetworkInput(32)
    rows = {image_id: row for row, image_id in enumerate(whole.images["image_id"])}
    for row, image_id in enumerate(images.images["image_id"]):
        for found, expected in zip(images.read(row, grid), whole.read(rows[image_id], grid), strict=True):
            assert (found == expected).all()


def test_folds_follow_from_seed_and_ids_alone(folders: list[Path]) -> None:
    drawn = InnerShards.draw(folders, 3, seed=0)
    assert InnerShards.draw(folders[::-1], 3, seed=0).fold_of == drawn.fold_of
    assert InnerShards.draw(folders, 3, seed=1).fold_of != drawn.fold_of


def test_other_patients_play_no_part_and_the_content_is_that_of_the_tables(folders: list[Path], tmp_path: Path) -> None:
    before = InnerShards.draw(folders, 3, seed=0)
    moved = Path(shutil.move(folders[0], tmp_path / "moved"))
    table = read_table(moved / "images.parquet", CANONICAL_IMAGES)
    write_table(table[table["split"] == "train"], CANONICAL_IMAGES, moved / "images.parquet")
    after = InnerShards.draw([moved, folders[1]], 3, seed=0)
    assert (after.fold_of, after.content()) == (before.fold_of, before.content())
    changed = table.assign(digest=table["digest"].mask(table["image_id"] == "T0_a", "another picture"))
    write_table(changed, CANONICAL_IMAGES, moved / "images.parquet")
    assert InnerShards.draw([moved, folders[1]], 3, seed=0).content() != before.content()


def test_only_the_data_sets_of_the_training_are_divided(folders: list[Path]) -> None:
    table = read_table(folders[1] / "images.parquet", CANONICAL_IMAGES)
    write_table(table.assign(source="others"), CANONICAL_IMAGES, folders[1] / "images.parquet")
    assert InnerShards.draw(folders, 2, seed=0, sources=["discs"]).patients() == [
        "discs/T0", "discs/T1", "discs/T2", "discs/T3", "discs/T7"
    ]  # fmt: skip


@pytest.mark.parametrize(("count", "expected"), [(8, "train has 7 patients with the mask of a lesion"), (7, "")])
def test_too_few_patients_for_the_folds_are_an_error(folders: list[Path], count: int, expected: str) -> None:
    if not expected:
        assert pd.Series(InnerShards.draw(folders, count, seed=0).fold_of).nunique() == count
        return
    with pytest.raises(StudyError, match=rf"{expected}, and inner_folds is 8; .*Set inner_folds to 7 or less"):
        InnerShards.draw(folders, count, seed=0)
