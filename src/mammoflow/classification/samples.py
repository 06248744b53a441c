"""What a classifier's network sees one by one: lesions or images, read by an input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mammoflow.classification.front import Front
from mammoflow.config.inference import EncoderUse
from mammoflow.config.pictures import Combine
from mammoflow.errors import StudyError
from mammoflow.storage.files import array_digest, text_digest
from mammoflow.training.batching import Rows
from mammoflow.weights.registry import ModelSpec

Inputs = dict[str, Tensor]
"""Tensors of one sample, or of a batch of them, by name: `picture` or `vector`, as the input's GIVES says.

A sample of several pictures has them along the first axis of `picture`: (pictures, channels, side, side).
"""


@dataclass(frozen=True)
class PromptableSource:
    """The promptable model of a job, and where its embeddings are kept.

    Attributes
    ----------
    model, use
        As `segmentation.loading.load_promptable` takes them.
    store
        Folder of the embeddings.
    margin_mm
        Margin of the prompts whose masks are used for classifiers.
    """

    model: ModelSpec
    use: EncoderUse
    store: Path
    margin_mm: float

    def facts(self, digest: str, precision: str) -> dict[str, str]:
        """Return what a record says about the loaded model; classifiers are applied to the same, in its precision."""
        colour = {} if self.use.colour == "grey" else {"colour": self.use.colour}
        return {"name": self.model.name, "digest": digest, "precision": precision, **colour}


@dataclass(frozen=True)
class Files:
    """What earlier stages wrote and a classifier job was given.

    Attributes
    ----------
    images
        Shards of the image stage.
    masks
        Shards of the segmentation stage of one model; given where the input needs masks.
    prompts
        Tables of the prompt stage; given where the input needs prompts.
    features
        Tables of feature families, each in a folder with the name of its family; given where the classifier has
        vectors.
    scores
        Tables of scores of the segmentation behind masks or features; they say which patients the model has seen.
    model
        The promptable model; given where the input needs it.
    weights
        First weights of the network; given where they are published weights that no package brings.
    classes
        Classes of the images of the cohort; given where the classifier tells them apart.
    """

    images: list[Path]
    masks: list[Path] = field(default_factory=list)
    prompts: list[Path] = field(default_factory=list)
    features: list[Path] = field(default_factory=list)
    scores: list[Path] = field(default_factory=list)
    model: PromptableSource | None = None
    weights: Path | None = None
    classes: Path | None = None


@dataclass(frozen=True)
class Job:
    """How an input is read.

    Attributes
    ----------
    cache
        Folder for prepared inputs, of this job alone.
    threads
        Processors that the job may use.
    device
        Where the classifier computes.
    each_lesion
        Whether every lesion must be a sample of its own, because feature vectors tell lesions apart.
    """

    cache: Path
    threads: int
    device: torch.device
    each_lesion: bool = False


class Samples(Dataset[Inputs], ABC):
    """Lesions or images as a network sees them.

    Attributes
    ----------
    labels
        (samples,) 1 malignant, 0 benign, NaN unknown.
    split
        (samples,) train, validation or test.
    usable
        (samples,) False where there is no input to predict from.
    sample_of
        (lesions,) row of the sample whose probability a lesion gets.
    digest
        Of everything that the network sees.
    notes
        What the training record says about the input, such as counts of fallbacks.
    rests_on_model
        Whether the samples come from masks or weights of a segmentation model, which may have seen test patients.
    combine
        How the features of the pictures of a sample become one; None where a sample has one picture.
    front
        What is trained before the network in a second phase, or None.
    further_parameters
        Numbers in networks that made the samples and are not trained.
    further_modules
        Members of other families whose code made the samples, by dotted name; the training state depends on them.
    """

    labels: npt.NDArray[np.float32]
    split: npt.NDArray[np.object_]
    usable: npt.NDArray[np.bool_]
    sample_of: Rows
    digest: str
    notes: dict[str, object]
    rests_on_model: bool = False
    combine: Combine | None = None
    front: Front | None = None
    further_parameters: int = 0
    further_modules: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.labels)

    @abstractmethod
    def __getitem__(self, row: int) -> Inputs:
        """Return the tensors of one sample, as they are in validation and prediction."""

    def drawn(self, row: int, generator: np.random.Generator) -> Inputs:
        """Return the tensors of one sample as training sees them; what is drawn comes from the generator alone."""
        return self[row]

    @abstractmethod
    def levels(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of the samples of some rows, of a shape that goes with one sample's tensor."""

    def rows_digest(self) -> str:
        """Return a digest of the rows that are trained and validated on: labels, splits, and which are usable.

        Samples of which this digest and `digest` are the same give the same training.
        """
        split = np.asarray(self.split, dtype=np.str_)
        return text_digest(*(array_digest(column) for column in (self.labels, split, self.usable)))

    def labelled(self, split: str) -> Rows:
        """Return the rows of a split that have a label and an input."""
        return np.flatnonzero((self.split == split) & self.usable & ~np.isnan(self.labels))

    def unlabelled(self, split: str) -> Rows:
        """Return the rows of a split that have an input and no label."""
        return np.flatnonzero((self.split == split) & self.usable & np.isnan(self.labels))

    def counts(self, split: str) -> str:
        """Return how many rows of a split are malignant and benign, and how many lack a label or an input, as words."""
        labels = self.labels[self.labelled(split)]
        without_input = int(((self.split == split) & ~self.usable).sum())
        lacking = {"without a label": len(self.unlabelled(split)), "without an input": without_input}
        parts = [f"{int((labels == 1).sum())} malignant", f"{int((labels == 0).sum())} benign"]
        return ", ".join(parts + [f"{count} {words}" for words, count in lacking.items() if count])

    def check(self, both_in_validation: bool = False, label_fraction: float = 1.0) -> None:
        """Refuse a study on which nothing can be trained.

        Parameters
        ----------
        both_in_validation
            Whether the AUC on validation decides which epoch is kept, so that validation must hold both classes.
        label_fraction
            Share of the training patients whose labels are used.

        Raises
        ------
        StudyError
            If train lacks a class, validation is empty, or validation lacks a class that it must hold.
        """
        labels = {split: self.labels[self.labelled(split)] for split in ("train", "validation")}
        if set(labels["train"].tolist()) != {0.0, 1.0}:
            more = f"Raise few_labels.fraction (now {label_fraction:g}), add" if label_fraction < 1 else "Add"
            raise StudyError(
                f"train has {self.counts('train')}; expected both classes to train a classifier. {more} patients, or "
                "change cohort.split"
            )
        if not labels["validation"].size:
            raise StudyError(
                f"validation has no labelled lesion (train: {self.counts('train')}); expected some to choose the "
                "threshold on. Raise cohort.split.validation_fraction or add patients"
            )
        if both_in_validation and len(set(labels["validation"].tolist())) < 2:
            raise StudyError(
                f"validation has {self.counts('validation')}, and its AUC decides what is kept; expected both classes, "
                "because one class has no AUC. Set keep to last, raise cohort.split.validation_fraction, or add "
                "patients"
            )
