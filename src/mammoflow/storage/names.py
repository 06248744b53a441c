"""Names that are safe as file names."""

from __future__ import annotations

import hashlib
import re

UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
LONGEST_NAME = 120


def safe_name(*parts: str) -> str:
    """Join parts to an identifier that can be a file's name.

    Plain parts are joined as they are; where a character has to go or the name is too long, a digest of the parts is
    added, so that different parts never become one name.
    """
    plain = "_".join(parts)
    name = UNSAFE.sub("_", plain).strip("._")
    if name == plain and 0 < len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}-{hashlib.sha256(plain.encode()).hexdigest()[:8]}".lstrip("-")
