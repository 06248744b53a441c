# The configuration, checked once, and what the rules share. No rules; the logic is in `mammoflow.planning`.

import re
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "src"))

from mammoflow.errors import MammoflowError
from mammoflow.planning import workflow as planning
from mammoflow.planning.jobs import job_modules
from mammoflow.planning.models import architecture, model_argument, weights_path
from mammoflow.planning.workflow import file_options as files, folder_options as folders
from mammoflow.run.provenance import code_digest

try:
    CONFIG = planning.read_configuration(config, sys.argv[1:])
except MammoflowError as error:
    raise WorkflowError(str(error)) from None

RUN = planning.run_folder(CONFIG)
SHARDS = planning.shard_names(CONFIG)
STUDY = planning.study_folders(CONFIG)[0]
MODEL = CONFIG.segmentation.default_model
EFFICIENTNETS = [f"efficientnet_{kind}" for kind in CONFIG.classification.efficientnet.inputs]
PROMPTING = sorted({source for sources in CONFIG.segmentation.prompted_by.values() for source in sources})
PERCEPTRONS = [f"perceptron_{variant}" for variant in CONFIG.classification.perceptron.variants]
MODULES = job_modules(CONFIG)

planning.write_settings(CONFIG)


wildcard_constraints:
    shard=r"\d{2,4}",
    model="|".join(map(re.escape, CONFIG.segmentation.models)),
    source="|".join(map(re.escape, CONFIG.segmentation.models)),
    kind="|".join(CONFIG.classification.efficientnet.inputs),
    variant="|".join(CONFIG.classification.perceptron.variants),


def command_prefix():
    """Make each command use the library of this checkout, with the Python of Snakemake or of the conda environment."""
    in_conda = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
    python = "python" if in_conda else shlex.quote(sys.executable)
    return (
        f"set -euo pipefail; export PYTHONPATH={shlex.quote(str(ROOT / 'src'))}; "
        f'mammoflow() {{{{ {python} -m mammoflow.cli "$@"; }}}}; '
    )


shell.prefix(command_prefix())


def settings_file(job):
    """The settings file of a job."""
    return planning.settings_file(CONFIG, job)


def code(job):
    """The digest of the code behind a job."""
    return code_digest(*MODULES[job])


def shards(pattern, **values):
    """The files of all shards of a stage; other wildcards are filled from `values` or stay as they are."""
    return expand(f"{RUN}/{pattern}", shard=SHARDS, allow_missing=True, **values)


def gpus(job):
    """GPUs of a job."""
    return planning.gpus(CONFIG.stages()[job].device)


def threads_of_a_shard():
    """Threads of one shard's job."""
    return planning.threads_of_a_shard(len(SHARDS), workflow.resource_settings.cores, workflow.remote_exec)


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


def memory(model):
    """Megabytes that a job with a promptable model may take."""
    return 4000 if architecture(CONFIG, model) == "small" else 16000
