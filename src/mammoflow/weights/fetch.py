"""Published weights brought to this machine: one file by name, or all that a configuration names."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from mammoflow.config.download import PrefetchJob
from mammoflow.config.weights import WeightsSource
from mammoflow.errors import WeightsError
from mammoflow.storage.files import file_digest, write_text
from mammoflow.transfer.checksums import checksum_of, matches_checksum
from mammoflow.transfer.connection import Transfer
from mammoflow.transfer.download import download
from mammoflow.weights.published import weights_source
from mammoflow.weights.registry import packaged_weights, record_path, recorded_checksum


def fetch_weights(name: str, target: Path, url_override: str | None = None, transfer: Transfer | None = None) -> Path:
    """Bring published weights to this machine, for nodes without a network; return the file.

    What a package brings, and what is there already and whole, is kept; what was broken off is continued. Where the
    publisher gives no SHA-256, the one that was found is said and recorded beside the file, and the file is held to it
    from then on.

    Parameters
    ----------
    name
        A name of the registry.
    target
        The file, or an existing or new folder, in which it gets upstream's name. What ends in upstream's suffix is
        taken for a file.
    url_override
        Another address of the same file, such as a mirror.
    transfer
        How stubbornly to try.

    Raises
    ------
    ConfigError
        If the name is not known.
    DownloadError
        If the file cannot be fetched, or another file came.
    WeightsError
        If another file lies there already; it is left alone. If the package that brings the file is not installed, or
        brings another file.
    """
    source = weights_source(name)
    if source.package is not None:
        return packaged_weights(name, source)
    if source.shipped is not None:
        return source.shipped
    path = target if target.suffix == Path(source.file).suffix and not target.is_dir() else target / source.file
    checksum = source.checksum or recorded_checksum(path)
    if path.is_file() and checksum and not matches_checksum(path, checksum):
        raise WeightsError(
            f"{path} has {checksum_of(path, checksum)}, expected {checksum} of {source.file}; it was left alone: move "
            "it away, or give it a name of its own under segmentation.models"
        )
    if not path.is_file():
        settings = transfer or Transfer()
        settings = Transfer(**{**vars(settings), "hosts": settings.hosts | source.hosts})
        download(url_override or source.url, path, checksum, transfer=settings, label=f"fetch {source.file}")
    if not source.checksum.startswith("sha256:") and not record_path(path).is_file():
        _trust(path, source)
    return path


def _trust(path: Path, source: WeightsSource) -> None:
    """Record the SHA-256 of a file whose publisher gives none, and say so."""
    digest = file_digest(path)
    write_text(record_path(path), f"{digest}  {path.name}\n")
    said = [f"{path}: the publisher gives no SHA-256; found {digest}, recorded in {record_path(path).name}"]
    digits = re.search(r"[-_]([0-9a-f]{6,})\.", source.file)
    if digits:
        digests = {"SHA-256": digest, "MD5": checksum_of(path, "md5:").partition(":")[2]}
        fitting = [name for name, value in digests.items() if value.startswith(digits[1])]
        said.append(
            f"the digits {digits[1]} in its name are the first of its {fitting[0]}"
            if fitting
            else f"the digits {digits[1]} in its name are the first of neither its SHA-256 nor its MD5"
        )
    print("; ".join(said), file=sys.stderr, flush=True)


def prefetch(settings: PrefetchJob, output: Path) -> None:
    """Bring all published weights that a configuration names, and record what was brought.

    Parameters
    ----------
    settings
        The weights by name, their files, and the folder of those whose file is not named.
    output
        Text file (JSON) for names, files, SHA-256, licences and sources.

    Raises
    ------
    DownloadError
        If a file cannot be fetched, or another file came.
    WeightsError
        If another file lies in the place of one of them.
    """
    transfer = Transfer(attempts=settings.attempts, timeout_s=settings.timeout_s)
    record = {}
    for name, file in settings.models.items():
        source = weights_source(name)
        path = fetch_weights(name, Path(file) if file else Path(settings.folder), transfer=transfer)
        record[name] = {
            "file": str(path) if source.url else source.origin,
            "sha256": file_digest(path),
            "licence": source.licence,
            "source": source.url or source.page,
        }
        if source.package is not None:
            record[name] |= {"package": source.package.distribution, "version": source.package.version()}
    write_text(output, json.dumps(record, indent=2) + "\n")
