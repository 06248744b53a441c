"""The class of each image: what the reader says, else what follows from the labels of its lesions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from mammoflow.cohort.reader import Exclusion, Reader
from mammoflow.cohort.words import parse_label
from mammoflow.config.image_classes import OF_LESIONS, UNKNOWN_CLASS, same_class
from mammoflow.reasons.cohort import CohortReason
from mammoflow.tables.classes import IMAGE_CLASSES
from mammoflow.tables.files import validate_table

WORD = "class_word"
"""Column of a reader's rows with the study's own word for the class of the image; a reader need not have it."""

CLASS = "image_class"
SHOWN = 5


@dataclass
class _Found:
    """Classes of images, and the words and contradictions that gave none."""

    classes: dict[str, str | None] = field(default_factory=dict)
    unknown: Counter[str] = field(default_factory=Counter)
    torn: list[str] = field(default_factory=list)


def class_of_word(word: str, classes: Sequence[str], labels: Mapping[str, str]) -> str | None:
    """Return the class that a word of the study means; None where it is none of them.

    Parameters
    ----------
    word
        The word, such as the name of a class folder.
    classes
        `cohort.classes`. Case, spaces, dashes and underscores do not count.
    labels
        Words of the study for malignant, benign and normal, beside the usual ones.
    """
    names = {same_class(name): name for name in classes}
    return names.get(same_class(word)) or names.get(parse_label(word, labels) or "")


def with_image_classes(
    rows: pd.DataFrame, classes: Sequence[str], excluded: Sequence[Exclusion], reader: Reader
) -> pd.DataFrame:
    """Return the rows of a study with the class of their image; words that are no class become a note of the reader.

    A word of the reader decides. Without one, an image is malignant if any lesion is, normal if it is labelled so, and
    benign if all its lesions are benign and none was left out.

    Parameters
    ----------
    rows
        With `image_id`, `lesion_id`, `label`, and perhaps `class_word`.
    classes
        `cohort.classes`; without any the rows stay as they are.
    excluded
        Rows and lesions that were left out before.
    reader
        Of the study.
    """
    if not classes:
        return rows
    labels = getattr(reader.dataset.options, "labels", {})
    lost = reader.in_doubt | {
        exclusion.image_id
        for exclusion in excluded
        if exclusion.level in ("row", "lesion") and exclusion.reason is not CohortReason.DUPLICATE_ROW
    }
    found = _Found()
    for image_id, of_image in rows.groupby("image_id", sort=False):
        image = str(image_id)
        words = list(dict.fromkeys(filter(None, of_image[WORD].dropna()))) if WORD in rows.columns else []
        if words:
            _read_words(image, words, classes, labels, found)
        else:
            label = _label_of_lesions(of_image["label"].tolist(), image in lost)
            found.classes[image] = next((name for name in classes if same_class(name) == label), None)
    reader.notes += _notes(found, classes)
    return rows.assign(**{CLASS: rows["image_id"].map(found.classes).astype(object)})


def _read_words(
    image: str, words: Sequence[str], classes: Sequence[str], labels: Mapping[str, str], found: _Found
) -> None:
    meanings = {word: class_of_word(word, classes, labels) for word in words}
    for word, meaning in meanings.items():
        if meaning is None and same_class(word) != UNKNOWN_CLASS:
            found.unknown[word] += 1
    known = set(meanings.values())
    found.classes[image] = known.pop() if len(known) == 1 else None
    if known:
        found.torn.append(image)


def _label_of_lesions(labels: Sequence[str | None], is_lost: bool) -> str:
    """Return malignant, benign or normal; "" where it is not known."""
    said = {label for label in labels if isinstance(label, str)}
    if "malignant" in said:
        return "malignant"
    if is_lost or len(said) != 1 or any(not isinstance(label, str) for label in labels):
        return ""
    return next((label for label in OF_LESIONS if label in said), "")


def _notes(found: _Found, classes: Sequence[str]) -> list[str]:
    """Say which words are no class, and which images have two of them."""
    expected = f"expected one of cohort.classes: {', '.join(classes)}"
    notes = [
        f"class {word!r} of {_images(count)} is left out of the classes; {expected}"
        for word, count in found.unknown.most_common(SHOWN)
    ]
    if len(found.unknown) > SHOWN:
        notes.append(f"{len(found.unknown) - SHOWN} other words are left out of the classes too; {expected}")
    if found.torn:
        shown = ", ".join(found.torn[:SHOWN])
        notes.append(f"{_images(len(found.torn))} without a class, because the rows differ in it: {shown}")
    return notes


def _images(count: int) -> str:
    return f"{count} image{'' if count == 1 else 's'}"


def with_classed_images(rows: pd.DataFrame, every: pd.DataFrame) -> pd.DataFrame:
    """Add a row without a lesion for each image that has a class and lost all its rows, because its class is used.

    Parameters
    ----------
    rows
        The rows that stay.
    every
        The same and those of unknown malignancy, with the class of their image where the study has classes.
    """
    if CLASS not in every.columns:
        return rows
    alone = every[every[CLASS].notna() & ~every["image_id"].isin(rows["image_id"])].drop_duplicates("image_id")
    if alone.empty:
        return rows
    bare = alone.astype(object).assign(lesion_id=None, finding_id=None, label=None)
    return pd.concat([rows.astype(object), bare], ignore_index=True)


def class_table(images: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Return the table IMAGE_CLASSES of the images of a cohort."""
    numbers = {name: number for number, name in enumerate(classes)}
    named = images[CLASS].astype(object).where(images[CLASS].notna(), None)
    table = images[["image_id", "patient_id"]].assign(**{CLASS: named, "class_number": named.map(numbers)})
    return validate_table(table.sort_values("image_id", ignore_index=True), IMAGE_CLASSES, "the classes of the images")


def class_counts(images: pd.DataFrame, classes: Sequence[str]) -> dict[str, int]:
    """Count the images of each class, and those without a class."""
    counts = {name: int((images[CLASS] == name).sum()) for name in classes}
    return {**counts, "without a class": int(images[CLASS].isna().sum())}


def describe_classes(images: pd.DataFrame, classes: Sequence[str]) -> list[str]:
    """Return the line about the classes of the images; none where the cohort has no classes."""
    if not classes:
        return []
    return [f"  classes: {', '.join(f'{count} {name}' for name, count in class_counts(images, classes).items())}"]


def why_classes_untrainable(
    images: pd.DataFrame, classes: Sequence[str], sides: int, folds: pd.DataFrame | None = None
) -> str:
    """Say why no classifier of the classes can be trained, and what to write; "" where one can or none is wanted.

    Parameters
    ----------
    images
        Images of the cohort: `patient_id`, `split`, `image_class`.
    classes
        `cohort.classes`.
    sides
        0 where no such classifier is trained; 1 where train needs every class and validation any image; 2 where
        validation needs every class too, because its AUC chooses the epoch.
    folds
        Table FOLDS, where one run makes every fold.
    """
    if not sides:
        return ""
    if folds is None:
        return _class_missing(images, classes, sides, "")
    for fold, of_fold in folds.groupby("fold"):
        split = images["patient_id"].map(of_fold.set_index("patient_id")["split"])
        problem = _class_missing(images.assign(split=split), classes, sides, f" of fold {fold}")
        if problem:
            return problem
    return ""


def _class_missing(images: pd.DataFrame, classes: Sequence[str], sides: int, where: str) -> str:
    for side, needs_all in (("train", True), ("validation", sides == 2)):
        counts = class_counts(images[images["split"] == side], classes)
        missing = [name for name in classes if not counts[name]]
        if missing if needs_all else len(missing) == len(classes):
            wanted = "every class" if needs_all else "at least one image with a class"
            return (
                f"the side {side}{where} has {', '.join(f'{counts[name]} {name}' for name in classes)} images, of "
                f"{', '.join(f'{count} {name}' for name, count in class_counts(images, classes).items())} in the "
                f"study; expected {wanted} to train the classifiers with target: classes. Take a class out of "
                "cohort.classes, add patients, change cohort.split, or take these classifiers out of "
                "classification.run"
            )
    return ""
