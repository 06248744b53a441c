"""What the rules of the workflow ask about a configuration: folders, tables, settings files, options, resources."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import yaml

from mammoflow.config.base import overlay, validate_settings
from mammoflow.config.documentation import settings_text
from mammoflow.config.mapping import read_mapping
from mammoflow.config.study import StudyConfig
from mammoflow.config.yaml_text import keep_words
from mammoflow.errors import ConfigError
from mammoflow.planning.command_line import with_command_line
from mammoflow.planning.models import run_folder
from mammoflow.planning.preflight import check_files, check_places, gpu_present
from mammoflow.storage.files import file_digest, text_digest, write_text
from mammoflow.storage.write_errors import WriteError

# These targets fetch the study or the weights, so the files need not be there yet.
FETCHING_TARGETS = frozenset({"download", "prefetch"})
MOST_THREADS = 16
THREADS_ON_A_CLUSTER = 4
CONFIGURATION = "configuration.yaml"
"""The configuration of the last start, in the folder of the run."""

SEGMENTATION_TRAININGS = ("segmentation_models/", "segmentation_searches/")


def typed_values(values: Mapping[str, object], arguments: Sequence[str], files: Sequence[Path]) -> Mapping[str, object]:
    """Return the configuration that Snakemake read, with the words and types that its files and command line have.

    Parameters
    ----------
    values
        The merged configuration files.
    arguments
        The command line of Snakemake.
    files
        The configuration files that `values` come from, each of which overlays the one before. They are read again
        strictly: a key that occurs twice is an error, and a key such as `yes` stays a word.

    Raises
    ------
    ConfigError
        If a file cannot be read or names a key twice, or a value of the command line is not YAML.
    """
    texts: dict[str, object] = {}
    for file in files:
        texts = overlay(texts, read_mapping(file))
    return with_command_line(keep_words(values, texts), arguments)


def read_configuration(values: Mapping[str, object], arguments: Iterable[str]) -> StudyConfig:
    """Validate the values of a configuration, and check that its files exist.

    The files are not checked where a target that fetches them is asked for.

    Parameters
    ----------
    values
        What `typed_values` returns.
    arguments
        The command line of Snakemake. Snakemake knows its targets only after it has read the rules.

    Raises
    ------
    ConfigError
        If a key, a type or a value is wrong, a study or a table does not exist, or the run would write to a study.
    WeightsError
        If a weights file does not exist.
    """
    config = validate_settings(StudyConfig, values, "the configuration")
    if not FETCHING_TARGETS & {argument.partition(":")[0] for argument in arguments}:
        check_files(config)
    check_places(config)
    return config


def shard_names(config: StudyConfig) -> list[str]:
    """Return the names of the shards: two digits, or more where there are more than a hundred."""
    return [f"{shard:02d}" for shard in range(config.cohort.shards)]


def has_phantom(config: StudyConfig) -> bool:
    """Tell whether the first study is the embedded phantom study, which the run itself writes."""
    return config.cohort.dataset.reader == "phantom"


def study_folders(config: StudyConfig) -> list[str]:
    """Return the folder of each study, in the order of the configuration."""
    first = f"{run_folder(config)}/study" if has_phantom(config) else config.cohort.dataset.folder
    return [first, *(dataset.folder for dataset in config.cohort.more_datasets)]


def study_tables(config: StudyConfig) -> list[str]:
    """Return the paths of all tables that the configuration names for its studies, and of the keys of their ids."""
    folders = zip(study_folders(config), config.cohort.datasets, strict=True)
    tables = [f"{folder}/{table}" for folder, dataset in folders for table in dataset.every_table()]
    return [
        *tables,
        *dict.fromkeys(dataset.anonymous_ids for dataset in config.cohort.datasets if dataset.anonymous_ids),
    ]


def content_of_birads(run: Path) -> str:
    """Return a digest of the table of BI-RADS alone and its record; "" where the target birads was not run."""
    files = [run / "birads" / name for name in ("birads.csv", "birads.json")]
    return text_digest(*map(file_digest, files)) if all(file.is_file() for file in files) else ""


def settings_file(config: StudyConfig, job: str) -> str:
    """Return the path of a job's settings file."""
    return f"{run_folder(config)}/settings/{job}.yaml"


def write_settings(config: StudyConfig) -> None:
    """Write the settings file of each job; a file whose content stays the same is not touched."""
    _write(config, _changed_settings(config))


def write_configuration(config: StudyConfig, values: Mapping[str, object]) -> Path:
    """Write the configuration for the processes that Snakemake starts for jobs; return the absolute path of the file.

    These processes read it in place of the configuration files and of the command line. So a file that is edited
    during a run changes nothing in it, and no value loses its type on its way to another machine.

    Parameters
    ----------
    config
        The configuration of the run.
    values
        What `typed_values` returned for it.
    """
    path = run_folder(config) / CONFIGURATION
    text = yaml.dump(values, Dumper=_MappingDumper, sort_keys=False, allow_unicode=True)
    if not _has_text(path, text):
        _write(config, {path: text})
    return path.absolute()


class _MappingDumper(yaml.SafeDumper):
    """Writes every mapping as a plain one: Snakemake reads a JSON file into mappings of another type."""


_MappingDumper.add_multi_representer(dict, yaml.SafeDumper.represent_dict)


def _write(config: StudyConfig, texts: Mapping[Path, str]) -> None:
    """Write files to the folder of the run."""
    for path, text in texts.items():
        try:
            write_text(path, text)
        except (OSError, WriteError) as error:
            cause = error.cause if isinstance(error, WriteError) else error.strerror or error
            raise ConfigError(
                f"results: found {config.results!r}, but {path} cannot be written: {cause}; expected a folder "
                "with room that you can write to; correct the path or its permissions, or make room"
            ) from error


def changed_settings(config: StudyConfig) -> list[str]:
    """Return the paths of the settings files that `write_settings` would write."""
    return [str(path) for path in _changed_settings(config)]


def _changed_settings(config: StudyConfig) -> dict[Path, str]:
    """Return path and text of each settings file that is absent or has another text."""
    texts = {Path(settings_file(config, job)): settings_text(settings) for job, settings in config.stages().items()}
    return {path: text for path, text in texts.items() if not _has_text(path, text)}


def _has_text(path: Path, text: str) -> bool:
    """Tell whether a file is there and has a text."""
    try:
        return path.is_file() and path.read_bytes() == text.encode()
    except OSError:
        return False


def folder_options(option: str, files: Iterable[str | Path]) -> list[str]:
    """Return the words of an option of a command, once for the folder of each file; the rules quote each word."""
    return file_options(option, [Path(file).parent for file in files])


def file_options(option: str, files: Iterable[str | Path]) -> list[str]:
    """Return the words of an option of a command, once for each file; the rules quote each word."""
    return [word for file in files for word in (option, str(file))]


def gpus(config: StudyConfig, job: str) -> int:
    """Return how many GPUs a job asks for: one where its device is `cuda`, or `auto` on a machine with a GPU.

    Parameters
    ----------
    config
        The configuration of the run.
    job
        Name of its settings file; the device is in the settings or in the options inside them.
    """
    settings = config.stages()[job]
    device = getattr(getattr(settings, "options", settings), "device", "cpu")
    return int(device == "cuda" or (device == "auto" and gpu_present()))


def any_of(names: Iterable[str]) -> str:
    """Return the regular expression of a wildcard that takes one of some names; without names it matches nothing."""
    return "|".join(map(re.escape, names)) or r"(?!)"


def threads_of_a_shard(jobs: int, cores: int | None, remote: bool) -> int:
    """Return the threads of one shard's job, so that all jobs of its kind together fill the machine.

    Parameters
    ----------
    jobs
        Jobs of the kind that do not wait for each other: those of all shards, and of all models and folds.
    cores
        Cores that Snakemake may use on this machine; None where it was not told.
    remote
        Whether the jobs run on a cluster, where a job is not limited by the cores of this machine.

    Returns
    -------
    int
        1 to 16.
    """
    if remote or cores is None:
        return min(cores or THREADS_ON_A_CLUSTER, MOST_THREADS)
    return min(max(cores // jobs, 1), MOST_THREADS)


def threads_of_a_training(config: StudyConfig, job: str) -> int:
    """Return the threads that compute in a training on a CPU, which do not depend on the cores of the machine.

    The last digits of the result depend on them, so the configuration names them.

    Parameters
    ----------
    config
        The configuration of the run.
    job
        Name of its settings file; those of segmentation models and of their searches begin with one of
        `SEGMENTATION_TRAININGS`.
    """
    threads = config.training_threads
    return threads.segmentation if job.startswith(SEGMENTATION_TRAININGS) else threads.classifier


def reserved_threads(config: StudyConfig, job: str) -> int:
    """Return the threads that Snakemake reserves for a training, as far as it has cores.

    Beside a GPU further processes load samples.
    """
    threads = threads_of_a_training(config, job)
    return max(threads, THREADS_ON_A_CLUSTER) if gpus(config, job) else threads
