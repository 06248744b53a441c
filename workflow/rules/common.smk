# The configuration, checked once, and what the rules share. No rules; the logic is in `mammoflow.planning`.

import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.settings.types import DeploymentMethod

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "src"))

from mammoflow.errors import MammoflowError
from mammoflow.planning import classifiers as planned_classifiers
from mammoflow.planning import dicom as planned_dicom
from mammoflow.planning import features as planned_features
from mammoflow.planning import folds as planned_folds
from mammoflow.planning import foreign as planned_foreign
from mammoflow.planning import from_run as planned_from_run
from mammoflow.planning import models as planned_models
from mammoflow.planning import real_exam as planned_exam
from mammoflow.planning import robustness as planned_robustness
from mammoflow.planning import job_records, more_images, run_lock, run_records
from mammoflow.planning import searches as planned_searches
from mammoflow.planning import workflow as planning
from mammoflow.planning.command_line import asked_for, check_profile, check_project_folder, is_dry_run
from mammoflow.planning.fingerprints import Fingerprints
from mammoflow.planning.jobs import job_modules
from mammoflow.planning.made import Made
from mammoflow.planning.workflow import file_options as files, folder_options as folders
from mammoflow.run.provenance import code_digests


def config_files():
    """The configuration files, those of the command line after the default one, as Snakemake lays them over it."""
    named = [Path(file) for file in workflow.overwrite_configfiles]
    return [file for file in map(Path, workflow.configfiles) if file not in named] + named


CONFIG_FILES = config_files()

try:
    check_project_folder(ROOT)
    check_profile(sys.argv[1:], ROOT)
    VALUES = planning.typed_values(config, sys.argv[1:], CONFIG_FILES) if workflow.is_main_process else config
    CONFIG = planning.read_configuration(VALUES, sys.argv[1:])
    # A dry run writes nothing: it plans a rule for the settings files that a run would write here.
    DRY_RUN = is_dry_run(sys.argv[1:])
    TO_WRITE = planning.changed_settings(CONFIG) if DRY_RUN else []
    if workflow.is_main_process and not DRY_RUN:
        run_lock.check_free(planning.run_folder(CONFIG))
        planning.write_settings(CONFIG)
        # Snakemake starts processes for jobs, on the nodes of a cluster and here. They get this file in place of the
        # files and the words of the command line.
        workflow.config_settings.configfiles = [planning.write_configuration(CONFIG, VALUES)]
        workflow.config_settings.config_args = []
except MammoflowError as error:
    raise WorkflowError(str(error)) from None

RUN = planning.run_folder(CONFIG)
if workflow.is_main_process and (missing := job_records.missing_records(RUN)):
    logger.warning(missing)

SHARDS = planning.shard_names(CONFIG)
STUDY = planning.study_folders(CONFIG)[0]
MODEL = CONFIG.segmentation.default_model
CODE = code_digests(job_modules(CONFIG))
FOLDS = planned_folds.fold_folders(CONFIG)

# An input of every rule behind the cohort, whose age does not count. After the cohort was made again, Snakemake decides
# anew which of their jobs have to run; it does so only for jobs that read an output of the checkpoint.
DECIDED_ANEW = ancient(f"{RUN}/cohort/study.json")

WEIGHTS = ["weights", "model_weights", "trained"]
FINGERPRINTS = Fingerprints(CONFIG, remember=not DRY_RUN)
MADE = Made(RUN, remember=not DRY_RUN)


wildcard_constraints:
    fold=planned_folds.FOLD,
    shard=r"\d{2,4}",
    model=planning.any_of(CONFIG.segmentation.run),
    source=planning.any_of(CONFIG.segmentation.run),
    trained=planning.any_of(CONFIG.segmentation.trained_models()),
    family=planning.any_of(CONFIG.features.run),
    classifier=planning.any_of(CONFIG.classification.run),


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
    return CODE[job]


def content_of_cohort():
    """The fingerprint of the studies' files. The process that plans needs it, and not the jobs on a cluster."""
    return FINGERPRINTS.of_cohort() if workflow.is_main_process else ""


def content_of_rows():
    """The fingerprint of the files that the rows of the studies come from."""
    return FINGERPRINTS.of_rows() if workflow.is_main_process else ""


def content_of_shard(shard):
    """The fingerprint of the files that a shard of the cohort names."""
    return FINGERPRINTS.of_shard(shard) if workflow.is_main_process else ""


def content_of_given(files):
    """The fingerprint of tables and weights that the run does not make."""
    return FINGERPRINTS.of_given(files) if workflow.is_main_process else ""


def content_of_birads():
    """The content of the result of the target birads: the report shows it where it is there, and does not ask for it."""
    return planning.content_of_birads(RUN) if workflow.is_main_process else ""


def losses(*files):
    """How often results that a job reads were lost since they were complete: by a job that failed or was interrupted."""
    return MADE.losses(files) if workflow.is_main_process else ""


def given(files):
    """Inputs of a rule: of those that the run does not make the content counts, as a parameter, and not the age."""
    return [file if FINGERPRINTS.is_made(file) else ancient(file) for file in files]


def with_given_weights(inputs):
    """The inputs of a classifier, by kind, with `given` for those that are weights."""
    return {kind: given(files) if kind in WEIGHTS else files for kind, files in inputs.items()}


def content_of_weights(inputs):
    """The fingerprint of the weights among the inputs of a classifier that the run does not make."""
    return content_of_given(file for kind in WEIGHTS for file in inputs.get(kind, []))


def losses_of(inputs):
    """How often the inputs of a classifier, by kind, were lost."""
    return losses(*(file for files in inputs.values() for file in files))


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


def grows(first):
    """A resource that grows with each attempt: a job that failed for lack of memory or time gets more the next time."""
    return lambda wildcards, attempt: attempt * first


def gpus(job):
    """GPUs of a job."""
    return planning.gpus(CONFIG, job)


def threads_of_a_shard(sets=1):
    """Threads of one shard's job, where so many sets of shards are processed side by side."""
    return planning.threads_of_a_shard(sets * len(SHARDS), workflow.resource_settings.cores, workflow.remote_exec)


def threads_of_segmentation(wildcards):
    """Threads of the masks of one shard; on a GPU the models take turns."""
    sets = 1 if gpus(f"segmentation/{wildcards.model}") else len(FOLDS) * len(CONFIG.segmentation.run)
    return threads_of_a_shard(sets)


def threads_of_a_training(kind, name):
    """Threads of the training that a wildcard names."""
    return lambda wildcards: planning.threads_of_a_training(CONFIG, f"{kind}/{getattr(wildcards, name)}")


def reserved_threads(kind, name):
    """Threads that Snakemake reserves for the training that a wildcard names."""
    return lambda wildcards: planning.reserved_threads(CONFIG, f"{kind}/{getattr(wildcards, name)}")


def target(files, name, key, remedy):
    """The files of a target; asking for a target without files is an error that says what to configure."""

    def files_of_target(wildcards):
        try:
            return asked_for(files, name, key, remedy)
        except MammoflowError as error:
            raise WorkflowError(str(error)) from None

    return files_of_target


def further_images(model):
    """The image tables of other runs that a model is trained on."""
    try:
        return more_images.further_images(CONFIG, model)
    except MammoflowError as error:
        raise WorkflowError(str(error)) from None


def exam_weights():
    """The weights files of the models of the real exam."""
    try:
        return list(planned_exam.exam_weights(CONFIG).values())
    except MammoflowError as error:
        raise WorkflowError(str(error)) from None


def searched_model(wildcards):
    """The segmentation model of the search that a wildcard names."""
    return planned_searches.searched_model(CONFIG, wildcards.search)


def robustness_inputs():
    """The inputs of the robustness, by kind, with `given` for weights."""
    try:
        return with_given_weights(planned_robustness.robustness_inputs(CONFIG))
    except MammoflowError as error:
        raise WorkflowError(str(error)) from None


def reported_robustness():
    """The result of the robustness that the report shows."""
    try:
        return planned_robustness.reported_robustness(CONFIG)
    except MammoflowError as error:
        raise WorkflowError(str(error)) from None
