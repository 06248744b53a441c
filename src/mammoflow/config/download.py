"""Settings of what is brought from the network: the CBIS-DDSM study, and weights for nodes without one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mammoflow.config.base import Settings
from mammoflow.config.paths import UserPath


class TransferSettings(Settings):
    """Attempts and timeouts of a download."""

    attempts: int = Field(
        5,
        ge=1,
        le=100,
        description="Number of consecutive connections without new data after which a file is given up.",
    )
    timeout_s: float = Field(60.0, gt=0, description="Seconds without a byte after which a connection is given up.")


class DownloadSettings(TransferSettings):
    """Download of CBIS-DDSM from the public buckets of the Imaging Data Commons; the target `download`."""

    folder: UserPath = Field("data/cbis-ddsm", min_length=1, description="Folder of the downloaded study.")
    types: list[Literal["mass", "calcification"]] = Field(
        ["mass", "calcification"], min_length=1, description="Types of abnormality whose films and masks are fetched."
    )
    splits: list[Literal["train", "test"]] = Field(
        ["train", "test"], min_length=1, description="Sides of the official split that are fetched."
    )
    patients: list[Annotated[str, Field(pattern=r"^P_\d{5}$")]] = Field(
        default_factory=list, description="Patients to fetch, such as P_00001; empty means all."
    )
    at_most: int | None = Field(
        None,
        ge=1,
        description="Largest number of patients to fetch, lowest ids first; null fetches all that the other "
        "settings allow.",
    )
    connections: int = Field(8, ge=1, le=64, description="Files fetched at a time.")
    index: UserPath = Field(
        "",
        description="Index of the Imaging Data Commons (Parquet); empty uses that of the package idc-index-data.",
    )
    bucket: str = Field(
        "https://{bucket}.s3.amazonaws.com",
        pattern=r"^https?://",
        description="Address of a bucket; https://storage.googleapis.com/{bucket} has the same files.",
    )
    tables: str = Field(
        "https://www.cancerimagingarchive.net/wp-content/uploads",
        pattern=r"^https?://",
        description="Address of the folder with the four case tables.",
    )


class PrefetchSettings(TransferSettings):
    """Weights for nodes without a network; the target `prefetch`."""

    folder: UserPath = Field(
        "weights",
        min_length=1,
        description="Folder for published weights, in which runs look for them unless the configuration names "
        "another file.",
    )


class PrefetchJob(PrefetchSettings):
    """What the prefetch job needs beside its folder."""

    models: dict[str, str] = Field(
        default_factory=dict, description="Published weights to bring, and the file of each; empty takes the folder."
    )
