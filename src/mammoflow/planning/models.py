"""What the jobs of a configuration's segmentation models need: weights, arguments, prompts, memory and code."""

from __future__ import annotations

from pathlib import Path

from mammoflow.config.architectures import ARCHITECTURE_MODULES, architecture, module_of
from mammoflow.config.few_labels import IMAGES_TOGETHER
from mammoflow.config.given_files import box_labels, given_file
from mammoflow.config.recipes import TrainSettings, recipe_modules
from mammoflow.config.segmentation import ModelSettings, lesion_model
from mammoflow.config.study import StudyConfig
from mammoflow.config.training import TRAINERS
from mammoflow.config.weights import PUBLISHED
from mammoflow.errors import ConfigError
from mammoflow.planning.folds import model_folder, prompts_folder
from mammoflow.weights.registry import ModelSpec, install, remedy

SEGMENT_STAGE = "mammoflow.segmentation.prompted.stage"
AUTOMATIC_STAGE = "mammoflow.segmentation.automatic.stage"
ENCODER = "ENCODER_WEIGHTS"
"""Name in a member of the source of its encoder's published weights."""

TRAINING_STAGE = "mammoflow.segmentation.training_stage"


def run_folder(config: StudyConfig) -> Path:
    """Return the folder that the run writes to."""
    return Path(config.results) / config.run


def trained_weights(config: StudyConfig, model: str, fold: str = "") -> Path:
    """Return the weights file of a model that the run trains, in the folder of a fold."""
    return run_folder(config) / fold / "segmentation_models" / model / "model.safetensors"


def model_spec(config: StudyConfig, model: str) -> ModelSpec:
    """Return a model of the configuration as a job is told it."""
    return ModelSpec(model, config.segmentation.architecture_of(model), weights_path(config, model))


def weights_path(config: StudyConfig, model: str, fold: str = "") -> Path | None:
    """Return the weights file of a model of the configuration, there or not; None for one that a package brings."""
    entry = config.segmentation.models.get(model, ModelSettings())
    if entry.train is not None:
        return trained_weights(config, model, fold)
    file = given_file(config.segmentation, config.prefetch.folder, model)
    return Path(file) if file else None


def weights_inputs(config: StudyConfig, model: str, fold: str = "") -> list[str]:
    """Return the weights file of a model as the inputs of a rule; none for one that a package brings."""
    file = weights_path(config, model, fold)
    return [] if file is None else [str(file)]


def missing_weights(config: StudyConfig, model: str) -> str:
    """Say what is missing and how to get it, where the weights file of a model is not there; else ""."""
    entry = config.segmentation.models.get(model, ModelSettings())
    file = weights_path(config, model)
    if file is None:
        spec = model_spec(config, model)
        return "" if spec.file else f"the weights for {model} are not installed; {remedy(spec)}"
    if entry.train is not None:
        return missing_encoder_weights(config, model)
    if file.is_file():
        return ""
    return f"weights file {file} for {model} does not exist; {remedy(model_spec(config, model))}"


def needed_models(config: StudyConfig) -> list[str]:
    """Return the models whose weights must be there before the first job, or be made by the run."""
    trainings = [entry.train for entry in config.segmentation.models.values() if entry.train]
    given = [name for train in trainings for name in (train.start, lesion_model(train)) if name]
    given += [labels.model for labels in map(box_labels, trainings) if labels is not None and not labels.weights]
    searched = [search.model for search in config.segmentation.searches.values()]
    return list(dict.fromkeys([*config.segmentation.run, *given, *searched]))


def models_made(config: StudyConfig) -> list[str]:
    """Return the models that the run trains for its tables: those that segment, and those that they are made from."""
    names = list(config.segmentation.run)
    for name in names:
        entry = config.segmentation.models.get(name)
        if entry is not None and entry.train is not None:
            given = (entry.train.start, lesion_model(entry.train))
            names += [one for one in given if one and one not in names]
    return [name for name in config.segmentation.trained_models() if name in names]


def classifier_model(config: StudyConfig, name: str) -> str:
    """Return the segmentation model that a classifier's input names, or whose masks and embeddings it takes."""
    options = config.classification.classifiers[name].input_options
    return getattr(options, "model", "") or config.segmentation.default_model


def model_arguments(config: StudyConfig, model: str) -> list[str]:
    """Return the words of a command that name a model; its weights file is an input, and the rules quote each word."""
    return ["--model", model, "--architecture", config.segmentation.architecture_of(model)]


def encoder_arguments(config: StudyConfig) -> list[str]:
    """Return the words of a command about the image encoder of a promptable model."""
    return ["--precision", config.segmentation.precision, "--colour", config.segmentation.colour]


def prompt_tables(config: StudyConfig, model: str, fold: str = "") -> list[str]:
    """Return the tables of prompts of a model: its own, and those around the masks of the models that prompt it.

    The wildcard `{shard}` stays. An automatic model has none.
    """
    if not config.segmentation.is_prompted(model):
        return []
    sources = config.segmentation.prompted_by.get(model, [])
    own = f"{prompts_folder(config, model, fold)}prompts"
    origins = [own, *(f"{model_folder(config, source, fold)}prompts/from_{source}" for source in sources)]
    return [str(run_folder(config) / origin / "{shard}.parquet") for origin in origins]


def architecture_module(config: StudyConfig, model: str) -> str:
    """Return the module that builds a model."""
    return ARCHITECTURE_MODULES.module(module_of(config.segmentation.architecture_of(model)))


def segment_modules(config: StudyConfig, model: str) -> list[str]:
    """Return the modules whose code segments with a model: the stage and the model's own module."""
    stage = SEGMENT_STAGE if config.segmentation.is_prompted(model) else AUTOMATIC_STAGE
    return [stage, architecture_module(config, model)]


def prompted_models(config: StudyConfig) -> list[str]:
    """Return the models of the run that need prompts."""
    return [model for model in config.segmentation.run if config.segmentation.is_prompted(model)]


def automatic_models(config: StudyConfig) -> list[str]:
    """Return the models of the run that need no prompts."""
    return [model for model in config.segmentation.run if not config.segmentation.is_prompted(model)]


def training(config: StudyConfig, model: str) -> TrainSettings:
    """Return how the run trains a model.

    Raises
    ------
    ConfigError
        If it does not.
    """
    entry = config.segmentation.models.get(model)
    if entry is None or entry.train is None:
        raise ConfigError(f"segmentation.models.{model}.train is not set; expected how the model is trained")
    return entry.train


def training_modules(config: StudyConfig, model: str) -> list[str]:
    """Return the modules whose code trains a model: the stage, the modules of its models, recipe and trainer."""
    train = training(config, model)
    members = [*recipe_modules(train), TRAINERS.module(train.trainer)]
    return [TRAINING_STAGE, architecture_module(config, model), *members]


def start_of(config: StudyConfig, model: str) -> str:
    """Return the model that a training starts from; "" for random weights."""
    return training(config, model).start


def training_arguments(config: StudyConfig, model: str) -> list[str]:
    """Return the words of a command that name what is trained; the rules quote each word."""
    start = start_of(config, model)
    return ["--architecture", config.segmentation.architecture_of(model), *(["--from", start] if start else [])]


def start_weights(config: StudyConfig, model: str, fold: str = "") -> list[str]:
    """Return the weights file that a training starts from as the inputs of a rule."""
    start = start_of(config, model)
    return weights_inputs(config, start, fold) if start else []


def lesion_weights(config: StudyConfig, model: str, fold: str = "") -> list[str]:
    """Return the weights file of the model that draws synthetic lesions for a training as the inputs of a rule."""
    wanted = lesion_model(training(config, model))
    return weights_inputs(config, wanted, fold) if wanted else []


def label_weights(config: StudyConfig, model: str) -> list[str]:
    """Return the weights file of the model that makes the masks which a model is trained on; none of a package."""
    labels = box_labels(training(config, model))
    if labels is None:
        return []
    file = labels.weights or given_file(config.segmentation, config.prefetch.folder, labels.model)
    return [file] if file else []


def missing_label_weights(config: StudyConfig, model: str) -> str:
    """Say what is missing where a training names a file for its labels that is neither there nor made; else ""."""
    labels = box_labels(training(config, model))
    made = [trained_weights(config, name) for name in config.segmentation.trained_models()]
    if labels is None or not labels.weights or Path(labels.weights) in made or Path(labels.weights).is_file():
        return ""
    return (
        f"segmentation.models.{model}.train.options.labels.weights: found {labels.weights!r}, which does not exist; "
        f"expected the weights file of {labels.model}; correct the path, or leave it empty and fetch the file with "
        "the target `prefetch`"
    )


def encoder_weights(config: StudyConfig, model: str) -> list[str]:
    """Return the weights file that the encoder of a training starts from as the inputs of a rule.

    There is none for random weights, and none for published weights that a package brings.
    """
    wanted = getattr(training(config, model).options, "encoder_weights", "")
    return [] if wanted in ("", PUBLISHED) else [wanted]


def training_weights(config: StudyConfig, model: str, fold: str = "") -> list[str]:
    """Return the weights files that a training reads: to start from, of labels, encoder, and synthetic lesions."""
    return [
        *start_weights(config, model, fold),
        *label_weights(config, model),
        *encoder_weights(config, model),
        *lesion_weights(config, model, fold),
    ]


def missing_encoder_weights(config: StudyConfig, model: str) -> str:
    """Say what is missing where the first weights of an encoder are not there; "" for weights that the run makes."""
    key = f"segmentation.models.{model}.train.options.encoder_weights"
    made = [trained_weights(config, name) for name in config.segmentation.trained_models()]
    for file in encoder_weights(config, model):
        if Path(file) not in made and not Path(file).is_file():
            return f"{key}: found {file!r}, which does not exist; expected weights of the encoder; correct the path"
    if getattr(training(config, model).options, "encoder_weights", "") != PUBLISHED:
        return ""
    source = getattr(ARCHITECTURE_MODULES.load(module_of(config.segmentation.architecture_of(model))), ENCODER, None)
    if source is None or source.package is None:
        return f"{key}: found {PUBLISHED!r}, but no package brings weights of this encoder; expected the path of a file"
    return "" if source.installed else f"{key}: found {PUBLISHED!r}, but {source.file} is missing; {install(source)}"


def segment_memory_mb(config: StudyConfig, model: str) -> int:
    """Return the megabytes of a job that segments with a model."""
    network = architecture(config.segmentation.architecture_of(model))
    batch = config.segmentation.batch_images
    return network.memory_mb + network.image_mb * (0 if batch == "auto" else batch - 1)


def training_memory_mb(config: StudyConfig, model: str, batch: int) -> int:
    """Return the megabytes of a job that trains with a model's network on a batch of images or lesions."""
    network = architecture(config.segmentation.architecture_of(model))
    return network.memory_mb + network.training_image_mb * batch


def recipe_memory_mb(config: StudyConfig, model: str) -> int:
    """Return the megabytes of the job that trains a model by its recipe, with the unlabelled samples of a step.

    Where another model makes masks of boxes, it is in memory beside the network before the first step.
    """
    train = training(config, model)
    batch = int(getattr(train.options, "batch_size", 1))
    few = getattr(train.options, "few_labels", None)
    if few is not None and TRAINERS.load(train.trainer).UNLABELLED:
        batch += few.unlabelled_batch_size or batch
    labels = box_labels(train)
    maker = architecture(labels.model) if labels is not None else None
    of_masks = maker.memory_mb + maker.image_mb * (IMAGES_TOGETHER - 1) if maker is not None else 0
    return max(training_memory_mb(config, model, batch), training_memory_mb(config, model, 0) + of_masks)
