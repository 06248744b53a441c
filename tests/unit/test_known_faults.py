"""The check of pinned packages against a list of known faults, which a server on this machine has."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "known_faults.py"
PINS = "mended==2.0 --hash=sha256:{0}\nfaulty==1.0 --hash=sha256:{0}\n".format("0" * 64)
FAULT = {
    "id": "OSV-0000-1",
    "summary": "made up",
    "affected": [
        {
            "package": {"name": "faulty", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
            "versions": ["1.0"],
        }
    ],
}


class Advisories(BaseHTTPRequestHandler):
    """Knows one fault, of version 1.0 of the package `faulty`."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        is_faulty = (asked["package"]["name"], asked["version"]) == ("faulty", "1.0")
        answer = json.dumps({"vulns": [FAULT]} if is_faulty else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Advisories)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    server.server_close()


def check(folder: Path, pins: str, url: str) -> subprocess.CompletedProcess[str]:
    """Return what the tool says of some pins."""
    file = folder / "requirements.txt"
    file.write_text(pins, encoding="utf-8")
    command = [sys.executable, str(TOOL), "--requirements", str(file), "--url", url]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_fault_that_is_listed_fails_with_its_name_and_the_version_that_mends_it(service: str, tmp_path: Path) -> None:
    said = check(tmp_path, PINS, service)
    assert said.returncode == 1
    assert [line.split() for line in said.stdout.splitlines()[2:]] == [["faulty", "1.0", "OSV-0000-1", "1.1"]]


@pytest.mark.slow
def test_pins_without_a_fault_pass(service: str, tmp_path: Path) -> None:
    said = check(tmp_path, PINS.splitlines()[0], service)
    assert said.returncode == 0
    assert "not checked" not in said.stdout


def test_a_service_that_cannot_be_reached_is_said(tmp_path: Path) -> None:
    said = check(tmp_path, PINS, "http://127.0.0.1:9/v1/query")
    assert said.returncode == 0
    assert said.stdout == "known faults of packages: not checked, because 127.0.0.1 cannot be reached\n"
