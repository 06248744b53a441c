"""Masks of another tool: matched by key, scored as those of a model, and every one that cannot be used has a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic_run

from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.config.foreign import ForeignMasks
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError, StudyError
from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.foreign import unmatched_lines
from mammoflow.evaluation.foreign_masks import _mask, masks_record, score_foreign_masks
from mammoflow.evaluation.segmentation_choices import choices_table
from mammoflow.evaluation.segmentation_diameter import dice_by_diameter
from mammoflow.evaluation.segmentation_summary import OTHER_TOOL
from mammoflow.evaluation.segmentation_tables import segmentation_table
from mammoflow.planning.foreign import check_foreign, foreign_files
from mammoflow.storage.files import read_mask, write_image, write_mask
from mammoflow.tables.files import empty_table
from mammoflow.tables.masks import MASKS, SEGMENTATION_SCORES

RULE = PatientBootstrap(100, 0.95, 0, 2)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], pd.DataFrame]:
    """A made-up run of six patients, and its lesions, indexed by lesion."""
    random, root = np.random.default_rng(1), tmp_path_factory.mktemp("run")
    drawn = synthetic_run._lesions(random, 6, True, True).assign(phantom=True)
    folders = [root / "images" / name for name in ("00", "01")]
    tables = []
    for shard, folder in enumerate(folders):
        synthetic_run._write_images(folder, drawn[drawn["shard"] == shard], random, True)
        tables.append(pd.read_parquet(folder / "lesions.parquet").assign(folder=str(folder)))
    return folders, pd.concat(tables).set_index("lesion_id")


def reference(lesion: pd.Series) -> np.ndarray:
    return read_mask(Path(lesion["folder"]) / lesion["mask_file"])


def test_masks_are_scored_on_the_grid_and_the_rest_has_a_reason(
    written: tuple[list[Path], pd.DataFrame], tmp_path: Path
) -> None:
    folders, lesions = written
    names = lesions.index.tolist()
    for name in names[:-4]:
        write_mask(tmp_path / f"{name}.png", reference(lesions.loc[name]))
    half = reference(lesions.loc[names[0]])
    half[:, int(lesions.loc[names[0], ["x0", "x1"]].mean()) :] = False
    write_image(tmp_path / f"{names[0]}.png", half.astype(np.uint8))  # 0 and 1
    write_mask(tmp_path / f"{names[1]}.png", np.zeros_like(half))
    write_mask(tmp_path / f"{names[-4]}.png", np.ones((10, 12), dtype=bool))
    (tmp_path / f"{names[-3]}.png").write_bytes(b"no picture")
    write_image(tmp_path / f"{names[-2]}.png", np.zeros((160, 120, 3), dtype=np.uint8))
    write_mask(tmp_path / "stranger.png", half)
    tool = ForeignMasks(name="Vendor AI", folder=str(tmp_path))
    found = score_foreign_masks([tool], folders, ["small"])
    SEGMENTATION_SCORES.validate(found.scores.convert_dtypes().astype({"seen": bool, "chosen": bool, "missed": bool}))
    scores = found.scores.set_index("lesion_id")
    assert set(scores.index) == set(names[:-4])
    full = reference(lesions.loc[names[0]])
    assert scores.loc[names[0], "dice"] == pytest.approx(2 * (half & full).sum() / (half.sum() + full.sum()))
    assert scores.loc[names[1], ["dice", "missed"]].tolist() == [0, True]
    assert (scores.loc[names[2:-4], "dice"] == 1).all()
    assert (scores.loc[names[2:-4], "hd95_mm"] == 0).all()
    problems = found.problems.set_index("value")["problem"]
    assert problems[names[-4]].startswith(f"{names[-4]}.png has 10 x 12 pixels (rows x columns); expected 160 x 120")
    assert problems[names[-3]].endswith("cannot be read as a picture")
    assert problems[names[-2]].endswith("has 3 channels; expected a grey picture")
    assert problems[names[-1]].endswith("does not exist")
    assert problems["stranger.png"] == "no usable lesion of the run has this file"
    assert [line.split(",")[0] for line in unmatched_lines(found.problems)] == [
        "Vendor AI: 4 lesions have no mask that can be used", "Vendor AI: 1 files of its folder are not used",
    ]  # fmt: skip


def test_the_tables_have_marked_rows_with_intervals(written: tuple[list[Path], pd.DataFrame], tmp_path: Path) -> None:
    folders, lesions = written
    lesions = lesions.assign(split="test")
    for name in lesions.index[:-1]:
        write_mask(tmp_path / f"{name}.png", reference(lesions.loc[name]) | (np.arange(120) < 3))
    scores = score_foreign_masks([ForeignMasks(name="Vendor AI", folder=str(tmp_path))], folders, []).scores
    table = segmentation_table(scores, lesions, RULE)
    row = table[table["split"] == "test"].iloc[0]
    assert (row["model"], row["prompts"], row["selection"], row["mark"]) == ("Vendor AI", "none", "chosen", OTHER_TOOL)
    assert (row["n"], row["lesions_without_prompt"]) == (len(lesions) - 1, 1)
    for name in ("dice", "iou", "hd95_mm"):
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
    assert choices_table(scores, lesions, RULE).empty
    diameters = dice_by_diameter(scores, empty_table(MASKS), lesions)
    assert len(diameters) == len(lesions) - 1
    assert set(diameters["mark"]) == {OTHER_TOOL}


def test_a_mask_of_the_film_is_brought_to_the_canonical_grid(tmp_path: Path) -> None:
    image = pd.Series({"height": 40, "width": 30, "film_height": 80, "film_width": 60})
    film = np.zeros((80, 60), dtype=bool)
    film[20:40, 10:30] = True
    write_mask(tmp_path / "film.png", film)
    tool = ForeignMasks(name="a", folder=str(tmp_path))
    mask, problem = _mask(tool, "film.png", image, pd.Series(dtype=int))
    assert problem == ""
    assert mask is not None
    assert mask.shape == (40, 30)
    assert mask[10:20, 5:15].all()
    assert mask.sum() == 100
    assert _mask(tool, "../x.png", image, pd.Series(dtype=int))[1] == "../x.png leads out of the folder of the masks"


def test_files_are_named_by_keys_or_by_a_table(written: tuple[list[Path], pd.DataFrame], tmp_path: Path) -> None:
    folders, lesions = written
    for place, (_, lesion) in enumerate(lesions.iterrows()):
        write_mask(tmp_path / "named" / f"{lesion['patient_id']}-{lesion['view']}.png", reference(lesion))
        write_mask(tmp_path / "listed" / f"{place}.png", reference(lesion))
    named = ForeignMasks(name="a", folder=str(tmp_path / "named"), file="{patient_id}-{view}.png")
    assert (score_foreign_masks([named], folders, []).scores["dice"] == 1).all()
    table = pd.DataFrame({"Image": lesions["image_id"], "Path": [f"{place}.png" for place in range(len(lesions))]})
    table.iloc[:-1].to_csv(tmp_path / "masks.csv", index=False)
    options = {"table": str(tmp_path / "masks.csv"), "key": "image_id", "columns": {"image_id": "Image"}}
    listed = ForeignMasks(name="b", folder=str(tmp_path / "listed"), file="Path", **options)  # type: ignore[arg-type]
    found = score_foreign_masks([listed], folders, [])
    assert (found.scores["dice"] == 1).all()
    assert len(found.scores) == len(lesions) - 1
    assert "no row of the table names a file" in set(found.problems["problem"])
    assert masks_record([listed])["b"]["files"] == len(lesions)
    with pytest.raises(StudyError, match="lacks the columns Datei"):
        score_foreign_masks([listed.model_copy(update={"file": "Datei"})], folders, [])
    with pytest.raises(StudyError, match="is the file of"):
        score_foreign_masks([named.model_copy(update={"file": "{source}.png"})], folders, [])


def test_a_lesion_with_several_files_has_no_mask(written: tuple[list[Path], pd.DataFrame], tmp_path: Path) -> None:
    folders, lesions = written
    first, second, *others = lesions.index
    rows = [(first, "a.png"), (first, "b.png"), (second, "c.png"), (second, "c.png"), *((name, "") for name in others)]
    for file, name in (("a", first), ("b", first), ("c", second)):
        write_mask(tmp_path / "masks" / f"{file}.png", reference(lesions.loc[name]))
    pd.DataFrame(rows, columns=["lesion_id", "file"]).to_csv(tmp_path / "masks.csv", index=False)
    options = {"folder": str(tmp_path / "masks"), "file": "file", "table": str(tmp_path / "masks.csv")}
    found = score_foreign_masks([ForeignMasks(name="a", **options)], folders, [])
    assert found.scores["lesion_id"].tolist() == [second]
    row = found.problems.set_index("value").loc[first]
    assert row["problem"] == "the table names 2 files: a.png, b.png; expected one for each lesion"
    assert row["row"] == "masks.csv row 2, masks.csv row 3"
    assert (found.problems["side"] == "masks").all()  # both files are of the lesion


def test_wrong_settings_are_refused(written: tuple[list[Path], pd.DataFrame], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a pattern"):
        ForeignMasks(name="a", folder="x", file="mask.png")
    tool = ForeignMasks(name="small", folder=str(tmp_path))
    with pytest.raises(ValueError, match=r"comparison.masks.0.name is 'small'"):
        StudyConfig(comparison=ComparisonSettings(masks=[tool]))
    with pytest.raises(ConfigError, match="of a segmentation model"):
        score_foreign_masks([tool], [], ["small"])
    with pytest.raises(StudyError, match="no lesion of the run has a mask"):
        score_foreign_masks([tool], written[0], [])
    gone = ComparisonSettings.model_validate({"masks": [{"name": "a", "folder": str(tmp_path / "gone")}]})
    config = StudyConfig(comparison=gone)
    with pytest.raises(ConfigError, match=r"comparison.masks.0.folder: found .*gone', which is no folder"):
        check_foreign(config)
    (tmp_path / "gone").mkdir()
    write_mask(tmp_path / "gone" / "a.png", np.ones((2, 2), dtype=bool))
    assert foreign_files(config) == [str(tmp_path / "gone" / "a.png")]
