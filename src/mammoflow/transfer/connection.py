"""One connection to an address: its redirections, the meaning of its answers, and the pause before the next attempt."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import random
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from http.client import HTTPMessage
from typing import IO, Any

from mammoflow import __version__
from mammoflow.errors import DownloadError

PASSING = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
"""Answers after which the same request may succeed later."""


@dataclass(frozen=True)
class Transfer:
    """How a file is fetched.

    Attributes
    ----------
    attempts
        Connections in a row that bring less than 1 MiB; then the transfer gives up.
    timeout_s
        Seconds without a byte after which a connection counts as broken.
    pause_s
        Pause after the first failure. It doubles after each further failure, and is drawn from its upper half.
    longest_pause_s
        Longest pause, also where the server asks for a longer one with `Retry-After`.
    hosts
        Other hosts that the address may redirect to.
    """

    attempts: int = 5
    timeout_s: float = 60.0
    pause_s: float = 1.0
    longest_pause_s: float = 300.0
    hosts: frozenset[str] = frozenset()


class BrokenConnectionError(Exception):
    """This connection did not bring the whole file; the next one may.

    Parameters
    ----------
    problem
        What happened.
    pause_s
        Seconds that the server asks to wait.
    """

    def __init__(self, problem: str, pause_s: float | None = None) -> None:
        super().__init__(problem)
        self.pause_s = pause_s


def check_address(url: str) -> None:
    """Refuse an address that is not http or https, such as one of a file on this machine.

    Raises
    ------
    DownloadError
        If the address has another scheme or no host.
    """
    address = urllib.parse.urlsplit(url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise DownloadError(f"address {url!r} cannot be fetched; expected http:// or https:// and a host")


def read_address(url: str, transfer: Transfer | None = None, most_bytes: int = 64 << 20) -> bytes:
    """Return the content of a small page, such as the listing of a folder.

    Raises
    ------
    DownloadError
        If it cannot be read or is larger than `most_bytes`.
    """
    transfer = transfer or Transfer()
    check_address(url)
    for attempt in range(1, transfer.attempts + 1):
        try:
            with open_address(url, {}, transfer) as response:
                length = response.headers.get("Content-Length")
                content: bytes = response.read(most_bytes + 1)
                if length is not None and len(content) < min(int(length), most_bytes):
                    raise BrokenConnectionError(f"connection broke after {len(content)} of {length} bytes")
        except (OSError, http.client.HTTPException, ValueError, BrokenConnectionError) as error:
            if attempt == transfer.attempts:
                raise DownloadError(f"could not read {url}: {error}; try again later") from error
            pause(attempt, error, transfer)
            continue
        if len(content) > most_bytes:
            raise DownloadError(f"{url} holds more than {most_bytes} bytes, expected a listing; check the address")
        return content
    raise DownloadError(f"could not read {url}: no attempt was allowed")


def open_address(url: str, headers: dict[str, str], transfer: Transfer) -> Any:
    """Open an address.

    Raises
    ------
    BrokenConnectionError
        If the problem may pass.
    DownloadError
        If it will not.
    """
    always = {"User-Agent": f"mammoflow/{__version__}", "Accept-Encoding": "identity"}
    request = urllib.request.Request(url, headers={**always, **headers})
    try:
        return _opener(transfer.hosts).open(request, timeout=transfer.timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and "Range" in headers:
            return NothingLeft()
        if error.code in PASSING:
            raise BrokenConnectionError(
                f"the server answers {error.code} {error.reason}", _retry_after(error)
            ) from error
        raise DownloadError(f"{url} answers {error.code} {error.reason}; expected a file; check the address") from error


@cache
def _opener(hosts: frozenset[str]) -> urllib.request.OpenerDirector:
    """Return the opener for a set of hosts. It is cached, because a new one reads this machine's certificates again."""
    return urllib.request.build_opener(_Redirects(hosts))


class NothingLeft(contextlib.AbstractContextManager["NothingLeft"]):
    """The answer of a server that has no bytes after the ones that were already fetched."""

    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE

    def __exit__(self, *_: object) -> None:
        """Do nothing: there is no connection to close."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirection on the same host, or to a host that the publisher of the file uses."""

    def __init__(self, hosts: frozenset[str]) -> None:
        self.hosts = hosts

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage
    ) -> Any:
        """Refuse a redirection to another host, to a file, or from https to http."""
        old = urllib.parse.urlsplit(req.full_url)
        target = urllib.parse.urljoin(req.full_url, headers.get("Location") or headers.get("URI") or "")
        new = urllib.parse.urlsplit(target)
        schemes = ("https",) if old.scheme == "https" else ("http", "https")
        if new.scheme not in schemes or new.hostname not in {old.hostname, *self.hosts}:
            raise DownloadError(
                f"{req.full_url} redirects to {target!r}, expected an address on {old.hostname}; if you trust that "
                "address, use it instead of the first"
            )
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _retry_after(error: urllib.error.HTTPError) -> float | None:
    """Return the seconds that the server asks to wait. It gives a number or a date."""
    text = error.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        return email.utils.parsedate_to_datetime(text).timestamp() - time.time() if text else None
    except ValueError:
        return None


def pause(failures: int, error: Exception, transfer: Transfer) -> None:
    """Wait before the next connection: as long as the server asks, or twice as long after each failure."""
    requested = error.pause_s if isinstance(error, BrokenConnectionError) else None
    usual = transfer.pause_s * 2 ** (failures - 1) * random.Random().uniform(0.5, 1)
    time.sleep(min(max(requested if requested is not None else usual, 0.0), transfer.longest_pause_s))
