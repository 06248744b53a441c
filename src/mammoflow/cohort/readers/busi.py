"""BUSI: breast ultrasound pictures with their masks (Al-Dhabyani et al., Data in Brief 28:104863, 2020)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, get_args

import cv2
import pandas as pd

from mammoflow.cohort.near_copies import fingerprints, groups_of, near_copies
from mammoflow.cohort.reader import ROW_COLUMNS, Exclusion, FoundImage, FoundLesion, Reader, Row
from mammoflow.cohort.table_files import read_text_table, records, require_columns
from mammoflow.cohort.word_lists import Label
from mammoflow.errors import ConfigError, ExcludedCase, StudyError
from mammoflow.formats.listing import entries, subfolders
from mammoflow.formats.study_paths import safe_path
from mammoflow.reasons.files import FileReason
from mammoflow.reasons.labels import LabelReason
from mammoflow.reasons.lesions import LesionReason
from mammoflow.storage.names import safe_name

LABELS: tuple[Label, ...] = get_args(Label)
SUFFIX = ".png"
MASK_NAME = re.compile(r"(?P<picture>.+)_mask(?:_(?P<number>\d+))?", re.IGNORECASE)
PICTURE_NAME = re.compile(r"(?P<label>benign|malignant|normal) ?\((?P<number>\d+)\)", re.IGNORECASE)
DEEPEST_ROOT = 2
GROUPS_TABLE = "images.csv"
GROUP_COLUMNS = ["image", "near_duplicate_group"]
PRIVATE_COLUMNS = ["image_name", "mask_name", "conflict"]


@dataclass(frozen=True)
class Picture:
    """One picture of the set.

    Attributes
    ----------
    label
        The folder that it lies in.
    stem
        Its name without suffix, `benign (12)`.
    path
        Relative to the study folder.
    masks
        Number of each mask to its path: 0 for `_mask.png`, k for `_mask_k.png`.
    """

    label: Label
    stem: str
    path: str
    masks: dict[int, str] = field(default_factory=dict)

    @property
    def image_id(self) -> str:
        """`benign_12` for `benign (12)`."""
        usual = PICTURE_NAME.fullmatch(self.stem)
        if usual and usual["label"].lower() == self.label:
            return f"{self.label}_{usual['number']}"
        return safe_name(self.label, self.stem)


class StudyReader(Reader):
    """The folders benign, malignant and normal; the group of near copies replaces the patient."""

    def read_rows(self) -> tuple[pd.DataFrame, list[Exclusion]]:
        """Return one row per mask, and one per picture without a mask; masks without a picture are excluded."""
        pictures, orphans = self._found
        patients, conflicts = self._groups, self._conflicts
        rows: list[dict[str, Any]] = []
        for place, picture in enumerate(pictures):
            masks: dict[int, str] = picture.masks or {0: ""}
            numbers = [min(masks)] if picture.label == "normal" else sorted(masks)
            for number in numbers:
                lesion = f"{picture.image_id}_L{number}"
                rows.append(
                    dict.fromkeys(ROW_COLUMNS)
                    | {
                        "patient_id": patients[place],
                        "image_id": picture.image_id,
                        "lesion_id": lesion,
                        "finding_id": lesion,
                        "laterality": "",
                        "view": "",
                        "lesion_type": "unknown",
                        "label": picture.label,
                        "pathology": picture.label,
                        "official_split": "",
                        "image_name": picture.path,
                        "mask_name": masks[number],
                        "conflict": conflicts.get(place, ""),
                    }
                )
        detail = "this mask has no picture, or its picture has another mask of the same number"
        excluded = [
            Exclusion("row", FileReason.MISSING_FILE, detail, image_id=image, path=path)
            for path, image in orphans.items()
        ]
        return pd.DataFrame(rows, columns=[*ROW_COLUMNS, *PRIVATE_COLUMNS]), excluded

    def find_image(self, rows: Sequence[Row]) -> FoundImage:
        """Refuse a picture whose copy has another label, and a normal one whose mask marks something."""
        name = str(rows[0]["image_name"])
        _refuse_empty(safe_path(self.study, name))
        if rows[0]["conflict"]:
            raise ExcludedCase(LabelReason.LABEL_CONFLICT, str(rows[0]["conflict"]))
        if rows[0]["label"] == "normal":
            self._refuse_marked(next(picture for picture in self._found[0] if picture.path == name))
        return FoundImage(name)

    def find_lesion(self, row: Row, image: FoundImage) -> FoundLesion:
        """Check that the mask is there; what it marks, the image stage reads."""
        name = str(row["mask_name"])
        if not name:
            raise ExcludedCase(
                LesionReason.MASK_NOT_FOUND, f"no {PurePosixPath(image.path).stem}_mask{SUFFIX} beside it"
            )
        _refuse_empty(safe_path(self.study, name))
        return FoundLesion(name)

    def audit(self) -> dict[str, int]:
        """Count pictures by label, masks, groups of near copies, and what contradicts itself."""
        pictures, orphans = self._found
        groups = Counter(self._groups)
        return {
            **{f"{label} pictures": sum(picture.label == label for picture in pictures) for label in LABELS},
            "masks": sum(len(picture.masks) for picture in pictures),
            "masks without a picture": len(orphans),
            "pictures with several masks": sum(len(picture.masks) > 1 for picture in pictures),
            "pairs of near copies": len(self._pairs),
            "groups of near copies": sum(count > 1 for count in groups.values()),
            "pictures in groups of near copies": sum(count for count in groups.values() if count > 1),
            "pictures with a near copy under another label": len(self._conflicts),
        }

    @cached_property
    def _found(self) -> tuple[list[Picture], dict[str, str]]:
        """The pictures in natural order, and each mask without a place with the id of its picture, or ""."""
        root = _root(self.study)
        pictures: list[Picture] = []
        orphans: dict[str, str] = {}
        for label in LABELS:
            of_label, lost = _list_folder(self.study, root / label, label)
            pictures += of_label
            orphans |= lost
        if not pictures:
            raise StudyError(f"no picture *{SUFFIX} in the folders {', '.join(LABELS)} of {root}")
        return pictures, orphans

    @cached_property
    def _pairs(self) -> list[tuple[int, int, float]]:
        return near_copies(fingerprints(self.study, [picture.path for picture in self._found[0]]))

    @cached_property
    def _groups(self) -> list[str]:
        """Return the group that replaces the patient of each picture.

        Groups of the study's own table are kept whole, and joined where pictures of two of them are near copies. A
        group is called as its first member, in natural order, is called in the table or by its file.
        """
        pictures = self._found[0]
        table = self._table
        names = [table.get(picture.stem.lower(), picture.stem) for picture in pictures]
        first = {name: place for place, name in reversed(list(enumerate(names)))}
        links = [(place, first[name]) for place, name in enumerate(names) if first[name] != place]
        links += [(one, other) for one, other, _ in self._pairs]
        groups = groups_of(len(names), links)
        called: dict[int, str] = {}
        for group, name in zip(groups, names, strict=True):
            called[group] = min(called.get(group, name), name, key=_natural)
        return [called[group] for group in groups]

    @cached_property
    def _conflicts(self) -> dict[int, str]:
        """Place of each picture that has a near copy under another label, and which."""
        pictures = self._found[0]
        conflicts: dict[int, str] = {}
        for one, other, correlation in self._pairs:
            if pictures[one].label != pictures[other].label:
                for place, copy in ((one, other), (other, one)):
                    detail = f"the same picture lies under {pictures[copy].path} (correlation {correlation:.3f})"
                    conflicts.setdefault(place, detail)
        return conflicts

    @cached_property
    def _table(self) -> dict[str, str]:
        """Group of each picture by its name without suffix, where the study has a table of them."""
        if len(self.dataset.tables) > 1:
            raise ConfigError(
                f"cohort.dataset.tables has {len(self.dataset.tables)} entries; the reader 'busi' takes at most one, "
                f"with the columns {', '.join(GROUP_COLUMNS)}"
            )
        name = self.dataset.tables[0] if self.dataset.tables else GROUPS_TABLE
        if not self.dataset.tables and not (self.study / name).is_file():
            return {}
        table = read_text_table(self.study / name)
        require_columns(table, GROUP_COLUMNS, f"table of near copies {name}")
        groups = {
            PurePosixPath(row["image"].replace("\\", "/")).name.removesuffix(SUFFIX).lower(): row[GROUP_COLUMNS[1]]
            for row in records(table)
        }
        return {picture: group for picture, group in groups.items() if group}

    def _refuse_marked(self, picture: Picture) -> None:
        for name in picture.masks.values():
            mask = cv2.imread(str(safe_path(self.study, name)), cv2.IMREAD_GRAYSCALE)
            marked = 0 if mask is None else int(cv2.countNonZero(mask))
            if mask is not None and 0 < marked < mask.size:  # all white marks as little as all black
                raise ExcludedCase(
                    LabelReason.LABEL_CONFLICT, f"lies under normal, but {name} marks {marked} pixels; expected none"
                )


def _root(study: Path) -> Path:
    """Return the folder that holds the folders of the labels: the study folder, or one up to two levels below it."""
    places = [study]
    for _ in range(DEEPEST_ROOT + 1):
        roots = [place for place in places if (place / "benign").is_dir() or (place / "malignant").is_dir()]
        if len(roots) == 1:
            return roots[0]
        if roots:
            raise StudyError(
                f"the folders benign and malignant are in {len(roots)} places below {study}: "
                f"{', '.join(sorted(str(root.relative_to(study)) for root in roots)[:3])}; expected one, set "
                "cohort.dataset.folder to it"
            )
        places = [inner for place in places for inner in subfolders(place)]
    raise StudyError(
        f"{study} holds no folders benign, malignant and normal, also not in its subfolders; set "
        "cohort.dataset.folder to the folder Dataset_BUSI_with_GT or the one that holds it"
    )


def _list_folder(study: Path, folder: Path, label: Label) -> tuple[list[Picture], dict[str, str]]:
    """Return the pictures of one label with their masks, and each mask without a place with its picture's id, or ""."""
    if not folder.is_dir():
        return [], {}
    files = sorted(
        (path for path in entries(folder) if path.suffix.lower() == SUFFIX and not path.name.startswith(".")),
        key=lambda path: _natural(path.stem),
    )
    masks = {path: found for path in files if (found := MASK_NAME.fullmatch(path.stem))}
    pictures = {
        path.stem.lower(): Picture(label, path.stem, path.relative_to(study).as_posix())
        for path in files
        if path not in masks
    }
    orphans = {}
    for path, found in masks.items():
        name = path.relative_to(study).as_posix()
        picture, number = pictures.get(found["picture"].lower()), int(found["number"] or 0)
        if picture is None or number in picture.masks:
            orphans[name] = "" if picture is None else picture.image_id
        else:
            picture.masks[number] = name
    return list(pictures.values()), orphans


def _natural(name: str) -> list[tuple[int, str]]:
    """Key that sorts `benign (2)` before `benign (10)`."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name.lower())]


def _refuse_empty(path: Path) -> None:
    if path.stat().st_size == 0:
        raise ExcludedCase(FileReason.TRUNCATED, f"{path.name} is empty")
