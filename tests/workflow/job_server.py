"""Runs jobs of the workflow: the packages outside mammoflow are loaded once, and each job is a fork of this process.

A job is a connection to the socket that the command line names: standard output, standard error, and a JSON object with
`arguments`, `folder` and `environment`; the answer is the exit code. `python job_server.py SOCKET -m mammoflow.cli ...`
is the job's side of the connection: it takes the place of the interpreter that a rule starts.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import select
import socket
import sys
import traceback
from pathlib import Path

LENGTH = 1 << 20
"""Bytes of a request that are read at once."""

PACKAGES = (
    "captum.attr",
    "cv2",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "pandera.pandas",
    "pydicom.pixels",
    "radiomics.featureextractor",
    "scipy.stats",
    "skimage.measure",
    "sklearn.ensemble",
    "torchvision",
)
"""What costs most of the start of a job. A job loads itself what is missing here, and all of mammoflow."""


def ask(path: str, arguments: list[str]) -> int:
    """Have the server run a job; return its exit code."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        request = {"arguments": arguments, "folder": str(Path.cwd()), "environment": dict(os.environ)}
        socket.send_fds(connection, [json.dumps(request).encode()], [1, 2])
        connection.shutdown(socket.SHUT_WR)
        return int(connection.makefile().read() or 1)


def serve(path: str) -> None:
    """Take jobs, which may run side by side, until standard input ends."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        while sys.stdin not in select.select([server, sys.stdin], [], [])[0]:
            connection, _ = server.accept()
            if os.fork() == 0:
                server.close()
                answer(connection)
                os._exit(0)
            connection.close()
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def answer(connection: socket.socket) -> None:
    """Run one job in a process of its own, which may crash, and send its exit code."""
    text, files, _, _ = socket.recv_fds(connection, LENGTH, 2)
    while more := connection.recv(LENGTH):
        text += more
    request = json.loads(text)
    job = os.fork()
    if job == 0:
        for file, place in zip(files, (1, 2), strict=True):
            os.dup2(file, place)
        code = run(**request)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    connection.sendall(str(os.waitstatus_to_exitcode(os.waitpid(job, 0)[1])).encode())


def run(arguments: list[str], folder: str, environment: dict[str, str]) -> int:
    """Do what `python -m MODULE ...` does in a folder and an environment."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = environment.get("PYTHONPATH", "").split(os.pathsep)
    option, module, *sys.argv[1:] = arguments
    try:
        if option != "-m":
            raise ValueError(f"found {arguments}; expected -m MODULE")
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    if sys.argv[2] == "serve":
        for name in PACKAGES:
            importlib.import_module(name)
        serve(sys.argv[1])
    else:
        sys.exit(ask(sys.argv[1], sys.argv[2:]))
