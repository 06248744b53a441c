"""The job that writes DICOM objects of a shard: what it reads, and in which folds it runs."""

from __future__ import annotations

from pathlib import Path

from mammoflow.config.study import StudyConfig
from mammoflow.planning.folds import fold_folders, model_folder, model_folders

DICOM_STAGE = "mammoflow.dicom_output.stage"


def dicom_folds(config: StudyConfig) -> list[str]:
    """Return the folders of the folds in which objects are written; `[""]` where they are the same in every fold."""
    if config.dicom.classifier:
        return fold_folders(config)
    return model_folders(config, config.segmentation.default_model)


def dicom_inputs(config: StudyConfig, shard: str, fold: str) -> dict[str, str]:
    """Return the files that the job of a shard reads, beside its settings.

    Parameters
    ----------
    config
        The configuration of the run.
    shard
        Name of the shard.
    fold
        Folder of its fold, with a slash at its end; "" where there is none.
    """
    run, model = Path(config.results) / config.run, config.segmentation.default_model
    segmented = f"{model_folder(config, model, fold)}segmentation/{model}/{shard}"
    inputs = {
        "images": f"{fold}images/{shard}/images.parquet",
        "lesions": f"{fold}images/{shard}/lesions.parquet",
        "masks": f"{segmented}/masks.parquet",
        "weights": f"{segmented}/weights.json",  # the objects name the weights
    }
    if config.dicom.classifier:
        inputs["predictions"] = f"{fold}classification/{config.dicom.classifier}/predictions.parquet"
    return {name: str(run / path) for name, path in inputs.items()}
