"""The store of arrays that all runs share; the key of an entry is the digest of all that it was computed from."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from mammoflow.errors import StudyError
from mammoflow.storage.files import Array, array_digest, text_digest, writing
from mammoflow.storage.write_errors import WriteError

DAY_S = 86400.0


class ArrayStore:
    """Arrays that stages and runs share, found by a key: the digest of everything that they were computed from.

    Each entry is one safetensors file. It is written in one step, so two jobs that write the same key leave one whole
    entry. An entry contains a digest of its values; a damaged entry counts as absent. Its header describes the entry
    for people and for `mammoflow store`; only the key identifies it.

    Parameters
    ----------
    root
        Folder of the store; it is created with the first entry.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        """Return the file of a key, whether or not it exists."""
        return self.root / key[:2] / f"{key}.safetensors"

    def write(self, key: str, arrays: Mapping[str, Array], about: Mapping[str, str] | None = None) -> None:
        """Write the arrays of a key and replace an earlier entry.

        Parameters
        ----------
        key
            Digest of everything that the arrays were computed from, in hexadecimal.
        arrays
            The arrays by name.
        about
            Description of the entry, such as `kind`, `model` and `image`; the time of writing is added.

        Raises
        ------
        StudyError
            If the entry cannot be written: no room, no permission, or no folder.
        """
        header = {**(about or {}), "created": datetime.now(UTC).isoformat(timespec="seconds")}
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        try:
            with writing(self.path(key)) as temporary:
                save_file({**contiguous, "digest": self._digest(contiguous)}, str(temporary), metadata=header)
        except (OSError, SafetensorError, WriteError) as error:
            cause = error.cause if isinstance(error, WriteError) else str(error)
            raise StudyError(
                f"store {self.root} cannot take an entry: {cause}; expected a folder that this job may write to, with "
                "room for it; correct `store`, or make room with `mammoflow store prune`"
            ) from error

    def read(self, key: str) -> dict[str, Array] | None:
        """Return the arrays of a key, or None where there is no entry or a damaged one; mark the entry as used."""
        try:
            arrays = self.verified(key)
        except OSError:
            return None
        if arrays is not None:
            self._mark_used(self.path(key))
        return arrays

    def verified(self, key: str) -> dict[str, Array] | None:
        """Return the arrays of a key, or None where the entry is damaged; this does not count as a use.

        Raises
        ------
        OSError
            If there is no entry, or the file cannot be read.
        """
        try:
            arrays: dict[str, Array] = dict(load_file(str(self.path(key))))
        except (SafetensorError, ValueError):
            return None
        digest = arrays.pop("digest", None)
        return arrays if digest is not None and np.array_equal(digest, self._digest(arrays)) else None

    @staticmethod
    def _mark_used(path: Path) -> None:
        """Set the time of the file to now, at most once a day. Pruning reads this time."""
        with suppress(OSError):  # the store may be read-only
            if time.time() - path.stat().st_mtime > DAY_S:
                os.utime(path)

    @staticmethod
    def _digest(arrays: Mapping[str, Array]) -> npt.NDArray[np.uint8]:
        text = text_digest(*(f"{name}:{array_digest(arrays[name])}" for name in sorted(arrays)))
        return np.frombuffer(bytes.fromhex(text), dtype=np.uint8)
