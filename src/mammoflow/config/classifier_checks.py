"""Checks of one classifier: batch against network, trainer against input, and what one of several classes lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mammoflow.config.members import Family

CLASS_STAGE = "mammoflow.classification.classes.stage"

TWO_CLASSES_ONLY: dict[str, tuple[object, str]] = {
    "vectors": ([], "an image has no features of one lesion"),
    "covariates": ([], "values of the case table belong to lesions"),
    "labels": ("true", "the leak probe shuffles labels of lesions"),
    "trainer": ("supervised", "the other trainers compare probabilities of two classes"),
}
"""Keys of classifiers of malignancy, with the value that a classifier of several classes has, and why."""

NO_TUNING: dict[str, str] = {
    "adversarial": "the discriminator does not know the loss of the masks that are tuned with the classifier",
    "cross_pseudo_supervision": "the promptable model of the second network would have layers with random weights",
}
"""Trainers that a classifier which tunes its promptable model cannot have, and why."""


def check_classifier(entry: Any, network: Any, inputs: Family) -> None:
    """Refuse settings of a classifier that do not fit each other.

    Parameters
    ----------
    entry
        Settings of the classifier.
    network
        The member of the networks that it names.
    inputs
        The family of inputs.

    Raises
    ------
    ValueError
        Naming the key, what was found and what to write.
    """
    _check_batch(entry, network, inputs.load(entry.input))
    if (why := NO_TUNING.get(entry.trainer)) and getattr(entry.input_options, "tune", "none") != "none":
        raise ValueError(
            f"trainer is {entry.trainer} and input_options.tune is {entry.input_options.tune}; expected tune: none, or "
            f"another trainer, because {why}"
        )
    if entry.target == "classes":
        _check_class_target(entry, network, inputs)


def check_titles(entries: Mapping[str, Any]) -> None:
    """Refuse classifiers that figures and tables would show by the same name, and titles that a figure cannot show.

    Parameters
    ----------
    entries
        Settings of the classifiers of a run by name.

    Raises
    ------
    ValueError
        Naming the key, the title, and the other classifier of the same name.
    """
    by_title: dict[str, str] = {}
    for name, entry in entries.items():
        if "$" in entry.title:
            raise ValueError(
                f"classifiers.{name}.title is {entry.title!r}; expected one without $, which a figure may read as a "
                "formula"
            )
        title = entry.title or name.replace("_", " ")
        other = by_title.setdefault(title, name)
        if other != name:
            raise ValueError(
                f"classifiers.{name}.title is {entry.title!r}, and figures show {other} as {title!r} too; expected a "
                "title of its own for each classifier of run"
            )


def check_class_study(classification: Any, classes: Sequence[str]) -> None:
    """Refuse classifiers of classes in a study whose images have none, and searches of such classifiers.

    Parameters
    ----------
    classification
        Settings of all classifiers.
    classes
        `cohort.classes`.

    Raises
    ------
    ValueError
        Naming the key, what was found and what to write.
    """
    for name in () if classes else classification.of_classes():
        raise ValueError(
            f"classification.classifiers.{name}.target is classes, and cohort.classes is empty; expected the names of "
            "the classes of the images, such as cohort.classes: [normal, benign, malignant]"
        )
    for name, search in classification.searches.items():
        if classification.classifiers[search.classifier].target == "classes":
            raise ValueError(
                f"classification.searches.{name}.classifier is {search.classifier!r}, whose target is classes; "
                "expected a classifier with target: malignant, because a search compares AUCs of malignancy"
            )


def _check_batch(entry: Any, network: Any, input_member: Any) -> None:
    """Refuse a batch of one of which batch normalisation would see one value per channel."""
    pixels_of = getattr(network, "normalised_pixels", None)
    if pixels_of is None or entry.batch_size > 1:
        return
    image_px = getattr(entry.input_options, "image_px", 0)
    pixels = pixels_of(entry.network_options, image_px)
    if pixels is not None and pixels * getattr(input_member, "PICTURES", 1) < 2:
        larger = f", or a larger input_options.image_px (now {image_px})" if image_px else ""
        raise ValueError(
            f"batch_size is {entry.batch_size}, and batch normalisation in {entry.network} would see one value per "
            f"channel, which has no deviation; expected batch_size of 2 or more{larger}"
        )


def _check_class_target(entry: Any, network: Any, inputs: Family) -> None:
    """Refuse what a classifier of several classes cannot have: inputs of lesions, and keys of two classes."""
    fitting = [name for name in inputs.names() if getattr(inputs.load(name), "SEES_IMAGES", False)]
    if entry.input not in fitting:
        raise ValueError(
            f"target is classes and input is {entry.input}, which sees single lesions; expected an input of whole "
            f"images: {', '.join(fitting)}"
        )
    if getattr(network, "TWO_CLASSES", False):
        raise ValueError(
            f"target is classes and network is {entry.network}, whose own loss is one of two classes; expected another "
            "network"
        )
    for key, (expected, why) in TWO_CLASSES_ONLY.items():
        if (found := getattr(entry, key)) != expected:
            raise ValueError(f"target is classes and {key} is {found!r}; expected {expected!r}, because {why}")
    if entry.few_labels.fraction != 1:
        raise ValueError(
            f"target is classes and few_labels.fraction is {entry.few_labels.fraction:g}; expected 1, because labels "
            "of several classes are not hidden"
        )
    if entry.threshold != type(entry.threshold)():
        raise ValueError(
            "target is classes and threshold is set; expected none, because an image gets the class with the highest "
            "probability"
        )
