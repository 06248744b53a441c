"""What the shipped weights were trained on, so that a test patient who was trained on can be told."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

RECORD = Path(__file__).parent / "record.json"
"""Record of the shipped weights, as the target `small_model` wrote it."""


@cache
def trained_patients(path: Path = RECORD) -> frozenset[str]:
    """Return the patients, each `data set/patient`, that the weights beside the record were trained on."""
    return frozenset(json.loads(path.read_text(encoding="utf-8"))["patients"]) if path.is_file() else frozenset()
