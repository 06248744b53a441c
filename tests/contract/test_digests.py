"""What an edit of the code reruns: the jobs that use the edited code, and no other.

Each row edits a copy of the sources and names the jobs of a configuration whose code digest changes. Jobs that read the
output of these run again as well, because their inputs change.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mammoflow.config.base import validate_settings
from mammoflow.config.study import StudyConfig
from mammoflow.planning.jobs import job_modules
from mammoflow.run.provenance import SOURCES, code_digests

ROOT = Path(__file__).resolve().parents[2]

# The default with further models, one of them trained, with files that need not be there.
SEVERAL_MODELS = {
    "segmentation": {
        "run": ["small", "sam_vit_b", "sam2.1_hiera_tiny", "tuned", "unet"],
        "models": {
            "tuned": {"architecture": "small", "train": {"recipe": "tune", "from": "small"}},
            "unet": {"architecture": "unet_16", "train": {"recipe": "automatic", "options": {"loss": "structure"}}},
        },
    }
}

CONTEXT = {"classifiers/context_crop"}
EFFICIENTNETS = {
    "classifiers/efficientnet_masked_crop",
    "classifiers/efficientnet_whole_image",
    "classifiers/efficientnet_whole_image_radiomics",
}
PERCEPTRONS = {
    "classifiers/perceptron_frozen",
    "classifiers/perceptron_decoder_tuned",
    "classifiers/perceptron_all_tuned",
}
CLASSIFIERS = CONTEXT | EFFICIENTNETS | PERCEPTRONS
NETWORK_MAPS = {job.replace("classifiers/", "saliency/") for job in EFFICIENTNETS}
CONTEXT_MAPS = {"saliency/context_crop"}
MAPS = NETWORK_MAPS | CONTEXT_MAPS
ROBUSTNESS = {"robustness"}
NOTHING: set[str] = set()

# The default, with every classifier that it defines.
ALL_CLASSIFIERS: dict[str, object] = {
    "classification": {"run": sorted(job.removeprefix("classifiers/") for job in CLASSIFIERS)}
}

# What is edited -> the file, and the jobs of that configuration with another digest. A file that is not there is
# new: a new member, which no job of the configuration uses.
EDITS: dict[str, tuple[str, set[str]]] = {
    "a column of the predictions": (
        "tables/predictions.py",
        {*CLASSIFIERS, *MAPS, *ROBUSTNESS, "compare", "report", "dicom"},
    ),
    "an exclusion reason of the cohort": ("reasons/cohort.py", {"cohort", "birads"}),
    "a word of the case tables": ("cohort/words.py", {"cohort", "audit", "birads", "compare"}),
    "another data set": ("cohort/readers/new_set.py", NOTHING),
    "the reader of a data set that is not used": ("cohort/readers/inbreast.py", NOTHING),
    "a new architecture": ("segmentation/models/new_architecture.py", NOTHING),
    "a line of SAM 2": ("segmentation/models/sam2.py", NOTHING),
    "a published weights file of SAM": ("segmentation/models/sam.py", NOTHING),
    "a line of the small model": (
        "segmentation/models/small.py",
        {"segmentation/small", "real_exam", "stability", *ROBUSTNESS, *PERCEPTRONS},
    ),
    "a recipe of training": ("segmentation/recipes/tune.py", NOTHING),
    "a new loss": ("segmentation/mask_losses/new_loss.py", NOTHING),
    "an encoder of automatic models": ("segmentation/encoders/hiera.py", NOTHING),
    "a new network": ("classification/networks/new_network.py", NOTHING),
    "a published weights file of EfficientNet": (
        "classification/networks/efficientnet_b0.py",
        EFFICIENTNETS | NETWORK_MAPS | ROBUSTNESS,
    ),
    "a published weights file of EfficientNet-Lite0": (
        "classification/networks/efficientnet_lite0.py",
        CONTEXT | CONTEXT_MAPS | ROBUSTNESS,
    ),
    "a new input": ("classification/inputs/new_input.py", NOTHING),
    "an option of masked crops": (
        "classification/inputs/masked_crop.py",
        {"classifiers/efficientnet_masked_crop", "saliency/efficientnet_masked_crop", *ROBUSTNESS},
    ),
    "a line of context crops": ("classification/inputs/context_crop.py", CONTEXT | CONTEXT_MAPS | ROBUSTNESS),
    "pictures in colours": (
        "classification/colours.py",
        {each for each in EFFICIENTNETS | NETWORK_MAPS if "whole_image" in each} | ROBUSTNESS,
    ),
    "how the image stage keeps colours": ("imaging/colours.py", {"images", "real_exam"}),
    "how an image is degraded": ("imaging/degradations.py", ROBUSTNESS),
    "how a saliency map is drawn": ("classification/saliency/drawing.py", MAPS),
    "a setting of saliency maps": ("config/saliency.py", MAPS),
    "a setting of every classifier": ("config/classification.py", CLASSIFIERS | MAPS | ROBUSTNESS),
    "how classes of images are learned": ("classification/classes/learner.py", NOTHING),
    "the class of an image": ("cohort/image_classes.py", {"cohort"}),
    "a column of the predictions of classes": ("tables/classes.py", {"cohort", "compare", "report"}),
    "a new trainer": ("training/trainers/new_trainer.py", NOTHING),
    "the supervised trainer": ("training/trainers/supervised.py", CLASSIFIERS),
    "the training loop": ("training/loop.py", CLASSIFIERS | ROBUSTNESS),
    "a column of the Gabor features": ("features/families/gabor.py", {"features/gabor", "stability"}),
    "a new feature family": ("features/families/new_family.py", NOTHING),
    "the page of the report": ("report/content.py", {"report"}),
    "how trials of a search are made": ("training/search/loop.py", NOTHING),
    "the search of a segmentation model": ("segmentation/search/stage.py", NOTHING),
    "the floors of the comparison": ("evaluation/floors.py", {"compare"}),
    "the check before the first job": ("planning/preflight.py", NOTHING),
    "the command line": ("cli/results.py", NOTHING),
}

# The same for a classifier of the classes of images beside one of malignancy.
CLASSES: dict[str, object] = {
    "cohort": {"classes": ["normal", "benign", "malignant"]},
    "classification": {
        "run": ["context_crop", "three"],
        "classifiers": {"three": {"target": "classes", "input": "whole_image", "network": "resnet_small"}},
    },
}
EDITS_OF_CLASSES: dict[str, tuple[str, set[str]]] = {
    "how classes are learned": ("classification/classes/learner.py", {"classifiers/three"}),
    "the predictions of classes": ("classification/classes/results.py", {"classifiers/three"}),
    "a line of whole images": ("classification/inputs/whole_image.py", {"classifiers/three"}),
    "the table of classes": ("evaluation/class_tables.py", {"compare", "report"}),
}

# The same for a configuration with several models.
EDITS_OF_MODELS: dict[str, tuple[str, set[str]]] = {
    "a line of SAM 2": ("segmentation/models/sam2.py", {"segmentation/sam2.1_hiera_tiny", *ROBUSTNESS}),
    "a line of SAM": ("segmentation/models/sam.py", {"segmentation/sam_vit_b", *ROBUSTNESS}),
    "a new architecture": ("segmentation/models/new_architecture.py", NOTHING),
    "a recipe of training": ("segmentation/recipes/tune.py", {"segmentation_models/tuned"}),
    "a new recipe": ("segmentation/recipes/new_recipe.py", NOTHING),
    "a loss of automatic models": ("segmentation/mask_losses/structure.py", {"segmentation_models/unet"}),
    "another loss of automatic models": ("segmentation/mask_losses/dice_bce.py", NOTHING),
    "the batches of automatic models": ("segmentation/automatic/sampling.py", {"segmentation_models/unet"}),
    "how automatic models read pictures": (
        "segmentation/automatic/pictures.py",
        {"segmentation/unet", "segmentation_models/unet", *ROBUSTNESS},
    ),
    "an encoder of automatic models": ("segmentation/encoders/vision_transformer.py", NOTHING),
    "the weights that are shipped": (
        "segmentation/small/small.safetensors",
        {
            "segmentation/small",
            "segmentation/tuned",
            "segmentation_models/tuned",
            "real_exam",
            "stability",
            *ROBUSTNESS,
            *PERCEPTRONS,
        },
    ),
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources."""
    folder = tmp_path_factory.mktemp("sources")
    shutil.copytree(SOURCES / "mammoflow", folder / "mammoflow", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def edit(sources: Path, request: pytest.FixtureRequest) -> Iterator[None]:
    """Add a line to a file of the copy, or write a new one, for one test."""
    file = sources / "mammoflow" / request.param
    original = file.read_bytes() if file.is_file() else None
    file.write_bytes((original or b'"""A new member."""\n') + b"\n# edited\n")
    yield
    if original is None:
        file.unlink()
    else:
        file.write_bytes(original)


def digests(values: dict[str, object], sources: Path) -> dict[str, str]:
    """Return the code digest of each job of a configuration."""
    config = validate_settings(StudyConfig, values, "the test")
    return code_digests(job_modules(config), sources=sources)


@pytest.fixture(scope="module")
def of_all_classifiers() -> dict[str, str]:
    return digests(ALL_CLASSIFIERS, SOURCES)


@pytest.fixture(scope="module")
def of_several_models() -> dict[str, str]:
    return digests(SEVERAL_MODELS, SOURCES)


def test_a_copy_has_the_same_digests(sources: Path, of_all_classifiers: dict[str, str]) -> None:
    assert digests(ALL_CLASSIFIERS, sources) == of_all_classifiers


@pytest.mark.parametrize(
    ("edit", "jobs"), [pytest.param(*row, id=name) for name, row in EDITS.items()], indirect=["edit"]
)
@pytest.mark.usefixtures("edit")
def test_an_edit_reruns_the_jobs_that_use_it(sources: Path, of_all_classifiers: dict[str, str], jobs: set[str]) -> None:
    edited = digests(ALL_CLASSIFIERS, sources)
    assert {job for job, digest in edited.items() if digest != of_all_classifiers[job]} == jobs


@pytest.mark.parametrize(
    ("edit", "jobs"), [pytest.param(*row, id=name) for name, row in EDITS_OF_MODELS.items()], indirect=["edit"]
)
@pytest.mark.usefixtures("edit")
def test_models_do_not_rerun_each_other(sources: Path, of_several_models: dict[str, str], jobs: set[str]) -> None:
    edited = digests(SEVERAL_MODELS, sources)
    assert {job for job, digest in edited.items() if digest != of_several_models[job]} == jobs


@pytest.mark.parametrize(
    ("edit", "jobs"), [pytest.param(*row, id=name) for name, row in EDITS_OF_CLASSES.items()], indirect=["edit"]
)
@pytest.mark.usefixtures("edit")
def test_classifiers_of_classes_and_of_malignancy_do_not_rerun_each_other(sources: Path, jobs: set[str]) -> None:
    before, edited = digests(CLASSES, SOURCES), digests(CLASSES, sources)
    assert {job for job, digest in edited.items() if digest != before[job]} == jobs


def test_naming_classes_changes_no_settings_file_but_that_of_the_cohort() -> None:
    named = validate_settings(StudyConfig, {"cohort": CLASSES["cohort"]}, "the test").stages()
    plain = validate_settings(StudyConfig, {}, "the test").stages()
    assert {job for job, settings in named.items() if settings != plain[job]} == {"cohort"}


def test_every_job_with_a_settings_file_has_modules() -> None:
    config = validate_settings(StudyConfig, SEVERAL_MODELS, "the test")
    fetching = {"download", "prefetch"}  # they have no outputs, so nothing of theirs can be out of date
    assert set(job_modules(config)) == set(config.stages()) - fetching


def rules() -> dict[str, tuple[str, str]]:
    """Return the job of the settings file and the job of the code digest of each rule that writes something."""
    found = {}
    for file in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        for text in re.split(r"^ *(?:rule|checkpoint) ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            # a fold has no settings of its own, and the other rule stands for settings files in a dry run
            if "shell:" in text and "output:" in text and not text.startswith(("fold:", "write_settings:")):
                settings = re.search(r"settings=settings_file\(\"(.+?)\"\)", text)
                code = re.search(r"code=(?:lambda wildcards: )?code\(f?\"(.+?)\"\)", text)
                assert settings, f"{file.name}: a rule has no settings file"
                assert code, f"{file.name}: a rule has no code digest"
                found[text.partition(":")[0]] = settings[1], code[1].replace("wildcards.", "")
    return found


def test_a_rule_has_the_digest_of_the_job_whose_settings_it_reads() -> None:
    jobs = rules()
    assert {"cohort", "images_shard", "segment_shard", "train_classifier", "compare"} <= set(jobs)
    assert {rule: settings for rule, (settings, _) in jobs.items()} == {rule: code for rule, (_, code) in jobs.items()}


BEFORE_THE_COHORT = ("phantom", "cohort", "write_settings", "real_exam", "birads")


def test_every_rule_behind_the_cohort_is_decided_anew_and_sees_what_was_lost() -> None:
    """A rule without these would run again for nothing, or would take results of lost files for up to date."""
    for file in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        for text in re.split(r"^ *(?:rule|checkpoint) ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            name = text.partition(":")[0]
            if "shell:" not in text or "output:" not in text or name in BEFORE_THE_COHORT:
                continue
            inputs = text.partition("input:")[2].partition("output:")[0]
            assert re.search(r"DECIDED_ANEW|rules\.cohort\.output|/cohort/shards/", inputs), name
            assert "losses=" in text or name == "images_shard", name


def test_no_rule_runs_again_because_the_study_has_moved() -> None:
    """Snakemake does not compare a parameter that may depend on the inputs."""
    texts = [file.read_text(encoding="utf-8") for file in sorted((ROOT / "workflow" / "rules").glob("*.smk"))]
    found = [value for text in texts for value in re.findall(r"^ +study=(.*\bSTUDY\b)", text, flags=re.MULTILINE)]
    assert set(found) == {"lambda wildcards, input: STUDY"}
    assert len(found) >= 4
