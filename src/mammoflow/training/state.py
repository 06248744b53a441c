"""Where the state of a training lies, and the two files in it: everything a killed run needs, and the kept weights."""

from __future__ import annotations

import pickle
import re
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mammoflow.errors import StudyError
from mammoflow.storage.files import text_digest, writing

FOLDER = ".training"
STATE_NAME = re.compile(r"[0-9a-f]{16}")
LAST = "last.pt"
KEPT = "kept.pt"

FURTHER_TRIES = 3
"""How often a folder is made again that another training has removed."""


def training_state(output: Path, *inputs: str, code: str) -> Path:
    """Return the folder for the state of a training, and remove what other trainings of this output left there.

    The folder's name is a digest of everything that the training depends on, so a killed training continues only where
    nothing has changed since. It lies outside `output`, because Snakemake deletes the outputs of a failed job.

    Parameters
    ----------
    output
        Folder of the results.
    *inputs
        Settings and digests of the inputs.
    code
        Digest of the code of the training (`mammoflow.run.provenance.code_digest`).
    """
    root = output.parent / FOLDER / output.name
    state = root / text_digest(*inputs, code)[:16]
    if root.is_dir():
        for other in root.iterdir():
            if other != state and STATE_NAME.fullmatch(other.name):
                shutil.rmtree(other, ignore_errors=True)
    make_folder(state)
    return state


def make_folder(folder: Path) -> None:
    """Make a folder below `FOLDER` and its parents; another training that ends may remove `FOLDER` at the same time.

    Raises
    ------
    OSError
        If the folder cannot be made in several tries.
    """
    for _ in range(FURTHER_TRIES):
        with suppress(FileNotFoundError, FileExistsError):
            folder.mkdir(parents=True, exist_ok=True)
            return
    folder.mkdir(parents=True, exist_ok=True)


def remove_training_state(output: Path) -> None:
    """Remove the state of a training that has ended well, and `FOLDER` where no other training uses it."""
    root = output.parent / FOLDER
    shutil.rmtree(root / output.name, ignore_errors=True)
    with suppress(OSError):  # it holds the state of another training, or that training has removed it
        root.rmdir()


@dataclass
class Progress:
    """How far a fit is, after a whole epoch.

    Attributes
    ----------
    history
        One row for each epoch.
    finished
        Whether no epoch follows.
    learner, optimiser, average
        Their states; `average` is empty where nothing is averaged.
    halvings
        How often a batch is halved for lack of memory.
    seconds, peak_memory
        Of all processes that took part, in seconds and bytes.
    computed
        Type of the device and precision of the processes that took part, each as it first differed from the one before.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    finished: bool = False
    learner: dict[str, Tensor] = field(default_factory=dict)
    optimiser: dict[str, Any] = field(default_factory=dict)
    average: dict[str, Tensor] = field(default_factory=dict)
    halvings: int = 0
    seconds: float = 0.0
    peak_memory: int = 0
    computed: list[tuple[str, str]] = field(default_factory=list)

    def note_computing(self, label: str, device: str, precision: str) -> None:
        """Take note of where and in which precision a process computes, and print where that has changed.

        Parameters
        ----------
        label
            What is trained.
        device
            Type of the device, such as `cuda`.
        precision
            Of the plan.
        """
        here = (device, precision)
        before = self.computed[-1] if self.computed else here
        if before != here and self.finished:
            print(
                f"training {label} ended on {before[0]} in {before[1]}, and its predictions are made on {device} in "
                f"{precision}; its record names both",
                file=sys.stderr,
            )
        elif before != here:
            print(
                f"training {label} continues on {device} in {precision} after {len(self.history)} epochs on "
                f"{before[0]} in {before[1]}; its result is not that of one kind of device, and its record names both. "
                "To train on one kind, set device, remove the training state and start again",
                file=sys.stderr,
            )
        if before != here or not self.computed:
            self.computed.append(here)


def write_progress(folder: Path, progress: Progress) -> None:
    """Write how far a fit is, in one step."""
    _write(folder / LAST, {item.name: getattr(progress, item.name) for item in fields(progress)})


def read_progress(folder: Path) -> Progress | None:
    """Read how far an earlier process came; None where none finished an epoch."""
    return Progress(**_read(folder / LAST)) if (folder / LAST).is_file() else None


def write_kept(folder: Path, state: dict[str, Tensor]) -> None:
    """Write the weights of the best epoch so far, in one step."""
    _write(folder / KEPT, state)


def read_kept(folder: Path) -> dict[str, Tensor]:
    """Read the weights of the best epoch."""
    state: dict[str, Tensor] = _read(folder / KEPT)
    return state


def _write(path: Path, content: dict[str, Any]) -> None:
    with writing(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise StudyError(
            f"saved state {path} of a training is missing or damaged ({type(error).__name__}); remove the folder "
            f"{path.parent}, and the training begins again at its first epoch"
        ) from error
    return content
