"""The stage of robustness: segmentation models and classifiers of a run, on degraded images of test lesions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mammoflow.classification.application import TrainedClassifier, applied
from mammoflow.classification.samples import Files, PromptableSource
from mammoflow.config.detection import AutomaticSettings
from mammoflow.config.from_run import RECORD
from mammoflow.config.prompted import SegmentSettings
from mammoflow.config.robustness import RobustnessJob
from mammoflow.errors import ConfigError
from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.oracles import ORACLE_MASKS, SEES_REFERENCE
from mammoflow.evaluation.robustness_images import DrawnCases, drawn_cases, write_degraded
from mammoflow.evaluation.robustness_results import write_results
from mammoflow.evaluation.robustness_scores import Observed, robustness_row
from mammoflow.evaluation.seen_patients import SEEN_NOTE
from mammoflow.run.console import say
from mammoflow.run.runtime import set_threads
from mammoflow.segmentation.automatic.stage import segment_automatic
from mammoflow.segmentation.prompted.stage import segment
from mammoflow.segmentation.prompting.prompts import prompt_table
from mammoflow.segmentation.prompting.sources import reference_source
from mammoflow.storage.files import read_json
from mammoflow.storage.intermediate import temporary_folder
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.masks import SEGMENTATION_SCORES
from mammoflow.tables.prompts import PROMPTS
from mammoflow.tables.robustness import CLASSIFICATION, NONE, SEGMENTATION
from mammoflow.weights.registry import ModelSpec


@dataclass(frozen=True)
class Segmenting:
    """A segmentation model of the run, as its own job is told it.

    Attributes
    ----------
    model
        The model.
    settings
        Of its job: those of a promptable or of an automatic model.
    """

    model: ModelSpec
    settings: SegmentSettings | AutomaticSettings


@dataclass(frozen=True)
class Classifying:
    """A trained classifier, and the name of the segmentation model that it takes masks or embeddings of, or ""."""

    folder: Path
    model: str = ""


def robustness(
    settings: RobustnessJob,
    cohort: Path,
    images: Sequence[Path],
    models: Sequence[Segmenting],
    classifiers: Sequence[Classifying],
    output: Path,
    threads: int,
) -> None:
    """Score models on degraded images of test lesions, and write the curves of their scores.

    Degraded images are in a temporary folder, and so are their masks and embeddings. Nothing is trained. Classifiers
    take the masks of degraded images.

    Parameters
    ----------
    settings
        Degradations, lesions, the prompt, and how intervals are computed.
    cohort
        Folder of the cohort stage.
    images
        Folders of the image stage, one for each shard.
    models
        Segmentation models; those that classifiers take masks or embeddings of are among them.
    classifiers
        Trained classifiers.
    output
        Table to write (CSV, `mammoflow.tables.robustness`); the figure goes beside it.
    threads
        Processors to use.

    Raises
    ------
    ConfigError
        If a classifier takes a model that is not given, or cannot be applied.
    StudyError
        If no measured lesion is in the test split.
    """
    set_threads(threads)
    study = read_json(cohort / "study.json")
    given = {one.model.name: one for one in models}
    for one in classifiers:
        if one.model and one.model not in given:
            raise ConfigError(
                f"classifier {one.folder.name} takes masks or embeddings of {one.model}, which is not among "
                f"{sorted(given)}; name this model too"
            )
    cases = drawn_cases(images, settings)
    facts = cases.scored.set_index("lesion_id")[["patient_id", "malignant"]]
    rule = PatientBootstrap.of(settings.intervals)
    plain: dict[tuple[str, str], Observed] = {}
    rows = []
    for condition in [(NONE, 0.0), *settings.conditions()]:
        with temporary_folder("mammoflow-robustness-") as work:
            shown = _Condition(settings, cases, condition, given, work, threads)
            for observed in shown.observe(classifiers):
                undegraded = plain.setdefault((observed.kind, observed.model), observed)
                rows.append(robustness_row(condition, undegraded, observed, facts, rule))
        say(f"robustness: {condition[0]} {condition[1]:g} done")
    order = list(plain)
    rows.sort(key=lambda row: order.index((str(row["kind"]), str(row["model"]))))
    records = {one.folder.name: read_json(one.folder / RECORD) for one in classifiers}
    write_results(output, rows, study, {name: str(record["title"]) for name, record in records.items()})
    patients = cases.scored["patient_id"].nunique()
    say(f"robustness: {len(cases.scored)} test lesions of {patients} patients; {len(rows)} rows in {output}")


class _Condition:
    """The images under one condition, and what the models give on them."""

    def __init__(
        self,
        settings: RobustnessJob,
        cases: DrawnCases,
        condition: tuple[str, float],
        models: dict[str, Segmenting],
        work: Path,
        threads: int,
    ) -> None:
        self.settings, self.models, self.work, self.threads = settings, models, work, threads
        self.images, self.store = work / "images" / "00", work / "store"
        self.prompts, self.boxes = work / "prompts.parquet", work / "boxes.parquet"
        write_degraded(cases, *condition, settings.seed, self.images, threads)

    def observe(self, classifiers: Sequence[Classifying]) -> Iterator[Observed]:
        """Give the scores of each segmentation model, then those of each classifier."""
        if any(isinstance(one.settings, SegmentSettings) for one in self.models.values()):
            self._write_prompts()
        for one in self.models.values():
            yield self._segmented(one)
        for classifier in classifiers:
            yield self._classified(classifier)

    def _write_prompts(self) -> None:
        """Write the prompts of the masks, and the boxes that classifiers on embeddings take of any kind of prompts."""
        lesions = read_table(self.images / "lesions.parquet", CANONICAL_LESIONS)
        references = reference_source(self.images, lesions)
        table = read_table(self.images / "images.parquet", CANONICAL_IMAGES)
        prompts = self.settings.prompts
        for settings, file in ((prompts, self.prompts), (prompts.model_copy(update={"kinds": ["box"]}), self.boxes)):
            write_table(prompt_table(settings, table, references, references), PROMPTS, file)

    def _folder(self, model: str) -> Path:
        return self.work / "segmentation" / model / "00"

    def _segmented(self, one: Segmenting) -> Observed:
        settings, folder = one.settings, self._folder(one.model.name)
        if isinstance(settings, SegmentSettings):
            margin = self.settings.prompts.default_margin_mm
            without = settings.model_copy(update={"empty_images": False})
            segment(without, one.model, self.images, [self.prompts], self.store, margin, folder, self.threads)
        else:
            segment_automatic(settings, one.model, self.images, folder, self.threads)
        scores = read_table(folder / "scores.parquet", SEGMENTATION_SCORES)
        scores = scores[(scores["model"] == one.model.name) & scores["chosen"]]
        if isinstance(settings, SegmentSettings):
            scores = scores[scores["field_of_view"] == settings.fields_of_view[0]]
        return Observed(one.model.name, SEGMENTATION, _note(scores), scores.set_index("lesion_id")[["dice"]])

    def _classified(self, classifier: Classifying) -> Observed:
        trained = TrainedClassifier.read(classifier.folder)
        files = Files([self.images])
        one = self.models.get(classifier.model)
        if one is not None:
            files = Files([self.images], [self._folder(classifier.model)])
            if isinstance(one.settings, SegmentSettings):
                margin = self.settings.prompts.default_margin_mm
                source = PromptableSource(one.model, one.settings.encoder_use, self.store, margin)
                files = Files(files.images, files.masks, [self.boxes], model=source)
        said = applied(trained, files, self.threads)
        values = said.table.pivot(index="lesion_id", columns="seed", values="probability")
        note = SEES_REFERENCE if said.notes.get("sees_reference_mask") else ""
        if one is not None and not note:
            note = self._note_of_masks(classifier.model)
        return Observed(trained.folder.name, CLASSIFICATION, note, values)

    def _note_of_masks(self, model: str) -> str:
        scores = read_table(self._folder(model) / "scores.parquet", SEGMENTATION_SCORES)
        return _note(scores[scores["model"] == model])


def _note(scores: pd.DataFrame) -> str:
    """Return what a reader must know of masks: whether the reference chose them, and which patients were seen."""
    oracle = any(bool((scores[column] == "oracle").any()) for column in ("choice", "head_choice"))
    seen = scores.loc[scores["seen"], "patient_id"].nunique()
    model = scores["model"].iloc[0] if len(scores) else ""
    return "; ".join(
        [
            *([ORACLE_MASKS] if oracle else []),
            *([f"{SEEN_NOTE}{model} was trained on {seen} of the patients"] if seen else []),
        ]
    )
