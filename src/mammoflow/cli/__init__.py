"""The command line: `mammoflow STAGE --settings FILE inputs… outputs…`, for the rules of the workflow and for people.

Each command reads its settings file, calls one function of the library, and does nothing else. A command imports its
stage when it runs, so `mammoflow --help` is fast and no stage loads the packages of another. Importing a module below
adds its commands. The order of the imports is the order of the workflow, and `mammoflow --help` shows it.
"""

from mammoflow.cli import (
    onboarding,
    download,
    images,
    audit,
    lesions,
    models,
    augmentations,
    training,
    results,
    pooling,
    dicom,
    predict,
    birads,
    weights,
    store,
    verification,
    configuration,
)
from mammoflow.cli.group import main

__all__ = ["main"]
