"""What the jobs of segmentation models need: weights, arguments, prompts, memory and code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mammoflow.config.base import validate_settings
from mammoflow.config.reading import read_config
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError, WeightsError
from mammoflow.planning import models, more_images, real_exam
from mammoflow.planning.fingerprints import Fingerprints
from mammoflow.planning.preflight import check_files
from mammoflow.run.provenance import code_modules

ROOT = Path(__file__).resolve().parents[3]
LORA = {"train": {"recipe": "tune", "from": "sam_vit_b", "options": {"method": "lora"}}}
SMALL_AGAIN = {"architecture": "small", "train": {"recipe": "small"}}


def config(run: list[str] | None = None, entries: dict[str, Any] | None = None, **segmentation: Any) -> StudyConfig:
    run = run or ["small"]
    values = {
        "segmentation": {"run": run, "default_model": run[0], "models": entries or {}, **segmentation},
        "classification": {"run": ["perceptron_frozen"]},
        "prefetch": {"folder": "brought"},
    }
    return validate_settings(StudyConfig, values, "test")


def test_weights_are_shipped_prefetched_named_or_made_by_the_run() -> None:
    study = config(
        ["small", "sam_vit_b", "medsam_vit_b", "mine", "sam_lora"],
        {
            "medsam_vit_b": {"weights": "elsewhere/medsam.pth"},
            "mine": {"architecture": "sam_vit_b", "weights": "tuned.safetensors"},
            "sam_lora": LORA,
        },
    )
    assert {model: models.weights_path(study, model) for model in study.segmentation.run} == {
        "small": None,
        "sam_vit_b": Path("brought/sam_vit_b_01ec64.pth"),
        "medsam_vit_b": Path("elsewhere/medsam.pth"),
        "mine": Path("tuned.safetensors"),
        "sam_lora": Path("results/phantom/segmentation_models/sam_lora/model.safetensors"),
    }
    assert models.weights_inputs(study, "small") == []
    assert models.weights_inputs(study, "mine") == ["tuned.safetensors"]


def test_prefetch_brings_what_runs_and_what_trainings_start_from() -> None:
    study = config(["small", "sam_lora"], {"sam_lora": LORA, "medsam_vit_b": {"weights": "elsewhere/medsam.pth"}})
    assert study.stages()["prefetch"].model_dump()["models"] == {"small": "", "sam_vit_b": ""}
    named = config(["medsam_vit_b"], {"medsam_vit_b": {"weights": "elsewhere/medsam.pth"}})
    assert named.stages()["prefetch"].model_dump()["models"] == {"medsam_vit_b": "elsewhere/medsam.pth"}


def test_the_preset_of_three_models_fetches_to_the_folder_of_prefetch() -> None:
    presets = ROOT / "workflow" / "presets"
    study = read_config([presets / "cbis-ddsm-mass-256.yaml", presets / "three-models.yaml"])
    fetched = study.stages()["prefetch"].model_dump()["models"]
    assert {fetched[model] for model in study.segmentation.run} == {""}


def _boxes(**labels: str) -> dict[str, Any]:
    options = {"labels": {"kind": "boxes", "model": "sam_vit_b", **labels}}
    return {"architecture": "unet_16", "train": {"recipe": "automatic", "options": options}}


def test_the_model_that_makes_masks_of_boxes_is_fetched_found_and_required(tmp_path: Path) -> None:
    study = config(["small", "mine"], {"mine": _boxes()})
    fetched = "brought/sam_vit_b_01ec64.pth"
    assert study.stages()["prefetch"].model_dump()["models"] == {"small": "", "sam_vit_b": ""}
    assert study.stages()["segmentation_models/mine"].model_dump()["options"]["labels"]["weights"] == fetched
    assert models.label_weights(study, "mine") == [fetched]
    with pytest.raises(WeightsError, match=r"brought/sam_vit_b_01ec64\.pth for sam_vit_b does not exist; fetch"):
        check_files(study)
    file = tmp_path / "x.pth"
    named = config(["small", "mine"], {"mine": _boxes(weights=str(file))})
    assert named.stages()["prefetch"].model_dump()["models"] == {"small": ""}  # the file is the user's own
    with pytest.raises(ConfigError, match=r"models\.mine\.train\.options\.labels\.weights: found '.*x\.pth', which"):
        check_files(named)
    file.touch()
    check_files(named)
    elsewhere = config(["small", "mine"], {"mine": _boxes(), "sam_vit_b": {"weights": str(file)}})
    check_files(elsewhere)
    assert models.label_weights(elsewhere, "mine") == models.training_weights(elsewhere, "mine") == [str(file)]
    assert models.label_weights(config(["small", "mine"], {"mine": _boxes(model="small")}), "mine") == []


def test_weights_of_the_models_of_the_real_exam_are_fetched_and_given_to_the_job(tmp_path: Path) -> None:
    values = {"real_exam": {"models": ["small", "sam_vit_b"]}, "prefetch": {"folder": str(tmp_path)}}
    study = validate_settings(StudyConfig, values, "test")
    assert study.stages()["prefetch"].model_dump()["models"].keys() >= {"small", "sam_vit_b"}
    check_files(study)
    with pytest.raises(WeightsError, match=r"^the target real_exam: weights file .* does not exist; fetch"):
        real_exam.exam_weights(study)
    file = tmp_path / "sam_vit_b_01ec64.pth"
    file.touch()
    assert real_exam.exam_arguments(study) == ["--weights", "sam_vit_b", str(file)]
    assert real_exam.exam_weights(config()) == {}


def test_the_real_exam_asks_for_the_memory_of_its_largest_model() -> None:
    exams = [{}, {"real_exam": {"models": ["small", "sam_vit_h"]}}]
    assert [real_exam.exam_memory_mb(validate_settings(StudyConfig, exam, "test")) for exam in exams] == [4000, 17000]


def test_the_comparison_reads_the_trainings_behind_the_models_of_the_run_and_no_others() -> None:
    first = {"architecture": "setr_tiny", "train": {"recipe": "masked_autoencoder"}}
    second = {"architecture": "setr_tiny", "train": {"recipe": "automatic", "from": "first"}}
    entries = {"unused": SMALL_AGAIN, "first": first, "second": second}
    assert models.models_made(config(["small", "second"], entries)) == ["first", "second"]
    assert models.models_made(config(["small"], entries)) == []


def test_missing_weights_stop_a_run_also_where_a_training_starts_from_them(tmp_path: Path) -> None:
    study = config(["small"], {"sam_lora": LORA})
    assert models.missing_weights(study, "small") == models.missing_weights(study, "sam_lora") == ""
    with pytest.raises(WeightsError, match=r"brought/sam_vit_b_01ec64\.pth for sam_vit_b does not exist; fetch"):
        check_files(study)
    file = tmp_path / "x.pth"
    file.touch()
    check_files(config(["small"], {"sam_lora": LORA, "sam_vit_b": {"weights": str(file)}}))


def test_a_command_is_told_name_and_architecture() -> None:
    study = config(["small", "sam_lora"], {"sam_lora": LORA, "again": SMALL_AGAIN})
    assert models.model_arguments(study, "sam_lora") == ["--model", "sam_lora", "--architecture", "sam_vit_b"]
    assert models.training_arguments(study, "sam_lora") == ["--architecture", "sam_vit_b", "--from", "sam_vit_b"]
    assert models.start_weights(study, "sam_lora") == ["brought/sam_vit_b_01ec64.pth"]
    assert models.training_arguments(study, "again") == ["--architecture", "small"]
    assert models.start_weights(study, "again") == []


def test_prompts_are_a_models_own_and_those_around_the_masks_of_others() -> None:
    study = config(["small", "sam_vit_b"], prompted_by={"sam_vit_b": ["small"]})
    assert models.prompt_tables(study, "small") == ["results/phantom/prompts/{shard}.parquet"]
    assert models.prompt_tables(study, "sam_vit_b") == [
        "results/phantom/prompts/{shard}.parquet",
        "results/phantom/prompts/from_small/{shard}.parquet",
    ]


def test_code_of_a_job_is_its_stage_and_the_module_of_its_own_architecture() -> None:
    study = config(["small", "sam2.1_hiera_tiny", "sam_lora"], {"sam_lora": LORA})
    stage = "mammoflow.segmentation.prompted.stage"
    assert models.segment_modules(study, "small") == [stage, "mammoflow.segmentation.models.small"]
    assert models.segment_modules(study, "sam2.1_hiera_tiny") == [stage, "mammoflow.segmentation.models.sam2"]
    assert models.training_modules(study, "sam_lora")[1:3] == [
        "mammoflow.segmentation.models.sam",
        "mammoflow.segmentation.recipes.tune",
    ]


def test_memory_grows_with_the_batch_of_a_training_and_of_the_encoder() -> None:
    entries = {name: {"train": {"recipe": "tune", "from": "small", "options": {"batch_size": size}}}
               for name, size in (("few", 2), ("many", 8))}  # fmt: skip
    study = config(["small"], entries)
    few, many = (models.recipe_memory_mb(study, name) for name in entries)
    assert many - few == 6 * (models.recipe_memory_mb(study, "few") - models.segment_memory_mb(study, "small")) / 2
    together = config(["small"], batch_images=8)
    assert models.segment_memory_mb(together, "small") > models.segment_memory_mb(study, "small")
    # a perceptron that tunes all of small with 16 lesions was measured at 4.1 GB with four images at a time
    assert models.training_memory_mb(study, "small", 16) > 4100


def test_memory_of_a_training_on_boxes_holds_the_model_that_makes_their_masks() -> None:
    masks = {"architecture": "unet_16", "train": {"recipe": "automatic"}}
    study = config(
        ["small"], {"masks": masks, "small_boxes": _boxes(model="small"), "boxes": _boxes(model="sam_vit_h")}
    )
    of_masks, small, large = (models.recipe_memory_mb(study, name) for name in study.segmentation.models)
    assert of_masks <= small < large
    assert large >= 3000 + 16000  # both networks


def test_images_of_further_runs_must_be_there(tmp_path: Path) -> None:
    study = config(["small"], {"again": {**SMALL_AGAIN, "train": {"recipe": "small", "more_images": [str(tmp_path)]}}})
    with pytest.raises(ConfigError, match=r"models\.again\.train\.more_images: found no shards of images in"):
        more_images.further_images(study, "again")
    (tmp_path / "00").mkdir()
    (tmp_path / "00" / "images.parquet").touch()
    assert more_images.further_images(study, "again") == [str(tmp_path / "00" / "images.parquet")]


def test_shards_that_a_further_run_no_longer_has_are_left_out(tmp_path: Path) -> None:
    run = tmp_path / "other"
    for folder in ("images/00", "images/01", "fold-0/images/00", "cohort/shards/00"):
        (run / folder).mkdir(parents=True)
        (run / folder / "images.parquet").touch()
    folders = [str(run / "images"), str(run / "fold-0" / "images")]
    study = config(["small"], {"again": {**SMALL_AGAIN, "train": {"recipe": "small", "more_images": folders}}})
    assert more_images.further_images(study, "again") == [f"{folder}/00/images.parquet" for folder in folders]


def test_corrected_lesions_of_a_further_run_change_the_fingerprint_of_a_training(tmp_path: Path) -> None:
    shard = tmp_path / "other" / "images" / "00"
    shard.mkdir(parents=True)
    for name in ("images.parquet", "lesions.parquet"):
        (shard / name).write_text(name)
    train = {"recipe": "small", "more_images": [str(shard.parent)]}
    study = config(["small"], {"again": {**SMALL_AGAIN, "train": train}})
    before = Fingerprints(study, remember=False).of_given(more_images.further_tables(study, "again"))
    (shard / "lesions.parquet").write_text("corrected masks")
    assert Fingerprints(study, remember=False).of_given(more_images.further_tables(study, "again")) != before


def test_an_automatic_model_has_its_own_stage_settings_and_no_prompts() -> None:
    unet = {"architecture": "unet_16", "train": {"recipe": "automatic"}}
    study = config(["small", "unet"], {"unet": unet}, detection={"threshold": 0.3})
    assert (models.prompted_models(study), models.automatic_models(study)) == (["small"], ["unet"])
    assert models.prompt_tables(study, "unet") == []
    assert models.segment_modules(study, "unet") == [
        "mammoflow.segmentation.automatic.stage",
        "mammoflow.segmentation.models.unet",
    ]
    assert "mammoflow.segmentation.recipes.automatic" in models.training_modules(study, "unet")
    stages = study.stages()
    assert stages["segmentation/unet"].model_dump()["detection"]["threshold"] == 0.3
    assert "detection" not in stages["segmentation/small"].model_dump()
    assert "iterations" not in stages["segmentation/unet"].model_dump()


def test_stages_of_promptable_and_automatic_models_share_no_code_of_their_own() -> None:
    prompted = set(code_modules(models.SEGMENT_STAGE))
    automatic = set(code_modules(models.AUTOMATIC_STAGE))
    assert models.AUTOMATIC_STAGE not in prompted
    assert models.SEGMENT_STAGE not in automatic
    assert "mammoflow.segmentation.matching" not in prompted
    assert "mammoflow.tables.detections" not in prompted
    assert "mammoflow.config.detection" not in prompted


def _trained(options: dict[str, Any], architecture: str = "sam2_unet_efficientnet_lite0") -> StudyConfig:
    train = {"recipe": "automatic", "options": options}
    return config(["small", "mine"], {"mine": {"architecture": architecture, "train": train}})


def test_the_first_weights_of_an_encoder_are_inputs_of_its_training(tmp_path: Path) -> None:
    given = tmp_path / "encoder.pth"
    study = _trained({"encoder_weights": str(given)})
    assert models.encoder_weights(study, "mine") == [str(given)]
    assert "encoder_weights: found" in models.missing_weights(study, "mine")
    given.write_bytes(b"")
    assert models.missing_weights(study, "mine") == ""
    made = "results/phantom/segmentation_models/mine/model.safetensors"
    assert models.missing_weights(_trained({"encoder_weights": made}), "mine") == ""


def test_published_weights_of_an_encoder_come_from_a_package() -> None:
    assert models.encoder_weights(_trained({"encoder_weights": "published"}), "mine") == []
    assert models.missing_weights(_trained({"encoder_weights": "published"}), "mine") == ""
    missing = models.missing_weights(_trained({"encoder_weights": "published"}, "setr_tiny"), "mine")
    assert "no package brings weights of this encoder" in missing


def test_the_loss_of_a_training_belongs_to_its_code() -> None:
    modules = models.training_modules(_trained({"loss": "structure"}), "mine")
    assert "mammoflow.segmentation.mask_losses.structure" in modules
    assert not any(module.endswith("mask_losses.dice_bce") for module in modules)


def test_the_model_of_synthetic_lesions_is_made_before_and_in_the_same_fold() -> None:
    options = {"copy_paste": 0.3, "synthetic_lesions": {"model": "lesions"}}
    unet = {"architecture": "unet_16", "train": {"recipe": "automatic", "options": options}}
    draws = {"architecture": "lesion_diffusion", "train": {"recipe": "lesion_diffusion"}}
    study = config(["small", "unet"], {"unet": unet, "lesions": draws})
    made = "results/phantom/fold-2/segmentation_models/lesions/model.safetensors"
    assert models.lesion_weights(study, "unet", "fold-2/") == [made]
    assert models.lesion_weights(study, "lesions") == []
    assert models.models_made(study) == ["unet", "lesions"]
    assert "mammoflow.segmentation.models.lesion_diffusion" in models.training_modules(study, "unet")
    given = {"architecture": "lesion_diffusion", "weights": "elsewhere/lesions.safetensors"}
    elsewhere = config(["small", "unet"], {"unet": unet, "lesions": given})
    assert models.lesion_weights(elsewhere, "unet", "fold-2/") == ["elsewhere/lesions.safetensors"]
    assert "lesions" in models.needed_models(elsewhere)
