"""Checks of a run in which nothing is trained: what needs training patients is refused with the configuration."""

from __future__ import annotations

from mammoflow.config.classification import ClassificationSettings
from mammoflow.config.cohort import CohortSettings
from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.config.segmentation import SegmentationSettings


def check_applied(
    cohort: CohortSettings,
    classification: ClassificationSettings,
    segmentation: SegmentationSettings,
    comparison: ComparisonSettings,
) -> None:
    """Refuse settings that need training patients where the split has none, and trained classifiers without need.

    Raises
    ------
    ValueError
        Naming the keys and what to write.
    """
    applies = cohort.split.method == "apply"
    if classification.from_run and not applies:
        raise ValueError(
            f"classification.from_run is {classification.from_run!r} and cohort.split.method is "
            f"{cohort.split.method!r}; expected cohort.split.method: apply, with which every patient is test, or an "
            "empty classification.from_run"
        )
    if not applies:
        return
    if classification.run and not classification.from_run:
        raise ValueError(
            "cohort.split.method is apply, which leaves no patient to train on, and classification.run names "
            f"{', '.join(classification.run)}; expected classification.from_run, the folder of a finished run whose "
            "classifiers are applied, or classification.run: [] for a study without classifiers"
        )
    for key, searches in (("classification", classification.searches), ("segmentation", segmentation.searches)):
        if searches:
            raise ValueError(
                f"cohort.split.method is apply, and {key}.searches has {', '.join(searches)}, which train; expected "
                "none"
            )
    for name in segmentation.trained_models():
        train = segmentation.models[name].train
        if train is not None and not train.more_images:
            raise ValueError(
                f"segmentation.models.{name}.train is set, and cohort.split.method apply leaves no patient to train "
                f"on; expected segmentation.models.{name}.weights, such as "
                f"results/other/segmentation_models/{name}/model.safetensors of the run that trained it, with its "
                "architecture"
            )
    if comparison.needs_stability and not comparison.stability_table:
        raise ValueError(
            "comparison.feature_models has stability_above, and cohort.split.method apply leaves no training lesion to "
            "measure the stability on; expected comparison.stability_table, the table of another run, or "
            "stability_above: null"
        )
