"""Settings of the operating point of a classifier."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from mammoflow.config.base import Settings

DEFAULT_THRESHOLD = 0.5


class ThresholdSettings(Settings):
    """The probability from which a lesion counts as malignant."""

    method: Literal["youden", "fixed", "sensitivity", "specificity"] = Field(
        "youden",
        description="How the threshold is chosen on validation: the largest sum of sensitivity and specificity "
        "(youden), or a stated sensitivity or specificity. fixed uses `value` and chooses nothing.",
    )
    value: float | None = Field(
        None,
        gt=0,
        le=1,
        description="The stated sensitivity or specificity, or the fixed threshold (null is 0.5); null for youden.",
    )

    @model_validator(mode="after")
    def check_value(self) -> Self:
        """Refuse a value that nothing uses, and a stated sensitivity or specificity without one."""
        if self.method == "youden" and self.value is not None:
            raise ValueError(f"value is {self.value} and method is youden, which needs none; expected value: null")
        if self.method in ("sensitivity", "specificity") and self.value is None:
            raise ValueError(f"value is null and method is {self.method}; expected a number above 0, such as 0.9")
        return self
