"""The one downloader, against a server that does everything wrong that servers do."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mammoflow.errors import DownloadError
from mammoflow.transfer import connection
from mammoflow.transfer.checksums import can_be_checked, checksum_from_etag, checksum_of, matches_checksum
from mammoflow.transfer.connection import Transfer, read_address
from mammoflow.transfer.download import DiskFullError, download

if TYPE_CHECKING:
    from loopback import Handler, Loopback
sys.path.insert(0, str(Path(__file__).parents[1]))
from loopback import answers, breaks, hangs, serving, without_range, wrong_bytes

CONTENT = np.random.default_rng(0).bytes(300_000)
CHECKSUM = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
QUICK = Transfer(attempts=3, timeout_s=5, pause_s=0.01)
FILE = "/weights.pt"


@pytest.fixture
def server() -> Iterator[Loopback]:
    with serving() as running:
        running.files[FILE] = CONTENT
        yield running


def fetch(server: Loopback, path: Path, checksum: str = CHECKSUM, transfer: Transfer = QUICK) -> None:
    download(server.url(FILE), path, checksum, transfer=transfer)


def test_a_whole_file_comes_once_and_alone(server: Loopback, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "weights.pt"
    fetch(server, path)
    assert path.read_bytes() == CONTENT
    fetch(server, path)
    assert server.asked(FILE) == [None]
    assert [file.name for file in path.parent.iterdir()] == ["weights.pt"]


def test_a_broken_connection_is_continued_where_it_broke(server: Loopback, tmp_path: Path) -> None:
    server.faults[FILE] = [breaks(0.5), breaks(0.5)]
    fetch(server, tmp_path / "weights.pt")
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT
    assert server.asked(FILE) == [None, "bytes=150000-", "bytes=225000-"]


def test_a_connection_that_keeps_breaking_is_an_error_and_a_later_call_goes_on(
    server: Loopback, tmp_path: Path
) -> None:
    server.faults[FILE] = [breaks(0.5)] * 3
    path = tmp_path / "weights.pt"
    with pytest.raises(DownloadError, match=r"262500 bytes are kept.*run the same command again"):
        fetch(server, path)
    assert not path.exists()
    fetch(server, path)
    assert path.read_bytes() == CONTENT
    assert server.asked(FILE)[-1] == "bytes=262500-"


def test_connections_that_bring_much_are_not_counted_against_the_file(server: Loopback, tmp_path: Path) -> None:
    server.files[FILE] = content = np.random.default_rng(1).bytes(12 << 20)
    server.faults[FILE] = [breaks(0.15)] * 4
    download(server.url(FILE), tmp_path / "x", f"md5:{hashlib.md5(content).hexdigest()}", transfer=QUICK)
    assert (tmp_path / "x").read_bytes() == content
    assert len(server.asked(FILE)) == 5


def test_a_server_without_ranges_starts_anew(server: Loopback, tmp_path: Path) -> None:
    server.faults[FILE] = [breaks(0.5), without_range]
    fetch(server, tmp_path / "weights.pt")
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT


def test_a_range_that_was_not_asked_for_is_not_taken(server: Loopback, tmp_path: Path) -> None:
    def shifted(handler: Handler, content: bytes) -> bool:
        handler.plain(206, content[7:], {"Content-Range": f"bytes 7-{len(content) - 1}/{len(content)}"})
        return True

    server.faults[FILE] = [breaks(0.5), shifted]
    fetch(server, tmp_path / "weights.pt")
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT


def test_a_rest_that_belongs_to_another_version_is_fetched_anew(server: Loopback, tmp_path: Path) -> None:
    (tmp_path / "weights.pt.part").write_bytes(bytes(1000))
    fetch(server, tmp_path / "weights.pt")
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT
    assert server.asked(FILE) == ["bytes=1000-", None]


@pytest.mark.parametrize("left", [len(CONTENT), len(CONTENT) + 5])
def test_a_part_that_is_whole_is_taken_and_one_that_is_too_long_is_not(
    server: Loopback, tmp_path: Path, left: int
) -> None:
    (tmp_path / "weights.pt.part").write_bytes((CONTENT + b"later")[:left])
    fetch(server, tmp_path / "weights.pt")
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT


def test_wrong_bytes_are_an_error_that_names_both_checksums_and_leave_nothing(server: Loopback, tmp_path: Path) -> None:
    server.faults[FILE] = [wrong_bytes]
    found = hashlib.sha256(bytes(len(CONTENT))).hexdigest()
    with pytest.raises(DownloadError, match=f"{found}, expected {CHECKSUM}"):
        fetch(server, tmp_path / "weights.pt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("offered", [len(CONTENT) - 1, len(CONTENT) + 1])
def test_a_wrong_length_is_refused_before_it_is_read(server: Loopback, tmp_path: Path, offered: int) -> None:
    server.files[FILE] = (CONTENT + b"x")[:offered]
    with pytest.raises(DownloadError, match=f"offers {offered} bytes, expected {len(CONTENT)}"):
        download(server.url(FILE), tmp_path / "x", CHECKSUM, len(CONTENT), QUICK)
    assert not (tmp_path / "x").exists()


def test_a_body_without_a_length_is_cut_off_where_it_is_too_long(server: Loopback, tmp_path: Path) -> None:
    def endless(handler: Handler, _: bytes) -> bool:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(bytes(3 << 20))
        return True

    server.faults[FILE] = [endless]
    download(server.url(FILE), tmp_path / "x", CHECKSUM, len(CONTENT), QUICK)
    assert (tmp_path / "x").read_bytes() == CONTENT


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_passing_fault_is_tried_again(server: Loopback, tmp_path: Path, status: int) -> None:
    server.faults[FILE] = [answers(status), answers(status)]
    fetch(server, tmp_path / "weights.pt")
    assert len(server.asked(FILE)) == 3


def test_a_fault_that_stays_is_named(server: Loopback, tmp_path: Path) -> None:
    server.faults[FILE] = [answers(503)] * 3
    with pytest.raises(DownloadError, match="503"):
        fetch(server, tmp_path / "weights.pt")
    with pytest.raises(DownloadError, match=r"absent\.pt answers 404"):
        download(server.url("/absent.pt"), tmp_path / "x", CHECKSUM, transfer=QUICK)
    assert server.asked("/absent.pt") == [None]


def test_the_server_says_how_long_to_wait(server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    clock = SimpleNamespace(sleep=waited.append, time=time.time)
    monkeypatch.setattr(connection, "time", clock)
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    server.faults[FILE] = [
        answers(429, {"Retry-After": "7"}),
        answers(503, {"Retry-After": date}),
        answers(503, {"Retry-After": "99999"}),
        answers(503, {"Retry-After": "soon"}),
    ]
    fetch(server, tmp_path / "weights.pt", transfer=Transfer(attempts=9, pause_s=1.0, longest_pause_s=300.0))
    assert waited[0] == 7
    assert waited[1] == pytest.approx(40, abs=3)
    assert waited[2] == 300
    assert 4 <= waited[3] <= 8  # the fourth failure in a row, drawn from the upper half of 8 s


def test_a_silent_connection_is_given_up_and_continued(server: Loopback, tmp_path: Path) -> None:
    server.faults[FILE] = [hangs(3.0)]
    start = time.monotonic()
    fetch(server, tmp_path / "weights.pt", transfer=Transfer(attempts=3, timeout_s=0.3, pause_s=0.01))
    assert time.monotonic() - start < 2.5
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT
    assert server.asked(FILE) == [None, "bytes=150000-"]


def test_redirections_stay_on_the_host_unless_the_publisher_is_known_to_use_another(
    server: Loopback, tmp_path: Path
) -> None:
    port = server.server_address[1]
    server.files["/moved"] = b""
    server.faults["/moved"] = [answers(302, {"Location": FILE})]
    download(server.url("/moved"), tmp_path / "same", CHECKSUM, transfer=QUICK)
    for target in (f"http://localhost:{port}{FILE}", "file:///etc/hostname", "ftp://127.0.0.1/x"):
        server.faults["/moved"] = [answers(302, {"Location": target})]
        with pytest.raises(DownloadError, match=r"redirects to .*expected an address on 127\.0\.0\.1"):
            download(server.url("/moved"), tmp_path / "other", CHECKSUM, transfer=QUICK)
    server.faults["/moved"] = [answers(307, {"Location": f"http://localhost:{port}{FILE}"})]
    known = Transfer(hosts=frozenset({"localhost"}))
    download(server.url("/moved"), tmp_path / "other", CHECKSUM, transfer=known)
    assert (tmp_path / "other").read_bytes() == CONTENT


def test_addresses_that_are_none_are_refused(tmp_path: Path) -> None:
    for url in ("file:///etc/hostname", "ftp://host/x", "weights.pt", "http:///x"):
        with pytest.raises(DownloadError, match="expected http"):
            download(url, tmp_path / "x", CHECKSUM)
    with pytest.raises(DownloadError, match="could not fetch"):
        download("http://127.0.0.1:9/weights.pt", tmp_path / "x", CHECKSUM, transfer=Transfer(attempts=1))


def test_a_full_disk_stops_before_the_first_byte(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(DiskFullError, match=r"300000 bytes are needed for weights\.pt\.part, 1000 are free"):
        fetch(server, tmp_path / "weights.pt")
    assert (tmp_path / "weights.pt.part").stat().st_size == 0


def test_without_a_checksum_only_this_call_is_continued(server: Loopback, tmp_path: Path) -> None:
    (tmp_path / "weights.pt.part").write_bytes(bytes(1000))
    server.faults[FILE] = [breaks(0.5)]
    fetch(server, tmp_path / "weights.pt", "")
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT
    assert server.asked(FILE) == [None, "bytes=150000-"]


def test_two_that_want_the_same_file_bring_it_once(server: Loopback, tmp_path: Path) -> None:
    server.delay_s = 0.2
    threads = [threading.Thread(target=fetch, args=(server, tmp_path / "weights.pt")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT
    assert server.asked(FILE) == [None]
    assert [file.name for file in tmp_path.iterdir()] == ["weights.pt"]


def test_a_killed_process_leaves_what_the_next_one_continues(server: Loopback, tmp_path: Path) -> None:
    server.faults[FILE] = [hangs(30)]
    path = tmp_path / "weights.pt"
    code = f"from mammoflow.transfer.download import download; from pathlib import Path; download({server.url(FILE)!r}, Path({str(path)!r}), {CHECKSUM!r})"  # noqa: E501
    process = subprocess.Popen([sys.executable, "-c", code])
    part = tmp_path / "weights.pt.part"
    until = time.monotonic() + 60
    while not (part.is_file() and part.stat().st_size == 150_000) and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not path.exists()
    fetch(server, path)
    assert path.read_bytes() == CONTENT
    assert server.asked(FILE) == [None, "bytes=150000-"]


def test_a_listing_is_read_with_the_same_patience(server: Loopback) -> None:
    server.files["/list"] = b"content"
    server.faults["/list"] = [answers(503), breaks(0.5)]
    assert read_address(server.url("/list"), QUICK) == b"content"
    with pytest.raises(DownloadError, match="more than 3 bytes"):
        read_address(server.url("/list"), QUICK, most_bytes=3)


@pytest.mark.parametrize("size", [0, 1, 5 << 20, (5 << 20) + 1, 17 << 20])
def test_checksums_of_parts_are_what_an_object_store_computes(tmp_path: Path, size: int) -> None:
    content = np.random.default_rng(size).bytes(size)
    (tmp_path / "x").write_bytes(content)
    part = 8 << 20
    digests = [hashlib.md5(content[start : start + part]).digest() for start in range(0, max(size, 1), part)]
    expected = f"etag:{hashlib.md5(b''.join(digests)).hexdigest()}-{len(digests)}"
    assert can_be_checked(expected, size) == (size > 0)
    assert matches_checksum(tmp_path / "x", expected) == (size > 0)
    (tmp_path / "x").write_bytes(content[:-1] + bytes([(content[-1] ^ 1) if size else 1]))
    assert not matches_checksum(tmp_path / "x", expected)


def test_etags_become_checksums_where_they_are_such(tmp_path: Path) -> None:
    digest = hashlib.md5(CONTENT).hexdigest()
    assert checksum_from_etag(f'"{digest}"') == f"md5:{digest}"
    assert checksum_from_etag(f'W/"{digest}-3"') == f"etag:{digest}-3"
    assert checksum_from_etag('"CJ-kl8a="') == ""
    assert not can_be_checked("", 10)
    assert not can_be_checked(f"etag:{digest}-9999", 10)
    (tmp_path / "x").write_bytes(CONTENT)
    assert checksum_of(tmp_path / "x", "md5:") == f"md5:{digest}"
    with pytest.raises(ValueError, match="no known form"):
        checksum_of(tmp_path / "x", "crc32:00")
