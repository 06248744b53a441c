"""What is known of published weights before anything is fetched or read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class WeightsSource:
    """Where the weights of a network come from.

    Attributes
    ----------
    file
        Upstream's file name.
    url
        Address of the file; empty for a file that the package ships.
    page
        Where upstream describes it.
    checksum
        `sha256:...`, or `md5:...` where upstream publishes that one; empty where none is published, and for a file
        that the package ships.
    licence
        Licence of the weights.
    title
        The network that they fit, for people.
    hosts
        Hosts to which the address is known to be redirected.
    shipped
        The file inside the package; None for a file that is fetched.
    """

    file: str
    url: str
    page: str
    checksum: str
    licence: str
    title: str
    hosts: frozenset[str] = frozenset()
    shipped: Path | None = None
