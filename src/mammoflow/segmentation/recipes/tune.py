"""Tuning of a promptable model on a study: its decoder, all weights, LoRA or adapters; see docs/tuning.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.architectures import architecture as architecture_of
from mammoflow.config.tuning import TuneSettings
from mammoflow.segmentation.training_task import PreparedTraining, TrainedWeights, TrainingTask

if TYPE_CHECKING:
    from mammoflow.training.loop import Fit

Options = TuneSettings
PROMPTED = True
UNLABELLED = False


def check(options: TuneSettings, architecture: str, start: str) -> None:
    """Refuse a training without a model to start from, and LoRA or adapters where there is no attention.

    Raises
    ------
    ValueError
        Naming the key below `train`.
    """
    if not start:
        raise ValueError("from is empty; the recipe tune expects the model that it starts from")
    if options.method in ("lora", "adapters") and not architecture_of(architecture).attention:
        raise ValueError(
            f"options.method is {options.method}, but {architecture} has no attention; expected decoder or all"
        )


def prepare(task: TrainingTask) -> PreparedTraining:
    """Make the model that the task starts from ready for its method, and read the lesions.

    Raises
    ------
    ConfigError
        If there is no model to start from, or the method does not fit it.
    StudyError
        If there is no lesion to tune on or to stop by.
    WeightsError
        If the weights to start from are missing, not the published ones, or carry code.
    """
    from collections import Counter

    from mammoflow.errors import ConfigError
    from mammoflow.segmentation.layers.adapters import adapter_width
    from mammoflow.segmentation.loading import load_promptable
    from mammoflow.segmentation.tuning.learner import keep_better, make_learner, make_plan, starting_point
    from mammoflow.segmentation.tuning.lesions import read_lesions
    from mammoflow.segmentation.tuning.methods import final_state

    if task.start is None:
        raise ConfigError("the recipe tune has no model to start from; expected one (--from, or train.from)")
    options: TuneSettings = task.options
    data = read_lesions(task.images)
    model = load_promptable(task.start, task.device, task.precision)
    start_digest = model.digest
    learner = make_learner(options, options.method, model, data, task.store, task.margin_mm)
    plan = make_plan(options, task.device)
    start = starting_point(learner, plan)

    def finish(fitted: Fit) -> TrainedWeights:
        chosen_epoch, dice = keep_better(learner, start, fitted)
        facts = {"validation_dice_before": start.dice, "validation_dice": dice}
        return TrainedWeights(final_state(learner.prepared), chosen_epoch, facts, adapter_width(model.network))

    return PreparedTraining(
        learner,
        plan,
        (start_digest, str(task.margin_mm), data.content()),
        data.patients("train"),
        data.patients("validation"),
        data.phantom,
        (learner.prepared.trainable_parameters, learner.prepared.total_parameters),
        {
            "from_digest": start_digest,
            "method": options.method,
            "margin_mm": task.margin_mm,
            "lesions": dict(sorted(Counter(data.lesions["source"].iloc[data.rows("train")]).items())),
            "validation_lesions": len(data.rows("validation")),
        },
        finish,
        packages=("segment-anything", "sam2"),
    )
