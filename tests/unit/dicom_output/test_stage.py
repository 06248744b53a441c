"""The stage: one Segmentation and one report for each DICOM film of a shard, and a row for every lesion."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pandas as pd
import pytest

from mammoflow.dicom_output.stage import EMPTY, NO_MILLIMETRES, PICTURE, DicomInputs, write_dicom_objects
from mammoflow.errors import StudyError
from mammoflow.storage.files import write_image, write_mask
from mammoflow.tables.dicom_objects import DICOM_OBJECTS
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.masks import MASKS
from mammoflow.tables.predictions import PREDICTIONS

CANONICAL = (30, 20)
FILMS = {"R-MLO": "film.dcm", "L-CC": "picture.png"}
LESIONS = {
    "R-MLO-1": ("R-MLO", "test"),
    "R-MLO-2": ("R-MLO", "train"),
    "R-MLO-3": ("R-MLO", "test"),
    "L-CC-1": ("L-CC", "test"),
}


def filled(schema: Any, **values: Any) -> dict[str, Any]:
    """Return a row with some value in each column that a table must have."""
    row: dict[str, Any] = {}
    for name, column in schema.columns.items():
        if not column.required and name not in values:
            continue
        kind = str(column.dtype)
        row[name] = values.get(name, "" if kind == "str" else 1 if kind in ("float64", "Int64") else False)
    return row


@pytest.fixture
def shard(tmp_path: Path, write_film: Callable[..., Path]) -> DicomInputs:
    """A shard with a DICOM film that has three lesions, one of them without a mask, and a picture with one."""
    write_film("film.dcm")
    write_image(tmp_path / "picture.png", np.ones((60, 40), np.uint16))
    inputs = DicomInputs(tmp_path, tmp_path / "images", tmp_path / "masks", tmp_path / "context_crop")
    size = {"film_height": 60, "film_width": 40, "height": CANONICAL[0], "width": CANONICAL[1], "film_spacing_mm": 0.5}
    images, lesions, masks = [], [], []
    for image, path in FILMS.items():
        keys = {"image_id": image, "patient_id": "P1", "laterality": image[0], "view": image[2:], "split": "test"}
        images.append(filled(CANONICAL_IMAGES, **keys, **size, image_path=path, official_split="", density=2))
    for number, (lesion, (image, split)) in enumerate(LESIONS.items()):
        keys = {"lesion_id": lesion, "image_id": image, "patient_id": "P1", "laterality": image[0], "view": image[2:]}
        kind = "calcification" if lesion == "R-MLO-2" else "mass"
        lesions.append(
            filled(CANONICAL_LESIONS, **keys, split=split, lesion_type=kind, official_split="", label_origin="birads")
        )
        mask = np.zeros(CANONICAL, dtype=np.bool_)
        mask[4 + number : 10, 3:8] = lesion != "R-MLO-3"
        write_mask(inputs.masks / "mask" / f"{lesion}.png", mask)
        masks.append(
            filled(
                MASKS,
                lesion_id=lesion,
                image_id=image,
                patient_id="P1",
                model="small",
                field_of_view="image",
                choice="first",
                head_choice="single",
                mask_file=f"mask/{lesion}.png",
            )
        )
    for lesion_row in lesions:
        lesion_row.pop("label_origin", None)
    write_table(pd.DataFrame(images), CANONICAL_IMAGES, inputs.images / "images.parquet")
    write_table(pd.DataFrame(lesions), CANONICAL_LESIONS, inputs.images / "lesions.parquet")
    write_table(pd.DataFrame(masks), MASKS, inputs.masks / "masks.parquet")
    (inputs.masks / "weights.json").write_text(
        json.dumps({"architecture": "small", "sha256": "ab12"}), encoding="utf-8"
    )
    predictions = [
        filled(
            PREDICTIONS,
            lesion_id=lesion,
            image_id=image,
            split=split,
            model="context_crop",
            seed=seed,
            probability=value,
        )
        for lesion, (image, split) in LESIONS.items()
        for seed, value in ((0, 0.2), (1, 0.4))
    ]
    assert inputs.classifier is not None
    write_table(pd.DataFrame(predictions), PREDICTIONS, inputs.classifier / "predictions.parquet")
    record = {"settings": {"calibrate": "temperature"}}
    (inputs.classifier / "training.json").write_text(json.dumps(record), encoding="utf-8")
    return inputs


def objects(folder: Path) -> pd.DataFrame:
    return read_table(folder / "objects.parquet", DICOM_OBJECTS).set_index("lesion_id")


def test_dicom_films_get_objects_and_every_lesion_a_row(
    shard: DicomInputs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dicom_objects(shard, tmp_path / "out")
    table = objects(tmp_path / "out")
    assert sorted(table.index) == sorted(LESIONS)
    assert table.loc["L-CC-1", "note"] == PICTURE
    assert table.loc["R-MLO-3", "note"] == EMPTY
    assert table.loc["R-MLO-1", "segmentation_file"] == table.loc["R-MLO-2", "segmentation_file"]
    assert table.loc[["R-MLO-1", "R-MLO-2"], "segment"].tolist() == [1, 2]
    files = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.dcm")}
    assert files == {"segmentation/R-MLO.dcm", "report/R-MLO.dcm"}
    assert "1 films with 2 lesions written" in capsys.readouterr().err


def test_masks_and_measures_are_on_the_films_grid(shard: DicomInputs, tmp_path: Path) -> None:
    write_dicom_objects(shard, tmp_path / "out")
    table = objects(tmp_path / "out")
    frames = hd.seg.segread(tmp_path / "out" / "segmentation" / "R-MLO.dcm").pixel_array.astype(bool)
    assert frames.shape == (2, 60, 40)
    assert frames[0][8:20, 6:16].mean() > 0.95
    assert frames[0].sum() == pytest.approx(120, abs=8)
    assert table.loc["R-MLO-1", "area_mm2"] == pytest.approx(frames[0].sum() * 0.25)


def test_only_test_lesions_have_a_probability(shard: DicomInputs, tmp_path: Path) -> None:
    write_dicom_objects(shard, tmp_path / "out")
    table = objects(tmp_path / "out")
    assert table.loc["R-MLO-1", "probability"] == pytest.approx(0.3)
    assert pd.isna(table.loc["R-MLO-2", "probability"])
    report = hd.sr.srread(tmp_path / "out" / "report" / "R-MLO.dcm")
    names = [
        [item.name.meaning for item in group.get_measurements()]
        for group in report.content.get_planar_roi_measurement_groups()
    ]
    assert names == [["Area", "Long axis", "Probability of cancer"], ["Area", "Long axis"]]


def test_a_fold_writes_its_test_lesions_alone_and_a_rerun_removes_the_rest(shard: DicomInputs, tmp_path: Path) -> None:
    write_dicom_objects(shard, tmp_path / "out")
    mine = tmp_path / "out" / "report" / "mine.txt"
    mine.write_text("mine", encoding="utf-8")
    write_dicom_objects(shard, tmp_path / "out", only_test=True)
    assert "R-MLO-2" not in objects(tmp_path / "out").index
    assert len(hd.seg.segread(tmp_path / "out" / "segmentation" / "R-MLO.dcm").SegmentSequence) == 1
    assert mine.is_file()


def test_a_rerun_without_the_earlier_table_removes_the_earlier_objects(shard: DicomInputs, tmp_path: Path) -> None:
    output = tmp_path / "out"
    write_dicom_objects(shard, output)
    mine = output / "report" / "mine.dcm"
    mine.write_text("mine", encoding="utf-8")
    (output / "objects.parquet").unlink()  # Snakemake removes the output of a job before it starts the job again
    for lesion in LESIONS:
        write_mask(shard.masks / "mask" / f"{lesion}.png", np.zeros(CANONICAL, dtype=np.bool_))
    write_dicom_objects(shard, output)
    assert list(output.rglob("*.dcm")) == [mine]


def test_film_that_is_gone_is_a_note(shard: DicomInputs, tmp_path: Path) -> None:
    (tmp_path / "film.dcm").unlink()
    write_dicom_objects(shard, tmp_path / "out")
    assert objects(tmp_path / "out").loc["R-MLO-1", "note"].startswith("file is missing")


def test_mask_of_another_size_stops(shard: DicomInputs, tmp_path: Path) -> None:
    write_mask(shard.masks / "mask" / "R-MLO-1.png", np.ones((5, 5), dtype=np.bool_))
    with pytest.raises(StudyError, match="run the segment stage again"):
        write_dicom_objects(shard, tmp_path / "out")


def test_an_image_without_a_pixel_spacing_is_a_note(shard: DicomInputs, tmp_path: Path) -> None:
    path = shard.images / "images.parquet"
    write_table(read_table(path, CANONICAL_IMAGES).assign(spacing_origin="pixels"), CANONICAL_IMAGES, path)
    write_dicom_objects(shard, tmp_path / "out")
    assert set(objects(tmp_path / "out")["note"]) == {NO_MILLIMETRES}
