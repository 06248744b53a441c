"""The stage that trains the small model: image shards in, weights and their record out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from mammoflow.config.small import SmallTrainingSettings
from mammoflow.errors import StudyError
from mammoflow.run.provenance import code_digest
from mammoflow.run.runtime import choose_device, set_threads
from mammoflow.segmentation.small.learner import make_learner, make_plan, train_weights
from mammoflow.segmentation.small.samples import load_samples
from mammoflow.segmentation.tuning.record import RECORD_FILE, WeightsHeader
from mammoflow.training.record import TrainingRecord, count_parameters, write_training
from mammoflow.training.state import remove_training_state, training_state

WEIGHTS_FILE = "small.safetensors"


def train_small(settings: SmallTrainingSettings, images: list[Path], output: Path, threads: int) -> None:
    """Train the small model on the training patients of one or several studies.

    Parameters
    ----------
    settings
        Epochs, batch, learning rate, device, seed.
    images
        Folders of image-stage shards; only lesions with a mask whose patient's split is `train` are used.
    output
        Folder for `small.safetensors` and `record.json`, which lists the patients that were trained on.
    threads
        Threads of this job.

    Raises
    ------
    StudyError
        If no training lesion with a mask is found.
    """
    set_threads(threads)
    loaded = load_samples(images)
    samples = loaded.lesions
    if not samples:
        raise StudyError(f"no training lesion with a mask in {len(images)} image shards; expected at least one")
    state = training_state(output, settings.model_dump_json(), loaded.digest(), code=code_digest(__name__))
    learner, plan = make_learner(samples, settings), make_plan(settings, choose_device(settings.device))
    weights, fitted = train_weights(learner, plan, state, output.name)
    record = TrainingRecord.of(
        output.name,
        settings,
        plan,
        fitted,
        threads,
        [f"{sample.source}/{sample.patient_id}" for sample in samples],
        [],
        loaded.phantom,
        count_parameters(list(learner.network.parameters())),
        {
            "architecture": "small",
            "lesions": dict(sorted(Counter(sample.source for sample in samples).items())),
            "lesions_without_mask": loaded.without_mask,
        },
    )
    # half precision halves the file and moves no mask
    halved = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    header = WeightsHeader("small").text()
    write_training(output, WEIGHTS_FILE, RECORD_FILE, halved, record, fitted.history, header)
    remove_training_state(output)
