"""Names that are safe as file names."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,119}")
UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
LONGEST_NAME = 120


def shown_name(path: str | Path) -> str:
    r"""Return a path as text for a table; a byte that is no UTF-8 becomes an escape, such as `\udcfc`."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


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


def file_name(identifier: str) -> str:
    """Return a file name without suffix for an id of a study, which may contain any character.

    A plain id of at most 120 characters is its own name. Another one is shortened, and a digest of it is added.
    """
    if PLAIN_NAME.fullmatch(identifier):
        return identifier
    digest = hashlib.sha256(identifier.encode()).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', identifier)[:60].strip('-')}-{digest[:16]}"


def distinct_names(names: Sequence[tuple[str, ...]]) -> list[str]:
    """Join the parts of several names by `safe_name`, so that different parts never become one name.

    ``("P1", "1_CC")`` and ``("P1_1", "CC")`` are joined to the same text. Names that share a text carry a digest of
    their parts; every other name is what `safe_name` makes of it.

    Parameters
    ----------
    names
        The parts of each name; equal parts get the same name.
    """
    joined = {parts: safe_name(*parts) for parts in dict.fromkeys(names)}
    length = 8
    while length <= 64:
        counts = Counter(joined.values())
        shared = [parts for parts, name in joined.items() if counts[name] > 1]
        if not shared:
            break
        for parts in shared:
            digest = hashlib.sha256("\x1f".join(map(str, (len(parts), *parts))).encode()).hexdigest()
            joined[parts] = f"{safe_name(*parts)}-{digest[:length]}"
        length *= 2
    return [joined[parts] for parts in names]
