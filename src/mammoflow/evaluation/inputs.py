"""What the stages before the comparison wrote, read and checked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.errors import LeakageError, StudyError
from mammoflow.evaluation.class_scores import read_class_predictions
from mammoflow.storage.files import read_json
from mammoflow.tables.classes import CLASS_PREDICTIONS
from mammoflow.tables.cohort import EXCLUDED, IMAGES, LESIONS, measured
from mammoflow.tables.detections import DETECTIONS, MAPS
from mammoflow.tables.features import FEATURES
from mammoflow.tables.files import empty_table, read_csv, read_table, read_tables
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS, LABELLED
from mammoflow.tables.masks import EMPTY_SCORES, MASKS, SEGMENTATION_SCORES
from mammoflow.tables.predictions import PREDICTIONS
from mammoflow.tables.saliency import SALIENCY
from mammoflow.tables.study import is_leaking, is_phantom
from mammoflow.weights.seen_patients import RECORD_FILE


@dataclass(frozen=True)
class Run:
    """The tables of a whole run, shards joined.

    Attributes
    ----------
    study
        Content of `study.json`.
    cohort_images, cohort_lesions
        Every image and lesion that the cohort stage kept.
    images, lesions
        Those that the image stage could use.
    excluded
        What both stages left out, and lesions and boxes that gave no prompt, with reasons.
    scores, masks
        Segmentation scores, and the masks that later stages use, of all models.
    mask_model
        Name of the segmentation model whose masks features and classifiers use; "" without segmentation.
    features
        Name of each feature family to its features, one row per lesion.
    predictions
        Of all trained classifiers and seeds.
    training
        What each classifier's `training.json` says, by model.
    weights
        What each segmentation model's `weights.json` says, by model.
    detections, maps
        Components and probability maps of all automatic models.
    empty_scores
        Masks of images without a lesion, prompted at their middle.
    saliency
        How saliency maps of classifiers lie on the reference masks.
    history
        Learning curves of all classifiers: the rows of `history.csv`, with `model` and `fold` (0 without folds).
    class_predictions
        Of all classifiers of the classes of images and seeds, and of their floor.
    segmenters, segmenter_history
        Records and learning curves of the segmentation models that the run trained, likewise.
    """

    study: dict[str, Any]
    cohort_images: pd.DataFrame
    cohort_lesions: pd.DataFrame
    images: pd.DataFrame
    lesions: pd.DataFrame
    excluded: pd.DataFrame
    scores: pd.DataFrame
    masks: pd.DataFrame
    mask_model: str
    features: dict[str, pd.DataFrame]
    predictions: pd.DataFrame
    training: dict[str, Any]
    weights: dict[str, Any] = field(default_factory=dict)
    detections: pd.DataFrame = field(default_factory=lambda: empty_table(DETECTIONS))
    maps: pd.DataFrame = field(default_factory=lambda: empty_table(MAPS))
    empty_scores: pd.DataFrame = field(default_factory=lambda: empty_table(EMPTY_SCORES))
    saliency: pd.DataFrame = field(default_factory=lambda: empty_table(SALIENCY))
    history: pd.DataFrame = field(default_factory=pd.DataFrame)
    class_predictions: pd.DataFrame = field(default_factory=lambda: empty_table(CLASS_PREDICTIONS))
    segmenters: dict[str, Any] = field(default_factory=dict)
    segmenter_history: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def phantom(self) -> bool:
        """Whether the study is made of phantoms, so that its results say nothing about patients."""
        return is_phantom(self.study)

    @property
    def leaking(self) -> bool:
        """Whether the split puts patients on two sides on purpose (the published protocol)."""
        return is_leaking(self.study)

    @property
    def oracle(self) -> bool:
        """Whether masks were chosen by the reference, among iterations or heads: the scores say so."""
        return any(bool((self.scores[column] == "oracle").any()) for column in ("choice", "head_choice"))


def read_run(
    cohort: Path,
    images: list[Path],
    segmentation: list[Path],
    features: list[Path],
    predictions: list[Path],
    prompts: Sequence[Path] = (),
    saliency: Sequence[Path] = (),
    class_predictions: Sequence[Path] = (),
    trained: Sequence[Path] = (),
) -> Run:
    """Read and check the tables of a run.

    `segmentation` are folders `<model>/<shard>`; first come those of the model whose masks go to features and
    classifiers. `features` are tables `<family>/<shard>.parquet`; the folder names the family. `prompts` are the tables
    of what gave no prompt, one for each shard and source. `saliency` are folders of classifiers, `trained` those of
    segmentation models that the run trained. `class_predictions` are tables of classifiers of classes.

    Raises
    ------
    StudyError
        If a table is missing, does not fit its schema, or belongs to another cohort than the rest.
    LeakageError
        If a patient is on two sides of the split and the study does not say so.
    """
    prediction_files = [path / "predictions.parquet" if path.is_dir() else path for path in predictions]
    of_classifiers = [*prediction_files, *class_predictions]
    canonical = _join([folder / "images.parquet" for folder in images], CANONICAL_IMAGES)
    scores = _join([folder / "scores.parquet" for folder in segmentation], SEGMENTATION_SCORES)
    run = Run(
        study=read_json(cohort / "study.json"),
        cohort_images=read_table(cohort / "images.parquet", IMAGES),
        cohort_lesions=read_table(cohort / "lesions.parquet", LESIONS),
        images=canonical,
        lesions=_join([folder / "lesions.parquet" for folder in images], CANONICAL_LESIONS),
        excluded=_join([*(folder / "excluded.parquet" for folder in [cohort, *images]), *prompts], EXCLUDED),
        # Each model's folder holds the rows of the ellipse floor too.
        scores=scores.drop_duplicates(
            ["model", "field_of_view", "feed", "lesion_id", "prompt_id", "iteration"], ignore_index=True
        ),
        masks=_join([folder / "masks.parquet" for folder in segmentation], MASKS),
        mask_model=segmentation[0].parent.name if segmentation else "",
        features=_features(features),
        predictions=_join(prediction_files, PREDICTIONS),
        training=_records(of_classifiers, "training.json"),
        weights={path.parents[1].name: read_json(path) for path in _existing(segmentation, "weights.json")},
        detections=_join(_existing(segmentation, "detections.parquet"), DETECTIONS),
        maps=_join(_existing(segmentation, "maps.parquet"), MAPS),
        empty_scores=_join(_existing(segmentation, "empty.parquet"), EMPTY_SCORES),
        saliency=_join([folder / "saliency.parquet" for folder in saliency], SALIENCY),
        history=_history(of_classifiers),
        class_predictions=read_class_predictions(class_predictions, canonical),
        segmenters=_records([folder / RECORD_FILE for folder in trained], RECORD_FILE),
        segmenter_history=_history([folder / RECORD_FILE for folder in trained]),
    )
    _check(run)
    return run


def labelled_lesions(run: Run) -> pd.DataFrame:
    """Return the usable lesions of known malignancy, indexed by lesion."""
    lesions = run.lesions.set_index("lesion_id")
    return lesions[lesions["malignant"].notna()]


def measured_lesions(run: Run) -> pd.DataFrame:
    """Return the lesions whose masks are scored, indexed by lesion."""
    return measured(run.lesions).set_index("lesion_id")


def measured_maps(run: Run) -> pd.DataFrame:
    """Return the rows of MAPS whose images take part in the figures of automatic models.

    An image takes part where it has a lesion of `measured_lesions`, or is known to have none.
    """
    if LABELLED not in run.images.columns:
        return run.maps
    left_out = ~run.images[LABELLED].astype(bool)
    if run.lesions["malignant"].isna().all():
        left_out &= ~run.images["image_id"].isin(run.lesions["image_id"])
    return run.maps[~run.maps["image_id"].isin(run.images.loc[left_out, "image_id"])]


def plain_columns(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return some columns of a table with text, also in the index, as Python's own.

    The comparison takes rows of its tables thousands of times. That takes a quarter of the time without columns that
    nobody asks for and without text in Arrow's form.
    """
    narrow = table[[name for name in columns if name in table.columns]]
    text = [name for name, dtype in narrow.dtypes.items() if isinstance(dtype, pd.StringDtype)]
    narrow = narrow.astype(dict.fromkeys(text, object))
    return narrow.set_axis(narrow.index.astype(object)) if isinstance(narrow.index.dtype, pd.StringDtype) else narrow


def _join(paths: list[Path], schema: Any) -> pd.DataFrame:
    return read_tables(paths, schema) if paths else empty_table(schema)


def _existing(folders: list[Path], name: str) -> list[Path]:
    """Return the files of this name; some models write them."""
    return [folder / name for folder in folders if (folder / name).is_file()]


def _features(paths: list[Path]) -> dict[str, pd.DataFrame]:
    """Join the shards of each feature family; the folder of a table is the name of its family."""
    families = dict.fromkeys(path.parent.name for path in paths)
    return {
        family: read_tables([path for path in paths if path.parent.name == family], FEATURES) for family in families
    }


def _records(files: Sequence[Path], name: str) -> dict[str, Any]:
    """Read the training records of the folders of some files; the key is the name of the folder."""
    records = {}
    for path in files:
        record = path.parent / name
        if record.is_file():
            records[path.parent.name] = read_json(record)
    return records


def _history(beside: Sequence[Path]) -> pd.DataFrame:
    """Read the learning curves beside some files, where there are any."""
    files = [path.parent / "history.csv" for path in beside]
    tables = [read_csv(file).assign(model=file.parent.name, fold=0) for file in files if file.is_file()]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _check(run: Run) -> None:
    """Stop where a patient leaks, or where the tables do not belong together."""
    sides = run.lesions.groupby("patient_id")["split"].nunique()
    shared = sorted(sides.index[sides > 1])
    if shared and not run.leaking:
        raise LeakageError(
            f"{len(shared)} patients are on two sides of the split, for instance {', '.join(shared[:5])}; "
            "expected each patient on one side; run the cohort stage again"
        )
    lesions = run.lesions.set_index("lesion_id")
    for name, table in (
        ("predictions", run.predictions),
        ("segmentation scores", run.scores),
        ("masks", run.masks),
        ("saliency maps", run.saliency),
    ):
        strangers = sorted(set(table["lesion_id"]) - set(lesions.index))
        if strangers:
            raise StudyError(
                f"{name} hold {len(strangers)} lesions that the images do not, for instance {strangers[0]}; "
                "they were made from another cohort; run the stages after the images again"
            )
    table = run.predictions
    for column in ("split", "malignant"):
        expected = table["lesion_id"].map(lesions[column])
        differing = table.loc[(table[column] != expected).fillna(False)]
        if len(differing):
            raise StudyError(
                f"predictions of {differing['model'].iloc[0]} say {column} {differing[column].iloc[0]!r} for lesion "
                f"{differing['lesion_id'].iloc[0]}, the cohort says {expected[differing.index[0]]!r}; "
                "run the classifiers again"
            )
