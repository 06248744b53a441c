"""Which code a job of segmentation depends on: its stage and its own architecture, and no other member."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mammoflow.config.architectures import ARCHITECTURE_MODULES, architecture_names
from mammoflow.config.base import validate_settings
from mammoflow.config.recipes import RECIPES
from mammoflow.config.study import StudyConfig
from mammoflow.planning.models import SEGMENT_STAGE, TRAINING_STAGE, segment_modules, training_modules
from mammoflow.run.provenance import SOURCES, code_digest, code_modules

STUDY = validate_settings(
    StudyConfig,
    {
        "segmentation": {
            "run": ["small", "sam_vit_b", "sam2.1_hiera_tiny", "unet"],
            "models": {
                "unet": {"architecture": "unet_16", "train": {"recipe": "automatic"}},
                "tuned": {"train": {"recipe": "tune", "from": "small"}},
                "again": {"architecture": "small", "train": {"recipe": "small"}},
            },
        }
    },
    "test",
)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of the package that a test may change."""
    shutil.copytree(SOURCES / "mammoflow", tmp_path / "mammoflow", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def jobs(sources: Path) -> dict[str, str]:
    """Return the digest of each job of segmentation."""
    digests = {f"segment {model}": segment_modules(STUDY, model) for model in STUDY.segmentation.run}
    digests |= {f"train {model}": training_modules(STUDY, model) for model in STUDY.segmentation.trained_models()}
    return {job: code_digest(*modules, sources=sources) for job, modules in digests.items()}


def append(file: str) -> Callable[[Path], None]:
    def change(sources: Path) -> None:
        path = sources / "mammoflow" / file
        path.write_text(path.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")

    return change


def add(file: str, text: str) -> Callable[[Path], None]:
    def change(sources: Path) -> None:
        (sources / "mammoflow" / file).write_text(text, encoding="utf-8")

    return change


PROMPTED = {"segment small", "segment sam_vit_b", "segment sam2.1_hiera_tiny"}
AUTOMATIC = {"segment unet", "train unet"}
EVERY_JOB = {*PROMPTED, *AUTOMATIC, "train tuned", "train again"}


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (append("segmentation/networks/sam2.py"), {"segment sam2.1_hiera_tiny"}),
        (append("segmentation/models/sam.py"), {"segment sam_vit_b"}),
        (append("segmentation/small/model.py"), {"segment small", "train tuned", "train again"}),
        (append("segmentation/recipes/tune.py"), {"train tuned"}),
        (append("segmentation/prompted/refinement.py"), PROMPTED),
        (add("segmentation/models/new.py", "ARCHITECTURES = {}\n"), set()),
        (add("segmentation/recipes/new.py", "PROMPTED = True\n"), set()),
        (append("config/segmentation.py"), set()),
        (append("config/study.py"), set()),
        (append("config/recipes.py"), {"train tuned", "train again", "train unet"}),
        (append("segmentation/models/unet.py"), AUTOMATIC),
        (append("segmentation/layers/unet.py"), AUTOMATIC),
        (append("segmentation/protocol/network_input.py"), AUTOMATIC),
        (append("segmentation/automatic/learner.py"), {"train unet"}),
        (append("segmentation/recipes/automatic.py"), {"train unet"}),
        (append("config/automatic.py"), {"train unet"}),
        (append("segmentation/automatic/stage.py"), {"segment unet"}),
        (append("segmentation/matching.py"), {"segment unet"}),
        (append("config/detection.py"), {"segment unet"}),
        (append("tables/detections.py"), {"segment unet"}),
        (append("config/prompts.py"), {"train tuned"}),
        (append("config/classification.py"), set()),
        (append("tables/predictions.py"), set()),
        (append("reasons/cohort.py"), set()),
        (append("cohort/words.py"), set()),
        (append("weights/published.py"), set()),
        (append("weights/fetch.py"), set()),
        (append("segmentation/protocol/segmenter.py"), EVERY_JOB),
    ],
)
def test_a_change_reaches_the_jobs_that_use_it(
    change: Callable[[Path], None], changed: set[str], sources: Path
) -> None:
    before = jobs(sources)
    change(sources)
    after = jobs(sources)
    assert {job for job in before if before[job] != after[job]} == changed


def test_shipped_weights_are_part_of_the_code_of_their_architecture_alone(sources: Path) -> None:
    before = jobs(sources)
    weights = sources / "mammoflow/segmentation/small/small.safetensors"
    weights.write_bytes(weights.read_bytes() + b"x")
    after = jobs(sources)
    changed = {job for job in before if before[job] != after[job]}
    assert {"segment small", "train tuned"} <= changed
    assert not changed & {"segment sam_vit_b", "segment sam2.1_hiera_tiny"}


@pytest.mark.parametrize("stage", [SEGMENT_STAGE, TRAINING_STAGE])
def test_stages_import_no_member_and_no_settings_of_other_stages(stage: str) -> None:
    modules = set(code_modules(stage))
    members = {ARCHITECTURE_MODULES.module(name) for name in ARCHITECTURE_MODULES.names()}
    members |= {RECIPES.module(name) for name in RECIPES.names()}
    assert not modules & members
    assert not {module for module in modules if module.startswith("mammoflow.segmentation.small")}
    assert not {module for module in modules if module.startswith("mammoflow.segmentation.networks")}
    settings = {module.removeprefix("mammoflow.config.") for module in modules if ".config." in module}
    # settings of the stage itself, and what all families share
    own = {"prompted", "inference"} if stage == SEGMENT_STAGE else {"recipes", "inference"}
    assert settings <= own | {"architectures", "weights", "members", "base", "training"}


def test_every_architecture_is_built_by_one_module() -> None:
    assert len(architecture_names()) == len(set(architecture_names()))
