"""What a training recipe is given, and what it gives to the training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mammoflow.config.inference import Colour, EncoderUse
from mammoflow.weights.registry import ModelSpec

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mammoflow.training.learner import Learner, Stream
    from mammoflow.training.loop import Fit
    from mammoflow.training.plan import Plan
    from mammoflow.weights.header import AutomaticSetup, BaseWeights, LoraSetup


@dataclass(frozen=True)
class TrainingTask:
    """One segmentation model to train.

    Attributes
    ----------
    name
        Name of the model.
    options
        Options of the recipe, an instance of its `Options`.
    architecture
        Architecture of the model.
    start
        The model to start from; None for random weights.
    images
        Folders of image-stage shards. Test patients are not used.
    store
        Folder of the embeddings.
    margin_mm
        Margin of the box with which validation lesions are prompted.
    use
        What the image encoder of a promptable model sees, and its numbers where it is not trained: those of the
        segmentation, so that no image is encoded twice.
    device
        Where the network is trained.
    lesion_weights
        Weights of the model that draws synthetic lesions; None where the options name none.
    """

    name: str
    options: Any
    architecture: str
    start: ModelSpec | None
    images: list[Path]
    store: Path
    margin_mm: float
    use: EncoderUse
    device: torch.device
    lesion_weights: Path | None = None


@dataclass(frozen=True)
class TrainedWeights:
    """What came of a training.

    Attributes
    ----------
    state
        The weights by name, as they are written.
    chosen_epoch
        The epoch that they are of; 0 where they are those at the start.
    facts
        What the record says of the result.
    adapter_width
        Width of the adapters of the network; None without adapters.
    automatic
        How an automatic model is used with the weights; None for a promptable model.
    base, lora
        The weights that these belong on top of, and the low-rank updates among them; None without.
    colour
        What a promptable model saw of pictures in colour: `grey` or `rgb`.
    """

    state: Mapping[str, Tensor]
    chosen_epoch: int
    facts: Mapping[str, Any] = field(default_factory=dict)
    adapter_width: int | None = None
    automatic: AutomaticSetup | None = None
    base: BaseWeights | None = None
    lora: LoraSetup | None = None
    colour: Colour = "grey"


@dataclass(frozen=True)
class PreparedTraining:
    """A training that is ready to begin.

    Attributes
    ----------
    learner
        Network, data and loss.
    plan
        Limits, rates, seed.
    content
        Digests or text of all that is trained on: a killed training continues only where nothing of it has changed.
    patients, validation_patients
        Patients trained on and chosen by, as `source/patient`.
    phantom
        Whether any of them is a phantom.
    parameters
        Numbers that are trained, and all numbers of the network.
    facts
        What the record says beside what every training records.
    finish
        Makes the weights of the learner's network, after the fit.
    unlabelled
        Batches without labels, for trainers that learn from them.
    unlabelled_patients
        Patients of these batches, as `source/patient`; the record names them where the trainer learns from them.
    packages
        Further packages whose versions the record names.
    """

    learner: Learner
    plan: Plan
    content: Sequence[str]
    patients: Sequence[str]
    validation_patients: Sequence[str]
    phantom: bool
    parameters: tuple[int, int]
    facts: Mapping[str, Any]
    finish: Callable[[Fit], TrainedWeights]
    unlabelled: Stream | None = None
    unlabelled_patients: Sequence[str] = ()
    packages: Sequence[str] = ()
