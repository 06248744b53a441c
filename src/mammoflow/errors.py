"""Errors that a user can act on, and the exclusion of a single case."""

from __future__ import annotations

from enum import StrEnum


class MammoflowError(Exception):
    """A problem that stops a stage; its message says what was found, what was expected, and what to do."""


class ConfigError(MammoflowError):
    """The configuration has a wrong key, a wrong type, or a value that cannot work."""


class StudyError(MammoflowError):
    """A whole study cannot be used: a missing folder, a missing column, no usable case."""


class LeakageError(MammoflowError):
    """A patient would be on two sides of a split."""


class WeightsError(MammoflowError):
    """A weights file is missing, has another digest, or contains something other than tensors."""


class DownloadError(MammoflowError):
    """A file cannot be fetched, or the file that was received is not the expected one."""


class Reason(StrEnum):
    """Why a case was left out; the flow diagram and the tables show the value.

    The reasons are in `mammoflow.reasons`, so that a new reason affects only the stages that use it.
    """


class ExcludedCase(MammoflowError):
    """One image or lesion cannot be used; the run continues without it.

    Parameters
    ----------
    reason
        The category that is counted.
    detail
        What was found and what was expected, for the person who corrects the data.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
