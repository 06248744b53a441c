"""Errors that a user can act on, and the exclusion of a single case."""

from __future__ import annotations

from enum import StrEnum


class MammoflowError(Exception):
    """A problem that stops a stage; its message says what was found, what was expected, and what to do."""


class ConfigError(MammoflowError):
    """The configuration has a wrong key, a wrong type, or a value that cannot work."""


class StudyError(MammoflowError):
    """A study as a whole cannot be used: a missing folder, a missing column, no usable case."""


class LeakageError(MammoflowError):
    """A patient would stand on two sides of a split."""


class WeightsError(MammoflowError):
    """A weights file is missing, has another digest, or carries something other than tensors."""


class DownloadError(MammoflowError):
    """A file cannot be fetched, or what came is not the file that was asked for."""


class Reason(StrEnum):
    """Why a case was left out; its value is what the flow diagram and the tables show.

    The reasons are in `mammoflow.reasons`, so that a new reason concerns only the stages that use it.
    """


class ExcludedCase(MammoflowError):
    """One image or lesion cannot be used; the run goes on without it.

    Parameters
    ----------
    reason
        The category that is counted.
    detail
        What was found and what was expected, for the one who mends the data.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
