"""What is looked at before the first job of a run: that its files are there, and whether there is a GPU."""

from __future__ import annotations

from pathlib import Path

from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError


def gpu_present() -> bool:
    """Tell whether this machine has an NVIDIA GPU and its driver, without loading torch."""
    return Path("/dev/nvidiactl").exists()


def check_files(config: StudyConfig) -> None:
    """Check that the study, its tables and all weights files are there.

    Raises
    ------
    ConfigError
        If the study or a table is not; the message names the key, the path, and what to do.
    WeightsError
        If a weights file is not; the message names the file, its checksum, and the command that fetches it.
    """
    dataset = config.cohort.dataset
    if dataset.reader != "phantom":
        folder = Path(dataset.folder)
        if not dataset.folder or not folder.is_dir():
            raise ConfigError(
                f"cohort.dataset.folder: found {dataset.folder!r}, which is no folder; expected the folder of the "
                f"study; correct the path, or set cohort.dataset.reader to phantom for the embedded study"
            )
        for table in dataset.tables:
            if not (folder / table).is_file():
                raise ConfigError(
                    f"cohort.dataset.tables: found {table!r}, which does not exist in {folder}; expected a case table, "
                    "relative to cohort.dataset.folder; correct the name"
                )
    for model in config.segmentation.models:
        weights = config.segmentation.weights.get(model)
        if not (model == "small" and weights is None) and not (weights and Path(weights).is_file()):
            from mammoflow.segmentation.weights import find_weights  # loads torch, so only for its error

            find_weights(model, Path(weights) if weights else None)
    weights = config.classification.efficientnet.weights
    if weights and not Path(weights).is_file():
        raise ConfigError(
            f"classification.efficientnet.weights: found {weights!r}, which does not exist; expected a weights file of "
            "EfficientNet-B0; correct the path, or leave it empty to start from random weights"
        )
