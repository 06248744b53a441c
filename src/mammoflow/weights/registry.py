"""A segmentation model as a job is told it, and the check that its weights file is there and is the right one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mammoflow.config.architectures import architecture, published_names
from mammoflow.config.weights import PUBLISHED, WeightsSource
from mammoflow.errors import ConfigError, WeightsError
from mammoflow.transfer.checksums import checksum_of, matches_checksum


@dataclass(frozen=True)
class ModelSpec:
    """A segmentation model as a job is told it.

    Attributes
    ----------
    name
        The model's name in the configuration and in tables.
    architecture
        Its architecture; the same as the name for a published model.
    weights
        Its weights file; None for the file that mammoflow or another package brings.

    Raises
    ------
    ConfigError
        If the architecture is not known, or the name is that of another published model.
    """

    name: str
    architecture: str
    weights: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what no model can be."""
        try:
            architecture(self.architecture)
        except ValueError as error:
            raise ConfigError(
                f"model {self.name}: {error}; a model of your own needs its architecture (segmentation.models."
                f"{self.name}.architecture in the configuration, --architecture on the command line)"
            ) from error
        if self.name != self.architecture and self.name in published_names():
            raise ConfigError(
                f"{self.name} is a published model, expected another name for weights of architecture "
                f"{self.architecture}"
            )

    @property
    def published(self) -> WeightsSource | None:
        """The source of its weights; None for a model of the user's own."""
        return architecture(self.architecture).source if self.name == self.architecture else None

    @property
    def file(self) -> Path | None:
        """Its weights file, there or not; None where none is given and no installed package brings one."""
        return self.weights or (self.published.installed if self.published else None)


def find_weights(model: ModelSpec) -> Path:
    """Return the weights file of a model, after a check that it is there and is the published one.

    A file without a published digest is held to the digest that was recorded beside it when it was fetched.

    Raises
    ------
    WeightsError
        If the file is not given, not there, or has another checksum; the message says how to get it.
    """
    path, source = model.file, model.published
    if path is None:
        wanted = f", expected {source.file}" if source else ", expected one"
        raise WeightsError(f"no weights file is given for {model.name}{wanted}; {remedy(model)}")
    if not path.is_file():
        raise WeightsError(f"weights file {path} for {model.name} does not exist; {remedy(model)}")
    checksum = (source.checksum if source else "") or recorded_checksum(path)
    if checksum and not matches_checksum(path, checksum):
        raise WeightsError(
            f"weights file {path} for {model.name} has {checksum_of(path, checksum)}, expected {checksum}; "
            f"{remedy(model)}"
        )
    return path


def packaged_weights(name: str, source: WeightsSource) -> Path:
    """Return the weights file that an installed package brings, after a check of its SHA-256; nothing is imported.

    Raises
    ------
    WeightsError
        If the package is not installed, or its file is another one.
    """
    path = source.installed
    if path is None:
        raise WeightsError(f"weights {source.file} for {name} are not installed; {install(source)}")
    if not matches_checksum(path, source.checksum):
        raise WeightsError(
            f"weights file {path} for {name} has {checksum_of(path, source.checksum)}, expected {source.checksum}; "
            f"{install(source)}, in the version of requirements.txt"
        )
    return path


def first_weights(network: str, wanted: str, source: WeightsSource | None, file: Path | None) -> Path | None:
    """Return the file that a classifier's network starts from; None for random weights.

    Parameters
    ----------
    network
        Name of the network.
    wanted
        What the setting `weights` says: "", `published`, or a file.
    source
        Published weights of the network.
    file
        Where those are that no package brings.

    Raises
    ------
    WeightsError
        If a named file or published weights are not there, or published weights are not the published ones.
    """
    if not wanted:
        return None
    if wanted != PUBLISHED:
        if not Path(wanted).is_file():
            raise WeightsError(
                f"weights file {wanted} for {network} does not exist; expected a weights file; correct the setting "
                "`weights`, or leave it empty to start from random weights"
            )
        return Path(wanted)
    if source is None:
        raise WeightsError(f"the network {network} has no published weights; expected an empty text for `weights`")
    if source.package is not None:
        return packaged_weights(network, source)
    if file is None or not file.is_file():
        raise WeightsError(
            f"the published weights of {network} are not there: found {file}, expected {source.file}; fetch it with "
            "the workflow's target `prefetch`, or name it with --network-weights"
        )
    checksum = source.checksum or recorded_checksum(file)
    if checksum and not matches_checksum(file, checksum):
        raise WeightsError(
            f"weights file {file} for {network} has {checksum_of(file, checksum)}, expected {checksum}; fetch it again"
        )
    return file


def record_path(path: Path) -> Path:
    """Return where the digest of a fetched file is recorded, in the form of the tool sha256sum."""
    return path.with_name(f"{path.name}.sha256")


def recorded_checksum(path: Path) -> str:
    """Return the digest that was recorded when a file was fetched; "" where there is none.

    Raises
    ------
    WeightsError
        If the record cannot be read.
    """
    record = record_path(path)
    if not record.is_file():
        return ""
    words = record.read_text(encoding="utf-8", errors="replace").split()
    if not words or len(words[0]) != 64:
        raise WeightsError(f"{record} holds no SHA-256; remove it and the weights, and fetch them again")
    return f"sha256:{words[0].lower()}"


def install(source: WeightsSource) -> str:
    """Say which package to install for weights that come with one."""
    distribution = source.package.distribution if source.package else "mammoflow"
    return f"install the package {distribution}, which brings {source.file} ({source.checksum})"


def remedy(model: ModelSpec) -> str:
    """Say how to get the weights file of a model."""
    source = model.published
    if source is None:
        return f"correct segmentation.models.{model.name}.weights"
    if source.package is not None:
        return f"{install(source)}, or name the file under segmentation.models.{model.name}.weights"
    if not source.url:
        return "install the package again, it ships this file"
    return (
        f"fetch {source.file} ({source.checksum}) with the workflow's target `prefetch` or with `mammoflow weights "
        f"fetch {model.name} --to FOLDER`, or name the file under segmentation.models.{model.name}.weights"
    )
