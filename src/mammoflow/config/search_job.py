"""What the job of a hyper-parameter search is told: the search, and the settings of its classifier."""

from __future__ import annotations

from pydantic import Field

from mammoflow.config.base import StageSettings
from mammoflow.config.classification import ClassifierSettings
from mammoflow.config.search import SearchSettings


class SearchJob(StageSettings):
    """The job of one search."""

    search: SearchSettings = Field(description="The search.")
    classifier: ClassifierSettings = Field(description="Settings of the classifier; a trial changes what is searched.")
