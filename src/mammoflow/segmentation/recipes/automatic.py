"""Training of an automatic model on whole images or patches; see docs/segmentation-automatic.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.architectures import architecture as architecture_of
from mammoflow.config.automatic import AutomaticTrainingSettings
from mammoflow.segmentation.training_task import PreparedTraining, TrainedWeights, TrainingTask

if TYPE_CHECKING:
    from mammoflow.segmentation.protocol.automatic import AutomaticModel
    from mammoflow.training.loop import Fit

Options = AutomaticTrainingSettings
PROMPTED = False
UNLABELLED = True


def check(options: AutomaticTrainingSettings, architecture: str, start: str) -> None:
    """Refuse a promptable architecture.

    Raises
    ------
    ValueError
        Naming the key below `train`.
    """
    if architecture_of(architecture).prompted:
        raise ValueError(f"recipe is automatic, but {architecture} needs prompts; expected the recipe tune, or small")
    labels = options.labels
    if labels.kind == "image" and options.input == "patch":
        raise ValueError("options.labels.kind is image, but a patch has no label of its own; expected input: whole")
    if labels.kind == "image" and options.copy_paste:
        raise ValueError("options.copy_paste needs masks, but options.labels.kind is image; expected copy_paste: 0")
    if labels.kind == "boxes" and not architecture_of(labels.model).prompted:
        raise ValueError(
            f"options.labels.model is {labels.model}, which takes no prompts; expected a promptable one, such as small"
        )


def prepare(task: TrainingTask) -> PreparedTraining:
    """Make the model and read the images; the validation images choose the epoch and the threshold.

    Raises
    ------
    ConfigError
        If the architecture needs prompts.
    StudyError
        If no image with a lesion is there to train on, or none to validate on.
    WeightsError
        If the weights to start from are missing or do not fit.
    """
    from mammoflow.segmentation.automatic.box_masks import masks_from_boxes
    from mammoflow.segmentation.automatic.learner import DICE, THRESHOLD, AutomaticLearner
    from mammoflow.segmentation.automatic.samples import read_training_images
    from mammoflow.segmentation.protocol.network_input import NetworkInput
    from mammoflow.training.plan import Plan
    from mammoflow.training.record import count_parameters
    from mammoflow.weights.header import AutomaticSetup

    options: AutomaticTrainingSettings = task.options
    model = _starting_model(task)
    model.input = NetworkInput(options.side_px, options.spacing_mm if options.input == "patch" else None)
    by_boxes = options.labels.kind == "boxes"
    images = read_training_images(task.images, options.few_labels, by_boxes)
    boxes = None
    if by_boxes:
        rows = images.training_rows(options.labels.partly_annotated)
        boxes = masks_from_boxes(options.labels, images, rows, task.store, task.device, task.precision)
    learner = AutomaticLearner(model, images, options, boxes)
    if options.labels.kind == "image":
        _check_both_kinds(len(learner.sampler.rows), len(images.with_lesions("train")))

    phantoms = images.supplementary_phantoms(learner.sampler.rows)
    added = {"copy_paste": options.copy_paste, "phantom_images": phantoms}
    supplementary = {name: value for name, value in added.items() if value}

    def finish(fitted: Fit) -> TrainedWeights:
        chosen = fitted.history[fitted.chosen_epoch - 1]
        setup = AutomaticSetup(model.input.side_px, model.input.spacing_mm, chosen[THRESHOLD])
        facts = {"threshold": setup.threshold, "validation_dice": chosen[DICE]}
        return TrainedWeights(model.network.state_dict(), fitted.chosen_epoch, facts, automatic=setup)

    return PreparedTraining(
        learner,
        Plan.of(options, task.device),
        (model.digest, images.content(), boxes.digest if boxes else ""),
        [*images.patients_of(learner.sampler.rows), *(boxes.seen if boxes else [])],
        images.patients("validation"),
        images.phantom,
        count_parameters(list(model.network.parameters())),
        {
            "images": len(learner.sampler.rows),
            "images_with_lesions": len(images.with_lesions("train")),
            "validation_images": len(learner.validation_rows),
            "images_not_fully_annotated": images.left_out,
            "images_partly_annotated": len(learner.sampler.rows) - len(images.rows("train")),
            "images_unlabelled": len(images.unlabelled()),
            "steps": learner.steps() * options.epochs,
            "labels": options.labels.kind + (f" from {options.labels.model}" if boxes else ""),
            "supplementary": supplementary,
            **images.counts().facts(options.few_labels),
        },
        finish,
        unlabelled=learner.sampler.unlabelled_batches,
        unlabelled_patients=images.patients_of(images.unlabelled()),
    )


def _check_both_kinds(images: int, with_lesions: int) -> None:
    """Refuse labels of whole images that are all the same.

    Raises
    ------
    StudyError
        If every image has a lesion.
    """
    from mammoflow.errors import StudyError

    if images == with_lesions:
        raise StudyError(
            f"all {images} training images have a lesion, so that labels of whole images tell nothing apart; expected "
            "images without a lesion among them, or another options.labels.kind"
        )


def _starting_model(task: TrainingTask) -> AutomaticModel:
    """Return the model with the weights that the training starts from, in fp32."""
    from mammoflow.errors import ConfigError
    from mammoflow.segmentation.automatic.loading import load_automatic
    from mammoflow.segmentation.loading import build_model
    from mammoflow.segmentation.protocol.automatic import AutomaticModel

    if task.start is not None:
        return load_automatic(task.start, task.device, "fp32")
    model = build_model(task.architecture, None, "random", task.device)
    if not isinstance(model, AutomaticModel):
        raise ConfigError(f"{task.architecture} needs prompts; expected an automatic architecture, such as unet")
    return model
