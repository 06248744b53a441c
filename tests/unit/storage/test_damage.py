"""A damaged file of an earlier stage ends in one message, which names the file and how it is made again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mammoflow.config.base import read_settings
from mammoflow.config.mapping import read_mapping
from mammoflow.config.study import StudyConfig
from mammoflow.errors import MammoflowError
from mammoflow.storage.files import read_image, read_json, read_mask, write_image, write_mask, write_text, writing
from mammoflow.storage.tensor_files import save_tensors
from mammoflow.tables.cohort import FOLDS
from mammoflow.tables.files import read_csv, read_parquet, read_table, write_csv, write_table
from mammoflow.training.state import LAST, read_progress, write_kept
from mammoflow.weights.checkpoint import read_state
from mammoflow.weights.header import read_header

NOISE = np.random.default_rng(0).integers(0, 65535, (60, 50)).astype(np.uint16)
ROWS = pd.DataFrame({"patient_id": [f"P{n}" for n in range(90)], "fold": [n % 3 for n in range(90)], "split": "test"})


def write_tensors(path: Path) -> None:
    with writing(path) as temporary:
        save_tensors(temporary, {"a": torch.rand(30, 30)}, {"mammoflow": '{"architecture": "small"}'})


def write_state(path: Path) -> None:
    write_kept(path.parent, {"a": torch.rand(30, 30)})
    path.with_name("kept.pt").replace(path)


# name of the file, what writes it, what reads it, what the message says of making it again
KINDS: dict[str, tuple[str, Callable[[Path], object], Callable[[Path], object], str]] = {
    "table": ("a.parquet", lambda path: write_table(ROWS, FOLDS, path), lambda path: read_table(path, FOLDS), "run"),
    "features": ("a.parquet", lambda path: ROWS.to_parquet(path), read_parquet, "run the stage that writes it again"),
    "csv": ("a.csv", lambda path: write_csv(path, ROWS), read_csv, "run the stage that writes it again"),
    "image": ("a.png", lambda path: write_image(path, NOISE), read_image, "run the stage that writes it again"),
    "mask": ("a.png", lambda path: write_mask(path, NOISE > 9), read_mask, "run the stage that writes it again"),
    "json": ("a.json", lambda path: write_text(path, '{"a": 1}'), read_json, "run the stage that writes it again"),
    "weights": ("a.safetensors", write_tensors, read_state, "run the training that wrote it"),
    "header": ("a.safetensors", write_tensors, read_header, "make it again"),
    "state": (LAST, write_state, lambda path: read_progress(path.parent), "begins again at its first epoch"),
    "settings of a job": (
        "a.yaml",
        lambda path: path.write_text("run: a\nresults: b\n", encoding="utf-8"),
        lambda path: read_settings(StudyConfig, path),
        "expected|correct|run the workflow",
    ),
    "settings": (
        "a.yaml",
        lambda path: path.write_text("run: a\nresults: b\n", encoding="utf-8"),
        read_mapping,
        "expected|correct|save|found",
    ),
}
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda _: b"",
    "cut to half": lambda content: content[: len(content) // 2],
    "noise": lambda content: np.random.default_rng(1).bytes(len(content)),
    "zeros": lambda content: bytes(len(content)),
    "another format": lambda _: b"<html>404</html>",
}
HARMLESS = {
    ("csv", "cut to half"),
    ("csv", "zeros"),
    ("csv", "another format"),
    ("settings", "emptied"),
    ("settings of a job", "emptied"),
}
"""Rows that a CSV has lost cannot be noticed; `mammoflow verify` does. An empty overlay says nothing."""


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_one_message(kind: str, damage: str, tmp_path: Path) -> None:
    name, write, read, again = KINDS[kind]
    path = tmp_path / name
    write(path)
    before = path.stat()
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    for kept in (False, True):  # with a new time stamp, and with the old one
        if kept:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        if (kind, damage) in HARMLESS:
            read(path)
            continue
        with pytest.raises(MammoflowError, match=again) as caught:
            read(path)
        assert name in str(caught.value)
        assert len(str(caught.value)) < 700


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"state", "header"}))
def test_a_missing_file_is_one_message(kind: str, tmp_path: Path) -> None:
    with pytest.raises(MammoflowError, match=KINDS[kind][0]):
        KINDS[kind][2](tmp_path / KINDS[kind][0])
