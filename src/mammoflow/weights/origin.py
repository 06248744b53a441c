"""What a record says about weights: which they are, under what licence, from where, and their digest."""

from __future__ import annotations

import json
from pathlib import Path

from mammoflow.config.architectures import architecture
from mammoflow.config.weights import WeightsSource
from mammoflow.storage.files import file_digest, write_text
from mammoflow.weights.registry import ModelSpec
from mammoflow.weights.seen_patients import RECORD_FILE

Origin = dict[str, str]

RANDOM: Origin = {"title": "random weights", "file": "", "sha256": "", "licence": "", "source": ""}
OWN = "weights of one's own"
ABSENT = "file that is no longer there"

ORIGIN_FILE = "weights.json"
"""Name of the record beside the tables of a segmentation."""

OF_TRAINING = (
    "recipe", "trainer", "labels", "supplementary", "label_fraction", "label_draw", "labelled_patients",
    "unlabelled_patients", "steps",
)  # fmt: skip
"""What the record of weights says of their training."""


def weights_origin(path: Path | None, source: WeightsSource | None) -> Origin:
    """Return what is known of weights.

    Parameters
    ----------
    path
        The file; None for random weights.
    source
        The published weights that it may be; None where there are none.

    Returns
    -------
    dict
        `title`, `file`, `sha256`, `licence`, `source` (address, or package and version). Licence and source are empty
        where the file is not the published one: another SHA-256, or, where the publisher gives none, another name.
        A file that is not there has a name alone.
    """
    if path is None:
        return dict(RANDOM)
    if not path.is_file():
        return RANDOM | {"title": ABSENT, "file": path.name}
    digest = file_digest(path)
    known = {"title": OWN, "file": path.name, "sha256": digest, "licence": "", "source": ""}
    if source is None or not _is_published(path, digest, source):
        return known
    return known | {"title": source.title, "licence": source.licence, "source": source.origin}


def write_origin(folder: Path, model: ModelSpec) -> None:
    """Record the weights of a segmentation model beside its tables, in `ORIGIN_FILE`.

    Where the record of their training is beside the weights, `training` says how they were trained.
    """
    content: dict[str, object] = {"architecture": model.architecture}
    content |= weights_origin(model.file, architecture(model.architecture).source)
    training = _training(model.file)
    if training:
        content["training"] = training
    write_text(folder / ORIGIN_FILE, json.dumps(content, indent=2) + "\n")


def _training(weights: Path | None) -> dict[str, object]:
    """Return what the record beside weights says of their training; nothing where it belongs to other weights."""
    record = None if weights is None else weights.parent / RECORD_FILE
    if record is None or weights is None or not record.is_file() or not weights.is_file():
        return {}
    content = json.loads(record.read_text(encoding="utf-8"))
    if content.get("weights_sha256") != file_digest(weights):
        return {}
    facts: dict[str, object] = {name: content[name] for name in OF_TRAINING if name in content}
    return {**facts, "seed": content.get("settings", {}).get("seed", 0)}


def _is_published(path: Path, digest: str, source: WeightsSource) -> bool:
    if source.checksum.startswith("sha256:"):
        return source.checksum == f"sha256:{digest}"
    return path.name == source.file
