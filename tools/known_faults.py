"""Compare the pinned packages with the faults that OSV lists (osv.dev), and fail if one is listed.

A machine without a network cannot ask. It says so, and does not fail: `make lint` has to work there too.
Run: `python tools/known_faults.py [--requirements FILE] [--url URL]`.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
URL = "https://api.osv.dev/v1/query"
TIMEOUT_S = 5

ACCEPTED: dict[str, str] = {}
"""Faults that do not concern mammoflow: their id, and why."""


def reachable(url: str) -> bool:
    """Return whether the host of an address accepts a connection."""
    parts = urlsplit(url)
    try:
        socket.create_connection((str(parts.hostname), parts.port or 443), TIMEOUT_S).close()
    except OSError:
        return False
    return True


def main() -> int:
    """Return 0 if no fault is known or nobody can be asked, otherwise the exit status of pip-audit."""
    parser = argparse.ArgumentParser(description="Compare pinned packages with a list of known faults.")
    parser.add_argument("--requirements", type=Path, default=ROOT / "requirements.txt")
    parser.add_argument("--url", default=URL)
    asked = parser.parse_args()
    if not reachable(asked.url):
        print(f"known faults of packages: not checked, because {urlsplit(asked.url).hostname} cannot be reached")
        return 0
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(asked.requirements), "--disable-pip"]
    command += ["--vulnerability-service", "osv", "--osv-url", asked.url, "--progress-spinner", "off"]
    command += [option for fault in ACCEPTED for option in ("--ignore-vuln", fault)]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
