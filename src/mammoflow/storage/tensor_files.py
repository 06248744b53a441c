"""Files of tensors whose bytes depend on their content alone."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LENGTH = struct.Struct("<Q")
"""The length of the header in bytes, at the beginning of the file."""


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors as safetensors, the metadata in the order of their keys.

    The library writes the metadata in an order that differs from one process to the next.

    Parameters
    ----------
    path
        The file.
    tensors
        Contiguous tensors by name.
    metadata
        Text by key, for the header.
    """
    from safetensors.torch import save_file

    save_file(dict(tensors), str(path), metadata=dict(metadata))
    with path.open("r+b") as file:
        (length,) = LENGTH.unpack(file.read(LENGTH.size))
        header = json.loads(file.read(length))
        if "__metadata__" in header:
            header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) > length:
            raise ValueError(f"the sorted header of {path} has {len(text)} bytes; expected at most {length}")
        file.seek(LENGTH.size)
        file.write(text.ljust(length))
