"""The store of arrays that all runs share, each entry under the digest of what made it."""

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

DAY_S = 86400.0


class ArrayStore:
    """Arrays under the digest of what made them, shared by stages and runs.

    Each entry is one safetensors file that holds its arrays, written in one step, so two jobs that write the same key
    leave one whole entry. An entry carries a digest of its values; one that is damaged is treated as absent. What it
    is about stands in its header, for people and for `mammoflow store`; the key alone says what it holds.

    Parameters
    ----------
    root
        Folder of the store; it is made when the first entry is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        """Return where the entry of a key lies, whether or not it exists."""
        return self.root / key[:2] / f"{key}.safetensors"

    def write(self, key: str, arrays: Mapping[str, Array], about: Mapping[str, str] | None = None) -> None:
        """Write the arrays of a key, replacing what was there.

        Parameters
        ----------
        key
            Digest of what made the arrays, in hexadecimal.
        arrays
            The arrays by name.
        about
            What the entry is about, such as `kind`, `model` and `image`; when it was made is added.

        Raises
        ------
        StudyError
            If it cannot be written: no room, no right, no folder.
        """
        header = {**(about or {}), "created": datetime.now(UTC).isoformat(timespec="seconds")}
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        try:
            with writing(self.path(key)) as temporary:
                save_file({**contiguous, "digest": self._digest(contiguous)}, str(temporary), metadata=header)
        except (OSError, SafetensorError) as error:
            raise StudyError(
                f"store {self.root} cannot take an entry: {error}; expected a folder that this job may write to, with "
                "room for it; correct `store`, or make room with `mammoflow store prune`"
            ) from error

    def read(self, key: str) -> dict[str, Array] | None:
        """Return the arrays of a key, or None where there is no entry or a damaged one."""
        path = self.path(key)
        try:
            arrays: dict[str, Array] = dict(load_file(str(path)))
        except (OSError, SafetensorError, ValueError):
            return None
        digest = arrays.pop("digest", None)
        if digest is None or not np.array_equal(digest, self._digest(arrays)):
            return None
        self._mark_used(path)
        return arrays

    @staticmethod
    def _mark_used(path: Path) -> None:
        """Set the time of the file to now, once a day, so that what is not used can be told."""
        with suppress(OSError):  # a store that may only be read serves as well
            if time.time() - path.stat().st_mtime > DAY_S:
                os.utime(path)

    @staticmethod
    def _digest(arrays: Mapping[str, Array]) -> npt.NDArray[np.uint8]:
        text = text_digest(*(f"{name}:{array_digest(arrays[name])}" for name in sorted(arrays)))
        return np.frombuffer(bytes.fromhex(text), dtype=np.uint8)
