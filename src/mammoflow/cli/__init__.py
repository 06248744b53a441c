"""The command line: `mammoflow STAGE --settings FILE inputs… outputs…`, for the rules of the workflow and for people.

Each command reads its settings file, calls one function of the library, and does nothing else. A stage is imported when
it is called, so that `mammoflow --help` is instant and no stage loads what only another one needs. The modules
below are imported for the commands that they add, in the order of the workflow, which `mammoflow --help` shows.
"""

from mammoflow.cli import (
    download,
    images,
    audit,
    lesions,
    models,
    training,
    results,
    pooling,
    weights,
    store,
    configuration,
)
from mammoflow.cli.group import main

__all__ = ["main"]
