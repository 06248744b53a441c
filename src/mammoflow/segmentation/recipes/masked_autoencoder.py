"""Pretraining of a vision transformer by masked autoencoding, without labels; see docs/segmentation-automatic.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.architectures import architecture as architecture_of
from mammoflow.config.masked_autoencoder import MaskedAutoencoderSettings
from mammoflow.segmentation.training_task import PreparedTraining, TrainedWeights, TrainingTask

if TYPE_CHECKING:
    from mammoflow.training.loop import Fit

Options = MaskedAutoencoderSettings
PROMPTED = False
UNLABELLED = False


def check(options: MaskedAutoencoderSettings, architecture: str, start: str) -> None:
    """Refuse a promptable architecture.

    Raises
    ------
    ValueError
        Naming the key below `train`.
    """
    if architecture_of(architecture).prompted:
        raise ValueError(
            f"recipe is masked_autoencoder, but {architecture} needs prompts; expected a plain vision transformer, "
            "such as setr_small"
        )


def prepare(task: TrainingTask) -> PreparedTraining:
    """Make the model and read the images; the weights have a pretrained encoder and a decoder that is not trained.

    Raises
    ------
    ConfigError
        If the encoder of the architecture is no plain vision transformer.
    StudyError
        If no image is there to train on, or none to validate on.
    """
    from mammoflow.errors import ConfigError
    from mammoflow.imaging.kept_colours import check_colours
    from mammoflow.segmentation.automatic.masked_learner import MaskedLearner
    from mammoflow.segmentation.automatic.samples import read_training_images
    from mammoflow.segmentation.automatic.start import starting_model
    from mammoflow.segmentation.encoders.vision_transformer import PATCH, VisionTransformer
    from mammoflow.segmentation.layers.masked_autoencoder import MaskedAutoencoder
    from mammoflow.segmentation.networks.encoder_decoder import EncoderDecoderModel
    from mammoflow.training.plan import Plan
    from mammoflow.training.record import count_parameters
    from mammoflow.weights.header import AutomaticSetup

    options: MaskedAutoencoderSettings = task.options
    model = starting_model(task)
    if not isinstance(model, EncoderDecoderModel) or not isinstance(model.network.encoder, VisionTransformer):
        raise ConfigError(
            f"recipe is masked_autoencoder, but the encoder of {task.architecture} is no plain vision transformer; "
            "expected such as setr_small"
        )
    encoder = model.network.encoder
    images = read_training_images(task.images, sources=options.sources, references=False)
    if options.colour == "rgb":
        check_colours(images.images, f"the training of {task.architecture}")
    patches = (options.side_px // PATCH) ** 2
    network = MaskedAutoencoder(encoder, patches, options.decoder_width, options.decoder_depth).to(task.device)
    learner = MaskedLearner(model, network, images, options)

    def finish(fitted: Fit) -> TrainedWeights:
        grid, error = model.input, fitted.history[fitted.chosen_epoch - 1]["validation_loss"]
        clahe = (grid.clahe_clip, grid.clahe_tiles, grid.clahe_bins)
        setup = AutomaticSetup(grid.side_px, grid.spacing_mm, model.threshold, grid.stretched, *clahe, grid.colour)
        facts = {"validation_loss": error}
        return TrainedWeights(model.network.state_dict(), fitted.chosen_epoch, facts, automatic=setup)

    return PreparedTraining(
        learner,
        Plan.of(options, task.device, transformer=True),
        (model.digest, images.content()),
        images.patients("train"),
        images.patients("validation"),
        images.phantom,
        count_parameters(list(network.parameters())),
        {"images": len(images.rows("train")), "validation_images": len(images.rows("validation"))},
        finish,
        packages=("timm",),
    )
