"""Training of a generative model of lesion crops, for supplementary training data; see docs/few-labels.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.architectures import architecture as architecture_of
from mammoflow.config.lesion_diffusion import LesionDiffusionSettings
from mammoflow.segmentation.training_task import PreparedTraining, TrainedWeights, TrainingTask

if TYPE_CHECKING:
    from mammoflow.training.loop import Fit

Options = LesionDiffusionSettings
PROMPTED = False
UNLABELLED = False
SEGMENTS = False

AVERAGED_SHARE = 0.1
"""Share of the steps over which the moving average of the weights reaches back; samples of an average are smoother."""


def check(options: LesionDiffusionSettings, architecture: str, start: str) -> None:
    """Refuse an architecture that makes masks, and a model to start from.

    Raises
    ------
    ValueError
        Naming the key below `train`.
    """
    if architecture_of(architecture).segments:
        raise ValueError(
            f"recipe is lesion_diffusion, but {architecture} makes masks; expected architecture: lesion_diffusion"
        )
    if start:
        raise ValueError(
            f"from is {start!r}, but the recipe lesion_diffusion starts from random weights; expected none"
        )


def prepare(task: TrainingTask) -> PreparedTraining:
    """Make the network and cut the crops around lesions of training patients whose labels are used.

    Raises
    ------
    StudyError
        If there is no training lesion that is large enough.
    """
    from dataclasses import replace

    from mammoflow.errors import StudyError
    from mammoflow.segmentation.automatic.lesion_crops import SMALLEST_PX, lesion_crops
    from mammoflow.segmentation.automatic.samples import read_training_images
    from mammoflow.segmentation.diffusion.learner import DiffusionLearner
    from mammoflow.segmentation.diffusion.network import LesionUNet
    from mammoflow.segmentation.protocol.lesion_generator import BENIGN, MALIGNANT, UNKNOWN
    from mammoflow.training.plan import Plan
    from mammoflow.training.record import count_parameters

    options: LesionDiffusionSettings = task.options
    images = read_training_images(task.images, options.few_labels, sources=options.sources)
    rows = images.with_lesions("train")
    training, validation = (lesion_crops(images, images.with_lesions(split)) for split in ("train", "validation"))
    if not len(training):
        raise StudyError(
            f"all {training.left_out} training lesions are too small to learn from; expected some with at least "
            f"{SMALLEST_PX} pixels on the longest side; raise images.longest_side_px"
        )
    network = LesionUNet(options.width)

    def finish(fitted: Fit) -> TrainedWeights:
        last = fitted.history[fitted.chosen_epoch - 1]
        facts = {name: last[name] for name in ("validation_loss",) if name in last}
        return TrainedWeights(network.state_dict(), fitted.chosen_epoch, facts)

    kinds = {"benign": BENIGN, "malignant": MALIGNANT, "unknown": UNKNOWN}
    learner = DiffusionLearner(network, training, validation, options, task.device)
    steps = learner.steps() * options.epochs
    averaging = max(0.0, 1 - 1 / (AVERAGED_SHARE * steps))
    return PreparedTraining(
        learner,
        replace(Plan.of(options, task.device), averaging=averaging),
        (images.content(), training.digest(), validation.digest()),
        images.patients_of(rows),
        images.patients_of(images.with_lesions("validation")),
        images.phantom,
        count_parameters(list(network.parameters())),
        {
            "lesions": {name: int((training.classes == kind).sum()) for name, kind in kinds.items()},
            "lesions_too_small": training.left_out,
            "images_not_fully_annotated": images.left_out,
            "steps": steps,
            **images.counts(partly=False).facts(options.few_labels),
        },
        finish,
    )
