"""Published weights brought to this machine: one file by name, or all that a configuration names."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from mammoflow.config.download import PrefetchJob
from mammoflow.config.weights import WeightsSource
from mammoflow.errors import DownloadError, WeightsError
from mammoflow.storage.files import file_digest, write_text
from mammoflow.transfer.checksums import checksum_of, matches_checksum
from mammoflow.transfer.connection import Transfer
from mammoflow.transfer.download import download
from mammoflow.weights.origin import weights_origin
from mammoflow.weights.published import weights_source
from mammoflow.weights.registry import ModelSpec, find_weights, packaged_weights, record_path, recorded_checksum


def fetch_weights(name: str, target: Path, url_override: str | None = None, transfer: Transfer | None = None) -> Path:
    """Bring published weights to this machine, for nodes without a network; return the file.

    What a package brings, and what is there already and whole, is kept; what was broken off is continued. Where the
    publisher gives no SHA-256, the one that was found is said and recorded beside the file. Where the publisher gives
    no checksum at all, the file is held to the recorded one from then on.

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
        If another file is there already; it stays. If it is no file of weights; what was just fetched is
        removed. If the package that brings the file is not installed, or brings another
        file.
    """
    source = weights_source(name)
    if source.package is not None:
        return packaged_weights(name, source)
    if source.shipped is not None:
        return source.shipped
    path = target if target.suffix == Path(source.file).suffix and not target.is_dir() else target / source.file
    return _fetch(source, path, url_override or source.url, transfer or Transfer())


def _fetch(source: WeightsSource, path: Path, url: str, transfer: Transfer) -> Path:
    """Bring published weights to a file, or check the file that is there; return it."""
    checksum = source.checksum or recorded_checksum(path)
    if path.is_file() and checksum and not matches_checksum(path, checksum):
        recorded = "" if source.checksum else f" recorded in {record_path(path)}"
        raise WeightsError(
            f"{path} has {checksum_of(path, checksum)}, expected {checksum}{recorded} of {source.file}; it was left "
            "alone: move it away, or give it a name of its own under segmentation.models"
        )
    is_new = not path.is_file()
    if is_new:
        _download(source, url, path, checksum, transfer)
    if not source.checksum.startswith("sha256:") and not record_path(path).is_file():
        _trust(path, source, is_new)
    return path


def _download(source: WeightsSource, url: str, path: Path, checksum: str, transfer: Transfer) -> None:
    """Download a file; an error of a recorded checksum names the record."""
    transfer = replace(transfer, hosts=transfer.hosts | source.hosts)
    try:
        download(url, path, checksum, transfer=transfer, label=f"fetch {source.file}")
    except DownloadError as error:
        if source.checksum or not checksum or checksum not in str(error):
            raise
        raise DownloadError(
            f"{error}; the expected checksum is that of the first fetch, recorded in {record_path(path)}; if that one "
            "brought another file, remove the record"
        ) from error


def _trust(path: Path, source: WeightsSource, is_new: bool) -> None:
    """Record the SHA-256 of a file whose publisher gives none, and say so.

    Some publishers' names have digits of an earlier file. So a file of weights that none of its digests agrees with is
    taken and this is said; anything else, such as a sign-in page, is refused.
    """
    digest = file_digest(path)
    said = [f"{path}: the publisher gives no SHA-256; found {digest}, recorded in {record_path(path).name}"]
    digits = re.search(r"[-_]([0-9a-f]{6,})\.", source.file)
    if digits:
        digests = {"SHA-256": digest, "MD5": checksum_of(path, "md5:").partition(":")[2]}
        fitting = [name for name, value in digests.items() if value.startswith(digits[1])]
        if not fitting and not _begins_as_checkpoint(path):
            _refuse(path, source, digests, is_new)
        agree = f"are the first of its {fitting[0]}" if fitting else "begin neither its SHA-256 nor its MD5"
        said.append(f"the digits {digits[1]} in its name {agree}")
    write_text(record_path(path), f"{digest}  {path.name}\n")
    print("; ".join(said), file=sys.stderr, flush=True)


def _begins_as_checkpoint(path: Path) -> bool:
    """Tell whether a file begins as `torch.save` begins one, today (a ZIP archive) or formerly (a pickle)."""
    with path.open("rb") as file:
        return file.read(4).startswith((b"PK\x03\x04", b"\x80"))


def _refuse(path: Path, source: WeightsSource, digests: Mapping[str, str], is_new: bool) -> NoReturn:
    """Raise the error for a file that has none of the digests in its name; remove it if it was just fetched."""
    found = ", ".join(f"{name} {digest}" for name, digest in digests.items())
    remedy = "it was left alone: move it away, and fetch the file again"
    if is_new:
        path.unlink()
        remedy = "it was removed: fetch it again, from a network without a sign-in page or from a mirror with --url"
    raise WeightsError(
        f"{path} is not {source.file} of its publisher: found no file of weights ({found}), expected a digest that "
        f"begins with the digits in this name; {remedy}"
    )


def prefetch(settings: PrefetchJob, output: Path) -> None:
    """Bring all published weights that a configuration names, and record what was brought.

    A file that the configuration names is the one that a run uses. So it is checked and recorded, also where a package
    brings such weights.

    Parameters
    ----------
    settings
        The weights by name, their files, and the folder of those whose file is not named.
    output
        Text file (JSON) for names, files, SHA-256, licences and sources. Licence and source are empty for a file that
        is not the published one.

    Raises
    ------
    DownloadError
        If a file cannot be fetched, or another file came.
    WeightsError
        If another file has the place of one of them, or a named file that cannot be fetched is missing.
    """
    transfer = Transfer(attempts=settings.attempts, timeout_s=settings.timeout_s)
    record = {}
    for name, file in settings.models.items():
        source = weights_source(name)
        if file and source.url:
            path = _fetch(source, Path(file), source.url, transfer)
        elif file:
            path = find_weights(ModelSpec(name, name, Path(file)))
        else:
            path = fetch_weights(name, Path(settings.folder), transfer=transfer)
        origin = weights_origin(path, source)
        record[name] = {
            "file": str(path) if file or source.url else source.origin,
            "sha256": origin["sha256"],
            "licence": origin["licence"],
            "source": (source.url or source.page) if origin["source"] else "",
        }
        if source.package is not None and not file:
            record[name] |= {"package": source.package.distribution, "version": source.package.version()}
    write_text(output, json.dumps(record, indent=2) + "\n")
