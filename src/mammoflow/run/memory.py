"""Memory of a job: how an exhausted one is recognised, and the most that was in use."""

from __future__ import annotations

import resource
import sys
from typing import TYPE_CHECKING

from mammoflow.errors import StudyError

if TYPE_CHECKING:
    import torch


_MORE_MEMORY = "give the job more memory or a GPU with more, let no other job use it"


class NoMemoryError(StudyError, MemoryError):
    """A single item does not fit into the memory; whoever holds several together may still do with fewer."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out, on a GPU or on the CPU."""
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # torch's CPU allocator and some CUDA libraries raise a plain RuntimeError
    texts = ("out of memory", "not enough memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(text in str(error) for text in texts)


def too_large(label: str, error: BaseException) -> NoMemoryError:
    """Return the error for a single item that does not fit into the memory.

    Parameters
    ----------
    label
        What the items are, such as `lesions`.
    error
        What said that memory ran out.
    """
    return NoMemoryError(
        f"out of memory with one at a time ({label}){_said(error)}; expected room for one; {_MORE_MEMORY}, or take a "
        "smaller model"
    )


def no_memory(work: str, error: BaseException) -> NoMemoryError:
    """Return the error for work that is not halved where memory runs out.

    Parameters
    ----------
    work
        What was done, such as `training unet`.
    error
        What said that memory ran out.
    """
    return NoMemoryError(
        f"out of memory in {work}{_said(error)}; expected enough for its batches; {_MORE_MEMORY}, or, for a "
        "training, lower its batch size or take a smaller model"
    )


def _said(error: BaseException) -> str:
    """Return the first line of a message, after a colon."""
    said = str(error).partition("\n")[0]
    return f": {said}" if said else ""


def release_gpu_memory() -> None:
    """Give back what torch's allocator holds of a GPU and does not use."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def watch_peak_memory(device: torch.device) -> None:
    """Count the peak of a GPU's memory from now on; the peak of a process cannot be set back."""
    import torch

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> int:
    """Return the most bytes that were in use: of the GPU, or of this process where it computes on the CPU."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    # Linux counts in KiB, macOS in bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
