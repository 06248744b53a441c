"""The command line: `mammoflow STAGE --settings FILE inputs… outputs…`, for the rules of the workflow and for people.

Each command reads its settings file, calls one function of the library, and does nothing else. A stage is imported when
it is called, so that `mammoflow --help` is instant and no stage loads what only another one needs.
"""

from mammoflow.cli import download, images, audit, lesions, models, results, pooling, weights, store, configuration  # noqa: F401, I001 (the order of the workflow)
from mammoflow.cli.group import main

__all__ = ["main"]
