"""A Slurm cluster of one node on the loopback address, started by hand in a folder and taken down again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo")
"""What Debian's packages slurm-wlm and munge install."""

NODE = "localhost"

SYSTEM_FILE = Path("/etc/slurm/slurm.conf")
"""Where the commands of Slurm look; a job that calls srun has no variable that names another file."""

CONFIGURATION = """\
ClusterName=one
SlurmctldHost={node}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=1,defer=0,batch_sched_delay=0
SchedulerType=sched/backfill
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
ReturnToService=2
SlurmdTimeout=20
KillWait=5
MinJobAge=600
NodeName={node} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb} State=UNKNOWN
PartitionName=main Nodes={node} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Return why no cluster can be started here, or ""."""
    if os.geteuid() != 0:
        return "needs root, which starts the daemons of Slurm"
    if SYSTEM_FILE.exists():
        return f"this machine belongs to a cluster: it has {SYSTEM_FILE}"
    absent = [program for program in PROGRAMS if shutil.which(program, path=search_path()) is None]
    return f"needs {', '.join(absent)}: install Debian's slurm-wlm and munge" if absent else ""


def search_path() -> str:
    """Return the search path of programs, with the folders of system programs."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


class OneNodeCluster:
    """The cluster, for a `with` statement.

    Parameters
    ----------
    folder
        Folder of its files. Its path is short, because it has a socket.
    cpus, memory_mb
        Of the node.
    """

    def __init__(self, folder: Path, cpus: int, memory_mb: int) -> None:
        self.folder = folder
        self.daemons: list[subprocess.Popen[bytes]] = []
        self.environment = {**os.environ, "PATH": search_path()}
        controller, daemon = free_port(), free_port()
        text = CONFIGURATION.format(
            node=NODE, folder=folder, controller=controller, daemon=daemon, cpus=cpus, memory_mb=memory_mb
        )
        for name in ("state", "spool"):
            (folder / name).mkdir(parents=True)
        (folder / "slurm.conf").write_text(text, encoding="utf-8")

    def __enter__(self) -> OneNodeCluster:
        SYSTEM_FILE.symlink_to(self.folder / "slurm.conf")
        try:
            self._start_munge()
            self._start("slurmctld", "-D", "-c")
            self.start_node()
            self.wait_for_node("idle")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        subprocess.run(["scancel", "--user", "root"], env=self.environment, check=False, capture_output=True)
        self._stop()

    def start_node(self) -> None:
        """Start the daemon of the node."""
        self._start("slurmd", "-D", "-N", NODE)

    def kill_node(self) -> None:
        """Kill the daemon of the node and its jobs, as a crash of the node does."""
        daemon = self.daemons.pop()
        for process in [*self.programs(), *self.steps()]:
            os.kill(process, signal.SIGKILL)
        daemon.kill()
        daemon.wait()

    def restart_node(self, seconds: float = 60) -> None:
        """Start the daemon of the node again, and have the controller use the node.

        Raises
        ------
        TimeoutError
            If the node does not come back in this time.
        """
        self.start_node()
        end = time.monotonic() + seconds
        while (state := self.node_state()) not in ("idle", "allocated", "mixed", "completing"):
            if time.monotonic() > end:
                raise TimeoutError(f"the node is {state!r} after {seconds:g} s")
            if state.startswith("down"):
                subprocess.run(
                    ["scontrol", "update", f"NodeName={NODE}", "State=RESUME"], env=self.environment, check=False
                )
            time.sleep(0.5)

    def node_state(self) -> str:
        """Return the state of the node, such as `idle`; "" while the controller does not answer."""
        command = ["sinfo", "--noheader", "--format=%T"]
        shown = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        return shown.stdout.strip()

    def steps(self) -> list[int]:
        """Return the processes by which the daemon of the node watches its jobs."""
        return processes("-f", "slurmstepd: ")

    def programs(self) -> list[int]:
        """Return the scripts of the jobs, which the steps started."""
        return [program for step in self.steps() for program in processes("-P", str(step))]

    def ask(self, *command: str) -> str:
        """Return what a command of Slurm prints."""
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout

    def queued(self, state: str = "") -> list[str]:
        """Return the numbers of the jobs that are queued or running, or of those in a state such as `RUNNING`."""
        return self.ask("squeue", "--noheader", "--format=%i", *(["--states", state] if state else [])).split()

    def wait_for_node(self, state: str, seconds: float = 60) -> None:
        """Wait until the node is in a state, such as `idle`.

        Raises
        ------
        TimeoutError
            If it takes longer; the logs of the daemons are in the message.
        """
        end = time.monotonic() + seconds
        while (found := self.node_state()) != state:
            if time.monotonic() > end:
                logs = [file.read_text(errors="replace")[-2000:] for file in sorted(self.folder.glob("*.log"))]
                raise TimeoutError("\n".join([f"the node is {found!r}, not {state!r}", *logs]))
            time.sleep(0.2)

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        command = ["munged", "--foreground", "--force", f"--key-file={key}"]
        for name in ("socket", "pid-file", "log-file", "seed-file"):
            command.append(f"--{name}={self.folder / ('munge.' + name.removesuffix('-file'))}")
        self._start(*command)
        end = time.monotonic() + 20
        while not (self.folder / "munge.socket").exists():
            if time.monotonic() > end:
                raise TimeoutError("munged made no socket in 20 s")
            time.sleep(0.05)

    def _start(self, *command: str) -> None:
        output = (self.folder / f"{command[0]}.out.log").open("wb")
        self.daemons.append(
            subprocess.Popen(command, env=self.environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        )

    def _stop(self) -> None:
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in reversed(self.daemons):
            try:
                daemon.wait(timeout=15)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        SYSTEM_FILE.unlink(missing_ok=True)


def processes(*selection: str) -> list[int]:
    """Return the processes that pgrep selects."""
    listed = subprocess.run(["pgrep", *selection], capture_output=True, text=True, check=False)
    return [int(process) for process in listed.stdout.split()]


def free_port() -> int:
    """Return a port of the loopback address that nobody uses now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
