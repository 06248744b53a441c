"""Training of an automatic model on whole images or patches; see docs/segmentation-automatic.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.architectures import ARCHITECTURE_MODULES, module_of
from mammoflow.config.architectures import architecture as architecture_of
from mammoflow.config.augmentation import augmentation_names
from mammoflow.config.automatic import AutomaticTrainingSettings, check_channels
from mammoflow.config.mask_losses import MASK_LOSSES
from mammoflow.config.synthetic_lesions import GENERATOR
from mammoflow.segmentation.training_task import PreparedTraining, TrainedWeights, TrainingTask

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import nn

    from mammoflow.segmentation.automatic.samples import TrainingImages
    from mammoflow.segmentation.automatic.synthetic_lesions import SyntheticLesions
    from mammoflow.training.loop import Fit
    from mammoflow.training.plan import Plan

Options = AutomaticTrainingSettings
PROMPTED = False
UNLABELLED = True


def modules(options: AutomaticTrainingSettings) -> list[str]:
    """Return the further modules whose code a training uses: of its loss, and of models that make masks or lesions."""
    further = [options.labels.model] if options.labels.kind == "boxes" else []
    further += [GENERATOR] if options.synthetic_lesions.model else []
    return [MASK_LOSSES.module(options.loss), *(ARCHITECTURE_MODULES.module(module_of(name)) for name in further)]


def check(options: AutomaticTrainingSettings, architecture: str, start: str) -> None:
    """Refuse a promptable architecture, and colours for one that sees a single channel.

    Raises
    ------
    ValueError
        Naming the key below `train`.
    """
    if architecture_of(architecture).prompted:
        raise ValueError(f"recipe is automatic, but {architecture} needs prompts; expected the recipe tune, or small")
    check_channels(options, architecture)
    labels = options.labels
    if labels.kind == "image" and options.input == "patch":
        raise ValueError("options.labels.kind is image, but a patch has no label of its own; expected input: whole")
    if labels.kind == "image" and "cutmix" in augmentation_names(options.augmentation):
        raise ValueError(
            "options.augmentation has cutmix, but options.labels.kind is image: a rectangle of an image with a lesion "
            "need not contain the lesion; expected a list without cutmix"
        )
    _check_synthetic(options)
    if labels.kind in ("image", "points") and options.copy_paste:
        raise ValueError(
            f"options.copy_paste needs masks, but options.labels.kind is {labels.kind}; expected copy_paste: 0, or "
            "labels.kind: masks or boxes"
        )
    if labels.kind == "boxes" and not architecture_of(labels.model).prompted:
        raise ValueError(
            f"options.labels.model is {labels.model}, which takes no prompts; expected a promptable one, such as small"
        )


def _check_synthetic(options: AutomaticTrainingSettings) -> None:
    """Refuse synthetic lesions that would not be used, or that do not fit images or labels.

    Raises
    ------
    ValueError
        Naming the key below `train`.
    """
    model = options.synthetic_lesions.model
    for key, found, wanted, fits in (
        ("copy_paste", options.copy_paste, "a share above 0, such as 0.3", options.copy_paste > 0),
        ("labels.kind", options.labels.kind, "masks", options.labels.kind == "masks"),
        ("colour", options.colour, "grey", options.colour == "grey"),
    ):
        if model and not fits:
            raise ValueError(
                f"options.synthetic_lesions.model is {model!r} and options.{key} is {found}; expected {wanted}, or no "
                "such model"
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
    from mammoflow.imaging.kept_colours import check_colours
    from mammoflow.segmentation.automatic.box_masks import masks_from_boxes
    from mammoflow.segmentation.automatic.encoder import encoder_of, prepare_encoder
    from mammoflow.segmentation.automatic.learner import DICE, THRESHOLD, AutomaticLearner
    from mammoflow.segmentation.automatic.samples import read_training_images
    from mammoflow.segmentation.automatic.start import starting_model
    from mammoflow.storage.files import file_digest
    from mammoflow.training.record import count_parameters
    from mammoflow.weights.header import AutomaticSetup
    from mammoflow.weights.seen_patients import recorded_patients

    options: AutomaticTrainingSettings = task.options
    model = starting_model(task)
    frozen = prepare_encoder(model.network, task.architecture, options, task.start is not None)
    given = _encoder_file(task)
    encoder = {"encoder_weights": given.name, "encoder_weights_sha256": file_digest(given)} if given else {}
    by_boxes = options.labels.kind == "boxes"
    images = read_training_images(task.images, options.few_labels, by_boxes, options.sources)
    if options.colour == "rgb":
        check_colours(images.images, f"the training of {task.architecture}")
    boxes, partly = None, options.labels.partly_annotated
    if by_boxes:
        rows = images.training_rows(partly)
        boxes = masks_from_boxes(options.labels, images, rows, task.store, task.device, task.use)
    synthetic, generator = _synthetic_lesions(task, images)
    learner = AutomaticLearner(model, images, options, frozen, boxes, synthetic)
    with_lesions = int((images.images["boxes"].map(len) > 0).to_numpy()[learner.sampler.rows].sum())
    if options.labels.kind == "image":
        _check_both_kinds(len(learner.sampler.rows), with_lesions)

    phantoms = images.supplementary_phantoms(learner.sampler.rows)
    pasted = "synthetic_lesions" if synthetic else "copy_paste"
    added = {pasted: options.copy_paste, "phantom_images": phantoms}
    supplementary = {name: value for name, value in added.items() if value}

    def finish(fitted: Fit) -> TrainedWeights:
        chosen = fitted.history[fitted.chosen_epoch - 1]
        grid = model.input
        clahe = (grid.clahe_clip, grid.clahe_tiles, grid.clahe_bins)
        setup = AutomaticSetup(grid.side_px, grid.spacing_mm, chosen[THRESHOLD], grid.stretched, *clahe, grid.colour)
        facts = {"threshold": setup.threshold, "validation_dice": chosen[DICE]}
        return TrainedWeights(model.network.state_dict(), fitted.chosen_epoch, facts, automatic=setup)

    return PreparedTraining(
        learner,
        _plan(options, task.device, model.network),
        (
            *(model.digest, *encoder.values(), images.content(), boxes.digest if boxes else ""),
            *([synthetic.digest] if synthetic else []),
        ),
        # a patient whom the encoder, the teacher or the model of lesions has seen counts as seen by the model
        [
            *recorded_patients("the encoder", given),
            *images.patients_of(learner.sampler.rows),
            *(boxes.seen if boxes else []),
            *recorded_patients(options.synthetic_lesions.model, task.lesion_weights),
        ],
        images.patients("validation"),
        images.phantom,
        count_parameters([each for each in model.network.parameters() if each.requires_grad], model.network),
        {
            "images": len(learner.sampler.rows),
            "images_with_lesions": with_lesions,
            "validation_images": len(learner.validation_rows),
            "images_not_fully_annotated": images.left_out,
            "images_partly_annotated": len(learner.sampler.rows) - len(images.rows("train")),
            "images_unlabelled": len(learner.sampler.unlabelled_rows),
            "steps": learner.steps() * options.epochs,
            "labels": options.labels.kind + (f" from {options.labels.model}" if boxes else ""),
            "supplementary": supplementary,
            **images.counts(partly).facts(options.few_labels),
            **({"encoder": "frozen" if frozen else "trained"} if encoder_of(model.network) else {}),
            **encoder,
            **generator,
        },
        finish,
        unlabelled=learner.sampler.unlabelled_batches,
        unlabelled_patients=images.patients_of(learner.sampler.unlabelled_rows),
    )


def _synthetic_lesions(
    task: TrainingTask, images: TrainingImages
) -> tuple[SyntheticLesions | None, dict[str, int | str]]:
    """Return synthetic lesions and what the record says of their origin; None and nothing where there are none.

    Raises
    ------
    WeightsError
        If the weights of the model that draws them are missing or do not fit.
    """
    from mammoflow.errors import WeightsError
    from mammoflow.segmentation.automatic.synthetic_lesions import draw_lesions, load_generator
    from mammoflow.storage.files import file_digest

    settings, file = task.options.synthetic_lesions, task.lesion_weights
    if not settings.model:
        return None, {}
    if file is None or not file.is_file():
        raise WeightsError(
            f"synthetic_lesions.model is {settings.model}, but its weights are not there ({file}); expected a file of "
            "the recipe lesion_diffusion; name it with --lesion-weights"
        )
    lesions = draw_lesions(load_generator(file, task.device), images, settings, task.options.seed)
    return lesions, {
        "lesion_model": settings.model,
        "lesion_model_sha256": file_digest(file),
        "synthetic_lesions": len(lesions),
    }


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


def _plan(options: AutomaticTrainingSettings, device: torch.device, network: nn.Module) -> Plan:
    """Return how the training is done."""
    from dataclasses import replace

    from mammoflow.segmentation.automatic.encoder import encoder_of
    from mammoflow.segmentation.automatic.learner import DICE
    from mammoflow.training.learner import Watched
    from mammoflow.training.plan import OneCycle, Plan, Plateau

    schedules: dict[str, OneCycle | Plateau] = {
        "one_cycle": OneCycle(),
        "cosine": OneCycle(rising_share=0.0),
        "plateau": Plateau(options.plateau_epochs, options.plateau_factor),
        "constant": OneCycle(first_share=1.0, final_share=1.0),
    }
    figures = {"validation_dice": Watched(DICE, "max"), "train_loss": Watched("train_loss", "min")}
    encoder = encoder_of(network)
    plan = Plan.of(options, device, transformer=encoder is not None and encoder.transformer)
    if options.precision != "auto":
        plan = replace(plan, precision="bf16-mixed" if options.precision == "bf16" else "32-true")
    return replace(plan, schedule=schedules[options.schedule], stop=figures[options.patience_on])


def _encoder_file(task: TrainingTask) -> Path | None:
    """Return the file of the encoder's first weights; None where the options name none."""
    from mammoflow.segmentation.automatic.encoder import encoder_weights_file

    wanted = task.options.encoder_weights
    return encoder_weights_file(task.architecture, wanted) if wanted else None
