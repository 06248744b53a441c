"""The last line of a stage: what it made, what it left out, and where the files are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

MOST_REASONS = 4
"""Reasons that the line names; the tables have all of them."""


def say_end(stage: str, output: Path, excluded: Path | None = None) -> None:
    """Write the last line of a stage to standard error; nothing where the stage has written no file.

    Parameters
    ----------
    stage
        Name of the command.
    output
        What its option `--output` names.
    excluded
        Table of what was left out, where it is not in the folder of the output.
    """
    from mammoflow.run.console import say

    made = MADE[stage](output)
    if made:
        left_out = _left_out(stage, output, excluded)
        say(f"{stage}: {made}{left_out}; written to {output}")


def _left_out(stage: str, output: Path, excluded: Path | None) -> str:
    """Return what was left out, by reason."""
    if stage == "features":
        return _counted("not measured", _status_of_features(output))
    table = _table(excluded or output / "excluded.parquet") if excluded or stage == "fold" else None
    if table is None:
        return ""
    counts = table["reason"].value_counts()
    return _counted("left out", {str(reason): int(count) for reason, count in counts.items()})


def _counted(what: str, reasons: Mapping[str, int]) -> str:
    """Return the counts of some reasons as text, the most frequent first."""
    if not reasons:
        return f"; {what}: none"
    named = [f"{count} x {reason}" for reason, count in list(reasons.items())[:MOST_REASONS]]
    more = [f"{len(reasons) - MOST_REASONS} more reasons"] if len(reasons) > MOST_REASONS else []
    return f"; {what}: {'; '.join(named + more)}"


def _phantom(output: Path) -> str:
    table = _csv(output / "manifest.csv")
    return "" if table is None else f"{len(table)} files of the phantom study"


def _cohort(output: Path) -> str:
    images, lesions = _table(output / "images.parquet"), _table(output / "lesions.parquet")
    if images is None or lesions is None:
        return ""
    return f"{len(images)} images with {len(lesions)} lesions of {images['patient_id'].nunique()} patients"


def _fold(output: Path) -> str:
    images = _table(output / "cohort" / "images.parquet")
    if images is None:
        return ""
    patients = images.groupby("split")["patient_id"].nunique()
    return ", ".join(f"{int(patients.get(side, 0))} patients in {side}" for side in ("train", "validation", "test"))


def _prompts(output: Path) -> str:
    table = _table(output)
    return "" if table is None else f"{len(table)} prompts for {table['lesion_id'].nunique()} lesions"


def _masks(output: Path) -> str:
    masks, scores = _table(output / "masks.parquet"), _table(output / "scores.parquet")
    if masks is None or scores is None:
        return ""
    detections = _table(output / "detections.parquet")
    found = "" if detections is None else f", {len(detections)} detections"
    return f"{len(masks)} masks{found}, {len(scores)} scores"


def _training(output: Path) -> str:
    record = _json(output / "record.json")
    return "" if record is None else f"weights of epoch {record.get('chosen_epoch')} after {_epochs(output)} epochs"


def _features(output: Path) -> str:
    table = _table(output)
    return "" if table is None else f"features of {len(table)} lesions"


def _status_of_features(output: Path) -> dict[str, int]:
    table = _table(output)
    if table is None:
        return {}
    return {str(status): int(count) for status, count in table["status"].value_counts().items() if status != "ok"}


def _classifier(output: Path) -> str:
    record = _json(output / "training.json") or {}
    if record.get("classes"):
        table = _table(output / "class_predictions.parquet")
        images = 0 if table is None else table["image_id"].nunique()
        return f"predictions of {images} images after {_epochs(output)} epochs"
    table = _table(output / "predictions.parquet")
    if table is None:
        return ""
    lesions = table.groupby("lesion_id")["probability"].apply(lambda values: values.notna().any())
    without = f"; left out: {int((~lesions).sum())} lesions without an input" if not lesions.all() else ""
    elsewhere = record.get("trained_elsewhere")
    how = f"by weights of the run {elsewhere['run']}" if elsewhere else f"after {_epochs(output)} epochs"
    return f"predictions of {int(lesions.sum())} lesions {how}{without}"


def _saliency(output: Path) -> str:
    table = _table(output / "saliency.parquet")
    return "" if table is None else f"{len(table)} saliency maps"


def _comparison(output: Path) -> str:
    table = _csv(output / "comparison.csv")
    return "" if table is None else f"{len(table)} rows in comparison.csv"


def _page(output: Path) -> str:
    return f"a page of {output.stat().st_size / 1e6:.1f} MB" if output.is_file() else ""


def _protocols(output: Path) -> str:
    table = output / "protocol_comparison.csv"
    return f"{len(table.read_text(encoding='utf-8').splitlines()) - 1} models" if table.is_file() else ""


MADE: dict[str, Callable[[Path], str]] = {
    "phantom": _phantom,
    "cohort": _cohort,
    "fold": _fold,
    "prompts": _prompts,
    "segment": _masks,
    "segment-automatic": _masks,
    "train-segmenter": _training,
    "features": _features,
    "classify": _classifier,
    "saliency": _saliency,
    "compare": _comparison,
    "pool": _comparison,
    "protocols": _protocols,
    "report": _page,
}
"""What each stage made, as text.

`images`, `audit`, `stability`, `robustness`, `search`, `search-segmenter`, `download` and `prefetch` write such lines
themselves.
"""


def _epochs(output: Path) -> int:
    history = _csv(output / "history.csv")
    return 0 if history is None else int(history["epoch"].max())


def _table(path: Path) -> pd.DataFrame | None:
    from mammoflow.tables.files import read_parquet

    return read_parquet(path) if path.is_file() else None


def _csv(path: Path) -> pd.DataFrame | None:
    from mammoflow.tables.files import read_csv

    return read_csv(path) if path.is_file() else None


def _json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    from mammoflow.storage.files import read_json

    return read_json(path)
