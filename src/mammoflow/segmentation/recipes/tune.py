"""Tuning of a promptable model on a study: its decoder, all weights, or few of them; see docs/tuning.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.architectures import architecture as architecture_of
from mammoflow.config.tuning import ATTENTION_METHODS, TuneSettings
from mammoflow.segmentation.training_task import PreparedTraining, TrainedWeights, TrainingTask

if TYPE_CHECKING:
    from mammoflow.training.loop import Fit

Options = TuneSettings
PROMPTED = True
UNLABELLED = False


def check(options: TuneSettings, architecture: str, start: str) -> None:
    """Refuse a training without a model to start from, and additions to attention where there is none.

    Raises
    ------
    ValueError
        Naming the key below `train`.
    """
    if not start:
        raise ValueError("from is empty; the recipe tune expects the model that it starts from")
    network = architecture_of(architecture)
    if options.method in ATTENTION_METHODS and not network.attention:
        raise ValueError(
            f"options.method is {options.method}, but {architecture} has no attention; expected decoder or all"
        )
    if options.method == "vpt" and options.prompted_layers == "global_only" and not network.global_attention:
        raise ValueError(
            f"options.prompted_layers is global_only, but no layer of {architecture} attends over the whole image; "
            "expected all"
        )


def prepare(task: TrainingTask) -> PreparedTraining:
    """Make the model that the task starts from ready for its method, and read the lesions.

    Raises
    ------
    ConfigError
        If there is no model to start from, the method does not fit it, or it does not see what the task says.
    StudyError
        If there is no lesion to tune on or to stop by, or no colour where the model sees colours.
    WeightsError
        If the weights to start from are missing, not the published ones, or carry code.
    """
    from collections import Counter

    from mammoflow.errors import ConfigError
    from mammoflow.imaging.kept_colours import check_colours
    from mammoflow.segmentation.layers.adapters import adapter_width
    from mammoflow.segmentation.loading import load_promptable
    from mammoflow.segmentation.tuning.learner import keep_better, make_learner, make_plan, starting_point
    from mammoflow.segmentation.tuning.lesions import read_lesions
    from mammoflow.segmentation.tuning.stored import tuned_state
    from mammoflow.storage.files import file_digest
    from mammoflow.weights.header import BaseWeights, LoraSetup
    from mammoflow.weights.registry import find_weights

    if task.start is None:
        raise ConfigError("the recipe tune has no model to start from; expected one (--from, or train.from)")
    options: TuneSettings = task.options
    data = read_lesions(task.images, options)
    colour = task.use.colour
    if colour == "rgb":
        check_colours(data.images, f"segmentation, with which {task.name} is tuned,")
    model = load_promptable(task.start, task.device, task.use)
    start_digest = model.digest
    base = BaseWeights(task.start.name, str(task.start.weights or ""), file_digest(find_weights(task.start)))
    lora = LoraSetup(tuple(options.lora_layers), options.rank, options.alpha) if options.method == "lora" else None
    margin_mm = task.margin_mm if options.validation_margin_mm is None else options.validation_margin_mm
    learner = make_learner(options, options.method, model, data, task.store, margin_mm)
    plan = make_plan(options, task.device)
    start = starting_point(learner, plan)

    def finish(fitted: Fit) -> TrainedWeights:
        chosen_epoch, dice = keep_better(learner, start, fitted)
        facts = {"validation_dice_before": start.dice, "validation_dice": dice}
        width = adapter_width(model.network)
        return TrainedWeights(tuned_state(model.network), chosen_epoch, facts, width, None, base, lora, colour)

    return PreparedTraining(
        learner,
        plan,
        (start_digest, str(margin_mm), data.content(), colour),
        data.patients("train"),
        data.patients("validation"),
        data.phantom,
        (learner.prepared.trainable_parameters, learner.prepared.total_parameters),
        {
            "from_digest": start_digest,
            "method": options.method,
            "colour": colour,
            "margin_mm": margin_mm,
            "lesions": dict(sorted(Counter(data.lesions["source"].iloc[data.lesion_rows("train")]).items())),
            "empty_images": len(data.rows("train")) - len(data.lesion_rows("train")),
            "validation_lesions": len(data.lesion_rows("validation")),
            "images": int(data.lesions["image_index"].iloc[data.rows("train")].nunique()),
        },
        finish,
        packages=("segment-anything", "sam2"),
    )
