"""Adversarial training: predictions of unlabelled samples are to look like those of labelled ones.

Zhang et al., Deep Adversarial Networks for Biomedical Image Segmentation, MICCAI 2017.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from mammoflow.config.semi_supervised import SemiSupervisedOptions

if TYPE_CHECKING:
    from mammoflow.training.learner import Learner, Stream

UNLABELLED = True


class Options(SemiSupervisedOptions):
    """Options of the trainer `adversarial`."""

    weight: float = Field(0.1, ge=0, description="Weight of the adversarial loss at the end of its ramp.")
    width: int = Field(64, ge=4, description="Channels of the first of four convolutions of the discriminator.")
    discriminator_rate: float = Field(1e-4, gt=0, description="Highest learning rate of the discriminator.")


def wrap(learner: Learner, unlabelled: Stream, options: Options) -> Learner:
    """Return a learner with a discriminator, which is trained in the same steps."""
    from mammoflow.training.adversarial import AdversarialLearner

    return AdversarialLearner(learner, unlabelled, options, options.width, options.discriminator_rate)
