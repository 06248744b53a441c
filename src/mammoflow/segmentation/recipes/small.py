"""The training of `small` from random weights, as the shipped weights were made; see docs/model-card-small.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.small import SmallTrainingSettings
from mammoflow.segmentation.training_task import PreparedTraining, TrainedWeights, TrainingTask

if TYPE_CHECKING:
    from mammoflow.training.loop import Fit

Options = SmallTrainingSettings
PROMPTED = True
UNLABELLED = False


def check(options: SmallTrainingSettings, architecture: str, start: str) -> None:
    """Refuse another architecture, and a model to start from.

    Raises
    ------
    ValueError
        Naming the key below `train`.
    """
    if architecture != "small":
        raise ValueError(f"recipe is small, but the architecture is {architecture}; expected architecture: small")
    if start:
        raise ValueError(f"from is {start!r}, but the recipe small starts from random weights; expected none, or tune")


def prepare(task: TrainingTask) -> PreparedTraining:
    """Build the network with random weights and read the lesions of training patients.

    Raises
    ------
    StudyError
        If no training lesion has a mask.
    """
    from collections import Counter

    from mammoflow.errors import StudyError
    from mammoflow.segmentation.small.learner import make_learner, make_plan
    from mammoflow.segmentation.small.windows import load_samples
    from mammoflow.training.record import count_parameters

    loaded = load_samples(task.images)
    if not loaded.lesions:
        raise StudyError(f"no training lesion with a mask in {len(task.images)} image shards; expected at least one")
    learner = make_learner(loaded.lesions, task.options)

    def finish(fitted: Fit) -> TrainedWeights:
        state = learner.network.state_dict()
        # half precision halves the file and moves no mask
        halved = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
        return TrainedWeights(halved, fitted.chosen_epoch)

    return PreparedTraining(
        learner,
        make_plan(task.options, task.device),
        (loaded.digest(),),
        [f"{sample.source}/{sample.patient_id}" for sample in loaded.lesions],
        [],
        loaded.phantom,
        count_parameters(list(learner.network.parameters())),
        {
            "lesions": dict(sorted(Counter(sample.source for sample in loaded.lesions).items())),
            "lesions_without_mask": loaded.without_mask,
        },
        finish,
    )
