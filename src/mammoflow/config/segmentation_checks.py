"""What models and classifiers expect of prompts, segmentation and data sets, checked before the first job."""

from __future__ import annotations

from collections.abc import Sequence

from mammoflow.config.prompts import PromptSettings
from mammoflow.config.segmentation import SegmentationSettings
from mammoflow.config.split_names import SPLITS


def check_box_prompts(prompts: PromptSettings, classifiers: Sequence[str]) -> None:
    """Refuse prompts without plain boxes where classifiers read a lesion through its box prompt.

    Parameters
    ----------
    prompts
        Kinds of the prompts.
    classifiers
        Names of these classifiers.

    Raises
    ------
    ValueError
        Naming the classifiers.
    """
    if classifiers and "box" not in prompts.kinds:
        raise ValueError(
            f"prompts.kinds is {prompts.kinds}, but {', '.join(classifiers)} decode each lesion from a box; expected "
            "box among the kinds, or none of these classifiers"
        )


def check_prompted_splits(prompts: PromptSettings, segmentation: SegmentationSettings, readers: Sequence[str]) -> None:
    """Refuse prompts of some splits alone where features or classifiers read masks that are made of prompts.

    An automatic default model segments every image without prompts, so its readers do not count.

    Parameters
    ----------
    prompts
        Splits whose lesions are prompted.
    segmentation
        The models.
    readers
        Feature families and classifiers that read masks or prompts of the default model.

    Raises
    ------
    ValueError
        Naming the readers.
    """
    if set(prompts.splits) != set(SPLITS) and readers and segmentation.is_prompted(segmentation.default_model):
        raise ValueError(
            f"prompts.splits is {prompts.splits}, but {', '.join(readers)} need the masks of every split; expected all "
            "three, an automatic model as segmentation.default_model, or no feature and classifier that reads masks "
            "of prompts"
        )


def check_overlay(segmentation: SegmentationSettings, classifier: str) -> None:
    """Refuse masks of prompts over images whose classes are told apart.

    Prompts are made around annotated lesions, so an image of a class without lesions would be the one without a mask.

    Parameters
    ----------
    segmentation
        The models.
    classifier
        Name of a classifier with `target: classes` and `mask_overlay: predicted`.

    Raises
    ------
    ValueError
        Naming the classifier.
    """
    if segmentation.is_prompted(segmentation.default_model):
        raise ValueError(
            f"classification.classifiers.{classifier}.input_options.mask_overlay is predicted and its target is "
            f"classes, but segmentation.default_model {segmentation.default_model} is prompted around the annotated "
            "lesions, which tells images without a lesion; expected an automatic default model, or mask_overlay: none"
        )


def check_promptable(segmentation: SegmentationSettings, classifiers: Sequence[str]) -> None:
    """Refuse an automatic default model where classifiers decode prompts with it.

    Parameters
    ----------
    segmentation
        The models.
    classifiers
        Names of these classifiers.

    Raises
    ------
    ValueError
        Naming the classifiers.
    """
    if classifiers and not segmentation.is_prompted(segmentation.default_model):
        raise ValueError(
            f"segmentation.default_model is {segmentation.default_model}, an automatic model, but "
            f"{', '.join(classifiers)} decode prompts with it; expected a promptable default model, or none of these "
            "classifiers"
        )


def check_embedding_model(segmentation: SegmentationSettings, classifier: str, model: str) -> None:
    """Refuse a model that a classifier takes embeddings from, and that does not run or takes no prompts.

    Parameters
    ----------
    segmentation
        The models.
    classifier
        Name of the classifier.
    model
        The model that its input names; "" is the default model.

    Raises
    ------
    ValueError
        Naming the key.
    """
    key = f"classification.classifiers.{classifier}.input_options.model"
    if model and model not in segmentation.run:
        raise ValueError(f"{key} is {model!r}; expected one of segmentation.run {segmentation.run}")
    taken = model or segmentation.default_model
    if not segmentation.is_prompted(taken):
        raise ValueError(f"{key} takes {taken}, an automatic model; expected a promptable one of segmentation.run")


def check_sources(segmentation: SegmentationSettings, names: Sequence[str]) -> None:
    """Check that trainings on some data sets name data sets of the study; further image folders may have others.

    Parameters
    ----------
    segmentation
        The models.
    names
        Names of the data sets of the study.

    Raises
    ------
    ValueError
        If one names another; the message begins with the key.
    """
    for model, entry in segmentation.models.items():
        train = entry.train
        unknown = [name for name in getattr(train.options, "sources", ()) if name not in names] if train else []
        if train and unknown and not train.more_images:
            raise ValueError(
                f"segmentation.models.{model}.train.options.sources names {unknown[0]!r}; expected data sets of the "
                f"study: {', '.join(names)}"
            )
