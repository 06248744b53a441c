"""What a record says about weights: which they are, under what licence, from where, and their digest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mammoflow.config.architectures import architecture
from mammoflow.config.weights import WeightsSource
from mammoflow.storage.files import file_digest, read_json, text_digest, write_text
from mammoflow.transfer.checksums import matches_checksum
from mammoflow.weights.registry import ModelSpec
from mammoflow.weights.seen_patients import read_record

Origin = dict[str, str]

RANDOM: Origin = {"title": "random weights", "file": "", "sha256": "", "licence": "", "source": ""}
OWN = "weights of one's own"
ABSENT = "file that is no longer there"

TRAINING_FACTS = (
    "recipe",
    "trainer",
    "method",
    "from",
    "trainable_parameters",
    "total_parameters",
    "images",
    "lesions",
    "epochs",
    "chosen_epoch",
    "seconds",
    "peak_memory_bytes",
    "device",
    "threads",
    "precision",
    "phantom",
    "sources",
    "labels",
    "supplementary",
    "label_fraction",
    "label_draw",
    "labelled_patients",
    "unlabelled_patients",
    "steps",
)
"""What `ORIGIN_FILE` repeats of the record of a training."""

LABEL_SETTINGS = ("few_labels", "labels", "copy_paste", "synthetic_lesions")
"""Settings of a training that say which labels it learned from, and which data were added."""

NOT_OF_A_NETWORK = (*LABEL_SETTINGS, "trainer", "trainer_options", "seed", "device")
"""Settings in which trainings of the same network may differ."""

ORIGIN_FILE = "weights.json"
"""Name of the record beside the tables of a segmentation."""

OTHER_MASKS = "masks_of_other_weights"
"""Key of what is said of an applied classifier: whether it read masks of other weights than those of its training."""


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
        where the file is not the published one: another checksum, or, where the publisher gives none, another name.
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

    Weights with the record of their training beside them also get what the training was and took, under `training`.
    """
    origin = weights_origin(model.file, architecture(model.architecture).source)
    record = read_record(model.file) if model.file else {}
    said = {name: record[name] for name in TRAINING_FACTS if name in record}
    if said:
        said |= {name: len(record.get(name, [])) for name in ("patients", "validation_patients")}
        said["seed"] = record.get("settings", {}).get("seed", 0)
        if "settings" in record:
            said["settings_digest"] = settings_digest(record["settings"])
    content = {"architecture": model.architecture, **origin, **({"training": said} if said else {})}
    write_text(folder / ORIGIN_FILE, json.dumps(content, indent=2) + "\n")


def are_of_other_weights(here: Iterable[Path], there: Iterable[Path]) -> bool:
    """Tell whether some weights that made masks made none of some other masks, as far as the records of both tell.

    Parameters
    ----------
    here, there
        Folders of the segmentation stage; one without a record says nothing.
    """
    digests = _recorded_digests(here), _recorded_digests(there)
    return all(digests) and not digests[0] <= digests[1]


def _recorded_digests(folders: Iterable[Path]) -> set[str]:
    records = [folder / ORIGIN_FILE for folder in folders]
    return {str(read_json(record).get("sha256")) for record in records if record.is_file()}


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Return a digest of the settings of a training that does not depend on its labels, method, seed and device."""
    shared = {key: value for key, value in settings.items() if key not in NOT_OF_A_NETWORK}
    return text_digest(json.dumps(shared, sort_keys=True))


def _is_published(path: Path, digest: str, source: WeightsSource) -> bool:
    if source.checksum.startswith("sha256:"):  # the digest is known, and the file may be large
        return source.checksum == f"sha256:{digest}"
    return matches_checksum(path, source.checksum) if source.checksum else path.name == source.file
