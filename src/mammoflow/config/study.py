"""The whole configuration of a run: every stage's settings under one roof."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from mammoflow.config.audit import AuditSettings
from mammoflow.config.base import Device, Model, Settings, StageSettings
from mammoflow.config.classification import ClassificationSettings, EfficientNetTraining, PerceptronTraining
from mammoflow.config.cohort import CohortSettings
from mammoflow.config.download import DownloadSettings, PrefetchJob, PrefetchSettings
from mammoflow.config.evaluation import ComparisonSettings, ReportSettings
from mammoflow.config.features import FeaturesSettings
from mammoflow.config.images import ImagesSettings
from mammoflow.config.phantom import PhantomSettings
from mammoflow.config.segmentation import PromptSettings, SegmentationSettings, SegmentSettings
from mammoflow.config.small import SmallModelSettings, SmallTrainingSettings
from mammoflow.config.tuning import TuneSettings, TuningSettings, check_tuned_models


class StudyConfig(Settings):
    """Everything that `config.yaml` and the overlays can say."""

    run: str = Field(
        "phantom",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Name of the run; results go to <results>/<run>.",
    )
    results: str = Field("results", min_length=1, description="Folder that all runs write to.")
    store: str = Field("results/store", min_length=1, description="Folder of the embeddings, shared by all runs.")
    device: Device = Field("auto", description="Device of every stage that does not set its own.")
    phantom: PhantomSettings = Field(default_factory=PhantomSettings, description="The embedded phantom study.")
    cohort: CohortSettings = Field(default_factory=CohortSettings, description="Which study, and how it is split.")
    images: ImagesSettings = Field(default_factory=ImagesSettings, description="Canonical images and lesion patches.")
    audit: AuditSettings = Field(default_factory=AuditSettings, description="The study's audit, a page of its own.")
    prompts: PromptSettings = Field(default_factory=PromptSettings, description="Box prompts.")
    segmentation: SegmentationSettings = Field(
        default_factory=SegmentationSettings, description="Promptable segmentation."
    )
    features: FeaturesSettings = Field(
        default_factory=FeaturesSettings, description="Features of each lesion, by feature family."
    )
    classification: ClassificationSettings = Field(
        default_factory=ClassificationSettings, description="Malignancy classifiers."
    )
    small_model: SmallModelSettings = Field(
        default_factory=SmallModelSettings, description="Training of the small promptable model, a target of its own."
    )
    tuning: TuningSettings = Field(
        default_factory=TuningSettings, description="Tuning of promptable models on the training patients."
    )
    comparison: ComparisonSettings = Field(default_factory=ComparisonSettings, description="Models against BI-RADS.")
    report: ReportSettings = Field(default_factory=ReportSettings, description="The HTML report.")
    download: DownloadSettings = Field(
        default_factory=DownloadSettings, description="Download of CBIS-DDSM, a target of its own."
    )
    prefetch: PrefetchSettings = Field(
        default_factory=PrefetchSettings,
        description="Published weights brought to a folder for nodes without a network, a target of its own.",
    )

    @model_validator(mode="after")
    def check_between_stages(self) -> Self:
        """Refuse values of one stage that do not fit those of another."""
        if self.prompts.default_margin_mm not in self.prompts.margins_mm:
            raise ValueError(
                f"prompts.default_margin_mm is {self.prompts.default_margin_mm}, "
                f"expected one of prompts.margins_mm {self.prompts.margins_mm}"
            )
        if self.segmentation.default_model not in self.segmentation.models:
            raise ValueError(
                f"segmentation.default_model is {self.segmentation.default_model!r}, "
                f"expected one of segmentation.models {self.segmentation.models}"
            )
        check_tuned_models(self.tuning, self.segmentation)
        for family in self.features.run:
            try:
                self.features.families[family].check_patch(self.images.patch_mm)
            except ValueError as error:
                raise ValueError(f"features.families.{family}.{error}") from error
        return self

    def stages(self) -> dict[str, Settings]:
        """Return each stage's own settings: what its settings file holds, and nothing of another stage."""
        return {
            "phantom": self.phantom,
            "cohort": self.cohort,
            "images": self.images,
            "audit": self.audit,
            "prompts": self.prompts,
            "segment": self._part(SegmentSettings, self.segmentation),
            **{f"features/{family}": self._on_device(self.features.families[family]) for family in self.features.run},
            "efficientnet": self._part(EfficientNetTraining, self.classification.efficientnet),
            "perceptron": self._part(PerceptronTraining, self.classification.perceptron),
            "small_model": self._part(SmallTrainingSettings, self.small_model),
            "tune": self._part(TuneSettings, self.tuning),
            "compare": self.comparison,
            "report": self.report,
            "download": self.download,
            "prefetch": self._prefetch_job(),
        }

    def _prefetch_job(self) -> PrefetchJob:
        """Name the published weights that this configuration asks for, each with its file where one is named."""
        own = self.segmentation.custom
        wanted = dict.fromkeys([*self.segmentation.models, *(tuned.model for tuned in self.tuning.models.values())])
        models = {name: self.segmentation.weights.get(name, "") for name in wanted if name not in own}
        if self.classification.efficientnet.weights:
            models["efficientnet_b0"] = self.classification.efficientnet.weights
        return PrefetchJob(**self.prefetch.model_dump(), models=models)

    def _part(self, model: type[StageSettings], settings: StageSettings) -> StageSettings:
        """Keep the keys that the stage's model knows, and fill in the run's device where the stage leaves it open."""
        return self._on_device(model(**{name: getattr(settings, name) for name in model.model_fields}))

    def _on_device(self, settings: Model) -> Model:
        """Fill in the run's device where the settings have a device and leave it open."""
        is_open = getattr(settings, "device", None) == "auto"
        return settings.model_copy(update={"device": self.device}) if is_open else settings
