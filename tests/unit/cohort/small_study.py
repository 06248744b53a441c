"""A small study of one table and tiny pictures, for tests of the reader `table`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from mammoflow.cohort.reader import open_reader
from mammoflow.cohort.readers._table_options import Options
from mammoflow.cohort.selection import select_cases
from mammoflow.cohort.stage import build_cohort
from mammoflow.config.cohort import CohortSettings, DatasetSettings
from mammoflow.tables.cohort import EXCLUDED, IMAGES, LESIONS
from mammoflow.tables.files import read_table


def table_of(count: int = 8) -> pd.DataFrame:
    """One lesion on each image of each patient, every second one malignant."""
    return pd.DataFrame(
        {
            "image": [f"images/{number}.png" for number in range(count)],
            "mask": [f"masks/{number}.png" for number in range(count)],
            "patient": [f"P{number}" for number in range(count)],
            "label": ["malignant" if number % 2 else "benign" for number in range(count)],
        }
    )


@dataclass(frozen=True)
class Selected:
    """What is left of a study, what was left out, and what was said."""

    images: pd.DataFrame
    lesions: pd.DataFrame
    excluded: pd.DataFrame
    notes: list[str]

    @property
    def details(self) -> list[str]:
        return [] if self.excluded.empty else self.excluded["detail"].tolist()

    def reasons(self, level: str = "row") -> list[str]:
        """Return the reasons of the exclusions of one level."""
        if self.excluded.empty:
            return []
        return [str(reason) for reason in self.excluded.loc[self.excluded["level"] == level, "reason"]]


class Study:
    """A folder with pictures for the paths of a table."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder.parent / "cohort"

    def build(self, table: pd.DataFrame, name: str = "cases.csv", **values: object) -> Study:
        self.folder.mkdir(exist_ok=True)
        path = self.folder / name
        table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path)
        self.write_pictures(table)
        return self.rebuild(name, **values)

    def select(self, table: pd.DataFrame, **values: object) -> Selected:
        """Read a table and find its files, without a split and without writing anything: the fast way."""
        self.folder.mkdir(exist_ok=True)
        table.to_csv(self.folder / "cases.csv", index=False)
        self.write_pictures(table)
        reader = open_reader(self.dataset("cases.csv", values), self.folder)
        found = select_cases(reader)
        excluded = pd.DataFrame([asdict(exclusion) for exclusion in found.resolved.excluded])
        frames = pd.DataFrame(found.resolved.images), pd.DataFrame(found.resolved.lesions)
        return Selected(*frames, excluded, reader.notes)

    def write_pictures(self, table: pd.DataFrame) -> None:
        """Write a black picture for each path."""
        for column in ("image", "mask"):
            for picture in table.get(column, []):
                if isinstance(picture, str) and picture.endswith(".png") and ".." not in picture:
                    (self.folder / picture).parent.mkdir(parents=True, exist_ok=True)
                    cv2.imwrite(str(self.folder / picture), np.zeros((8, 6), np.uint8))

    def write(self, content: bytes | str, name: str = "cases.csv", encoding: str = "utf-8") -> Path:
        """Write a file of the study as it is."""
        self.folder.mkdir(exist_ok=True)
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    def rebuild(self, name: str = "cases.csv", **values: object) -> Study:
        """Read the table that lies in the folder."""
        build_cohort(CohortSettings(dataset=self.dataset(name, values)), self.folder, self.output)
        return self

    def dataset(self, name: str, values: dict[str, object]) -> DatasetSettings:
        """Return the settings of the study; keys of the reader's options and of the data set may be mixed."""
        options = {key: values.pop(key) for key in Options.model_fields if key in values}
        shared = {"reader": "table", "name": "mine", "folder": str(self.folder), "tables": [name], "options": options}
        return DatasetSettings(**shared, **values)

    @property
    def images(self) -> pd.DataFrame:
        return read_table(self.output / "images.parquet", IMAGES)

    @property
    def lesions(self) -> pd.DataFrame:
        return read_table(self.output / "lesions.parquet", LESIONS)

    @property
    def excluded(self) -> pd.DataFrame:
        return read_table(self.output / "excluded.parquet", EXCLUDED)

    @property
    def reasons(self) -> dict[str, int]:
        return json.loads((self.output / "study.json").read_text())["counts"]["excluded_lesions"]
