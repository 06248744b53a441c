"""One run at a time works in a run's folder, from whatever checkout and machine it was started.

Snakemake locks the folder of the project. Two checkouts can share a folder of results, and so can two machines.
"""

from __future__ import annotations

import json
import os
import platform
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from mammoflow.errors import StudyError

FILE_NAME = "running.json"


@dataclass(frozen=True)
class Holder:
    """The process that works in a run's folder.

    Attributes
    ----------
    host
        Name of its machine.
    process
        Its number there.
    begun
        When the process began, in the clock ticks of its machine; 0 where the machine does not say. The number of a
        process is given again after it has ended; number and begin together are not.
    started
        When the run was started, in UTC.
    """

    host: str
    process: int
    begun: int
    started: str

    @classmethod
    def here(cls) -> Holder:
        """Return this process."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(platform.node(), os.getpid(), _begun(os.getpid()), now)

    def is_here(self) -> bool:
        """Tell whether this is the process that asks."""
        return (self.host, self.process, self.begun) == (platform.node(), os.getpid(), _begun(os.getpid()))

    def has_ended(self) -> bool:
        """Tell whether the process is known to have ended; nothing is known of other machines."""
        if self.host != platform.node():
            return False
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return _begun(self.process) != self.begun


def check_free(run: Path) -> None:
    """Refuse to plan in a folder in which another run works.

    Parameters
    ----------
    run
        Folder of the run.

    Raises
    ------
    StudyError
        Naming process, machine and file.
    """
    holder = _read(run / FILE_NAME)
    if holder is None or holder.is_here() or holder.has_ended():
        return
    raise StudyError(
        f"another run works in {run}: process {holder.process} on {holder.host}, started {holder.started}; expected "
        "one run at a time. Wait for its end, or give this run another name with the key run. If that process no "
        f"longer exists, remove {run / FILE_NAME}"
    )


def take(run: Path) -> None:
    """Say that this process works in a run's folder.

    Raises
    ------
    StudyError
        If another run works there.
    """
    check_free(run)
    path = run / FILE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:  # of two that start at once, one gets it
            file.write(json.dumps(asdict(Holder.here())) + "\n")
    except FileExistsError:
        check_free(run)


def release(run: Path) -> None:
    """Say that this process has ended its work in a run's folder."""
    holder = _read(run / FILE_NAME)
    if holder is not None and holder.is_here():
        (run / FILE_NAME).unlink(missing_ok=True)


def _read(path: Path) -> Holder | None:
    """Read who works in a folder; None where nobody does, or the file is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        numbers = int(content["process"]), int(content["begun"])
        return Holder(str(content["host"]), *numbers, str(content["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _begun(process: int) -> int:
    """Return when a process began, in clock ticks since the start of this machine; 0 where it is not known."""
    with suppress(OSError, ValueError, IndexError):
        # The name of the program, in brackets, may have spaces and brackets of its own.
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return int(fields[19])
    return 0
