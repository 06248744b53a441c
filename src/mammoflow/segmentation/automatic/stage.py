"""The stage of segmentation without prompts: the images of a shard to maps, components, masks and scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.config.detection import AutomaticSettings
from mammoflow.run.runtime import choose_device, set_threads
from mammoflow.segmentation.automatic.loading import load_automatic
from mammoflow.segmentation.automatic.maps import LEVELS, Row, probability_maps
from mammoflow.segmentation.matching import NO_LESION, Components, Matching, find_components, hit_rule, match
from mammoflow.segmentation.protocol.automatic import AutomaticModel
from mammoflow.segmentation.scoring.references import References, score_rows
from mammoflow.segmentation.scoring.scores import Masks, score_masks
from mammoflow.segmentation.scoring.surfaces import CutMask
from mammoflow.storage.files import array_digest, write_image, write_mask
from mammoflow.storage.names import file_name
from mammoflow.tables.detections import AUTOMATIC, DETECTIONS, MAPS, NO_PROMPT
from mammoflow.tables.files import empty_table, read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS, FULLY_ANNOTATED
from mammoflow.tables.masks import MASKS, SEGMENTATION_SCORES
from mammoflow.weights.origin import write_origin
from mammoflow.weights.registry import ModelSpec
from mammoflow.weights.seen_patients import is_seen, seen_patients

IMAGE_SCORES = ("dice", "iou", "precision", "recall", "pixel_accuracy", "hd95_mm", "surface_distance_mm")
"""Scores of all components of an image with all of its lesions."""

TABLES = {"detections": DETECTIONS, "maps": MAPS, "masks": MASKS, "scores": SEGMENTATION_SCORES}


def segment_automatic(settings: AutomaticSettings, model: ModelSpec, images: Path, output: Path, threads: int) -> None:
    """Segment the images of a shard without prompts; images without a lesion are among them.

    Parameters
    ----------
    settings
        Threshold, components, rule for a hit, device, precision.
    model
        The automatic model.
    images
        Folder of the shard's canonical images.
    output
        Folder for `map/`, `mask/`, `detections.parquet`, `maps.parquet`, `masks.parquet`, `scores.parquet`, and
        `weights.json`, which says what the weights are.
    threads
        Threads of this job.

    Raises
    ------
    ConfigError
        If the model needs prompts.
    StudyError
        If a table, an image or a mask is missing or does not fit.
    WeightsError
        If the weights are missing, not the published ones, or carry code.
    """
    set_threads(threads)
    image_table = read_table(images / "images.parquet", CANONICAL_IMAGES)
    lesions = read_table(images / "lesions.parquet", CANONICAL_LESIONS)
    network = load_automatic(model, choose_device(settings.device), settings.precision)
    weights = model.file
    run = _Detection(settings, network, lesions, images, output, seen_patients(weights) if weights else frozenset())
    for image, levels in probability_maps(network, image_table, images, settings.batch_images):
        run.add(image, levels)
    (output / "empty.parquet").unlink(missing_ok=True)  # of a promptable model that had the same name before
    write_origin(output, model)
    for name, schema in TABLES.items():
        rows = run.rows[name]
        write_table(pd.DataFrame(rows) if rows else empty_table(schema), schema, output / f"{name}.parquet")


class _Detection:
    """One model over the images of a shard; `rows` gathers the rows of each table."""

    def __init__(
        self,
        settings: AutomaticSettings,
        model: AutomaticModel,
        lesions: pd.DataFrame,
        folder: Path,
        output: Path,
        seen: frozenset[str],
    ) -> None:
        self.rules = settings.detection
        self.threshold = model.threshold if self.rules.threshold is None else self.rules.threshold
        self.model, self.folder, self.output, self.seen = model, folder, output, seen
        self.lesions = {str(image_id): table.set_index("lesion_id") for image_id, table in lesions.groupby("image_id")}
        self.no_lesions = lesions[:0].set_index("lesion_id")
        self.rows: dict[str, list[Row]] = {name: [] for name in TABLES}

    def add(self, image: Row, levels: npt.NDArray[np.uint16]) -> None:
        """Write the map of an image and gather its rows.

        Components are those of the map as its file holds it.
        """
        map_file = f"map/{file_name(str(image['image_id']))}.png"
        write_image(self.output / map_file, levels)
        references = References(self.folder, image, self.lesions.get(str(image["image_id"]), self.no_lesions))
        least_px = self.rules.least_area_mm2 / references.pixel_mm2
        probability = levels.astype(np.float32) / np.float32(LEVELS)
        components = find_components(probability, self.threshold, least_px, self.rules.score)
        masks = list(references.masks.values())
        matching = match(components, masks, self.rules.hit, self.rules.least_iou)
        keys = {
            "image_id": image["image_id"],
            "patient_id": image["patient_id"],
            "split": image["split"],
            "model": self.model.name,
            "seen": is_seen(str(image["patient_id"]), self.seen),
        }
        self._add_map(image, keys, map_file, components, references)
        self._add_components(keys, components, matching, references)
        if masks:
            self._add_lesions(image, keys, components, matching, references)

    def _add_map(self, image: Row, keys: Row, map_file: str, components: Components, references: References) -> None:
        """Add the row of the image: all components against all of its lesions."""
        marked = components.union
        row = {
            **keys,
            "map_file": map_file,
            "threshold": self.threshold,
            "hit_rule": hit_rule(self.rules.hit, self.rules.least_iou),
            "fully_annotated": bool(image.get(FULLY_ANNOTATED, True)),
            "lesions": len(references.masks),
            "components": len(components),
            "area_mm2": np.count_nonzero(marked) * references.pixel_mm2,
            "reference_area_mm2": None,
            **dict.fromkeys(IMAGE_SCORES),
        }
        if all(references.has_mask.values()):
            reference = np.zeros_like(marked)
            for mask in references.masks.values():
                reference |= mask
            scored = score_masks(marked[None], [CutMask.of(reference, references.spacing)]).columns()
            row |= {name: float(scored[name][0]) for name in IMAGE_SCORES}
            row["reference_area_mm2"] = np.count_nonzero(reference) * references.pixel_mm2
        self.rows["maps"].append(row)

    def _add_components(self, keys: Row, components: Components, matching: Matching, references: References) -> None:
        """Add a row for each component."""
        lesion_ids = list(references.masks)
        for index in range(len(components)):
            lesion = int(matching.lesion[index])
            self.rows["detections"].append(
                {
                    **keys,
                    "component": index + 1,
                    "score": components.scores[index],
                    "area_mm2": components.areas[index] * references.pixel_mm2,
                    **dict(zip(("y", "x"), components.centres[index], strict=True)),
                    **dict(zip(("y0", "x0", "y1", "x1"), components.boxes[index], strict=True)),
                    "lesion_id": None if lesion == NO_LESION else lesion_ids[lesion],
                    "is_mask": matching.is_mask[index],
                    "iou": matching.iou[index],
                }
            )

    def _add_lesions(
        self, image: Row, keys: Row, components: Components, matching: Matching, references: References
    ) -> None:
        """Score the mask of each lesion, an empty one where it is missed, and write the masks that are there."""
        lesion_ids = list(references.masks)
        masks: Masks = np.zeros((len(lesion_ids), *components.labels.shape), dtype=np.bool_)
        for place, index in enumerate(matching.component):
            if index >= 0:
                masks[place] = components.mask(int(index))
        size = (components.labels.shape[0], components.labels.shape[1])
        table = pd.DataFrame({"lesion_id": lesion_ids}).assign(
            image_id=keys["image_id"],
            patient_id=keys["patient_id"],
            model=keys["model"],
            field_of_view="image",
            view_spacing_mm=self.model.input.pixel_mm(size, references.spacing),
            kind=NO_PROMPT,
            origin=AUTOMATIC,
            draw=0,
            chosen=True,
            feed="",
            seen=keys["seen"],
        )
        empty = {name: None for name in SEGMENTATION_SCORES.columns if name not in table.columns}
        scored = references.score(lesion_ids, masks)
        self.rows["scores"] += score_rows(table.assign(**empty), scored, np.full(len(table), np.nan))
        for place, lesion_id in enumerate(lesion_ids):
            if matching.component[place] >= 0:
                self._add_mask(table.iloc[place].to_dict(), lesion_id, masks[place], references.pixel_mm2)

    def _add_mask(self, row: dict[Any, Any], lesion_id: str, mask: npt.NDArray[np.bool_], pixel_mm2: float) -> None:
        """Write the mask of a lesion that is hit, and add its row."""
        file = f"mask/{file_name(lesion_id)}.png"
        write_mask(self.output / file, mask)
        names = ("lesion_id", "image_id", "patient_id", "model", "field_of_view")
        nothing = dict.fromkeys(("prompt_id", "iteration", "choice", "head_choice", "predicted_iou"))
        area_mm2 = np.count_nonzero(mask) * pixel_mm2
        made = {"mask_file": file, "digest": array_digest(mask), "area_mm2": area_mm2}
        self.rows["masks"].append({**{name: row[name] for name in names}, **nothing, **made})
