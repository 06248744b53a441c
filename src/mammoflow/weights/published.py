"""All published weights that a configuration can name, by the name that it uses."""

from __future__ import annotations

from pathlib import Path

from mammoflow.config.architectures import architecture, architecture_names
from mammoflow.config.classification import NETWORKS
from mammoflow.config.weights import WeightsSource
from mammoflow.errors import ConfigError
from mammoflow.storage.files import file_digest
from mammoflow.transfer.checksums import matches_checksum
from mammoflow.weights.checkpoint import read_state


def segmentation_sources() -> dict[str, WeightsSource]:
    """Return the published weights of segmentation models by architecture."""
    sources = {name: architecture(name).source for name in architecture_names()}
    return {name: source for name, source in sources.items() if source is not None}


def classifier_sources() -> dict[str, WeightsSource]:
    """Return the published weights of classifier networks by network."""
    sources = {name: NETWORKS.load(name).WEIGHTS for name in NETWORKS.names()}
    return {name: source for name, source in sources.items() if source is not None}


def published_sources() -> dict[str, WeightsSource]:
    """Return all published weights by name: those of segmentation models, then those of classifiers."""
    return {**segmentation_sources(), **classifier_sources()}


def weights_source(name: str) -> WeightsSource:
    """Return the source of published weights.

    Raises
    ------
    ConfigError
        If the name is not known.
    """
    sources = published_sources()
    if name not in sources:
        raise ConfigError(f"weights {name!r} are not known; expected one of {', '.join(sources)}")
    return sources[name]


def describe_weights(path: Path) -> str:
    """Read a weights file as a stage would, and say what it is in a few lines.

    Raises
    ------
    WeightsError
        If it carries code, is damaged, or holds no weights.
    """
    state, digest = read_state(path), file_digest(path)
    names = [
        name
        for name, source in published_sources().items()
        if source.checksum and matches_checksum(path, source.checksum)
    ]
    origin = f"the published {names[0]}" if names else "none of the published weights"
    numbers = sum(tensor.numel() for tensor in state.values())
    modules = ", ".join(dict.fromkeys(name.partition(".")[0] for name in state))
    return f"{path}\n  sha256:{digest}; {origin}\n  {len(state)} tensors of {numbers} numbers: {modules}"
