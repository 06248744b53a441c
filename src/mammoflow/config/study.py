"""The whole configuration of a run: every stage's settings under one roof."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from mammoflow.config.ablation import with_ablation
from mammoflow.config.applied import check_applied
from mammoflow.config.audit import AuditSettings
from mammoflow.config.base import Device, Model, Settings, StageSettings
from mammoflow.config.birads import BiradsJob
from mammoflow.config.classification import ClassificationSettings
from mammoflow.config.classifier_checks import check_class_study
from mammoflow.config.cohort import PHANTOM, CohortSettings, with_names
from mammoflow.config.colour_checks import check_colour
from mammoflow.config.detection import AutomaticSettings
from mammoflow.config.dicom import DicomSettings
from mammoflow.config.download import DownloadSettings, PrefetchJob, PrefetchSettings
from mammoflow.config.evaluation import ComparisonSettings, IntervalSettings, ReportSettings
from mammoflow.config.features import FeaturesSettings
from mammoflow.config.given_files import options_with_label_weights, prefetched_models
from mammoflow.config.images import ImagesSettings
from mammoflow.config.model_search import ModelSearchJob, ModelSearchSettings, check_search_names
from mammoflow.config.paths import LONGEST_NAME, OutputPath
from mammoflow.config.phantom import PhantomSettings
from mammoflow.config.prompted import SegmentSettings
from mammoflow.config.prompts import PromptSettings
from mammoflow.config.real_exam import RealExamSettings
from mammoflow.config.recipes import RecipeSettings, TrainSettings
from mammoflow.config.robustness import RobustnessSettings, robustness_job
from mammoflow.config.row_names import check_own_names
from mammoflow.config.saliency import SaliencyJob, SaliencySettings
from mammoflow.config.search import SearchSettings
from mammoflow.config.search_job import SearchJob
from mammoflow.config.segmentation import RESERVED_NAMES, SegmentationSettings
from mammoflow.config.segmentation_checks import (
    check_box_prompts,
    check_embedding_model,
    check_overlay,
    check_promptable,
    check_prompted_splits,
    check_sources,
)
from mammoflow.config.study_modality import PageSettings, StudyModality
from mammoflow.config.threads import TrainingThreads
from mammoflow.config.weights import PUBLISHED


class StudyConfig(Settings):
    """Everything that `config.yaml` and the overlays can say."""

    run: str = Field(
        "phantom",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=LONGEST_NAME,
        description="Name of the run; results go to <results>/<run>.",
    )
    results: OutputPath = Field("results", min_length=1, description="Folder that contains the folders of all runs.")
    store: OutputPath = Field(
        "results/store", min_length=1, description="Folder of the embeddings, shared by all runs."
    )
    device: Device = Field("auto", description="Device of every stage that does not set its own.")
    modality: StudyModality = Field(
        "auto",
        description="Modality of the study, for the words of audit and report: mammography (also auto), ultrasound, "
        "endoscopy, ct, mr or other. BI-RADS appears on the pages of another modality only if lesions have an "
        "assessment.",
    )
    changed_files: Literal["times", "content"] = Field(
        "times",
        description="How a run finds changed files of the study. times compares the content of files whose size or "
        "times changed. content reads every file at each start, for file systems that do not keep times.",
    )
    training_threads: TrainingThreads = Field(
        default_factory=TrainingThreads,
        description="Threads of a training on a CPU. The last digits of a training depend on them, so they do not "
        "follow the number of cores. With few trainings and many cores, larger numbers save time.",
    )
    phantom: PhantomSettings = Field(default_factory=PhantomSettings, description="The embedded phantom study.")
    cohort: CohortSettings = Field(default_factory=CohortSettings, description="Which study, and how it is split.")
    images: ImagesSettings = Field(default_factory=ImagesSettings, description="Canonical images and lesion patches.")
    audit: AuditSettings = Field(
        default_factory=AuditSettings, description="The audit of the study, on a separate page."
    )
    prompts: PromptSettings = Field(default_factory=PromptSettings, description="Prompts: boxes and points.")
    segmentation: SegmentationSettings = Field(
        default_factory=SegmentationSettings, description="Segmentation models, and how they are used and trained."
    )
    features: FeaturesSettings = Field(
        default_factory=FeaturesSettings, description="Features of each lesion, by feature family."
    )
    classification: ClassificationSettings = Field(
        default_factory=ClassificationSettings, description="Malignancy classifiers."
    )
    saliency: SaliencySettings = Field(
        default_factory=SaliencySettings, description="Saliency maps of classifiers, compared with the lesion's mask."
    )
    robustness: RobustnessSettings = Field(
        default_factory=RobustnessSettings,
        description="Scores on degraded test images; the separate target `robustness`.",
    )
    comparison: ComparisonSettings = Field(
        default_factory=ComparisonSettings, description="Comparison of all models with BI-RADS."
    )
    report: ReportSettings = Field(default_factory=ReportSettings, description="The HTML report.")
    dicom: DicomSettings = Field(
        default_factory=DicomSettings, description="DICOM objects of the study's lesions, a target of its own."
    )
    real_exam: RealExamSettings = Field(
        default_factory=RealExamSettings, description="The page of eight real films, a target of its own."
    )
    download: DownloadSettings = Field(
        default_factory=DownloadSettings, description="Download of CBIS-DDSM; the separate target `download`."
    )
    prefetch: PrefetchSettings = Field(
        default_factory=PrefetchSettings,
        description="Published weights, fetched for nodes without a network; the separate target `prefetch`.",
    )

    @model_validator(mode="before")
    @classmethod
    def complete(cls, values: Any) -> Any:
        """Name studies that have no name after the run, and give each changed model of an ablation an entry."""
        if not isinstance(values, dict):
            return values
        values = with_ablation(values)
        if not isinstance(values.get("cohort"), dict):
            return values
        return {**values, "cohort": with_names(values["cohort"], values.get("run", PHANTOM))}

    @model_validator(mode="after")
    def check_between_stages(self) -> Self:
        """Refuse values of one stage that do not fit those of another."""
        if self.prompts.default_margin_mm not in self.prompts.margins_mm:
            raise ValueError(
                f"prompts.default_margin_mm is {self.prompts.default_margin_mm}, "
                f"expected one of prompts.margins_mm {self.prompts.margins_mm}"
            )
        check_applied(self.cohort, self.classification, self.segmentation, self.comparison)
        check_class_study(self.classification, self.cohort.classes)
        check_search_names(self.segmentation.searches, self.classification.searches)
        entries = self.classification.entries()
        of_masks = [family for family in self.features.run if self.features.families[family].mask == "predicted"]
        of_masks += [name for _, name, entry in entries if "masks" in entry.needs()]
        check_prompted_splits(self.prompts, self.segmentation, list(dict.fromkeys(of_masks)))
        reading_prompts = list(dict.fromkeys(name for _, name, entry in entries if "prompts" in entry.needs()))
        check_box_prompts(self.prompts, reading_prompts)
        check_prompted_splits(self.prompts, self.segmentation, reading_prompts)
        check_promptable(self.segmentation, reading_prompts)
        check_colour(self.images, self.segmentation, entries)
        check_sources(self.segmentation, [dataset.name for dataset in self.cohort.datasets])
        for _, name, entry in entries:
            if entry.target == "classes" and getattr(entry.input_options, "mask_overlay", "none") == "predicted":
                check_overlay(self.segmentation, name)
            if hasattr(entry.input_options, "model"):
                check_embedding_model(self.segmentation, name, entry.input_options.model)
        for family in self.features.run:
            try:
                self.features.families[family].check_patch(self.images.patch_mm)
            except ValueError as error:
                raise ValueError(f"features.families.{family}.{error}") from error
        for key, _, entry in entries:
            for family in entry.vectors:
                if family not in self.features.run:
                    raise ValueError(
                        f"classification.{key}.vectors names {family!r}; expected one of features.run "
                        f"{self.features.run}"
                    )
        self.saliency.classifiers(self.classification)
        self.robustness.chosen_models(self.segmentation)
        self.robustness.chosen_classifiers(self.classification, self.segmentation)
        seeds = {name: len(self.classification.classifiers[name].seeds) for name in self.classification.of_malignancy()}
        self.comparison.check_classifiers(seeds, self.features.run)
        of_tools = {f"comparison.masks.{place}.name": one.name for place, one in enumerate(self.comparison.masks)}
        check_own_names(of_tools, [*self.segmentation.run, *RESERVED_NAMES])
        self.comparison.check_families(self.features.run)
        if self.comparison.needs_stability and self.cohort.split.all_folds:
            raise ValueError(
                "comparison.feature_models has stability_above, and the run makes every fold; expected a single split, "
                "because the training patients of one fold are the test patients of another"
            )
        if self.dicom.classifier and self.dicom.classifier not in self.classification.of_malignancy():
            raise ValueError(
                f"dicom.classifier is {self.dicom.classifier!r}; expected one of classification.run with target: "
                f"malignant {self.classification.of_malignancy()}, or an empty text"
            )
        return self

    def stages(self) -> dict[str, Settings]:
        """Return each stage's own settings: what its settings file holds, and nothing of another stage."""
        saliency = self._part(SaliencyJob, self.saliency)
        return {
            "phantom": self.phantom,
            "cohort": self.cohort,
            "images": self.images,
            "audit": self._of_modality(self.audit),
            "prompts": self.prompts,
            **{f"features/{family}": self._on_device(self.features.families[family]) for family in self.features.run},
            "stability": self.features,
            **{
                f"classifiers/{name}": self._on_device(self.classification.classifiers[name])
                for name in self.classification.run
            },
            **{f"saliency/{name}": saliency for name in self.saliency.classifiers(self.classification)},
            **{f"searches/{name}": self._search_job(search) for name, search in self.classification.searches.items()},
            "robustness": robustness_job(self.robustness, self.prompts, self.comparison),
            "compare": self._comparison(),
            "report": self._of_modality(self.report),
            "dicom": self.dicom,
            "real_exam": self._on_device(self.real_exam),
            "birads": self._birads_job(),
            "download": self.download,
            "prefetch": self._prefetch_job(),
            **self._segmentation_jobs(),
        }

    def _comparison(self) -> ComparisonSettings:
        """Return the settings of the comparison, with the run's table of stability where one is needed."""
        if not self.comparison.needs_stability or self.comparison.stability_table:
            return self.comparison
        return self.comparison.model_copy(update={"stability_table": self.stability_table})

    @property
    def stability_table(self) -> str:
        """Path of the table that the target stability writes."""
        return f"{self.results}/{self.run}/stability/stability.csv"

    def _segmentation_jobs(self) -> dict[str, Settings]:
        """Return the settings of each model that segments, of each that is trained, and of each search."""
        prompted = self._part(SegmentSettings, self.segmentation)
        automatic = self._part(AutomaticSettings, self.segmentation)
        trained = {name: entry.train for name, entry in self.segmentation.models.items() if entry.train is not None}
        return {
            **{
                f"segmentation/{name}": prompted if self.segmentation.is_prompted(name) else automatic
                for name in self.segmentation.run
            },
            **{f"segmentation_models/{name}": self._training_job(train) for name, train in trained.items()},
            **{
                f"segmentation_searches/{name}": self._model_search_job(search, trained[search.model])
                for name, search in self.segmentation.searches.items()
            },
        }

    def _search_job(self, search: SearchSettings) -> SearchJob:
        """Return what the job of a search needs, with the run's device where its classifier leaves it open."""
        entry = self.classification.classifiers[search.classifier]
        return self._on_device(SearchJob(device=entry.device, search=search, classifier=entry))

    def _model_search_job(self, search: ModelSearchSettings, train: TrainSettings) -> ModelSearchJob:
        """Return what the job of a search of a segmentation model needs."""
        training = self._training_job(train)
        return ModelSearchJob(device=getattr(training.options, "device", "auto"), search=search, training=training)

    def _training_job(self, train: TrainSettings) -> RecipeSettings:
        """Return what one training job needs, with device and label weights where its options leave them open."""
        values = {name: getattr(train, name) for name in RecipeSettings.model_fields}
        options = options_with_label_weights(train, self.segmentation, self.prefetch.folder)
        return RecipeSettings(**{**values, "options": self._on_device(options)})

    def _birads_job(self) -> BiradsJob:
        """Return what the tables of BI-RADS need: the studies, and the intervals of the comparison."""
        values = {name: getattr(self.comparison, name) for name in IntervalSettings.model_fields}
        return BiradsJob(**values, datasets=self.cohort.datasets)

    def _prefetch_job(self) -> PrefetchJob:
        """Name the published weights that this configuration asks for, each with its file where one is named."""
        models = prefetched_models(self.segmentation, self.real_exam.models)
        for name in self.classification.needed():
            entry = self.classification.classifiers[name]
            if entry.weights == PUBLISHED:  # any other file is the user's own
                models[entry.network] = ""
        return PrefetchJob(**self.prefetch.model_dump(), models=models)

    def _part(self, model: type[StageSettings], settings: StageSettings) -> StageSettings:
        """Keep the keys that the stage's model knows, and fill in the run's device where the stage leaves it open."""
        return self._on_device(model(**{name: getattr(settings, name) for name in model.model_fields}))

    def _of_modality(self, settings: PageSettings) -> PageSettings:
        """Fill in the run's modality where a page leaves it open."""
        return settings.model_copy(update={"modality": self.modality}) if settings.modality == "auto" else settings

    def _on_device(self, settings: Model) -> Model:
        """Fill in the run's device where the settings have a device and leave it open."""
        is_open = getattr(settings, "device", None) == "auto"
        return settings.model_copy(update={"device": self.device}) if is_open else settings
