"""Which code a job of segmentation depends on: its stage and its own architecture, and no other member."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mammoflow.config.architectures import ARCHITECTURE_MODULES, architecture_names
from mammoflow.config.base import validate_settings
from mammoflow.config.recipes import RECIPES
from mammoflow.config.study import StudyConfig
from mammoflow.planning.models import SEGMENT_STAGE, TRAINING_STAGE, segment_modules, training_modules
from mammoflow.run.provenance import SOURCES, code_digests, code_modules

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


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package; what a test changes in it, it puts back."""
    folder = tmp_path_factory.mktemp("sources")
    shutil.copytree(SOURCES / "mammoflow", folder / "mammoflow", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def before(sources: Path) -> dict[str, str]:
    """The digests of the sources as they are."""
    return jobs(sources)


def jobs(sources: Path) -> dict[str, str]:
    """Return the digest of each job of segmentation."""
    modules = {f"segment {model}": segment_modules(STUDY, model) for model in STUDY.segmentation.run}
    modules |= {f"train {model}": training_modules(STUDY, model) for model in STUDY.segmentation.trained_models()}
    return code_digests(modules, sources=sources)


def changed_by(sources: Path, before: dict[str, str], file: str, content: bytes | None = None) -> set[str]:
    """Return the jobs with another digest where a line is added to a file, or a file has another content."""
    path = sources / "mammoflow" / file
    original = path.read_bytes() if path.is_file() else None
    path.write_bytes(content if content is not None else (original or b"") + b"\n# changed\n")
    try:
        after = jobs(sources)
    finally:
        if original is None:
            path.unlink()
        else:
            path.write_bytes(original)
    return {job for job in before if before[job] != after[job]}


PROMPTED = {"segment small", "segment sam_vit_b", "segment sam2.1_hiera_tiny"}
AUTOMATIC = {"segment unet", "train unet"}
EVERY_JOB = {*PROMPTED, *AUTOMATIC, "train tuned", "train again"}


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("segmentation/networks/sam2.py", {"segment sam2.1_hiera_tiny"}),
        ("segmentation/models/sam.py", {"segment sam_vit_b"}),
        ("segmentation/small/model.py", {"segment small", "train tuned", "train again"}),
        ("segmentation/recipes/tune.py", {"train tuned"}),
        ("segmentation/prompted/refinement.py", PROMPTED),
        ("segmentation/models/new.py", set()),
        ("segmentation/recipes/new.py", set()),
        ("config/segmentation.py", set()),
        ("config/study.py", set()),
        ("config/recipes.py", {"train tuned", "train again", "train unet"}),
        ("segmentation/models/unet.py", AUTOMATIC),
        ("segmentation/layers/unet.py", AUTOMATIC),
        ("segmentation/protocol/network_input.py", AUTOMATIC),
        ("segmentation/automatic/learner.py", {"train unet"}),
        ("segmentation/recipes/automatic.py", {"train unet"}),
        ("config/automatic.py", {"train unet"}),
        ("segmentation/automatic/stage.py", {"segment unet"}),
        ("segmentation/matching.py", {"segment unet"}),
        ("config/detection.py", {"segment unet"}),
        ("tables/detections.py", {"segment unet"}),
        ("config/prompts.py", {"train tuned"}),
        ("config/classification.py", set()),
        ("tables/predictions.py", set()),
        ("reasons/cohort.py", set()),
        ("cohort/words.py", set()),
        ("weights/published.py", set()),
        ("weights/fetch.py", set()),
        ("segmentation/protocol/segmenter.py", EVERY_JOB),
    ],
)
def test_a_change_reaches_the_jobs_that_use_it(
    file: str, changed: set[str], sources: Path, before: dict[str, str]
) -> None:
    assert changed_by(sources, before, file) == changed


def test_shipped_weights_are_part_of_the_code_of_their_architecture_alone(
    sources: Path, before: dict[str, str]
) -> None:
    file = "segmentation/small/small.safetensors"
    changed = changed_by(sources, before, file, (sources / "mammoflow" / file).read_bytes() + b"x")
    assert {"segment small", "train tuned"} <= changed
    assert not changed & {"segment sam_vit_b", "segment sam2.1_hiera_tiny"}


SHARED = {
    *("architectures", "weights", "members", "base", "training", "explanation", "paths", "yaml_text", "split_names"),
}


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
    assert settings <= own | SHARED


def test_every_architecture_is_built_by_one_module() -> None:
    assert len(architecture_names()) == len(set(architecture_names()))
