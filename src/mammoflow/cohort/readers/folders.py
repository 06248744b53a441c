"""Folders of images and masks without a table: names and folders say what belongs together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, cast

import pandas as pd

from mammoflow.cohort.image_classes import WORD
from mammoflow.cohort.near_copies import fingerprints, groups_of, near_copies
from mammoflow.cohort.reader import ROW_COLUMNS, Exclusion, FoundImage, FoundLesion, Reader, Row
from mammoflow.cohort.readers._folders_options import Options, expression_of
from mammoflow.cohort.words import parse_label
from mammoflow.errors import ConfigError, ExcludedCase, StudyError
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.formats.dicom_header import header_integer, image_shape
from mammoflow.formats.file_kinds import FileKind, file_kind
from mammoflow.formats.listing import walk
from mammoflow.formats.opening import regular_file_size
from mammoflow.formats.study_paths import safe_path
from mammoflow.reasons.cohort import CohortReason
from mammoflow.reasons.files import FileReason
from mammoflow.reasons.lesions import LesionReason
from mammoflow.storage.names import distinct_names

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm", ".dicom", ".ima")
OTHER_SUFFIXES = (".txt", ".csv", ".tsv", ".json", ".xml", ".md", ".db", ".ini", ".xlsx", ".pdf", ".html", ".yaml")
PRIVATE_COLUMNS = ["image_name", "mask_name", WORD]
Key = tuple[str, str]


@dataclass(frozen=True)
class Picture:
    """One image of the study.

    Attributes
    ----------
    key
        Class folder, or "", and name.
    path
        Relative to the study folder.
    masks
        Number of each mask to its path; 0 for a mask without a number.
    crowded_out
        Paths of further masks whose number another mask has.
    """

    key: Key
    path: str
    masks: dict[int, str] = field(default_factory=dict)
    crowded_out: list[str] = field(default_factory=list)


class StudyReader(Reader):
    """A folder of images, a folder of masks with the same names, and perhaps a folder for each class."""

    suffixes: ClassVar[tuple[str, ...]] = SUFFIXES
    """Suffixes that are no part of a name."""

    @property
    def label_column(self) -> str:
        """Where the labels come from."""
        return "the class folder"

    @property
    def options(self) -> Options:
        """The options of this reader."""
        return cast("Options", self.dataset.options)

    def read_rows(self) -> tuple[pd.DataFrame, list[Exclusion]]:
        """Return one row for each mask, and one for each image without a mask; the rest is excluded."""
        pictures, excluded = self._found
        patients, lost = self._patients
        excluded = [*excluded, *lost]
        ids = distinct_names([tuple(part for part in picture.key if part) for picture in pictures])
        rows: list[dict[str, Any]] = []
        self.in_doubt = set()
        for picture, image_id, patient in zip(pictures, ids, patients, strict=True):
            if patient is None:
                continue
            label = parse_label(picture.key[0], self.options.labels)
            if picture.crowded_out and label != "normal":  # of a normal image no mask is a lesion
                self.in_doubt.add(image_id)
            masks = picture.masks or {0: ""}
            for number in [min(masks)] if label == "normal" else sorted(masks):
                lesion = f"{image_id}_L{number}"
                rows.append(
                    dict.fromkeys(ROW_COLUMNS)
                    | {
                        "patient_id": patient,
                        "image_id": image_id,
                        "lesion_id": lesion,
                        "finding_id": lesion,
                        "laterality": "",
                        "view": "",
                        "lesion_type": "unknown",
                        "label": label,
                        "pathology": picture.key[0] or None,
                        "official_split": "",
                        "image_name": picture.path,
                        "mask_name": masks[number],
                        WORD: picture.key[0],
                    }
                )
        self._note(pictures)
        return pd.DataFrame(rows, columns=[*ROW_COLUMNS, *PRIVATE_COLUMNS]), excluded

    def find_image(self, rows: Sequence[Row]) -> FoundImage:
        """Check that the file can be opened; of a DICOM file with several frames, choose the frame."""
        name = str(rows[0]["image_name"])
        path = safe_path(self.study, name)
        if file_kind(path) is not FileKind.DICOM:
            return FoundImage(name)
        wanted = self.options.frame
        header = open_dicom(path, None if wanted == "only" else wanted if isinstance(wanted, int) else 0)
        frames = header_integer(header, "NumberOfFrames") or 1
        chosen = {"first": 0, "middle": frames // 2}.get(str(wanted), wanted)
        further = {"frame": int(chosen)} if frames > 1 else {}
        return FoundImage(name, *image_shape(header), further=further)

    def find_lesion(self, row: Row, image: FoundImage) -> FoundLesion:
        """Check that the mask is there; the image stage reads what it marks."""
        name = str(row["mask_name"])
        if not name:
            raise ExcludedCase(
                LesionReason.MASK_NOT_FOUND,
                f"no file fits cohort.dataset.options.masks for {PurePosixPath(image.path).name}",
            )
        regular_file_size(safe_path(self.study, name))
        return FoundLesion(name)

    def audit(self) -> dict[str, int]:
        """Count images by class, masks, and masks without an image."""
        pictures, excluded = self._found
        classes = Counter(picture.key[0] for picture in pictures)
        return {
            **{f"{name or 'unsorted'} images": count for name, count in sorted(classes.items())},
            "masks": sum(len(picture.masks) for picture in pictures),
            "files without a place": len(excluded),
            "images with several masks": sum(len(picture.masks) > 1 for picture in pictures),
            "images without a mask": sum(not picture.masks for picture in pictures),
        }

    @cached_property
    def _found(self) -> tuple[list[Picture], list[Exclusion]]:
        """The images with their masks, in the order of their paths, and masks and images without a place."""
        if self.dataset.tables:
            raise ConfigError(
                f"cohort.dataset.tables is {self.dataset.tables}; the reader 'folders' takes none: use the reader "
                "'table' for a study with a table"
            )
        files = _files(self.study, self.suffixes)
        images, masks = (
            [expression_of(pattern) for pattern in patterns] for patterns in (self.options.images, self.options.masks)
        )
        pictures: dict[Key, Picture] = {}
        excluded = []
        for path, stem in files:
            key = next((_key(match) for form in images if (match := form.fullmatch(stem))), None)
            if key is None or any(form.fullmatch(stem) for form in masks if _may_be_mask(form, stem, images)):
                continue
            if key in pictures:
                detail = f"{path} has the name of {pictures[key].path}; expected one file for each name"
                excluded.append(Exclusion("row", CohortReason.BAD_ROW, detail, path=path))
            else:
                pictures[key] = Picture(key, path)
        if not pictures:
            raise StudyError(
                f"no file of {self.study} fits cohort.dataset.options.images {self.options.images}; found "
                f"{', '.join(path for path, _ in files[:3]) or 'no file'}; correct the patterns or the folder"
            )
        by_name: dict[str, list[Key]] = {}
        for key in pictures:
            by_name.setdefault(key[1], []).append(key)
        taken = {picture.path for picture in pictures.values()}
        for path, stem in files:
            matches = [match for form in masks if (match := form.fullmatch(stem))]
            if path in taken or not matches:
                continue
            places = (_picture_of(match, pictures, by_name) for match in matches)
            place = next((place for place in places if place is not None), None)
            if place is None or place[1] in place[0].masks:
                if place is not None:
                    place[0].crowded_out.append(path)
                detail = "this mask has no image, or its image has another mask of the same number"
                excluded.append(Exclusion("row", FileReason.MISSING_FILE, detail, path=path))
            else:
                place[0].masks[place[1]] = path
        return list(pictures.values()), excluded

    @cached_property
    def _patients(self) -> tuple[list[str | None], list[Exclusion]]:
        """The patient of each image, or None with an exclusion where its name has none."""
        pictures = self._found[0]
        names: list[str | None] = []
        excluded = []
        for picture in pictures:
            name = _patient(picture.key, self.options.patient)
            names.append(name)
            if name is None:
                detail = f"{picture.key[1]!r} does not fit cohort.dataset.options.patient {self.options.patient!r}"
                excluded.append(Exclusion("row", CohortReason.BAD_ROW, detail, path=picture.path))
        if not self.options.near_copies:
            return names, excluded
        first: dict[str | None, int] = {}
        links = [(place, first.setdefault(name, place)) for place, name in enumerate(names) if name is not None]
        links += [(one, two) for one, two, _ in near_copies(fingerprints(self.study, [one.path for one in pictures]))]
        groups = groups_of(len(names), [(one, two) for one, two in links if None not in (names[one], names[two])])
        called: dict[int, str] = {}
        for group, name in zip(groups, names, strict=True):
            if name is not None:
                called[group] = min(called.get(group, name), name)
        return [None if name is None else called[group] for group, name in zip(groups, names, strict=True)], excluded

    def _note(self, pictures: Sequence[Picture]) -> None:
        """Say what the names leave open."""
        self.notes.clear()
        if not self.options.patient and not self.options.near_copies:
            self.notes.append(
                "patients: names say nothing about them, so each image counts as a patient; pictures of one patient "
                "may be on two sides of the split: set cohort.dataset.options.patient or near_copies"
            )
        classes = dict.fromkeys(picture.key[0] for picture in pictures if picture.key[0])
        unknown = [name for name in classes if parse_label(name, self.options.labels) is None]
        if unknown:
            self.notes.append(
                f"classes without a label: {', '.join(unknown[:5])}; give their meaning in "
                "cohort.dataset.options.labels"
            )


def _files(study: Path, suffixes: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the path of each file that may be a picture, relative to the study, and the path without suffix."""
    found = []
    for folder, inner, names in walk(study):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and not name.lower().endswith(OTHER_SUFFIXES):
                path = (folder / name).relative_to(study).as_posix()
                suffix = next((suffix for suffix in suffixes if name.lower().endswith(suffix)), "")
                found.append((path, path.removesuffix(path[-len(suffix) :]) if suffix else path))
    return sorted(found)


def _key(match: re.Match[str]) -> Key:
    groups = match.groupdict()
    return groups.get("class", ""), groups["name"]


def _may_be_mask(mask: re.Pattern[str], stem: str, images: Sequence[re.Pattern[str]]) -> bool:
    """Tell whether a file that fits an image pattern is a mask, because its mask pattern says more than a name.

    In a folder that has both images and masks, `{name}_mask` is a mask although `{name}` fits it too.
    """
    match = mask.fullmatch(stem)
    if match is None:
        return False
    names = [found["name"] for form in images if (found := form.fullmatch(stem))]
    return all(len(match["name"]) < len(name) for name in names)


def _picture_of(
    match: re.Match[str], pictures: dict[Key, Picture], by_name: dict[str, list[Key]]
) -> tuple[Picture, int] | None:
    """Return the image that a mask names and the mask's number; None where no image or more than one has the name."""
    groups = match.groupdict()
    number = int(groups.get("number", 0))
    if "class" in groups:
        picture = pictures.get((groups["class"], groups["name"])) or pictures.get(("", groups["name"]))
        return None if picture is None else (picture, number)
    keys = by_name.get(groups["name"], [])
    return (pictures[keys[0]], number) if len(keys) == 1 else None


def _patient(key: Key, expression: str) -> str | None:
    """Return the patient of an image: the group of the expression in its name, or class and name without one."""
    if not expression:
        return "/".join(part for part in key if part)
    match = re.search(expression, key[1])
    if match is None:
        return None
    return (match.groupdict().get("patient") or match[1] or "").strip() or None
