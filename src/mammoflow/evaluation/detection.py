"""What automatic models find and miss: sensitivity at stated false positives, and Dice of lesions and images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.estimates import proportion_estimate
from mammoflow.evaluation.froc import Marks, froc_curve, sensitivity_estimates
from mammoflow.evaluation.inputs import Run, measured_lesions, measured_maps
from mammoflow.evaluation.metrics import FloatArray
from mammoflow.evaluation.proportions import proportion
from mammoflow.tables.detections import AUTOMATIC
from mammoflow.tables.images import FULLY_ANNOTATED

FALSE_POSITIVES_PER_IMAGE = (0.25, 0.5, 1.0, 2.0, 4.0)
"""False positives per image at which the sensitivity is stated."""

DETECTION_SPLITS = ("test", "all")
COUNTS = (
    "images",
    "images_with_lesions",
    "images_without_lesions",
    "images_not_fully_annotated",
    "patients",
    "patients_seen",
    "lesions",
    "hits",
    "missed",
    "false_positives",
    "further_components",
    "images_both_empty",
    "images_with_dice",
    "images_with_distances",
)
IMAGE_SCORES = ("iou", "precision", "recall", "pixel_accuracy", "hd95_mm", "surface_distance_mm")
"""Scores of MAPS whose mean over the images with a lesion is stated beside that of Dice."""

ESTIMATES = (
    "sensitivity",
    "false_positives_per_image",
    "false_positives_with_lesions",
    "false_positives_without_lesions",
    *(f"sensitivity_at_{level:g}" for level in FALSE_POSITIVES_PER_IMAGE),
    "dice_hits",
    "dice_lesions",
    "dice_images",
    "dice_images_with_lesions",
    *(f"{name}_images_with_lesions" for name in IMAGE_SCORES),
)
DETECTION_COLUMNS = (
    *("split", "model", "threshold", "hit_rule"),
    *COUNTS,
    *(f"{name}{end}" for name in ESTIMATES for end in ("", "_low", "_high")),
)
FROC_COLUMNS = (
    *("split", "model", "score", "false_positives_per_image", "sensitivity"),
    *("images", "lesions", "patients", "patients_seen"),
)


@dataclass(frozen=True)
class Detected:
    """One automatic model on the images of a split.

    Attributes
    ----------
    maps
        Rows of MAPS.
    detections
        Rows of DETECTIONS, with `fully_annotated` of their image.
    lesions
        Rows of SEGMENTATION_SCORES of the model, one a lesion, with `hit` and `score`, the highest of a component that
        hits the lesion, -inf for a missed one.
    """

    maps: pd.DataFrame
    detections: pd.DataFrame
    lesions: pd.DataFrame

    @property
    def complete(self) -> pd.DataFrame:
        """The maps on which false positives are counted.

        A component on an image with a lesion that the run does not know may be right.
        """
        return self.maps[self.maps[FULLY_ANNOTATED]]

    @property
    def false_positives(self) -> pd.DataFrame:
        """Components on these maps that hit no lesion."""
        return self.detections[self.detections["lesion_id"].isna() & self.detections[FULLY_ANNOTATED]]

    def marks(self) -> Marks:
        """Return what the FROC curve is computed from."""
        patients = sorted(set(self.maps["patient_id"]))
        place = {patient: index for index, patient in enumerate(patients)}

        def places(table: pd.DataFrame) -> np.ndarray:
            return table["patient_id"].map(place).to_numpy(dtype=np.int64)

        wrong = self.false_positives
        return Marks(
            patients=patients,
            images=places(self.complete),
            lesions=places(self.lesions),
            lesion_scores=self.lesions["score"].to_numpy(dtype=np.float64),
            false_positives=places(wrong),
            false_positive_scores=wrong["score"].to_numpy(dtype=np.float64),
        )


def detected_by_model(run: Run, split: str) -> dict[str, Detected]:
    """Return what each automatic model of a run found on the images of a split, or of `all`.

    Lesions of unknown malignancy take no part, as in every other figure, and so do images that have no others; a
    component that hits such a lesion is no false positive. If no lesion of the study has a label, all take part.
    """
    chosen = measured_maps(run)
    chosen = chosen if split == "all" else chosen[chosen["split"] == split]
    measured = measured_lesions(run).index
    models = {}
    for model, maps in chosen.groupby("model", sort=True):
        on_maps = run.detections["image_id"].isin(maps["image_id"])
        components = run.detections[(run.detections["model"] == model) & on_maps]
        annotated = components["image_id"].map(maps.set_index("image_id")[FULLY_ANNOTATED]).astype(bool)
        components = components.assign(**{FULLY_ANNOTATED: annotated})
        scored = run.scores[(run.scores["model"] == model) & (run.scores["origin"] == AUTOMATIC)]
        scored = scored[scored["image_id"].isin(maps["image_id"]) & scored["lesion_id"].isin(measured)]
        best = components[components["lesion_id"].notna()].groupby("lesion_id")["score"].max()
        score = scored["lesion_id"].map(best).astype("float64")
        models[str(model)] = Detected(maps, components, scored.assign(hit=score.notna(), score=score.fillna(-np.inf)))
    return models


def detection_table(run: Run, bootstrap: PatientBootstrap) -> pd.DataFrame:
    """Summarise each automatic model on the test split and on all images.

    Returns
    -------
    DataFrame
        One row per split and model. `sensitivity` is the share of lesions that are hit by a component, whatever its
        score; `sensitivity_at_F` the highest with at most F false positives per image. `dice_hits` is the mean over the
        lesions that are hit, `dice_lesions` over all, where a missed lesion is 0; `dice_images` over whole images, 1
        where neither the reference nor the model marks anything (`images_both_empty` counts these), and
        `dice_images_with_lesions` over the images with a lesion, as the other scores of images. These are defined on
        the images whose lesions are all known and have masks (`images_with_dice`), distances on those of them that
        have a component (`images_with_distances`). Every mean has an interval over patients.
    """
    rows = [
        {"split": split, "model": model, **_settings(detected), **_counts(detected), **_estimates(detected, bootstrap)}
        for split in DETECTION_SPLITS
        for model, detected in detected_by_model(run, split).items()
    ]
    return pd.DataFrame(rows, columns=[*DETECTION_COLUMNS])


def _settings(detected: Detected) -> dict[str, object]:
    return {name: detected.maps[name].iloc[0] for name in ("threshold", "hit_rule")}


def _counts(detected: Detected) -> dict[str, int]:
    maps, lesions, complete = detected.maps, detected.lesions, detected.complete
    hits = int(lesions["hit"].sum())
    both_empty = (complete["lesions"] == 0) & (complete["components"] == 0)
    with_lesions = complete[complete["lesions"] > 0]
    return {
        "images": len(maps),
        "images_with_lesions": int((maps["lesions"] > 0).sum()),
        "images_without_lesions": int((maps["lesions"] == 0).sum()),
        "images_not_fully_annotated": len(maps) - len(complete),
        "patients": int(maps["patient_id"].nunique()),
        "patients_seen": int(maps.loc[maps["seen"], "patient_id"].nunique()),
        "lesions": len(lesions),
        "hits": hits,
        "missed": len(lesions) - hits,
        "false_positives": len(detected.false_positives),
        "further_components": int((detected.detections["lesion_id"].notna() & ~detected.detections["is_mask"]).sum()),
        "images_both_empty": int(both_empty.sum()),
        "images_with_dice": int(with_lesions["dice"].notna().sum()),
        "images_with_distances": int(with_lesions["hd95_mm"].notna().sum()),
    }


def _estimates(detected: Detected, bootstrap: PatientBootstrap) -> dict[str, float]:
    """Return the columns of ESTIMATES with their intervals."""
    marks = detected.marks()
    columns: dict[str, float] = {}

    def add_mean(name: str, table: pd.DataFrame, values: pd.Series) -> None:
        """Add the mean over the rows of a table where the value is defined."""
        defined = values.notna().to_numpy()
        numbers: FloatArray = values.to_numpy(dtype=np.float64, na_value=np.nan)[defined]
        # A patient without such a row is drawn as well, so a resample may have fewer rows than the table.
        rest = sorted(set(marks.patients) - set(table["patient_id"][defined]))
        sums = np.concatenate([numbers, np.zeros(len(rest))])[:, None]
        counts = np.concatenate([np.ones(len(numbers)), np.zeros(len(rest))])[:, None]
        means = bootstrap.ratios(sums, counts, [*table["patient_id"][defined], *rest])[:, 0]
        columns.update(bootstrap.estimate(means, table["patient_id"][defined].tolist()).columns(name))

    complete, lesions = detected.complete, detected.lesions
    wrong = complete["image_id"].map(detected.false_positives["image_id"].value_counts()).fillna(0)
    has_lesion = (complete["lesions"] > 0).astype(bool)
    hits = lesions["hit"].to_numpy(dtype=np.float64)
    sensitivity = proportion([hits], [np.ones(len(hits))], lesions["patient_id"].tolist())
    columns |= proportion_estimate(sensitivity, bootstrap).columns("sensitivity")
    add_mean("false_positives_per_image", complete, wrong)
    add_mean("false_positives_with_lesions", complete[has_lesion], wrong[has_lesion])
    add_mean("false_positives_without_lesions", complete[~has_lesion], wrong[~has_lesion])
    levels = sensitivity_estimates(marks, FALSE_POSITIVES_PER_IMAGE, bootstrap)
    for level, estimate in zip(FALSE_POSITIVES_PER_IMAGE, levels, strict=True):
        columns |= estimate.columns(f"sensitivity_at_{level:g}")
    add_mean("dice_hits", lesions[lesions["hit"]], lesions.loc[lesions["hit"], "dice"])
    add_mean("dice_lesions", lesions, lesions["dice"])
    add_mean("dice_images", complete, complete["dice"])
    for name in ("dice", *IMAGE_SCORES):
        add_mean(f"{name}_images_with_lesions", complete[has_lesion], complete.loc[has_lesion, name])
    return columns


def froc_table(run: Run) -> pd.DataFrame:
    """Return the points of each automatic model's FROC curve, one row per split, model and score that cuts."""
    tables = []
    for split in DETECTION_SPLITS:
        for model, detected in detected_by_model(run, split).items():
            marks = detected.marks()
            curve = froc_curve(marks, np.ones((1, len(marks.patients))))
            counts = _counts(detected)
            tables.append(
                pd.DataFrame(
                    {
                        "split": split,
                        "model": model,
                        "score": curve.cuts[1:],
                        "false_positives_per_image": curve.false_positives[0, 1:],
                        "sensitivity": curve.sensitivity[0, 1:],
                        "images": len(marks.images),
                        **{name: counts[name] for name in ("lesions", "patients", "patients_seen")},
                    }
                )
            )
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*FROC_COLUMNS])
