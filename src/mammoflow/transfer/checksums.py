"""Checksums of files, written as `algorithm:hexadecimal`.

The algorithms are `sha256`, `md5` and `etag`. An object store gives an ETag for a file that was uploaded in parts: the
MD5 over the MD5s of the parts, and their number (`etag:9b2c…-4`). It does not give the size of a part, so the usual
sizes are tried.
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

    Where no usual part size gives the ETag, the ETag for the smallest possible parts is returned.

    Raises
    ------
    ValueError
        If the other checksum has no known form.
    """
    algorithm, _, digits = like.partition(":")
    if algorithm in _SIMPLE:
        with path.open("rb") as file:
            return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"
    count_of_parts = _PARTS.fullmatch(digits) if algorithm == "etag" else None
    if not count_of_parts:
        raise ValueError(f"checksum {like!r} is of no known form, expected sha256:, md5: or etag:")
    candidates = [f"etag:{etag}" for etag in _etags(path, int(count_of_parts[1]))]
    return like if like in candidates else candidates[0]


def matches_checksum(path: Path, checksum: str) -> bool:
    """Tell whether a file has a checksum."""
    return checksum_of(path, checksum) == checksum


def can_be_checked(checksum: str, size: int) -> bool:
    """Tell whether a checksum can be recomputed from a file of this many bytes.

    It cannot where the checksum is empty, or where no usual part size gives its number of parts.
    """
    algorithm, _, digits = checksum.partition(":")
    if algorithm in _SIMPLE:
        return len(digits) == _SIMPLE[algorithm]
    count_of_parts = _PARTS.fullmatch(digits) if algorithm == "etag" else None
    return count_of_parts is not None and bool(_part_sizes(size, int(count_of_parts[1])))


def checksum_from_etag(etag: str) -> str:
    """Turn an object store's ETag into a checksum; "" where it is neither an MD5 nor an MD5 over parts."""
    digits = etag.strip().removeprefix("W/").strip('"').lower()
    if re.fullmatch(r"[0-9a-f]{32}", digits):
        return f"md5:{digits}"
    return f"etag:{digits}" if _PARTS.fullmatch(digits) else ""


def _part_sizes(size: int, parts: int) -> list[int]:
    return [part_size for part_size in PART_SIZES if -(-size // part_size) == parts]


def _etags(path: Path, parts: int) -> list[str]:
    """Return the ETags of a file for all part sizes that give this many parts."""
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
