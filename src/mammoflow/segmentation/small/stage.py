"""The stage that trains the small model: image shards in, weights and their record out."""

from __future__ import annotations

import json
import platform
import shutil
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

from safetensors.torch import save_file

from mammoflow.config.small import SmallTrainingSettings
from mammoflow.errors import StudyError
from mammoflow.run.provenance import code_digest
from mammoflow.run.runtime import choose_device, set_threads
from mammoflow.segmentation.small.samples import LesionSample, load_samples
from mammoflow.storage.files import file_digest, text_digest, write_text, writing


def train_small(settings: SmallTrainingSettings, images: list[Path], output: Path, threads: int) -> None:
    """Train the small model on the training patients of one or several studies.

    Parameters
    ----------
    settings
        Epochs, batch, learning rate, device, seed.
    images
        Folders of image-stage shards; only lesions with a mask whose patient's split is `train` are used.
    output
        Folder for `model.safetensors` and `record.json`, which lists the patients that were trained on.
    threads
        Threads of this job.

    Raises
    ------
    StudyError
        If no training lesion with a mask is found.
    """
    from mammoflow.segmentation.small.training import train

    set_threads(threads)
    start = time.monotonic()
    samples = [sample for sample in load_samples(images) if sample.split == "train"]
    if not samples:
        raise StudyError(f"no training lesion with a mask in {len(images)} image shards; expected at least one")
    code = code_digest("mammoflow.segmentation.small.stage")
    digest = text_digest(settings.model_dump_json(), code, *(sample.lesion_id for sample in samples))
    state = output.parent / ".training" / digest[:16]
    weights = train(samples, settings, state, choose_device(settings.device))
    path = output / "model.safetensors"
    with writing(path) as temporary:
        # half precision halves the file and moves no mask
        save_file(
            {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights.items()},
            str(temporary),
        )
    record = _record(settings, samples, path, time.monotonic() - start)
    write_text(output / "record.json", json.dumps(record, indent=2, sort_keys=True) + "\n")
    shutil.rmtree(state, ignore_errors=True)


def _record(
    settings: SmallTrainingSettings, samples: list[LesionSample], weights: Path, seconds: float
) -> dict[str, object]:
    """Describe what was trained on what, so that a test patient who was trained on can be told."""
    return {
        "lesions": dict(sorted(Counter(sample.source for sample in samples).items())),
        "patients": sorted({f"{sample.source}/{sample.patient_id}" for sample in samples}),
        "settings": settings.model_dump(),
        "weights_sha256": file_digest(weights),
        "seconds": round(seconds),
        "platform": platform.machine(),
        "versions": {name: version(name) for name in ("mammoflow", "torch", "segment-anything", "lightning")},
    }
