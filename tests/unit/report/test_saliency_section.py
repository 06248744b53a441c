"""The section on saliency maps: which lesions are shown, and what it says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mammoflow.errors import StudyError
from mammoflow.report.page import render
from mammoflow.report.saliency import METHODS, map_pictures
from mammoflow.tables.files import write_table
from mammoflow.tables.saliency import SALIENCY


@pytest.fixture(scope="module")
def maps(run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The saliency maps of nine lesions of the made-up run; the share inside the mask is .1 to .9."""
    folder = tmp_path_factory.mktemp("saliency")
    lesions = pd.concat([pd.read_parquet(shard / "lesions.parquet") for shard in run.images]).iloc[:10]
    table = lesions[["lesion_id", "image_id", "patient_id", "malignant"]].assign(
        model="context_crop", seed=0, method="grad_cam", probability=0.25, pointing_hit=[0] * 5 + [1] * 5,
        pointing_chance=0.2, centre_hit=1, energy_inside=[*np.arange(1, 10) / 10, np.nan], mask_share=0.1,
        picture_file="pictures/one.jpg",
    )  # fmt: skip
    write_table(table, SALIENCY, folder / "saliency.parquet")
    (folder / "pictures").mkdir()
    (folder / "pictures" / "one.jpg").write_bytes(b"a picture")
    return folder


def test_the_highest_the_middle_and_the_lowest_are_shown(run: Any, maps: Path) -> None:
    ((model, method, pictures),) = map_pictures(run.images, [maps], 3)
    assert (model, method) == ("context_crop", "Grad-CAM")
    assert [(item.rank, item.energy, item.hit) for item in pictures] == [
        ("best", 0.9, True), ("median", 0.5, False), ("worst", 0.1, False),
    ]  # fmt: skip
    assert {item.probability for item in pictures} == {0.25}
    assert all(item.picture == "data:image/jpeg;base64,YSBwaWN0dXJl" for item in pictures)
    assert len({item.case for item in pictures}) == 3
    assert map_pictures(run.images, [maps], 0) == map_pictures(run.images, [], 3) == []


def test_a_missing_picture_says_what_to_do(run: Any, maps: Path, tmp_path: Path) -> None:
    write_table(pd.read_parquet(maps / "saliency.parquet"), SALIENCY, tmp_path / "saliency.parquet")
    with pytest.raises(StudyError, match=r"pictures/one\.jpg cannot be read .* make the maps again"):
        map_pictures(run.images, [tmp_path], 3)


def test_the_section_shows_values_chance_and_pictures_without_an_id(run: Any, maps: Path) -> None:
    row = {
        "model": "context_crop", "method": "grad_cam", "group": "all", "n": 9, "patients": 5, "seeds": 1,
        "pointing_game": 0.556, "pointing_game_low": 0.3, "pointing_game_high": 0.8, "pointing_chance": 0.2,
        "pointing_centre": 1.0, "pointing_difference": 0.356, "pointing_difference_low": 0.1,
        "pointing_difference_high": 0.6, "energy_inside": 0.5, "energy_inside_low": 0.4, "energy_inside_high": 0.6,
        "mask_share": 0.1, "energy_difference": 0.4, "energy_difference_low": 0.3, "energy_difference_high": 0.5,
        "nowhere_positive": 1, "without_mask": 2, "not_shown": 3,
    }  # fmt: skip
    values = {"saliency": [row], "maps": map_pictures(run.images, [maps], 3), "marks": "", "percent": "95"}
    filters: Any = {"shown": lambda name: name.replace("_", " "), "method": lambda name: METHODS[name]}
    page = render(values, "saliency.html.j2", filters)
    for text in ("0.556", "0.30–0.80", "0.200", "1.000", "+0.356", "Highest: energy inside 0.90", "predicted 0.25"):
        assert text in page, text
    assert "maximum on the lesion" in page
    assert "maximum beside the lesion" in page
    assert "P00" not in page
