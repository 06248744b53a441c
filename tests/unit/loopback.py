"""A server on this machine whose files, and faults, a test chooses."""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Fault = Callable[["Handler", bytes], bool]
"""Gets the request and the whole file; returns whether it answered itself."""


class Handler(BaseHTTPRequestHandler):
    """Serves the server's `files`; each path's next fault, if any, comes first."""

    protocol_version = "HTTP/1.1"
    server: Loopback

    def do_GET(self) -> None:
        self.close_connection = True
        self.server.requests.append((self.path, self.headers.get("Range")))
        with suppress(BrokenPipeError, ConnectionResetError):
            self._answer()

    def _wait(self) -> None:
        """Let the client wait and count who waits: an answer may be read before its thread ends."""
        with self.server.counting:
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        time.sleep(self.server.delay_s)
        with self.server.counting:
            self.server.at_once -= 1

    def _answer(self) -> None:
        content = self.server.files.get(self.path)
        faults = self.server.faults[self.path] or self.server.faults["*"]
        if faults and faults.pop(0)(self, content or b""):
            return
        if content is None:
            self.plain(404, b"")
            return
        self._wait()
        self.whole(content)

    def whole(self, content: bytes) -> None:
        """Answer as a good server does, ranges included."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        if asked and start >= len(content):
            self.plain(416, b"")
        elif asked:
            last = len(content) - 1
            self.plain(206, content[start:], {"Content-Range": f"bytes {start}-{last}/{len(content)}"})
        else:
            self.plain(200, content)

    def plain(self, status: int, body: bytes, headers: dict[str, str] | None = None, length: int | None = None) -> None:
        """Answer with a status, headers and a body; `length` is what is claimed."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Loopback(ThreadingHTTPServer):
    """Files by path, faults by path (`*` for any), and what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.requests: list[tuple[str, str | None]] = []
        self.counting = threading.Lock()
        self.at_once = self.most_at_once = 0
        self.delay_s = 0.0

    def handle_error(self, *_: Any) -> None:
        pass

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def asked(self, path: str) -> list[str | None]:
        """Return the ranges that were asked of a path, in order."""
        return [found for where, found in self.requests if where.partition("?")[0] == path]


@contextmanager
def serving() -> Iterator[Loopback]:
    """Run a server for as long as the block lasts."""
    server = Loopback()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def breaks(share: float) -> Fault:
    """Hang up after a share of what is left of the file."""

    def fault(handler: Handler, content: bytes) -> bool:
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        body = content[start:]
        headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if asked else {}
        handler.plain(206 if asked else 200, body[: int(len(body) * share)], headers, len(body))
        return True

    return fault


def answers(status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> Fault:
    """Answer with a status and nothing else."""

    def fault(handler: Handler, _: bytes) -> bool:
        handler.plain(status, body, headers)
        return True

    return fault


def without_range(handler: Handler, content: bytes) -> bool:
    """Send the whole file, whatever part was asked for."""
    handler.plain(200, content)
    return True


def wrong_bytes(handler: Handler, content: bytes) -> bool:
    """Send something of the right length."""
    handler.plain(200, bytes(len(content)))
    return True


def hangs(seconds: float) -> Fault:
    """Send half of the file and fall silent."""

    def fault(handler: Handler, content: bytes) -> bool:
        handler.plain(200, content[: len(content) // 2], None, len(content))
        handler.wfile.flush()
        time.sleep(seconds)
        return True

    return fault
