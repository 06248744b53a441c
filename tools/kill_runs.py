"""Kills runs of a small study at random moments, and compares what they end with.

    python tools/kill_runs.py --kills 50 --folder /tmp/kills

An undisturbed run comes first. Then the same study runs again in folders of its own. At a random moment, some jobs
after each start, the whole process group of Snakemake gets SIGKILL, and Snakemake is started again, until the run has
ended. Every table, weight file and picture must then have the bytes of the undisturbed run, and every entry of the
store its arrays. The exit code is 1 if one differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]

OVERLAY = {
    "phantom": {"patients": 16, "spacing_mm": 0.8},
    "cohort": {"shards": 2},
    "images": {"longest_side_px": 192},
    "segmentation": {"iterations": 1},
    "prompts": {"margins_mm": [0.0, 10.0]},
    "features": {"families": {"gabor": {"wavelengths_mm": [4.0, 8.0], "orientations": 2}}},
    "classification": {
        "run": ["perceptron_frozen", "perceptron_decoder_tuned", "context_crop"],
        "classifiers": {
            "perceptron_frozen": {"epochs": 3},
            "perceptron_decoder_tuned": {"epochs": 3, "input_options": {"tuning_epochs": 2}},
            "context_crop": {"epochs": 2, "input_options": {"image_px": 32}},
        },
    },
    "comparison": {"bootstrap": 100, "fewest_patients": 2, "fewest_cases": 3},
}
"""The phantom study, small: every stage of the default run."""

COMPARED = (".csv", ".parquet", ".png", ".jpg", ".safetensors", ".npy", ".svg")
"""Suffixes of the files that must be equal. Logs, run times, records and pages with dates are not compared."""

STORE = "store"

NOT_COMPARED = ("benchmarks", "logs", "settings")


@dataclass
class Outcome:
    """What the killed runs ended with.

    Attributes
    ----------
    runs
        Runs that ended.
    kills
        Kills of all runs, by the rules that were running; "no job" is a kill between jobs.
    failures
        Output of runs that ended with an error.
    differences
        Files that differ from the undisturbed run, or are missing or left over, for each run that ended.
    """

    runs: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    differences: list[list[str]] = field(default_factory=list)

    def is_good(self) -> bool:
        """Tell whether every run ended with the bytes of the undisturbed one."""
        return self.runs > 0 and not self.failures and not any(self.differences)


def snakemake_command(results: Path, overlay: Path) -> list[str]:
    """Return the command that runs the study into a folder, on two cores."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--nocolor", "--configfile", str(overlay)]
    return [*command, "--config", f"results={results}", f"store={results / STORE}"]


def start(command: Sequence[str], project: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start a command in a process group of its own, its output added to a log."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    with log.open("ab") as output:
        return subprocess.Popen(
            command, cwd=project, env=environment, stdout=output, stderr=output, start_new_session=True
        )


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process group, and every process of its session."""
    for member in [*session(process.pid), process.pid]:
        try:
            os.kill(member, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()
    while session(process.pid):
        time.sleep(0.05)


def session(leader: int) -> list[int]:
    """Return the processes of a session that have not ended."""
    members = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, number = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(number) == leader and state != "Z":
            members.append(int(folder.name))
    return members


def running_rules(log: Path, offset: int) -> list[str]:
    """Return the rules that had started and not ended, in the part of a log that follows an offset in bytes."""
    started: dict[str, str] = {}
    rule = ""
    for line in printed(log, offset).splitlines():
        if line.startswith(("rule ", "localrule ", "checkpoint ")):
            rule = line.split()[1].rstrip(":")
        elif line.strip().startswith("jobid:") and rule:
            started[line.split()[1]] = rule
            rule = ""
        elif line.startswith("Finished jobid:"):
            started.pop(line.split()[2], None)
    return sorted(set(started.values()))


def printed(log: Path, offset: int) -> str:
    """Return the part of a log that follows an offset in bytes."""
    return log.read_bytes()[offset:].decode("utf-8", errors="replace")


def wait_for_moment(process: subprocess.Popen[bytes], log: Path, offset: int, jobs: int, delay: float) -> bool:
    """Wait until a number of jobs have started, and some seconds more; tell whether the process still runs then."""
    while printed(log, offset).count("\n    jobid: ") < jobs:
        if process.poll() is not None:
            return False
        time.sleep(0.1)
    try:
        process.wait(timeout=delay)
    except subprocess.TimeoutExpired:
        return True
    return False


def contents(results: Path) -> dict[str, bytes]:
    """Return the bytes of every file of a run that must be the same; of entries of the store those of the arrays."""
    return {
        file.relative_to(results).as_posix(): arrays_of(file) if STORE in file.parts else file.read_bytes()
        for file in files_below(results)
        if file.suffix in COMPARED
    }


def arrays_of(file: Path) -> bytes:
    """Return a safetensors file without its notes, which hold the time at which an entry of the store was written."""
    content = file.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header.pop("__metadata__", None)
    return json.dumps(header, sort_keys=True).encode() + content[end:]


def files_below(results: Path) -> Iterator[Path]:
    """Give the files of a run, without those that say when and how long something ran."""
    for folder, inside, names in os.walk(results):
        inside[:] = sorted(name for name in inside if name not in NOT_COMPARED)
        yield from (Path(folder, name) for name in sorted(names))


def differing(expected: dict[str, bytes], found: dict[str, bytes]) -> list[str]:
    """Return the files that are missing, left over or different."""
    return sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))


def kill_runs(
    command_for: Callable[[Path], list[str]],
    project: Path,
    folder: Path,
    kills: int,
    seed: int,
    most_jobs: int,
    most_s: float,
) -> Outcome:
    """Run a study undisturbed, then kill it again and again.

    Parameters
    ----------
    command_for
        Function that returns the command for a folder of results.
    project
        Folder in which the command runs.
    folder
        Folder for the results and the logs.
    kills
        Kills in all; the run that is under way then goes to its end.
    seed
        Seed of the random moments.
    most_jobs
        Largest number of jobs that start before a kill.
    most_s
        Longest time between the start of the last of them and the kill, in seconds.

    Raises
    ------
    RuntimeError
        If the undisturbed run fails.
    """
    random_numbers = random.Random(seed)
    outcome = Outcome()
    reference = folder / "undisturbed"
    undisturbed = start(command_for(reference), project, folder / "undisturbed.log")
    if undisturbed.wait() != 0:
        raise RuntimeError(f"the undisturbed run failed: {(folder / 'undisturbed.log').read_text()[-3000:]}")
    expected = contents(reference)
    while sum(outcome.kills.values()) < kills:
        results, log = folder / "killed", folder / f"killed-{outcome.runs}.log"
        shutil.rmtree(results, ignore_errors=True)
        ended = False
        while not ended:
            unlock(command_for(results), project, log)
            offset = log.stat().st_size if log.exists() else 0
            process = start(command_for(results), project, log)
            moment = random_numbers.randint(0, most_jobs), random_numbers.uniform(0, most_s)
            if sum(outcome.kills.values()) < kills and wait_for_moment(process, log, offset, *moment):
                kill(process)
                outcome.kills[", ".join(running_rules(log, offset)) or "no job"] += 1
                continue
            ended = True
            if process.wait() != 0:
                outcome.failures.append(log.read_text(encoding="utf-8", errors="replace")[-3000:])
        outcome.runs += 1
        outcome.differences.append(differing(expected, contents(results)))
        said = f"run {outcome.runs}: {sum(outcome.kills.values())} kills, {len(outcome.differences[-1])} files differ"
        print(said, flush=True)
    return outcome


def unlock(command: Sequence[str], project: Path, log: Path) -> None:
    """Remove the lock of a Snakemake that was killed, as its user does."""
    if any((project / ".snakemake" / "locks").glob("*")):
        start([*command, "--unlock"], project, log).wait()


def main() -> int:
    """Run the harness; see the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="kills in all")
    parser.add_argument("--folder", type=Path, required=True, help="new folder for results and logs")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random moments")
    parser.add_argument("--most-jobs", type=int, default=6, help="largest number of jobs that start before a kill")
    parser.add_argument("--most-s", type=float, default=5, help="longest time from the last of them to the kill")
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    overlay = options.folder / "study.yaml"
    overlay.write_text(yaml.safe_dump({**OVERLAY, "run": "kills"}), encoding="utf-8")
    outcome = kill_runs(
        lambda results: snakemake_command(results, overlay),
        ROOT,
        options.folder,
        options.kills,
        options.seed,
        options.most_jobs,
        options.most_s,
    )
    for rules, count in outcome.kills.most_common():
        print(f"{count:4} kills during {rules}")
    for number, files in enumerate(outcome.differences):
        for file in files:
            print(f"run {number}: {file} differs")
    for text in outcome.failures:
        print(text)
    verdict = "every file" if outcome.is_good() else "NOT every file"
    print(f"{sum(outcome.kills.values())} kills in {outcome.runs} runs: {verdict} as in the undisturbed run")
    return 0 if outcome.is_good() else 1


if __name__ == "__main__":
    sys.exit(main())
