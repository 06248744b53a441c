"""What classifiers that use a promptable model expect of prompts and segmentation, checked before the first job."""

from __future__ import annotations

from collections.abc import Sequence

from mammoflow.config.prompts import PromptSettings
from mammoflow.config.segmentation import SegmentationSettings


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
