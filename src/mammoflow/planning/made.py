"""Which results of a run were lost since they were last complete, so that what was made of them is made again.

Snakemake removes the results of a job that fails or is interrupted. Where the results of later jobs are there from an
earlier run, it takes these for up to date and does not run the job again. So each rule has as a parameter how often the
files that it reads were lost. The number grows when a start of Snakemake finds that a file is gone that was complete
before, and it stays after the file was made again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from mammoflow.storage.files import write_text

FILE_NAME = "made.json"

WRITTEN_TOGETHER = {
    "images.parquet": ("lesions.parquet", "excluded.parquet", "files.json"),
    "masks.parquet": ("scores.parquet", "weights.json"),
}
"""Further results of the job that writes a table. Jobs read them as well, although only the table is named."""


class Made:
    """How often each result of a run was lost, and whether it was complete when it was last looked at.

    Parameters
    ----------
    run
        Folder of the run; its `made.json` is read and written.
    remember
        Whether it is written; a dry run writes nothing.
    """

    def __init__(self, run: Path, remember: bool = True) -> None:
        self.run, self.remember = run, remember
        self._files = _read(run / FILE_NAME)

    def losses(self, files: Iterable[str | Path]) -> str:
        """Return which of some results were lost, and how often; "" where none was.

        Files outside the run do not count.

        Parameters
        ----------
        files
            Results that a job reads. One of each job that writes them is enough, see `WRITTEN_TOGETHER`.
        """
        changed, lost = False, {}
        for file in dict.fromkeys(one for path in map(Path, files) for one in _written_with(path)):
            if not file.is_relative_to(self.run):
                continue
            name = file.relative_to(self.run).as_posix()
            times, was_complete = self._files.get(name, (0, False))
            complete = file.exists()
            now = (times + (was_complete and not complete), complete)
            if now != self._files.get(name, (0, False)):
                self._files[name] = now
                changed = True
            if now[0]:
                lost[name] = now[0]
        if changed and self.remember:
            write_text(self.run / FILE_NAME, json.dumps(self._files, indent=0, sort_keys=True) + "\n")
        return ", ".join(f"{name}: {times}" for name, times in sorted(lost.items()))


def _written_with(file: Path) -> list[Path]:
    """Return a result and the other results of the same job."""
    return [file, *(file.with_name(name) for name in WRITTEN_TOGETHER.get(file.name, ()))]


def _read(path: Path) -> dict[str, tuple[int, bool]]:
    """Read the state; nothing where the file is absent or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {name: (int(times), bool(complete)) for name, (times, complete) in content.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
