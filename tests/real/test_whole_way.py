"""Two real films at full size go from DICOM to mask, features and prediction, beside real training patients."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILMS = {
    "P_00001": ("cbis-ddsm/full/Mass-Training_P_00001_LEFT_CC_0.jpg", "LEFT", "CC", 4),
    "P_00116": ("cbis-ddsm/full/Mass-Test_P_00116_RIGHT_MLO.png", "RIGHT", "MLO", 5),
}
MASK = "cbis-ddsm/full/Mass-Training_P_00001_LEFT_CC_1_0_mask.jpg"
CROPS = {"1": (1583, 1175, 2066, 1461), "2": (1149, 1717, 1635, 2214)}  # where P_00116's crops match the film
BOX = ["box_y0", "box_x0", "box_y1", "box_x1"]
COLUMNS = ["image", "mask", "patient", "side", "view", "label", "birads", "spacing", "split", "lesion", *BOX]

pytestmark = pytest.mark.slow


def training_rows(real: Path, study: Path, patients: int = 50) -> list[dict[str, object]]:
    """Copy the views of a few real patients at 256 px and return their rows; every sixth patient is a test patient."""
    source = real / "cbis-ddsm-mass-256"
    lesions = pd.read_csv(source / "lesions.csv").merge(
        pd.read_csv(source / "views.csv")[["view", "scale_fullpx_per_px"]]
    )
    lesions = lesions[lesions["ok"] & (lesions["n_in_view"] == 1) & (lesions["patient_id"] != "P_00001")]
    wanted = {patient: index for index, patient in enumerate(lesions["patient_id"].unique()[:patients])}
    rows: list[dict[str, object]] = []
    for lesion in lesions[lesions["patient_id"].isin(wanted)].itertuples():
        for name in (lesion.image, lesion.mask):
            (study / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, study / name)
        split = "test" if wanted[lesion.patient_id] % 6 == 0 else "train"
        row = [lesion.image, lesion.mask, lesion.patient_id, lesion.side, lesion.image_view, lesion.pathology]
        row += [lesion.assessment, 0.05 * lesion.scale_fullpx_per_px, split, "1", *([""] * 4)]
        rows.append(dict(zip(COLUMNS, row, strict=True)))
    return rows


def film_rows(real: Path, study: Path, wrap: Callable[[Path, Path], None]) -> list[dict[str, object]]:
    """Wrap the two films and the one mask as DICOM files and return the rows of their three lesions."""
    rows: list[dict[str, object]] = []
    for patient, (picture, side, view, birads) in FILMS.items():
        wrap(real / picture, study / patient / "film.dcm")
        common: list[object] = [patient, side, view, "MALIGNANT", birads, 0.0435, "test"]
        if patient == "P_00001":
            wrap(real / MASK, study / patient / "mask.dcm")
            values = [f"{patient}/film.dcm", f"{patient}/mask.dcm", *common, "1", *([""] * 4)]
            rows.append(dict(zip(COLUMNS, values, strict=True)))
            continue
        for lesion, box in CROPS.items():
            rows.append(dict(zip(COLUMNS, [f"{patient}/film.dcm", "", *common, lesion, *box], strict=True)))
    return rows


@pytest.fixture(scope="module")
def run(
    real_data: Path, wrap_in_real_header: Callable[[Path, Path], None], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    root = tmp_path_factory.mktemp("whole_way")
    study = root / "study"
    rows = training_rows(real_data, study) + film_rows(real_data, study, wrap_in_real_header)
    pd.DataFrame(rows).to_csv(study / "cases.csv", index=False)
    dataset = {"reader": "table", "name": "two real films", "folder": str(study), "tables": ["cases.csv"]}
    overlay = {
        "run": "films",
        "results": str(root / "results"),
        "store": str(root / "store"),
        "cohort": {"dataset": dataset, "split": {"method": "official"}, "shards": 2},
        "features": {"families": {"gabor": {"wavelengths_mm": [4.0, 8.0]}}},
        "classification": {"efficientnet": {"epochs": 1}, "perceptron": {"epochs": 5, "tuning_epochs": 1}},
    }
    (root / "films.yaml").write_text(yaml.safe_dump(overlay))
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", str(root / "films.yaml")]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return root / "results" / "films"


def shards(run: Path, pattern: str) -> pd.DataFrame:
    table = pd.concat([pd.read_parquet(path) for path in sorted(run.glob(pattern))])
    return table[table["patient_id"].isin(FILMS)].set_index("lesion_id")


def test_films_have_masks_features_and_predictions(run: Path) -> None:
    masks = shards(run, "segmentation/small/*/masks.parquet")
    assert len(masks) == 3
    assert (masks["area_mm2"] > 10).all()
    gabor, radiomics = (shards(run, f"features/{family}/*.parquet") for family in ("gabor", "radiomics"))
    assert (gabor["status"] == "ok").all()
    assert (radiomics["status"] == "ok").all()
    assert gabor["gabor_similarity"].between(0.5, 1).all()
    predictions = [
        shards(run, f"classification/{path.name}/*.parquet") for path in (run / "classification").glob("[ep]*")
    ]
    assert len(predictions) == 6
    for table in predictions:
        assert len(table) == 3
        assert table["probability"].between(0, 1).all()


def test_the_mask_of_the_film_with_a_true_mask_is_close_to_it(run: Path) -> None:
    scores = shards(run, "segmentation/small/*/scores.parquet")
    small = scores[(scores["model"] == "small") & (scores["iteration"] == 1) & (scores["patient_id"] == "P_00001")]
    dice = small.set_index("margin_mm")["dice"]
    print("P_00001, Dice at each margin:", dice.round(3).to_dict())
    assert dice[0.0] > 0.7
    assert dice[5.0] > 0.6


def test_peak_memory_of_each_stage_is_reported_and_bounded(run: Path) -> None:
    peaks = {}
    for path in sorted(run.glob("benchmarks/**/*.tsv")):
        stage = path.relative_to(run / "benchmarks").parts[0]
        peaks[stage] = max(peaks.get(stage, 0.0), float(pd.read_csv(path, sep="\t")["max_rss"].max()))
    print("peak memory of a job, MB:", peaks)
    assert {"images", "segment", "features", "efficientnet", "perceptron"} <= set(peaks)
    assert max(peaks.values()) < 6000
