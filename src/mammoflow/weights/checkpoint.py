"""Reading weights files without executing anything in them, in the forms in which people keep weights."""

from __future__ import annotations

import pickle
import re
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mammoflow.errors import WeightsError

WRAPPERS = ("model", "state_dict", "model_state_dict", "network", "model_state")
"""Keys under which a checkpoint keeps its weights, beside the state of an optimizer and other things."""

PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "sam.")
"""What torch and trainers put before every name: DataParallel, torch.compile, a trainer's own attribute."""

CONSTANTS = ("pixel_mean", "pixel_std")
"""SAM's mean and deviation of the input, which some tools save among the weights."""

DAMAGED = (
    SafetensorError,
    zipfile.BadZipFile,
    struct.error,
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
)
"""Errors of the readers of damaged files. torch's reader of pickles uses their content without a check."""


def read_state(path: Path) -> dict[str, Tensor]:
    """Read named tensors from a `.safetensors` file or a checkpoint of torch, without executing anything in it.

    A checkpoint may hold the tensors themselves or keep them under one of `WRAPPERS`, beside an optimizer's state and
    counters, which are left out; names lose what DataParallel, torch.compile or a trainer put before all of them.

    Raises
    ------
    WeightsError
        If the file carries anything but tensors and plain containers, is damaged, or holds weights that are not
        finite or cannot be checked, such as sparse tensors or floating-point numbers of 8 bits.
    """
    try:
        content = dict(load_file(str(path))) if path.suffix == ".safetensors" else _read_checkpoint(path)
    except pickle.UnpicklingError as error:
        raise WeightsError(_refusal(path, str(error))) from error
    except DAMAGED as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"weights file {path} cannot be read: {reason}; expected a whole file; fetch it again, or remove it and "
            "run the training that wrote it"
        ) from error
    state = _plain_names(_tensors(content, path))
    broken = [name for name, tensor in state.items() if not _is_finite(name, tensor, path)]
    if broken:
        raise WeightsError(
            f"weights file {path} holds values that are not finite, in {', '.join(broken[:3])}; take the checkpoint of "
            "an earlier epoch"
        )
    return state


def _is_finite(name: str, tensor: Tensor, path: Path) -> bool:
    try:
        return not tensor.is_floating_point() or bool(tensor.isfinite().all())
    except RuntimeError as error:  # not implemented for this kind of tensor
        raise WeightsError(
            f"weights file {path} holds {name} as {tensor.dtype}, {tensor.layout}, on {tensor.device}, expected dense "
            "tensors of at least 16 bits, saved with their values; convert them, and save the state_dict() again"
        ) from error


def _read_checkpoint(path: Path) -> Any:
    """Read a file of torch.save, in its zip format or the one before."""
    if zipfile.is_zipfile(path):
        _check_archive(path)
    elif tarfile.is_tarfile(path):
        raise WeightsError(
            f"weights file {path} was refused: it has the .tar format of torch before 0.1.10, which cannot be read "
            "without executing what it carries; save the tensors again, as safetensors"
        )
    with warnings.catch_warnings():  # a newer pickle protocol than torch's own; what it cannot read, it refuses
        warnings.filterwarnings("ignore", "Detected pickle protocol")
        return torch.load(path, map_location="cpu", weights_only=True)


def _check_archive(path: Path) -> None:
    """Refuse an archive that torch.save did not write: a program, a compressed or nested archive."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        raise WeightsError(
            f"weights file {path} was refused: it is a TorchScript program, expected tensors alone; save its "
            "state_dict() as safetensors"
        )
    if not any(name.endswith("/data.pkl") for name in names):
        raise WeightsError(
            f"weights file {path} was refused: it is an archive of {', '.join(names[:3]) or 'nothing'}, expected one "
            "that torch.save wrote; unpack it and name the weights inside"
        )
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise WeightsError(
            f"weights file {path} was refused: it is compressed, which torch.save never does; fetch it again from its "
            "publisher"
        )


def _refusal(path: Path, message: str) -> str:
    """Say what a checkpoint carries that is neither a tensor nor a plain container."""
    carried = re.search(r"GLOBAL (\S+)", message)
    carries = f"it carries {carried[1]}" if carried else "it is damaged or carries code"
    return (
        f"weights file {path} was refused and nothing in it was executed: {carries}, expected tensors, numbers and "
        "plain containers alone; fetch it again from its publisher, or, if it is your own, save its state_dict() as "
        "safetensors"
    )


def _tensors(content: object, path: Path) -> dict[str, Tensor]:
    """Find the named tensors of a checkpoint."""
    state = content
    for _ in range(2):
        if isinstance(state, Mapping):
            state = next((state[key] for key in WRAPPERS if isinstance(state.get(key), Mapping)), state)
    if not isinstance(state, Mapping) or not state:
        raise WeightsError(
            f"weights file {path} holds {type(state).__name__}, expected tensors by name; save a state_dict()"
        )
    others = [str(key) for key, value in state.items() if not isinstance(value, Tensor)]
    if others:
        raise WeightsError(
            f"weights file {path} holds {', '.join(others[:5])}, no tensors; expected tensors by name, or such "
            f"under one of {', '.join(WRAPPERS)}; save a state_dict()"
        )
    return {str(key): value for key, value in state.items()}


def _plain_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefix of every name, and leave out constants of the network."""
    while True:
        prefix = next((prefix for prefix in PREFIXES if all(name.startswith(prefix) for name in state)), None)
        if prefix is None:
            break
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return {name: tensor for name, tensor in state.items() if name not in CONSTANTS}


def load_state(network: nn.Module, state: dict[str, Tensor], name: str, architecture: str) -> None:
    """Put weights into a network.

    Raises
    ------
    WeightsError
        If names or shapes differ; the message counts them and shows the first of each kind.
    """
    expected = network.state_dict()
    common = expected.keys() & state.keys()
    kinds = {
        "are missing": sorted(expected.keys() - state.keys()),
        "are not known": sorted(state.keys() - expected.keys()),
        "have another shape": sorted(key for key in common if expected[key].shape != state[key].shape),
    }
    differences = [
        f"{len(keys)} {kind} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for kind, keys in kinds.items()
        if keys
    ]
    if differences:
        raise WeightsError(
            f"weights for {name} do not fit its network {architecture}: of {len(expected)} tensors "
            f"{'; '.join(differences)}. Check that the file belongs to this model"
        )
    network.load_state_dict(state)
