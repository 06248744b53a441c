"""What every training leaves beside its results: one record, the learning curve, and weights that carry the record."""

from __future__ import annotations

import csv
import io
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mammoflow.config.base import Settings
from mammoflow.storage.files import file_digest, write_text, writing
from mammoflow.storage.tensor_files import save_tensors
from mammoflow.training.choice import History
from mammoflow.training.loop import Fit
from mammoflow.training.plan import Plan

HISTORY_FILE = "history.csv"
METADATA = "training"
"""Key of a safetensors file's header under which the record is kept as JSON."""

EFFORT = ("seconds", "peak_memory_bytes", "resumed_from")
"""What a training took. Two trainings that end in the same weights may differ in it, so it is not in their file."""

PACKAGES = ("mammoflow", "torch", "torchvision", "numpy")


@dataclass(frozen=True)
class TrainingRecord:
    """What was trained, on whom, how, and what it took.

    Attributes
    ----------
    name
        Name of the model.
    settings
        Settings of the training.
    patients, validation_patients
        Patients trained on and chosen by, as `source/patient`, so that a test patient among them can be told.
    phantom
        Whether any of them is a phantom, so that the weights say nothing about patients.
    epochs, chosen_epoch, resumed_from
        Epochs in all, the one that was kept, and those that earlier processes had done.
    trainable_parameters, total_parameters
        Numbers that were trained, and all that a prediction runs through.
    seconds
        Of the training, in all processes that took part.
    device, threads, precision
        Where and in which arithmetic it was trained; several, in order and separated by commas, where a process with
        another device or arithmetic continued it.
    peak_memory_bytes
        Most memory in use: of the GPU, or of the process where it computes on the CPU.
    halvings
        How often a batch was halved because memory ran out.
    platform
        Architecture of the processor.
    versions
        Installed packages.
    facts
        What only this kind of training has to say, by key.
    """

    name: str
    settings: Mapping[str, Any]
    patients: Sequence[str]
    validation_patients: Sequence[str]
    phantom: bool
    epochs: int
    chosen_epoch: int
    resumed_from: int
    trainable_parameters: int
    total_parameters: int
    seconds: float
    device: str
    threads: int
    precision: str
    peak_memory_bytes: int
    halvings: int
    platform: str = field(default_factory=platform.machine)
    versions: Mapping[str, str] = field(default_factory=lambda: installed_versions())
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        name: str,
        settings: Settings,
        plan: Plan,
        fitted: Fit,
        threads: int,
        patients: Sequence[str],
        validation_patients: Sequence[str],
        phantom: bool,
        parameters: tuple[int, int],
        facts: Mapping[str, Any],
        packages: Sequence[str] = (),
    ) -> TrainingRecord:
        """Make the record of a fit.

        Parameters
        ----------
        name, settings, threads, patients, validation_patients, phantom, facts
            As the attributes.
        plan, fitted
            How it was trained, and what came of it.
        parameters
            Numbers trained, and in all (`count_parameters`).
        packages
            Further packages whose versions are recorded.
        """
        return cls(
            name,
            settings.model_dump(mode="json"),
            sorted(set(patients)),
            sorted(set(validation_patients)),
            phantom,
            len(fitted.history),
            fitted.chosen_epoch,
            fitted.resumed_from,
            *parameters,
            round(fitted.seconds, 2),
            _in_order([device for device, _ in fitted.computed], str(plan.device)),
            threads,
            _in_order([precision for _, precision in fitted.computed], plan.precision),
            fitted.peak_memory,
            fitted.halvings,
            versions=installed_versions(*packages),
            facts=facts,
        )

    def content(self) -> dict[str, Any]:
        """Return the record as plain values, the facts among the other keys.

        Raises
        ------
        ValueError
            If a fact has the key of something else.
        """
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "facts"}
        doubled = sorted(values.keys() & self.facts.keys())
        if doubled:
            raise ValueError(f"facts of the training record of {self.name} are {doubled}; expected other keys")
        return {**values, **self.facts}

    def lasting_content(self) -> dict[str, Any]:
        """Return the content without what the training took; a killed training and an unbroken one give the same."""
        return {key: value for key, value in self.content().items() if key not in EFFORT}


def _in_order(values: Sequence[str], last: str) -> str:
    """Join what differs from the value before; `last` alone where all are the same."""
    different = [value for value, _ in groupby(values)]
    return ", ".join(different) if len(different) > 1 else last


def last_precision(recorded: str) -> str:
    """Return the precision in which a training ended and predicted, of what its record says."""
    return recorded.rpartition(", ")[2]


def installed_versions(*packages: str) -> dict[str, str]:
    """Return the versions of the packages that every training uses and of some more; "" for one that is missing."""
    versions = {}
    for name in (*PACKAGES, *packages):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = ""
    return versions


def count_parameters(trained: Sequence[Tensor], *networks: nn.Module) -> tuple[int, int]:
    """Return how many numbers are trained, and how many some networks have, each counted once."""
    everything = {id(item): item.numel() for network in networks for item in network.parameters()}
    everything |= {id(item): item.numel() for item in trained}
    return sum(item.numel() for item in trained), sum(everything.values())


def write_history(path: Path, history: History) -> None:
    """Write the learning curve as CSV, one row for each epoch, in one step."""
    text = io.StringIO()
    columns = list(dict.fromkeys(key for row in history for key in row))
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(history)
    write_text(path, text.getvalue())


def write_record(path: Path, record: TrainingRecord, weights: Path | None = None) -> None:
    """Write a record as JSON, in one step.

    Parameters
    ----------
    path
        The file.
    record
        The record.
    weights
        The file of the weights, whose digest ties the record to them.
    """
    digest = {} if weights is None else {"weights_sha256": file_digest(weights)}
    write_text(path, json.dumps({**record.content(), **digest}, indent=2, sort_keys=True) + "\n")


def write_weights(
    path: Path, state: Mapping[str, Tensor], record: TrainingRecord, metadata: Mapping[str, str] | None = None
) -> None:
    """Write weights as safetensors, with the record in their header, in one step.

    The header leaves out seconds and memory, so that the same training gives the same bytes.

    Parameters
    ----------
    path
        The file.
    state
        The weights by name.
    record
        The record of their training.
    metadata
        Further entries of the header.
    """
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    header = {**(metadata or {}), METADATA: json.dumps(record.lasting_content(), sort_keys=True)}
    with writing(path) as temporary:
        save_tensors(temporary, tensors, header)


def write_training(
    output: Path,
    weights_file: str,
    record_file: str,
    state: Mapping[str, Tensor],
    record: TrainingRecord,
    history: History,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write weights, learning curve and record of a training; the record last, because it names the weights' digest.

    Parameters
    ----------
    output
        Folder of the results.
    weights_file, record_file
        Names of the files in it.
    state, record, history, metadata
        See `write_weights` and `write_history`.
    """
    write_weights(output / weights_file, state, record, metadata)
    write_history(output / HISTORY_FILE, history)
    write_record(output / record_file, record, output / weights_file)
