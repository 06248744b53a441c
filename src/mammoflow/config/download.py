"""Settings of what is brought from the network: the CBIS-DDSM study, and weights for nodes without one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mammoflow.config.base import Settings
from mammoflow.config.paths import UserPath


class TransferSettings(Settings):
    """Attempts and timeouts of a download."""

    attempts: int = Field(
        5, ge=1, le=100, description="Connections tried in a row that bring nothing new before a file is given up."
    )
    timeout_s: float = Field(60.0, gt=0, description="Seconds without a byte after which a connection is given up.")


class DownloadSettings(TransferSettings):
    """Download of CBIS-DDSM from the public buckets of the Imaging Data Commons; the target `download`."""

    folder: UserPath = Field("data/cbis-ddsm", min_length=1, description="Folder that the study goes to.")
    types: list[Literal["mass", "calcification"]] = Field(
        ["mass", "calcification"], min_length=1, description="Kinds of abnormality whose films and masks are fetched."
    )
    splits: list[Literal["train", "test"]] = Field(
        ["train", "test"], min_length=1, description="Sides of the official split that are fetched."
    )
    patients: list[Annotated[str, Field(pattern=r"^P_\d{5}$")]] = Field(
        default_factory=list, description="Patients to fetch, such as P_00001; empty takes all of them."
    )
    at_most: int | None = Field(
        None, ge=1, description="Most patients to fetch, the lowest ids first; null takes all that the rest allows."
    )
    connections: int = Field(8, ge=1, le=64, description="Files fetched at a time.")
    index: UserPath = Field(
        "",
        description="Index of the Imaging Data Commons (Parquet); empty takes that of the package idc-index-data.",
    )
    bucket: str = Field(
        "https://{bucket}.s3.amazonaws.com",
        pattern=r"^https?://",
        description="Address of a bucket; the same files lie under https://storage.googleapis.com/{bucket}.",
    )
    tables: str = Field(
        "https://www.cancerimagingarchive.net/wp-content/uploads",
        pattern=r"^https?://",
        description="Address of the folder that holds the four case tables.",
    )


class PrefetchSettings(TransferSettings):
    """Weights for nodes without a network; the target `prefetch`."""

    folder: UserPath = Field(
        "weights",
        min_length=1,
        description="Folder that published weights go to, and where they are looked for unless they are named.",
    )


class PrefetchJob(PrefetchSettings):
    """What the prefetch job needs beside its folder."""

    models: dict[str, str] = Field(
        default_factory=dict, description="Published weights to bring, and the file of each; empty takes the folder."
    )
