"""Checksums of files, written as `algorithm:hexadecimal`.

Known are `sha256`, `md5`, and `etag` for what an object store says of a file that was uploaded in parts: the MD5 over
the MD5s of the parts, and their number (`etag:9b2c…-4`). The size of a part is not told; the usual ones are tried.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

MIB = 1 << 20
PART_SIZES = tuple(size * MIB for size in (5, 8, 10, 15, 16, 20, 25, 32, 50, 64, 100, 128, 256, 512))
"""Sizes of the parts that uploading tools use."""

_SIMPLE = {"sha256": 64, "md5": 32}
_PARTS = re.compile(r"[0-9a-f]{32}-(\d{1,5})")


def checksum_of(path: Path, like: str) -> str:
    """Return the checksum of a file by the algorithm of another checksum, in the same form.

    Of an `etag` that matches with no usual part size, the one by the smallest possible parts is returned.

    Raises
    ------
    ValueError
        If the other checksum has no known form.
    """
    algorithm, _, digits = like.partition(":")
    if algorithm in _SIMPLE:
        with path.open("rb") as file:
            return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"
    found = _PARTS.fullmatch(digits) if algorithm == "etag" else None
    if not found:
        raise ValueError(f"checksum {like!r} is of no known form, expected sha256:, md5: or etag:")
    candidates = [f"etag:{etag}" for etag in _etags(path, int(found[1]))]
    return like if like in candidates else candidates[0]


def matches_checksum(path: Path, checksum: str) -> bool:
    """Tell whether a file has a checksum."""
    return checksum_of(path, checksum) == checksum


def can_be_checked(checksum: str, size: int) -> bool:
    """Tell whether a checksum can be recomputed from a file of this many bytes.

    It cannot where it is empty, or says a number of parts that no usual part size gives.
    """
    algorithm, _, digits = checksum.partition(":")
    if algorithm in _SIMPLE:
        return len(digits) == _SIMPLE[algorithm]
    found = _PARTS.fullmatch(digits) if algorithm == "etag" else None
    return bool(found) and bool(_part_sizes(size, int(found[1] if found else 0)))


def checksum_from_etag(etag: str) -> str:
    """Turn an object store's ETag into a checksum; "" where it is neither an MD5 nor one over parts."""
    digits = etag.strip().removeprefix("W/").strip('"').lower()
    if re.fullmatch(r"[0-9a-f]{32}", digits):
        return f"md5:{digits}"
    return f"etag:{digits}" if _PARTS.fullmatch(digits) else ""


def _part_sizes(size: int, parts: int) -> list[int]:
    return [part for part in PART_SIZES if -(-size // part) == parts]


def _etags(path: Path, parts: int) -> list[str]:
    """Return the ETags of a file by all part sizes that give this many parts."""
    etags = []
    for part_size in _part_sizes(path.stat().st_size, parts) or [PART_SIZES[0]]:
        joined = hashlib.md5(usedforsecurity=False)
        count = 0
        with path.open("rb") as file:
            while part := file.read(part_size):
                joined.update(hashlib.md5(part, usedforsecurity=False).digest())
                count += 1
        etags.append(f"{joined.hexdigest()}-{count}")
    return etags
