"""Settings of the cohort stage: which study, how to read it, how to split it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from mammoflow.config.base import Settings
from mammoflow.config.image_classes import UNKNOWN_CLASS, ClassName, same_class
from mammoflow.config.members import Family, MemberOf, OptionsOf
from mammoflow.config.paths import StudyPath, UserPath
from mammoflow.config.split import SplitSettings

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
    classes: list[ClassName] = Field(
        default_factory=list,
        description="Names of the classes of whole images, such as [normal, benign, malignant], for classifiers with "
        "target: classes. The class comes from the reader (column class, class folder), else from the lesions. "
        "Empty gives images no class.",
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

    @field_validator("classes")
    @classmethod
    def check_classes(cls, names: list[str]) -> list[str]:
        """Refuse a single class, two spellings of one class, and the word for no class."""
        keys = [same_class(name) for name in names]
        if len(names) == 1 or len(set(keys)) < len(keys) or UNKNOWN_CLASS in keys:
            raise ValueError(
                f"classes is {names}; expected at least two different names, none of them {UNKNOWN_CLASS!r}, or an "
                "empty list for images without classes"
            )
        return names

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
