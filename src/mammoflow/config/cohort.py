"""Settings of the cohort stage: which study, how to read it, how to split it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from mammoflow.config.base import Settings
from mammoflow.config.members import Family, MemberOf, OptionsOf
from mammoflow.config.paths import StudyPath, UserPath

Unlabelled = Literal["leave_out", "keep"]


class ReaderOptions(Settings):
    """Options that every reader has: none. A reader with options of its own derives its `Options` from it."""

    def further_tables(self) -> list[str]:
        """Return the tables of the study that the options name, relative to its folder."""
        return []

    def check_tables(self, tables: list[str]) -> None:
        """Check the case tables that the settings name; a reader that cannot use any list of them says so here.

        Parameters
        ----------
        tables
            `tables` of the data set.

        Raises
        ------
        ValueError
            If the reader cannot use them.
        """


READERS = Family("mammoflow.cohort.readers", "data set reader", hyphens=True, default_options=ReaderOptions)
ReaderName = Annotated[str, MemberOf(READERS)]

PHANTOM = "phantom"
"""Name of the embedded study, its reader, and the run of the default configuration."""

MOVED_KEYS = ("joins", "columns", "labels", "spacing_factor")
"""Keys of the reader `table`, which once were in the settings of every data set."""


def with_names(cohort: Mapping[str, object], run: object) -> dict[str, object]:
    """Return plain values of the cohort in which studies without a name of their own have one.

    The first takes the name of the run, or that of its folder where the run has the default name. Further ones have a
    number behind it.

    Parameters
    ----------
    cohort
        Values of `CohortSettings`, not yet validated.
    run
        Name of the run.
    """
    values = {**cohort, "dataset": _with_name(cohort.get("dataset", {}), run, 1)}
    further = cohort.get("more_datasets")
    if isinstance(further, list):
        values["more_datasets"] = [_with_name(dataset, run, number) for number, dataset in enumerate(further, 2)]
    return values


def _with_name(dataset: object, run: object, number: int) -> object:
    """Return plain values of a data set with a name."""
    if not isinstance(dataset, Mapping) or dataset.get("name", PHANTOM) != PHANTOM:
        return dataset
    if dataset.get("reader", PHANTOM) == PHANTOM:
        return dataset
    name = str(run) if run != PHANTOM else PurePath(str(dataset.get("folder", ""))).name or str(dataset["reader"])
    return {**dataset, "name": name if number == 1 else f"{name}-{number}"}


class DatasetSettings(Settings):
    """The folder of the study and the reader that reads it."""

    reader: ReaderName = Field(
        "phantom",
        description="Reader of the study: phantom (embedded); table (one CSV or Parquet that names images, masks or "
        "boxes); folders (images and masks in folders, without a table); nifti (volumes "
        "and mask volumes); or that of a public data set, each with a page in docs/datasets.",
    )
    name: str = Field(
        PHANTOM,
        min_length=1,
        description="Name of the data set, shown in tables and figures. A study that has the name phantom but is not "
        "the embedded one gets the name of the run.",
    )
    folder: UserPath = Field(
        "", description="Folder of the study; image and mask paths are relative to it. Empty for the phantom study."
    )
    tables: list[StudyPath] = Field(
        default_factory=list,
        description="Case tables, relative to the folder; empty uses the reader's usual file names.",
    )
    options: Annotated[ReaderOptions, OptionsOf(READERS, "reader")] = Field(
        default_factory=ReaderOptions,
        validate_default=True,
        description="Options of the reader. docs/datasets/table.md lists those of `table`, and docs/other-pictures.md "
        "those of `folders` and `nifti`; the others have none.",
    )
    spacing_mm: float | None = Field(
        None,
        gt=0,
        description="Pixel spacing in millimetres for films for which neither table nor header gives one; null "
        "excludes them.",
    )
    malignant_from_birads: int | None = Field(
        None,
        ge=2,
        le=6,
        description="For lesions without a pathology: those with this BI-RADS assessment or a higher one count as "
        "malignant, those from 1 to below it as benign. null leaves them out. inbreast and vindr-mammo "
        "have no biopsies and need this setting; 4 is usual. A comparison with BI-RADS is then circular, "
        "and study.json says so.",
    )
    benign_to_birads: int | None = Field(
        None,
        ge=1,
        le=5,
        description="With malignant_from_birads: lesions up to this assessment count as benign, and those between "
        "the two are left out. For example, 2 and 4 leave out BI-RADS 3. null leaves nothing out.",
    )

    anonymous_ids: UserPath = Field(
        "",
        description="File with a secret key of at least 16 random bytes. With it, ids of patients, images and lesions "
        "become digests, and file names appear only in the tables of the cohort and the images stage. Only for the "
        "reader table. Empty keeps the ids of the case table.",
    )
    ids_differ: bool = Field(
        False,
        description="Whether patient ids that differ only in case, leading zeros, a final .0, separators or "
        "look-alike characters are different patients. false stops the run with a list of them, because "
        "one patient with two spellings would be on both sides of the split.",
    )

    def every_table(self) -> list[str]:
        """Return the tables that are named: the case tables, and those that the options name."""
        return [*self.tables, *self.options.further_tables()]

    @model_validator(mode="before")
    @classmethod
    def check_moved_keys(cls, values: Any) -> Any:
        """Refuse options of the reader `table` outside `options`, and say where they belong."""
        moved = [key for key in MOVED_KEYS if isinstance(values, dict) and key in values]
        if moved:
            problems: list[InitErrorDetails] = [
                {
                    "type": PydanticCustomError("moved", f"options.{key}, for it is an option of the reader 'table'"),
                    "loc": (key,),
                    "input": values[key],
                }
                for key in moved
            ]
            raise ValidationError.from_exception_data(cls.__name__, problems)
        return values

    @model_validator(mode="after")
    def check_reader(self) -> Self:
        """Refuse tables that the reader cannot use, and a study without a folder."""
        self.options.check_tables(self.tables)
        if self.anonymous_ids and self.reader != "table":
            raise ValueError(
                f"anonymous_ids: found {self.anonymous_ids!r} with the reader {self.reader!r}; expected an empty text, "
                "because only the reader 'table' replaces ids"
            )
        if self.reader != "phantom" and not self.folder:
            raise ValueError(f"the reader {self.reader!r} needs the study's folder, found an empty one")
        return self

    @model_validator(mode="after")
    def check_convention(self) -> Self:
        """Refuse a bound of benign lesions that has no bound of malignant ones above it."""
        low, high = self.benign_to_birads, self.malignant_from_birads
        if low is not None and (high is None or low >= high):
            raise ValueError(
                f"benign_to_birads is {low} and malignant_from_birads {high}; expected the first one lower"
            )
        return self


class SplitSettings(Settings):
    """How patients are divided; no patient is on two sides, except where the method says so."""

    method: Literal["official", "random", "kfold", "leave_one_source_out", "by_image", "apply"] = Field(
        "random",
        description="official keeps the data set's own test set (training rows of its patients are left out). random "
        "draws patients, stratified by malignancy. kfold uses each of `folds` parts of the patients as "
        "test, in turn. leave_one_source_out uses one data set as test. by_image is the published "
        "protocol, which puts patients on both sides and is marked as leaking everywhere. apply trains "
        "nothing: every patient is test.",
    )
    test_fraction: float = Field(
        0.3, gt=0, lt=1, description="Share of patients for test (method random), or of images (by_image)."
    )
    validation_fraction: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="Share of the training patients for validation, on whom thresholds and epochs are chosen; for "
        "by_image, share of images.",
    )
    folds: int = Field(5, ge=2, description="For the method kfold: number of parts; every patient is in one of them.")
    fold: Annotated[int, Field(ge=0)] | Literal["all"] = Field(
        "all",
        description="For the method kfold: all makes every fold in one run, so each patient is in the test split "
        "once. A number, from 0, makes only that fold.",
    )
    test_source: str = Field(
        "", description="For the method leave_one_source_out: name of the data set that is used as test."
    )
    seed: int = Field(0, ge=0, description="Seed of the draw.")

    @property
    def leaking(self) -> bool:
        """Whether the split puts patients on several sides on purpose."""
        return self.method == "by_image"

    @property
    def all_folds(self) -> bool:
        """Whether one run makes every fold."""
        return self.method == "kfold" and self.fold == "all"

    def of_fold(self, fold: int) -> Self:
        """Return the settings of one fold of the run."""
        return self.model_copy(update={"fold": fold})

    @model_validator(mode="after")
    def check_method(self) -> Self:
        """Refuse a fold that does not exist, and a test source that the method would not look at or lacks."""
        if self.fold != "all" and self.fold >= self.folds:
            raise ValueError(f"fold is {self.fold}, expected all, or 0 to {self.folds - 1}, as folds is {self.folds}")
        if (self.method == "leave_one_source_out") != bool(self.test_source):
            raise ValueError(
                f"method is {self.method!r} and test_source is {self.test_source!r}; expected the name of a data set "
                "with leave_one_source_out, and an empty one with any other method"
            )
        return self


class CohortSettings(Settings):
    """The cohort stage."""

    dataset: DatasetSettings = Field(default_factory=DatasetSettings, description="The study to read.")
    more_datasets: list[DatasetSettings] = Field(
        default_factory=list,
        description="Additional studies in the same cohort, each with the keys of `dataset` and a different name.",
    )
    split: SplitSettings = Field(
        default_factory=SplitSettings, description="The division into train, validation, test."
    )
    unlabelled: Unlabelled = Field(
        "leave_out",
        description="Lesions of unknown malignancy, and images without a lesion that can be used. leave_out drops "
        "them. keep segments them, computes their features and predicts them; no figure uses them, except "
        "the scores of masks where no lesion at all has a label, and "
        "only the recipe automatic learns from their masks.",
    )
    shards: int = Field(
        2,
        ge=1,
        le=1024,
        description="Number of jobs of a stage that works on images; a hash of its id assigns a patient to a shard.",
    )

    @property
    def datasets(self) -> list[DatasetSettings]:
        """All studies of the cohort, in order."""
        return [self.dataset, *self.more_datasets]

    @model_validator(mode="after")
    def check_datasets(self) -> Self:
        """Refuse studies that cannot be told apart, a second embedded study, and a test source that is none of them."""
        names, folders = ([getattr(dataset, key) for dataset in self.datasets] for key in ("name", "folder"))
        if len(set(names)) < len(names):
            raise ValueError(f"the data sets are named {names}; expected a name of its own for each")
        if len(set(folders)) < len(folders):
            raise ValueError(
                f"the data sets have the folders {folders}; expected a folder of its own for each: patients of one "
                "study are one data set, with all its tables"
            )
        if any(dataset.reader == "phantom" for dataset in self.more_datasets):
            raise ValueError("more_datasets has the reader phantom; the embedded study can only be cohort.dataset")
        if self.split.test_source and (self.split.test_source not in names or len(names) < 2):
            raise ValueError(
                f"split.test_source is {self.split.test_source!r}; expected one of at least two data sets, found "
                f"{names}; name further ones in more_datasets"
            )
        return self
