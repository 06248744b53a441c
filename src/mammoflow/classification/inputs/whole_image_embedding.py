"""Whole-image embedding: a promptable model's embedding of the whole image, averaged over it; no prompt, no mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from mammoflow.config.base import Settings

if TYPE_CHECKING:
    from mammoflow.classification.cases import Cases
    from mammoflow.classification.samples import Files, Job, Samples

NEEDS = ("images", "model")
GIVES = "vector"
SEES_IMAGES = True
"""A sample is an image where no feature vectors tell its lesions apart, so the classes of images can be learned."""

IMAGES_ENCODED_TOGETHER = 4


class Options(Settings):
    """Options of the input `whole_image_embedding`."""

    model: str = Field(
        "",
        description="The segmentation model whose image encoder is used: one of segmentation.run, for example one "
        "that the run tunes. Empty uses segmentation.default_model.",
    )


def read(options: Options, cases: Cases, files: Files, job: Job) -> Samples:
    """Average the embedding of each image over rows and columns, padding included, as the network itself sees it.

    Each image is one sample, as in the input `whole_image`; where every lesion must be a sample of its own, lesions of
    one image share its vector.
    """
    import numpy as np
    import torch

    from mammoflow.classification.vectors import VectorSamples
    from mammoflow.config.architectures import ARCHITECTURE_MODULES, module_of
    from mammoflow.segmentation.embedding.training_sources import EmbeddingSource
    from mammoflow.segmentation.loading import load_promptable
    from mammoflow.storage.arrays import ArrayStore
    from mammoflow.storage.files import text_digest

    if files.model is None:
        raise ValueError("the input whole_image_embedding needs a promptable model; pass --model and --store")
    model = load_promptable(files.model.model, job.device, files.model.use)
    source = EmbeddingSource(model, cases.images, ArrayStore(files.model.store), IMAGES_ENCODED_TOGETHER)
    vector_of: dict[int, np.ndarray] = {}
    with torch.inference_mode():
        for image, arrays in source.all():
            embedding = model.load_embedding(arrays)[model.embedding_name]
            vector_of[image] = embedding.float().mean(dim=(-2, -1))[0].cpu().numpy()
    vectors = np.stack([vector_of[image] for image in range(len(cases.images))])
    image_of = cases.lesions["image_index"].to_numpy(dtype=np.intp)
    if job.each_lesion:
        table, labels, shown, sample_of = cases.lesions, cases.labels, vectors[image_of], np.arange(len(image_of))
    else:
        table, labels, shown, sample_of = cases.images, cases.image_labels, vectors, image_of
    usable = np.ones(len(labels), dtype=np.bool_)
    samples = VectorSamples(shown, labels, table["split"].to_numpy(dtype=object), usable)
    samples.sample_of = sample_of
    samples.digest = text_digest(samples.digest, model.digest)
    samples.rests_on_model = True
    samples.further_parameters = sum(parameter.numel() for parameter in model.network.parameters())
    samples.further_modules = (ARCHITECTURE_MODULES.module(module_of(files.model.model.architecture)),)
    samples.notes = {
        "promptable_model": files.model.facts(model.digest, model.precision),
        "samples": len(labels),
    }
    return samples
