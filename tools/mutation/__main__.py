"""Run mutants from the root of the repository: `python -m tools.mutation --count 10000`.

It prints a line every few hundred mutants, writes the figures as JSON where asked, and ends with status 1 where there
was a fault; files at fault are kept in the folder.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tools.mutation.campaign import run_campaign


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10000, help="mutants to try")
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--seed", type=int, default=2026, help="seed of the random numbers")
    parser.add_argument("--folder", type=Path, help="folder for the files; a temporary one by default")
    parser.add_argument("--figures", type=Path, help="JSON file to write")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="mutation-"))
    figures: dict[str, object] = {}
    faults = 0
    for outcome in run_campaign(given.count, given.seed, folder, given.first):
        figures = outcome.record()
        print(json.dumps({name: figures[name] for name in ("mutants", "wall_s", "by_reason", "lost")}), flush=True)
        for fault in outcome.faults[faults:]:
            print(f"FAULT {fault}", file=sys.stderr, flush=True)
        faults = len(outcome.faults)
        if given.figures:
            given.figures.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(f"{len(outcome.faults)} faults; slowest {outcome.slowest_s:.2f} s; files in {folder}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
