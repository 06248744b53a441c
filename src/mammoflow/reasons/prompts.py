"""A lesion cannot be prompted."""

from __future__ import annotations

from mammoflow.errors import Reason


class PromptReason(Reason):
    """A lesion cannot be prompted."""

    NO_PROMPT = "lesion has no prompt"
