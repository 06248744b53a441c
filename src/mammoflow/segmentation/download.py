"""Large files over HTTP: resumed where the connection broke, and in place only when whole and checked."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pooch

from mammoflow.errors import WeightsError
from mammoflow.runtime import progress

CHUNK = 1 << 20


class BrokenConnectionError(Exception):
    """The connection ended before the file did."""


def matches_checksum(path: Path, checksum: str) -> bool:
    """Tell whether a file has a checksum, given as `sha256:...` or `md5:...`."""
    return checksum_of(path, checksum) == checksum


def checksum_of(path: Path, like: str) -> str:
    """Return the checksum of a file by the algorithm of another checksum, in the same form."""
    algorithm = like.partition(":")[0]
    return f"{algorithm}:{pooch.file_hash(str(path), alg=algorithm)}"


def download(url: str, path: Path, checksum: str, attempts: int = 3) -> None:
    """Bring a file to `path`; what is there already and has the checksum is kept.

    The bytes go to `<name>.part` beside it, which a later attempt or a later call continues. Only a whole file of the
    right checksum is renamed.

    Parameters
    ----------
    url
        Address, http or https.
    path
        Where the file shall lie.
    checksum
        `sha256:...` or `md5:...`.
    attempts
        Connections tried before giving up.

    Raises
    ------
    WeightsError
        If the address cannot be read, the connection keeps breaking, or the file has another checksum, in which case
        what came is removed.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise WeightsError(f"address {url!r} cannot be fetched; expected http:// or https://")
    if path.is_file() and matches_checksum(path, checksum):
        return
    part = path.with_name(f"{path.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, attempts + 1):
        try:
            _continue(url, part)
            break
        except urllib.error.HTTPError as error:
            raise WeightsError(
                f"{url} answers {error.code} {error.reason}; expected a file; check the address"
            ) from error
        except (OSError, http.client.HTTPException, BrokenConnectionError) as error:
            if attempt == attempts:
                kept = part.stat().st_size if part.is_file() else 0
                raise WeightsError(
                    f"could not fetch {url}: {error}; {kept} bytes are kept in {part}; run the same command again to "
                    "go on from there"
                ) from error
    found = checksum_of(part, checksum)
    if found != checksum:
        part.unlink()
        raise WeightsError(
            f"{url} gave a file of checksum {found}, expected {checksum}; it was removed; fetch it again"
        )
    part.replace(path)


def _continue(url: str, part: Path) -> None:
    """Read on from the end of what is there; start anew where the server cannot."""
    start = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            return  # nothing is left to read; the checksum tells whether it is the file
        raise
    with response:
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        length = response.headers.get("Content-Length")
        with part.open("ab" if resumed else "wb") as file:
            chunks = progress(
                _chunks(response), f"fetch {part.stem} (MiB)", -(-int(length) // CHUNK) if length else None
            )
            written = sum(file.write(chunk) for chunk in chunks)
    if length and written < int(length):
        raise BrokenConnectionError(f"connection broke after {written} of {length} bytes")


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while chunk := response.read(CHUNK):
        yield chunk
