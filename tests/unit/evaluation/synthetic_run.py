"""A small made-up run: the tables that every stage before the comparison writes, consistent with one another."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from mammoflow.config.prompts import PromptSettings
from mammoflow.reasons.features import FeatureReason
from mammoflow.segmentation.prompting.prompts import make_prompts
from mammoflow.segmentation.prompting.sources import BOX
from mammoflow.segmentation.scoring.references import score_rows
from mammoflow.segmentation.scoring.scores import Scores
from mammoflow.storage.files import array_digest, write_image, write_mask
from mammoflow.tables.cohort import EXCLUDED, IMAGES, LESIONS
from mammoflow.tables.features import OK, write_features
from mammoflow.tables.files import empty_table, read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.masks import MASKS, SEGMENTATION_SCORES
from mammoflow.tables.predictions import PREDICTIONS
from mammoflow.tables.prompts import PROMPTS

HEIGHT, WIDTH, SPACING = 160, 120, 1.0
MARGINS = (0.0, 5.0, 10.0, 20.0)
MODELS = ("small", "sam2.1_hiera_tiny")
SPLITS = ("train", "train", "train", "validation", "test", "test")
BY_MODEL = (True, True, True, False)
"""Whether a row of scores of a prompt is of the model: its three iterations, and not the ellipse."""

PROMPT_COLUMNS = ("prompt_id", "lesion_id", "image_id", "kind", "origin", "draw", "margin_mm")
EMPTY_MODEL = "efficientnet_whole_image"


@dataclass(frozen=True)
class WrittenRun:
    """Where the parts of a run lie: the arguments of `compare` and `write_report`."""

    root: Path
    cohort: Path
    images: list[Path]
    segmentation: list[Path]
    masks: list[Path]
    features: list[Path]
    predictions: list[Path]

    def moved(self, root: Path) -> WrittenRun:
        """Return the same run in another folder, to which its files were copied."""
        parts = {name: value for name, value in vars(self).items() if name not in ("root", "cohort")}
        placed = {name: [root / path.relative_to(self.root) for path in paths] for name, paths in parts.items()}
        return WrittenRun(root=root, cohort=root / self.cohort.relative_to(self.root), **placed)

    def inputs(self) -> dict[str, object]:
        """Return the folders and tables that `compare` reads."""
        names = ("cohort", "images", "segmentation", "features", "predictions")
        return {name: getattr(self, name) for name in names}


def write_run(
    root: Path,
    patients: int = 30,
    phantom: bool = True,
    with_birads: bool = True,
    with_masks: bool = True,
    empty_shard: bool = False,
    seed: int = 5,
) -> WrittenRun:
    """Write a run of two shards (three where one is to be empty) and return where it lies."""
    random = np.random.default_rng(seed)
    lesions = _lesions(random, patients, with_birads, with_masks).assign(phantom=phantom)
    shards = [0, 1, 2] if empty_shard else [0, 1]
    _write_cohort(root / "cohort", lesions, phantom)
    for shard in shards:
        part = lesions[lesions["shard"] == shard]
        _write_images(root / "images" / f"{shard:02d}", part, random, with_masks)
        prompts = _write_prompts(root, shard)
        for model in MODELS:
            folder = root / "segmentation" / model / f"{shard:02d}"
            _write_segmentation(folder, model, part, prompts, random, with_masks)
        _write_features(root, shard, part, random)
    _write_predictions(root / "classification", lesions, random)
    return WrittenRun(
        root=root,
        cohort=root / "cohort",
        images=[root / "images" / f"{shard:02d}" for shard in shards],
        segmentation=[root / "segmentation" / model / f"{shard:02d}" for model in MODELS for shard in shards],
        masks=[root / "segmentation" / "small" / f"{shard:02d}" for shard in shards],
        features=[
            root / "features" / family / f"{shard:02d}.parquet" for family in ("gabor", "radiomics") for shard in shards
        ],
        predictions=sorted(path / "predictions.parquet" for path in (root / "classification").iterdir()),
    )


def _lesions(random: np.random.Generator, patients: int, with_birads: bool, with_masks: bool) -> pd.DataFrame:
    rows = []
    for number in range(patients):
        malignant = int(random.random() < 0.45)
        assessment = int(
            random.choice(
                [0, 2, 3, 4, 5], p=[0.02, 0.1, 0.2, 0.35, 0.33] if malignant else [0.08, 0.4, 0.27, 0.23, 0.02]
            )
        )
        radius = random.uniform(7, 13) + 2 * malignant
        for view in ("CC", "MLO"):
            image = f"P{number:03d}_L_{view}"
            y, x = random.uniform(45, 110), random.uniform(25, 60)
            rows.append(
                {
                    "lesion_id": f"{image}_1",
                    "finding_id": f"P{number:03d}_L_1",
                    "image_id": image,
                    "patient_id": f"P{number:03d}",
                    "source": "made up",
                    "laterality": "L",
                    "view": view,
                    "lesion_type": "mass" if number % 3 else "calcification",
                    "malignant": malignant,
                    "pathology": "MALIGNANT" if malignant else "BENIGN",
                    "birads": assessment if with_birads else None,
                    "density": 1 + number % 4,
                    "subtlety": 3,
                    "shape": random.choice(["IRREGULAR", "OVAL"], p=[0.7, 0.3] if malignant else [0.3, 0.7]),
                    "margins": random.choice(
                        ["SPICULATED", "CIRCUMSCRIBED"], p=[0.8, 0.2] if malignant else [0.3, 0.7]
                    ),
                    "label_origin": "pathology",
                    "mask_path": f"masks/{image}_1.png" if with_masks else None,
                    "mask_item": None,
                    "official_split": "",
                    "split": SPLITS[number % len(SPLITS)],
                    "shard": number % 2,
                    "y0": y - radius,
                    "x0": x - radius,
                    "y1": y + radius,
                    "x1": x + radius,
                    "radius": radius,
                    "diameter_mm": 2 * radius * SPACING,
                    "area_mm2": np.pi * radius**2,
                }
            )
    table = pd.DataFrame(rows)
    return table.assign(**dict.fromkeys(["box_y0", "box_x0", "box_y1", "box_x1"], np.nan))


def _image_columns(lesions: pd.DataFrame) -> pd.DataFrame:
    shared = ["image_id", "patient_id", "source", "laterality", "view", "density", "official_split", "split", "shard"]
    return lesions[[*shared, "phantom"]].assign(
        labelled=True,
        fully_annotated=True,
        image_path=lesions["image_id"] + ".dcm",
        spacing_mm=SPACING,
        spacing_origin="table",
        default_spacing_mm=np.nan,
    )


def _declared(table: pd.DataFrame, schema: pa.DataFrameSchema) -> list[str]:
    """Return the columns of a table that its schema declares; some of a schema's are not in every run."""
    return [name for name in schema.columns if name in table.columns]


def _write_cohort(folder: Path, lesions: pd.DataFrame, phantom: bool) -> None:
    # The cohort holds one image more than the image stage could use.
    bad = lesions.iloc[[0]].assign(lesion_id="P900_R_CC_1", image_id="P900_R_CC", patient_id="P900", split="train")
    everything = pd.concat([lesions, bad], ignore_index=True)
    write_table(everything[_declared(everything, LESIONS)], LESIONS, folder / "lesions.parquet")
    write_table(_image_columns(everything), IMAGES, folder / "images.parquet")
    excluded = pd.DataFrame(
        [_exclusion("cohort", "row", "P901", "", "tables/row_17.dcm", "malignancy is unknown", "label 'MAYBE'")]
    )
    write_table(excluded, EXCLUDED, folder / "excluded.parquet")
    counts = {"images": len(everything), "lesions": len(everything), "patients": everything["patient_id"].nunique()}
    study = {
        "name": "made-up study",
        "reader": "phantom" if phantom else "table",
        "phantom": phantom,
        "split": {"method": "random"},
        "counts": counts,
        "flow": [
            {"step": "rows of the case tables", "images": 62, "lesions": 62, "patients": 32},
            {"step": "malignancy known", **counts, "excluded": {"malignancy is unknown": 1}},
        ],
    }
    (folder / "study.json").write_text(json.dumps(study), encoding="utf-8")


def _exclusion(stage: str, level: str, patient: str, image: str, path: str, reason: str, detail: str) -> dict[str, str]:
    return {
        "stage": stage,
        "level": level,
        "patient_id": patient,
        "image_id": image,
        "lesion_id": "",
        "path": path,
        "reason": reason,
        "detail": detail,
    }


def _disc(lesion: pd.Series, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    centre_y, centre_x = (lesion["y0"] + lesion["y1"]) / 2 + shift, (lesion["x0"] + lesion["x1"]) / 2
    return np.hypot(y - centre_y, x - centre_x) <= lesion["radius"] * scale


_HEADER: dict[str, object] = {
    **{name: False for name in CANONICAL_IMAGES.columns if name.startswith("flag_")},
    **dict.fromkeys(("pectoral_file", "scanner")),
    **dict.fromkeys(("pectoral_share", "pectoral_angle_deg", "pectoral_top_mm", "pectoral_side_mm"), np.nan),
    **dict.fromkeys(("pectoral_contrast", "magnification"), np.nan),
    **dict.fromkeys(("laterality_header", "laterality_image", "view_header", "modality", "orientation"), ""),
    "presentation": "unknown",
    "voi": "none",
}
"""What the image stage says of a file without a header: nothing is flagged."""


def _write_images(folder: Path, lesions: pd.DataFrame, random: np.random.Generator, with_masks: bool) -> None:
    images = _image_columns(lesions).assign(
        stored_height=HEIGHT,
        stored_width=WIDTH,
        film_height=HEIGHT,
        film_width=WIDTH,
        film_spacing_mm=SPACING,
        height=HEIGHT,
        width=WIDTH,
        row_spacing_mm=SPACING,
        column_spacing_mm=SPACING,
        image_file="image/" + lesions["image_id"] + ".png",
        breast_file="breast/" + lesions["image_id"] + ".png",
        breast_area_mm2=9000.0,
        digest="0",
        **_HEADER,
    )
    canonical = lesions.assign(
        mask_file="mask/" + lesions["lesion_id"] + ".png" if with_masks else None,
        patch_file="patch/none.png",
        patch_breast_file="patch/none.png",
        patch_mask_file=None,
        patch_spacing_mm=SPACING,
        patch_y0=0.0,
        patch_x0=0.0,
        breast_share=1.0,
        digest="0",
        **{name: False for name in CANONICAL_LESIONS.columns if name.startswith("flag_")},
    )
    write_table(images if len(images) else empty_table(CANONICAL_IMAGES), CANONICAL_IMAGES, folder / "images.parquet")
    write_table(
        canonical[_declared(canonical, CANONICAL_LESIONS)] if len(canonical) else empty_table(CANONICAL_LESIONS),
        CANONICAL_LESIONS,
        folder / "lesions.parquet",
    )
    rows = [_exclusion("images", "image", "P900", "P900_R_CC", "broken/P900_R_CC.dcm", "file is truncated", "7 bytes")]
    excluded = pd.DataFrame(rows) if folder.name == "00" else empty_table(EXCLUDED)
    write_table(excluded, EXCLUDED, folder / "excluded.parquet")
    for _, lesion in lesions.iterrows():
        grey = 9000 + 6000 * random.random((HEIGHT, WIDTH)) + 22000 * _disc(lesion)
        write_image(folder / "image" / f"{lesion['image_id']}.png", grey.astype(np.uint16))
        if with_masks:
            write_mask(folder / "mask" / f"{lesion['lesion_id']}.png", _disc(lesion))


def _write_prompts(root: Path, shard: int) -> pd.DataFrame:
    """Make the prompts of a shard as the prompt stage does; one row per prompt."""
    output = root / "prompts" / f"{shard:02d}.parquet"
    make_prompts(PromptSettings(margins_mm=list(MARGINS)), root / "images" / f"{shard:02d}", output)
    return read_table(output, PROMPTS)


def _write_segmentation(
    folder: Path,
    model: str,
    lesions: pd.DataFrame,
    prompts: pd.DataFrame,
    random: np.random.Generator,
    with_masks: bool,
) -> None:
    shown: list[dict[str, object]] = []
    dice: list[float] = []
    missed: list[bool] = []
    masks = []
    for _, lesion in lesions.iterrows():
        of_lesion = prompts[prompts["lesion_id"] == lesion["lesion_id"]]
        for prompt in of_lesion[list(PROMPT_COLUMNS)].to_dict("records"):
            shown += [prompt | {"patient_id": str(lesion["patient_id"])}] * len(BY_MODEL)
            _draw_scores(model, float(prompt["margin_mm"]), random, dice, missed)
        mask_file = f"mask/{lesion['lesion_id']}.png"
        mask = _disc(lesion, random.uniform(0.75, 1.25), random.uniform(-4, 4))
        write_mask(folder / mask_file, mask)
        prompt = of_lesion.set_index("margin_mm").loc[10.0]
        masks.append(
            {
                **{name: lesion[name] for name in ("lesion_id", "image_id", "patient_id")},
                "model": model,
                "field_of_view": "image",
                "prompt_id": prompt["prompt_id"],
                "mask_file": mask_file,
                "digest": array_digest(mask),
                "iteration": 1,
                "choice": "first",
                "head_choice": "single",
                "area_mm2": 300.0,
                "predicted_iou": 0.8,
                **{f"prompt_{name}": prompt[name] for name in (*BOX, "points")},
            }
        )
    origin = {"title": "shipped", "file": "w.safetensors", "sha256": "5e" * 32, "licence": "MIT", "source": "a package"}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.json").write_text(json.dumps({"architecture": model, **origin}), encoding="utf-8")
    scores = _score_rows(model, shown, np.array(dice), np.array(missed), with_masks) if shown else []
    scores_table = pd.DataFrame(scores) if scores else empty_table(SEGMENTATION_SCORES)
    write_table(scores_table, SEGMENTATION_SCORES, folder / "scores.parquet")
    write_table(pd.DataFrame(masks) if masks else empty_table(MASKS), MASKS, folder / "masks.parquet")


def _draw_scores(
    model: str, margin_mm: float, random: np.random.Generator, dice: list[float], missed: list[bool]
) -> None:
    """Add the made-up scores of one prompt: three iterations of a model, and the ellipse."""
    quality = 0.93 - 0.012 * margin_mm - (0.05 if model != "small" else 0) + 0.03 * random.standard_normal()
    dice += [*(quality + 0.01 * iteration for iteration in (1, 2, 3)), 0.9 * np.exp(-margin_mm / 9)]
    missed += [of_model and margin_mm == 20 and random.random() < 0.1 for of_model in BY_MODEL]


def _score_rows(
    model: str, shown: list[dict[str, object]], dice: np.ndarray, missed: np.ndarray, with_masks: bool
) -> list[dict[str, object]]:
    """Return the rows of the scores, a prompt of `shown` for each."""
    prompts = len(shown) // len(BY_MODEL)
    by_model = np.tile(BY_MODEL, prompts)
    table = pd.DataFrame(shown).assign(
        model=np.where(by_model, model, "ellipse"),
        field_of_view=np.where(by_model, "image", ""),
        view_spacing_mm=np.where(by_model, 0.5, np.nan),
        iteration=[1, 2, 3, 1] * prompts,
        chosen=[True, False, False, True] * prompts,
        choice=np.where(by_model, "first", ""),
        feed=np.where(by_model, "logits", ""),
        head=[0, 0, 0, None] * prompts,
        head_choice=np.where(by_model, "single", ""),
        **{f"head_{head}_{of}": np.nan for head in (1, 2, 3) for of in ("predicted_iou", "dice")},
        seen=False,
    )
    overlap = _made_up_scores(np.where(missed, 0.0, np.clip(dice, 0, 1)), missed, with_masks)
    return score_rows(table, overlap, np.where(by_model, 0.8, np.nan))


def _made_up_scores(dice: np.ndarray, missed: np.ndarray, with_masks: bool) -> Scores:
    """Return scores that agree with a Dice; a missed mask is empty, so that its surface is not defined."""
    reference = 1.0 if with_masks else np.nan
    surface = np.where(missed, np.nan, reference)
    return Scores(
        dice=dice * reference,
        iou=dice / (2 - dice) * reference,
        precision=dice * reference,
        recall=dice * reference,
        pixel_accuracy=(0.95 + 0.05 * dice) * reference,
        hd95_mm=9 * (1 - dice) * surface,
        surface_distance_mm=3 * (1 - dice) * surface,
        area_mm2=np.where(missed, 0.0, 300.0),
        area_error_mm2=np.where(missed, -280.0, 20.0) * reference,
        area_error_share=np.where(missed, -1.0, 20 / 280) * reference,
        missed=missed,
    )


def _write_features(root: Path, shard: int, lesions: pd.DataFrame, random: np.random.Generator) -> None:
    keys = lesions[["lesion_id", "patient_id"]].assign(mask_model=MODELS[0], status=OK, detail="", spacing_mm=0.2)
    label = lesions["malignant"].to_numpy(dtype=float)
    noise = random.standard_normal((8, len(lesions)))
    gabor = {
        "gabor_similarity": 0.9 - 0.05 * label + 0.05 * noise[0],
        "gabor_inner_mean_1": noise[1],
        "gabor_inner_mean_2": noise[2],
    }
    radiomics = {f"radiomics_original_firstorder_{i}": noise[i] + 0.5 * label for i in range(3, 8)}
    for family, values in (("gabor", gabor), ("radiomics", radiomics)):
        table = keys.assign(**values)
        if family == "radiomics" and shard == 0:
            # The fifth patient of every six is a test patient: its features are not defined.
            gone = table["patient_id"] == "P004"
            table.loc[gone, list(values)] = np.nan
            table.loc[gone, "status"] = FeatureReason.FEATURES_UNDEFINED
            table.loc[gone, "detail"] = "region has fewer than 9 pixels"
        output = root / "features" / family / f"{shard:02d}.parquet"
        write_features(table.to_dict("records"), family, list(values), (), output)


def _write_predictions(folder: Path, lesions: pd.DataFrame, random: np.random.Generator) -> None:
    keys = lesions[["lesion_id", "image_id", "patient_id", "split", "malignant"]]
    label = lesions["malignant"].to_numpy(dtype=float)
    strength = {"efficientnet_masked_crop": 1.0, EMPTY_MODEL: 0.0, "perceptron_frozen": 1.6}
    for model, separation in strength.items():
        parts = []
        for seed in (0, 1, 2) if model == "perceptron_frozen" else (0,):
            logit = separation * (label - 0.5) + random.standard_normal(len(lesions))
            probability = 1 / (1 + np.exp(-logit))
            called = pd.Series((probability >= 0.45).astype(int), dtype="Int64")
            if model == EMPTY_MODEL:
                probability, called = np.full(len(lesions), np.nan), pd.Series([pd.NA] * len(lesions), dtype="Int64")
            parts.append(
                keys.assign(
                    model=model, seed=seed, probability=probability, threshold=0.45, predicted=called.to_numpy()
                )
            )
        write_table(pd.concat(parts), PREDICTIONS, folder / model / "predictions.parquet")
        record = {"model": model, "device": "cpu", "settings": {"mask": "predicted", "learning_rate": 3e-4}}
        random_weights = {"title": "random weights", "file": "", "sha256": "", "licence": "", "source": ""}
        record["first_weights"] = random_weights
        # The classifier of whole images rests on no segmentation model.
        record |= {} if model == EMPTY_MODEL else {"seen_test_patients": 0}
        (folder / model / "training.json").write_text(json.dumps(record), encoding="utf-8")
