"""A real run, small: a phantom download with one bad file of each kind goes all the way, and each is named."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
import pydicom
import pytest
import yaml
from PIL import Image

from mammoflow.cohort.phantom.stage import write_phantom_study
from mammoflow.config.phantom import PhantomSettings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import Reason
from mammoflow.reasons.files import FileReason
from mammoflow.reasons.lesions import LesionReason

if TYPE_CHECKING:
    from conftest import Snakemake

# A minute of computing, and many where other programs use the cores.
pytestmark = [pytest.mark.timeout(1500), pytest.mark.long(60)]

ROOT = Path(__file__).resolve().parents[2]
Spoilt: TypeAlias = tuple[Path, dict[str, Reason]]

DEFAULT = StudyConfig()
TRAINED = [*DEFAULT.classification.run, "efficientnet_whole_image"]


def short_training(name: str) -> dict[str, object]:
    """Return the settings with which a classifier of the default configuration trains in seconds."""
    options = DEFAULT.classification.classifiers[name].input_options
    shorter = {"image_px": 32, "tuning_epochs": 1}
    return {"epochs": 1, "input_options": {key: value for key, value in shorter.items() if hasattr(options, key)}}


# All models, families and classifiers of the default run, and one of whole images, on smaller images and with fewer
# epochs.
OVERLAY = {
    "run": "faults",
    "images": {"longest_side_px": 192},
    "segmentation": {"iterations": 1},
    "prompts": {"margins_mm": [0.0, 10.0]},
    "features": {"families": {"gabor": {"wavelengths_mm": [4.0, 8.0], "orientations": 2}}},
    "classification": {"run": TRAINED, "classifiers": {name: short_training(name) for name in TRAINED}},
    "comparison": {"bootstrap": 100, "fusion": ["context_crop"]},
}


def spoil(study: Path) -> dict[str, Reason]:
    """Damage one file of each kind; return a text of its path, and the reason for which it must be excluded."""
    manifest = pd.read_csv(study / "manifest.csv")
    manifest["folder"] = manifest["path"].str.split("/").str[0]
    manifest["view"] = manifest["folder"].str.replace(r"^(Mass|Calc)-(Training|Test)_", "", regex=True)
    films = manifest[manifest["kind"] == "full mammogram"]
    films = films[~films["view"].duplicated(keep=False) & films["folder"].str.startswith("Mass-Training")]
    folders = films["folder"].tolist()
    paths = [study / path for path in films["path"]]
    paths[0].write_bytes(paths[0].read_bytes()[:20000])
    paths[1].write_text("this is a letter, not a film")
    bare = pydicom.dcmread(paths[2])
    del bare.PixelData
    bare.save_as(paths[2])
    paths[3].unlink()
    for mask in study.glob(f"{folders[4]}_*/**/*.dcm"):
        wrong = pydicom.dcmread(mask)
        if len(np.unique(wrong.pixel_array)) <= 2:
            wrong.PixelData = wrong.pixel_array[:, : wrong.Columns // 2].tobytes()
            wrong.Columns = wrong.Columns // 2
            wrong.save_as(mask)
    table = study / "mass_case_description_train_set.csv"
    text = table.read_bytes().decode()
    path = films["path"].iloc[5]
    assert text.count(path) >= 1
    (study.parent / "secret.dcm").write_bytes(paths[5].read_bytes())
    table.write_bytes(text.replace(path, "../secret.dcm").encode())
    return {
        folders[0]: FileReason.TRUNCATED,
        folders[1]: FileReason.NOT_DICOM,
        folders[2]: FileReason.NO_PIXELS,
        folders[3]: FileReason.MISSING_FILE,
        folders[4]: LesionReason.MASK_SHAPE,
        "secret.dcm": FileReason.OUTSIDE_STUDY,
    }


def other_tools(study: Path, folder: Path) -> dict[str, object]:
    """Write the scores and masks of made-up tools on the lesions of a study, and return the settings that name them.

    A score is the number of bright pixels of the reference; a mask is the reference, moved by a pixel.
    """
    manifest = pd.read_csv(study / "manifest.csv")
    (folder / "masks").mkdir(parents=True)
    rows: list[tuple[str, int]] = [("P_00000_LEFT_CC_mass_1", 1)]
    for path in manifest.loc[manifest["kind"] == "ROI mask", "path"]:
        found = re.match(r"(Mass|Calc)-(?:Training|Test)_(.+)_(\d+)/", path)
        assert found is not None
        lesion = f"{found[2]}_{'mass' if found[1] == 'Mass' else 'calcification'}_{found[3]}"
        mask = pydicom.dcmread(study / path).pixel_array > 0
        Image.fromarray(np.roll(mask, 1, axis=0).astype(np.uint8) * 255).save(folder / "masks" / f"{lesion}.png")
        rows.append((lesion, int(mask.sum())))
    pd.DataFrame(rows, columns=["Finding", "Score"]).to_csv(folder / "vendor.csv", index=False, sep=";")
    table = {"key": "lesion_id", "columns": {"lesion_id": "Finding"}, "score": "Score"}
    return {
        "predictions": [{"name": "Vendor AI", "table": str(folder / "vendor.csv"), **table}],
        "masks": [{"name": "Vendor masks", "folder": str(folder / "masks")}],
    }


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory, runner: Snakemake, job_python: Path) -> Spoilt:
    root = tmp_path_factory.mktemp("faults")
    study = root / "study"
    write_phantom_study(PhantomSettings(patients=14, spacing_mm=0.6), study, 1)
    expected = spoil(study)
    overlay: dict[str, object] = OVERLAY | {"results": str(root / "results"), "store": str(root / "store")}
    overlay |= {"comparison": OVERLAY["comparison"] | other_tools(study, root / "vendor")}
    overlay |= {"cohort": {"dataset": {"reader": "cbis-ddsm", "name": "spoilt phantoms", "folder": str(study)}}}
    (root / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    code, printed = runner.run(ROOT, "--cores", "2", "--configfile", str(root / "overlay.yaml"), python=job_python)
    assert code == 0, printed[-6000:]
    return root / "results" / "faults", expected


def test_run_completes_with_every_row_of_the_table(spoilt: Spoilt) -> None:
    run, _ = spoilt
    table = pd.read_csv(run / "comparison/comparison.csv").set_index("model")
    assert set(TRAINED) <= set(table.index)
    assert {"Gabor features", "Radiomics features"} <= set(table.index)
    assert {"BI-RADS > 3", "majority class", "shape alone", "margins alone"} <= set(table.index)
    assert (table["n"] > 0).all()
    assert {"accuracy_low", "accuracy_high", "auc_low", "auc_high"} <= set(table.columns)
    scores = pd.read_csv(run / "comparison/segmentation.csv")
    assert set(scores["model"]) == {"small", "ellipse", "Vendor masks"}
    assert (run / "report/report.html").stat().st_size > 100_000


def test_the_jobs_of_the_run_had_no_network(spoilt: Spoilt, job_python: Path, without_network: list[str]) -> None:
    if not without_network:
        pytest.skip("this machine cannot take the network away from a process")
    (spoilt[0] / "connect.py").write_text("import socket\nsocket.create_connection(('127.0.0.1', 9), timeout=5)\n")
    environment = os.environ | {"PYTHONPATH": str(spoilt[0])}
    done = subprocess.run([job_python, "-m", "connect"], env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert "Network is unreachable" in done.stderr


def test_scores_and_masks_of_other_tools_reach_the_report_and_are_marked(spoilt: Spoilt) -> None:
    run, _ = spoilt
    row = pd.read_csv(run / "comparison/comparison.csv").set_index("model").loc["Vendor AI"]
    assert row["n"] > 0
    assert "foreign predictions" in row["note"]
    page = (run / "report/report.html").read_text()
    assert "Scores of other tools" in page
    headline = page[page.index('id="headline-table"') : page.index("</table>", page.index('id="headline-table"'))]
    assert re.search(r'data-model="Vendor AI">.*?<span class="pill">foreign', headline, re.DOTALL)
    masks = page[page.index('id="segmentation-table"') : page.index("</table>", page.index('id="segmentation-table"'))]
    assert "Vendor masks" in masks
    assert "other tool, training patients unknown" in masks
    # The row of the vendor's table that is on no lesion of the study.
    assert "P_00000_LEFT_CC_mass_1" in page[page.index('id="foreign-unmatched-table"') :]


def test_each_bad_file_is_named_with_its_reason(spoilt: Spoilt) -> None:
    run, expected = spoilt
    cases = pd.read_csv(run / "comparison/exclusions.csv").fillna("")
    text = json.dumps(json.loads((run / "comparison/flow.json").read_text()))
    page = (run / "report/report.html").read_text()
    for name, reason in expected.items():
        named = cases[cases["path"].str.contains(name, regex=False) | cases["detail"].str.contains(name, regex=False)]
        assert reason in set(named["reason"]), f"{name}: {cases[['path', 'reason', 'detail']].to_string()}"
        assert name in text
        assert name in page


def test_nothing_is_lost(spoilt: Spoilt) -> None:
    run, _ = spoilt
    study = json.loads((run / "cohort/study.json").read_text())
    assert study["phantom"] is True
    cases = pd.read_csv(run / "comparison/exclusions.csv").fillna("")
    assert "lost without a reason" not in set(cases["reason"])
    kept = sum(len(pd.read_parquet(path)) for path in run.glob("images/*/lesions.parquet"))
    gone = cases[cases["stage"].isin(["cohort", "images"]) & cases["level"].isin(["lesion", "row"])]
    assert kept + len(gone) == study["counts"]["rows"]


def test_again_there_is_nothing_to_do(spoilt: Spoilt, runner: Snakemake) -> None:
    overlay = spoilt[0].parents[1] / "overlay.yaml"
    code, printed = runner.run(ROOT, "--cores", "2", "--configfile", str(overlay), "-n")
    assert code == 0
    assert "Nothing to be done" in printed
