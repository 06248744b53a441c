# The configuration, checked once, and the functions that the rules share. No rules.

import json
import re
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "src"))

from mammoflow.config.base import validate_settings
from mammoflow.config.cohort import READERS
from mammoflow.config.documentation import settings_text
from mammoflow.config.study import StudyConfig
from mammoflow.errors import MammoflowError
from mammoflow.planning.features import feature_gpus, feature_masks, feature_modules
from mammoflow.planning.preflight import check_files, gpu_present
from mammoflow.run.provenance import code_digest, run_record, study_fingerprint
from mammoflow.planning.models import architecture, model_argument, weights_path
from mammoflow.storage.files import write_text

# Who fetches the study or the weights cannot have them yet. Targets are not known to Snakemake before it has read this.
FETCHING = {"download", "prefetch"} & {argument.partition(":")[0] for argument in sys.argv[1:]}

try:
    CONFIG = validate_settings(StudyConfig, config, "the configuration")
    if not FETCHING:
        check_files(CONFIG)
except MammoflowError as error:
    raise WorkflowError(str(error)) from None

RUN = f"{CONFIG.results}/{CONFIG.run}"
PHANTOM = CONFIG.cohort.dataset.reader == "phantom"
STUDY = f"{RUN}/study" if PHANTOM else CONFIG.cohort.dataset.folder
FURTHER = [dataset.folder for dataset in CONFIG.cohort.more_datasets]
MODEL = CONFIG.segmentation.default_model
SHARDS = [f"{shard:02d}" for shard in range(CONFIG.cohort.shards)]
EFFICIENTNETS = [f"efficientnet_{kind}" for kind in CONFIG.classification.efficientnet.inputs]
PROMPTING = sorted({source for sources in CONFIG.segmentation.prompted_by.values() for source in sources})
PERCEPTRONS = [f"perceptron_{variant}" for variant in CONFIG.classification.perceptron.variants]


wildcard_constraints:
    shard=r"\d{2,4}",
    model="|".join(map(re.escape, CONFIG.segmentation.models)),
    source="|".join(map(re.escape, CONFIG.segmentation.models)),
    family="|".join(map(re.escape, CONFIG.features.run)) or "no_family",
    kind="|".join(CONFIG.classification.efficientnet.inputs),
    variant="|".join(CONFIG.classification.perceptron.variants),


def command_prefix():
    """What stands before every command: this checkout's library, and the Python that runs Snakemake or conda's."""
    in_conda = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
    python = "python" if in_conda else shlex.quote(sys.executable)
    return (
        f"set -euo pipefail; export PYTHONPATH={shlex.quote(str(ROOT / 'src'))}; "
        f'mammoflow() {{{{ {python} -m mammoflow.cli "$@"; }}}}; '
    )


shell.prefix(command_prefix())


def write_settings():
    """Write the settings file of each stage; one whose content stays is not touched."""
    for stage, settings in CONFIG.stages().items():
        path, text = Path(settings_file(stage)), settings_text(settings)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)


def readers():
    """The modules that read the studies."""
    return sorted({READERS.module(dataset.reader) for dataset in CONFIG.cohort.datasets})


def study_tables():
    """The tables of all studies that the configuration names."""
    return [
        f"{folder}/{table}"
        for folder, dataset in zip([STUDY, *FURTHER], CONFIG.cohort.datasets)
        for table in dataset.every_table()
    ]


def study_content():
    """A digest of the files of all studies but the embedded one, whose manifest stands for them."""
    return [study_fingerprint(Path(folder)) for folder in [*([] if PHANTOM else [STUDY]), *FURTHER]]


def settings_file(stage):
    return f"{RUN}/settings/{stage}.yaml"


write_settings()


def shards(pattern, **values):
    """The files of all shards of a stage; other wildcards are filled from `values` or stay as they are."""
    return expand(f"{RUN}/{pattern}", shard=SHARDS, allow_missing=True, **values)


def folders(option, files):
    """The option of a command, once for the folder of each file."""
    return " ".join(f"{option} {shlex.quote(str(Path(file).parent))}" for file in files)


def files(option, names):
    """The option of a command, once for each file."""
    return " ".join(f"{option} {shlex.quote(str(name))}" for name in names)


def weights(model):
    """The weights file of a promptable model as a list of inputs; none for the one that the package ships."""
    file = weights_path(CONFIG, model)
    return [] if file is None else [str(file)]


def tuned_from(wildcards):
    """The model that a tuned model starts from."""
    return CONFIG.tuning.models[wildcards.tuned].model


def prompt_tables(model):
    """The tables of prompts of a model: its own, and those around the masks of the models that prompt it."""
    sources = CONFIG.segmentation.prompted_by.get(model, [])
    return [f"{RUN}/prompts/{folder}{{shard}}.parquet" for folder in ["", *(f"from_{source}/" for source in sources)]]


def further_shards(wildcards):
    """The image tables of the further runs that the small model is trained on."""
    found = []
    for folder in CONFIG.small_model.more_images:
        tables = sorted(map(str, Path(folder).glob("*/images.parquet")))
        if not tables:
            raise WorkflowError(
                f"small_model.more_images: found no shards of images in {folder!r}; expected the folder `images` of a "
                "finished run; make that run's target `images` first, or correct the path"
            )
        found += tables
    return found


def gpus(stage):
    """GPUs of a stage: one where it is told to use one, or may and this machine has one."""
    device = CONFIG.stages()[stage].device
    return int(device == "cuda" or (device == "auto" and gpu_present()))


def threads_of_a_shard():
    """Threads of one shard's job, so that all shards together fill this machine; four on a cluster."""
    cores = workflow.resource_settings.cores
    if workflow.remote_exec or cores is None:
        return min(cores or 4, 16)
    return min(max(cores // len(SHARDS), 1), 16)


def memory(model):
    """Megabytes that a job with a promptable model may take."""
    return 4000 if architecture(CONFIG, model) == "small" else 16000


def record_run():
    """Write the run record: versions, revision, platform and executor of the latest run that had something to do."""
    record = run_record(workflow.executor_plugin.name, ROOT)
    write_text(Path(f"{RUN}/run.json"), json.dumps(record, indent=2))
