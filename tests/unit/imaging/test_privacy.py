"""Nothing that a header says of a person leaves the image stage: not in tables, pictures, logs or messages."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_dict
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import JPEG2000Lossless

from mammoflow.config.images import ImagesSettings

# What the pixels need to be read at all.
KEPT = {
    "SpecificCharacterSet", "PhotometricInterpretation", "PresentationLUTShape", "NumberOfFrames", "RescaleSlope",
    "RescaleIntercept", "WindowCenter", "WindowWidth", "ImagerPixelSpacing",
}  # fmt: skip
TEXTS = {"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"}
DATES = {"DA": "19470311", "DT": "19470311121345.678", "TM": "121345.678901", "AS": "073Y"}
NUMBERS = {"IS": "-1947031", "DS": "-1947031.25"}
MARKER = "QXZ"  # begins every text; no word of this project holds it
HIDDEN = [MARKER, "19470311", "1947-03-11", "121345.678", "073Y", "1947031", "9.47031.9", "Invalid value"]


def marker(vr: str, count: Iterator[int]) -> Any:
    """A value of a representation that is found again wherever it goes."""
    if vr in TEXTS:
        return f"{MARKER}{next(count)}"
    if vr == "UI":
        return f"9.47031.9.{next(count)}"
    return {**DATES, **NUMBERS}.get(vr)


def marked(dataset: Dataset) -> Dataset:
    """Fill texts, persons, dates, times, ages, UIDs and numbers of the standard, and private ones, with markers."""
    count = itertools.count(1000)
    for tag, keyword in ((tag, keyword) for keyword, tag in keyword_dict.items()):
        group = tag >> 16
        if group <= 0x0007 or group == 0x7FE0 or keyword in KEPT or keyword in dataset:
            continue
        value = marker(dictionary_VR(tag).split(" ")[0], count)
        if value is not None:
            several = dictionary_VM(tag) not in ("1", "1-n") and dictionary_VR(tag) != "UT"
            dataset.add_new(tag, dictionary_VR(tag), [value, value] if several else value)
    item = Dataset()
    item.PatientName, item.StudyDate = f"{MARKER}^Nested", "19470311"
    for keyword in ("RequestAttributesSequence", "ViewCodeSequence", "OtherPatientIDsSequence"):
        setattr(dataset, keyword, Sequence([item]))
    for group in (0x0009, 0x0019, 0x0029):
        block = dataset.private_block(group, f"{MARKER} CREATOR", create=True)
        for place, vr in enumerate(sorted(TEXTS | set(DATES) | {"UI"})):
            block.add_new(place, vr, marker(vr, count))
        block.add_new(0x50, "OB", f"{MARKER} bytes".encode())
    return dataset


@pytest.mark.filterwarnings("ignore")
def test_no_marker_leaves_the_stage(
    dicom: Callable[..., Dataset], write_shard: Callable[..., Path], film: np.ndarray, tmp_path: Path
) -> None:
    study, output = tmp_path / "study", tmp_path / "out"
    study.mkdir()
    kinds: dict[str, dict[str, Any]] = {
        "good": {"ImagerPixelSpacing": [0.1, 0.1]},
        "nospacing": {},
        "frames": {"NumberOfFrames": "3"},
        "colour": {"SamplesPerPixel": 3},
        "photometric": {"PhotometricInterpretation": f"{MARKER}1"},
        "bits": {"BitsStored": 17},
        "window": {"ImagerPixelSpacing": [0.1, 0.1], "WindowCenter": "900", "WindowWidth": "100"},
    }
    for name, header in kinds.items():
        dataset = marked(dicom(film, **header))
        dataset.save_as(study / f"{name}.dcm", enforce_file_format=True)
    whole = (study / "good.dcm").read_bytes()
    (study / "short.dcm").write_bytes(whole[: len(whole) // 2])
    (study / "headless.dcm").write_bytes(whole[:200] + whole[900:])
    damaged = marked(dicom(film, ImagerPixelSpacing=[0.1, 0.1]))
    damaged.PixelData = encapsulate([f"{MARKER} codestream".encode() * 40])
    damaged["PixelData"].VR, damaged["PixelData"].is_undefined_length = "OB", True
    damaged.file_meta.TransferSyntaxUID = JPEG2000Lossless
    damaged.save_as(study / "damaged.dcm", enforce_file_format=True)
    marked(dicom((film > 9000).astype(np.uint8))).save_as(study / "mask.dcm", enforce_file_format=True)
    names = [*kinds, "short", "headless", "damaged", "missing"]
    images = [{"image_id": name, "image_path": f"{name}.dcm"} for name in names]
    masks = {"good": "mask.dcm", "window": "damaged.dcm"}
    lesions = [{"lesion_id": f"{name}_1", "image_id": name, "mask_path": masks.get(name, "mask.dcm")} for name in names]
    lesions.append({"lesion_id": "window_2", "image_id": "window", "mask_path": "mask.dcm"})
    shard = write_shard(images, lesions)
    settings = ImagesSettings(longest_side_px=200, patch_mm=20, voi="window", voi_explanation=f"{MARKER}1")
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings.model_dump()), encoding="utf-8")

    command = [sys.executable, "-m", "mammoflow.cli", "images", "--settings", tmp_path / "settings.yaml"]
    command += ["--study", study, "--cohort-shard", shard, "--output", output, "--threads", "1"]
    run = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr

    written = {path.relative_to(output) for path in output.rglob("*") if path.is_file()}
    assert {str(path.parent) for path in written} == {".", "image", "breast", "mask", "patch"}
    excluded = pd.read_parquet(output / "excluded.parquet")
    assert set(excluded["image_id"]) == set(names) - {"good"}
    assert pd.read_parquet(output / "images.parquet")["image_id"].tolist() == ["good", "window"]
    seen = {path: (output / path).read_bytes() for path in written} | {"log": (run.stdout + run.stderr).encode()}
    for table in ("images", "lesions", "excluded"):  # Parquet compresses its columns
        seen[f"text of {table}"] = pd.read_parquet(output / f"{table}.parquet").to_csv().encode()
    leaks = [(str(name), word) for name, content in seen.items() for word in HIDDEN if word.encode() in content]
    assert leaks == []


@pytest.mark.filterwarnings("ignore")
def test_the_markers_are_there_to_be_found(dicom: Callable[..., Dataset], film: np.ndarray, tmp_path: Path) -> None:
    """The test above would be worth nothing if the files did not hold what it looks for."""
    dataset = marked(dicom(film, ImagerPixelSpacing=[0.1, 0.1]))
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    content = (tmp_path / "a.dcm").read_bytes()
    assert content.count(MARKER.encode()) > 1000
    for word in ("19470311", "121345.678", "073Y", "1947031", "9.47031.9"):
        assert content.count(word.encode()) >= 5
