"""Prompted lesion: what a promptable model knows about it, from its image embedding and its mask decoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from mammoflow.config.base import Settings

if TYPE_CHECKING:
    import pandas as pd

    from mammoflow.classification.cases import Cases
    from mammoflow.classification.prompted_front import PromptedFront
    from mammoflow.classification.prompted_lesions import PromptedLesions
    from mammoflow.classification.samples import Files, Job, Samples
    from mammoflow.segmentation.embedding.training_sources import EmbeddingSource
    from mammoflow.segmentation.protocol.promptable import PromptableModel

NEEDS = ("images", "masks", "prompts", "model")
GIVES = "vector"

IMAGES_ENCODED_TOGETHER = 4


class Options(Settings):
    """Options of the input `prompted`."""

    tune: Literal["none", "decoder", "all"] = Field(
        "none",
        description="Parts of the promptable model that are trained together with the network, after the network has "
        "been trained alone: nothing, the mask decoder, or decoder and image encoder.",
    )
    tuning_epochs: int = Field(3, ge=1, description="Epochs of the joint training.")
    tuning_learning_rate: float = Field(
        1e-4, gt=0, description="Highest learning rate of mask decoder and network in the joint training."
    )
    encoder_learning_rate: float = Field(
        1e-5, gt=0, description="Highest learning rate of the image encoder if all is trained."
    )
    segmentation_weight: float = Field(
        1.0, ge=0, description="Weight of the segmentation loss, relative to the classification loss."
    )
    gradient_checkpointing: bool = Field(
        True,
        description="If all is trained, compute the encoder's activations again in the backward pass instead of "
        "keeping them: less memory, more time.",
    )


def read(options: Options, cases: Cases, files: Files, job: Job) -> Samples:
    """Compute the features of every lesion under the model as it is.

    Raises
    ------
    StudyError
        If no box prompt has the margin.
    """
    import numpy as np

    from mammoflow.classification.cases import mask_paths, predicted_masks
    from mammoflow.classification.prompted_lesions import frozen_features, prompted_lesions
    from mammoflow.classification.vectors import VectorSamples
    from mammoflow.config.architectures import ARCHITECTURE_MODULES, module_of
    from mammoflow.segmentation.embedding.training_sources import EmbeddingSource
    from mammoflow.segmentation.loading import load_promptable
    from mammoflow.storage.arrays import ArrayStore
    from mammoflow.storage.files import array_digest, text_digest

    if files.model is None:
        raise ValueError("the input prompted needs a promptable model; pass --model, --store and its prompts")
    prompts = prompts_at(files.prompts, files.model.margin_mm)
    model = load_promptable(files.model.model, job.device, files.model.use)
    masks = predicted_masks(files.masks)
    lesions = prompted_lesions(
        model, cases, prompts, mask_paths(cases, masks, "reference"), mask_paths(cases, masks, "predicted")
    )
    source = EmbeddingSource(model, cases.images, ArrayStore(files.model.store), IMAGES_ENCODED_TOGETHER)
    features = frozen_features(model, source, lesions)
    usable = cases.lesions["lesion_id"].isin(prompts["lesion_id"]).to_numpy(dtype=np.bool_)
    samples = VectorSamples(features, cases.labels, cases.lesions["split"].to_numpy(dtype=object), usable)
    samples.digest = text_digest(samples.digest, model.digest, array_digest(lesions.boxes))
    samples.rests_on_model = True
    samples.further_parameters = sum(parameter.numel() for parameter in model.network.parameters())
    samples.further_modules = (ARCHITECTURE_MODULES.module(module_of(files.model.model.architecture)),)
    samples.notes = {
        "promptable_model": files.model.facts(model.digest, model.precision),
        "default_margin_mm": files.model.margin_mm,
        "lesions_without_prompt": int((~usable).sum()),
    }
    if options.tune != "none":
        samples.front = _front(options, model, source, lesions, cases)
    return samples


def can_read(prompts: list[Path], margin_mm: float) -> bool:
    """Tell whether there is a box prompt of this margin; without any there is no embedding of a lesion."""
    from mammoflow.segmentation.prompting.default_prompts import default_prompts
    from mammoflow.tables.files import read_tables
    from mammoflow.tables.prompts import PROMPTS

    table = read_tables(prompts, PROMPTS)
    return not default_prompts(table[table["kind"] == "box"], margin_mm).empty


def prompts_at(tables: list[Path], margin_mm: float) -> pd.DataFrame:
    """Return the box prompts of one margin, one row for each lesion.

    Raises
    ------
    StudyError
        If no prompt has the margin.
    """
    from mammoflow.errors import StudyError
    from mammoflow.segmentation.prompting.default_prompts import default_prompts
    from mammoflow.tables.files import read_tables
    from mammoflow.tables.prompts import PROMPTS

    prompts = read_tables(tables, PROMPTS)
    chosen = default_prompts(prompts[prompts["kind"] == "box"], margin_mm)
    if chosen.empty:
        margins = sorted(prompts["margin_mm"].dropna().unique().tolist())
        raise StudyError(f"no box prompt at {margin_mm:g} mm; found margins {margins}. Run the prompts stage with it")
    return chosen


def _front(
    options: Options, model: PromptableModel, source: EmbeddingSource, lesions: PromptedLesions, cases: Cases
) -> PromptedFront:
    """Make the model ready to be tuned together with the network."""
    from mammoflow.classification.prompted_front import PromptedFront
    from mammoflow.config.tuning import TuneSettings
    from mammoflow.segmentation.tuning.methods import prepare

    rates = TuneSettings(
        learning_rate=options.tuning_learning_rate,
        encoder_learning_rate=options.encoder_learning_rate,
        gradient_checkpointing=options.gradient_checkpointing,
    )
    method: Literal["decoder", "all"] = "all" if options.tune == "all" else "decoder"
    prepared = prepare(model, method, rates)
    # a tuned encoder computes embeddings anew at each step
    embeddings = prepared.embeddings(cases.images, source.store.root) if prepared.encodes else source
    return PromptedFront(
        prepared,
        embeddings,
        lesions,
        options.segmentation_weight,
        options.tuning_epochs,
        options.tuning_learning_rate,
    )
