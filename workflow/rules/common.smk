# The configuration, checked once, and what the rules share. No rules; the logic is in `mammoflow.planning`.

import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "src"))

from mammoflow.errors import MammoflowError
from mammoflow.planning import classifiers as planned_classifiers
from mammoflow.planning import dicom as planned_dicom
from mammoflow.planning import features as planned_features
from mammoflow.planning import folds as planned_folds
from mammoflow.planning import models as planned_models
from mammoflow.planning import searches as planned_searches
from mammoflow.planning import workflow as planning
from mammoflow.planning.jobs import job_modules
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
MODULES = job_modules(CONFIG)
FOLDS = planned_folds.fold_folders(CONFIG)

planning.write_settings(CONFIG)


wildcard_constraints:
    fold=planned_folds.FOLD,
    shard=r"\d{2,4}",
    model=planning.any_of(CONFIG.segmentation.run),
    source=planning.any_of(CONFIG.segmentation.run),
    trained=planning.any_of(CONFIG.segmentation.trained_models()),
    family=planning.any_of(CONFIG.features.run),
    classifier=planning.any_of(CONFIG.classification.run),
    search=planning.any_of(CONFIG.classification.searches),


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


def of_model(model, file):
    """A file of a segmentation model, of all shards and of every fold in which its masks differ."""
    return shards(
        "{fold}segmentation/{model}/{shard}/{file}",
        fold=planned_folds.model_folders(CONFIG, model),
        model=model,
        file=file,
    )


def of_models(models, *names):
    """Files of several segmentation models."""
    return [file for model in models for name in names for file in of_model(model, name)]


def of_family(family):
    """The features of a family, of all shards and of every fold in which they differ."""
    return shards(
        "{fold}features/{family}/{shard}.parquet", fold=planned_folds.family_folders(CONFIG, family), family=family
    )


def gpus(job):
    """GPUs of a job."""
    return planning.gpus(CONFIG, job)


def threads_of_a_shard():
    """Threads of one shard's job."""
    return planning.threads_of_a_shard(len(SHARDS), workflow.resource_settings.cores, workflow.remote_exec)


def threads_of_a_training(job):
    """Threads of the job of one classifier."""
    trainings = len(FOLDS) * max(len(CONFIG.classification.run), 1)
    cores = workflow.resource_settings.cores
    return planning.threads_of_a_training(trainings, cores, workflow.remote_exec, gpus(job) > 0)


def further_images(model):
    """The image tables of other runs that a model is trained on."""
    try:
        return planned_models.further_images(CONFIG, model)
    except MammoflowError as error:
        raise WorkflowError(str(error)) from None
