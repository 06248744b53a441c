from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from mammoflow.errors import WeightsError
from mammoflow.segmentation.download import download

CONTENT = np.random.default_rng(0).bytes(300_000)
CHECKSUM = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT; the server's `breaks` says how often it hangs up half way, `ranges` lists what was asked."""

    def do_GET(self) -> None:
        server = self.server
        server.ranges.append(self.headers.get("Range"))  # type: ignore[attr-defined]
        if self.path != "/weights.pt":
            self.send_error(404)
            return
        start = 0
        if self.headers.get("Range") and server.knows_ranges:  # type: ignore[attr-defined]
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            if start >= len(CONTENT):
                self.send_error(416)
                return
            self.send_response(206)
        else:
            self.send_response(200)
        body = CONTENT[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.breaks:  # type: ignore[attr-defined]
            server.breaks -= 1  # type: ignore[attr-defined]
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.breaks, httpd.ranges, httpd.knows_ranges = 0, [], True  # type: ignore[attr-defined]
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield httpd
    httpd.shutdown()
    httpd.server_close()


def address(server: ThreadingHTTPServer, name: str = "weights.pt") -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/{name}"


def test_a_whole_file_comes_once(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "weights.pt"
    download(address(server), path, CHECKSUM)
    assert path.read_bytes() == CONTENT
    download(address(server), path, CHECKSUM)
    assert len(server.ranges) == 1  # type: ignore[attr-defined]
    assert [file.name for file in path.parent.iterdir()] == ["weights.pt"]


def test_a_broken_connection_is_continued_where_it_broke(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    server.breaks = 2  # type: ignore[attr-defined]
    download(address(server), tmp_path / "weights.pt", CHECKSUM)
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=150000-", "bytes=225000-"]  # type: ignore[attr-defined]


def test_a_connection_that_keeps_breaking_is_an_error_and_a_later_call_goes_on(
    server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    server.breaks = 2  # type: ignore[attr-defined]
    path = tmp_path / "weights.pt"
    with pytest.raises(WeightsError, match=r"225000 bytes are kept.*run the same command again"):
        download(address(server), path, CHECKSUM, attempts=2)
    assert not path.exists()
    download(address(server), path, CHECKSUM)
    assert path.read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=225000-"  # type: ignore[attr-defined]


def test_a_server_without_ranges_starts_anew(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    server.breaks, server.knows_ranges = 1, False  # type: ignore[attr-defined]
    download(address(server), tmp_path / "weights.pt", CHECKSUM)
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT


def test_a_whole_file_that_was_not_yet_renamed_is_taken(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path / "weights.pt.part").write_bytes(CONTENT)
    download(address(server), tmp_path / "weights.pt", CHECKSUM)
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT


def test_wrong_bytes_are_an_error_and_leave_nothing(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="expected sha256:0000"):
        download(address(server), tmp_path / "weights.pt", f"sha256:{'0' * 64}")
    assert list(tmp_path.iterdir()) == []


def test_md5_is_understood_because_some_publishers_give_nothing_else(
    server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    download(address(server), tmp_path / "weights.pt", f"md5:{hashlib.md5(CONTENT).hexdigest()}")
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT


def test_addresses_that_lead_nowhere_are_named(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"absent\.pt answers 404"):
        download(address(server, "absent.pt"), tmp_path / "weights.pt", CHECKSUM)
    with pytest.raises(WeightsError, match="expected http"):
        download("file:///etc/hostname", tmp_path / "weights.pt", CHECKSUM)
    with pytest.raises(WeightsError, match="could not fetch"):
        download("http://127.0.0.1:9/weights.pt", tmp_path / "weights.pt", CHECKSUM, attempts=1)
