"""One row of any study's table: its words and numbers, and a record of what could not be read."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any, TypeVar

import pandas as pd

from mammoflow.cohort.column_mapping import BOX
from mammoflow.cohort.exam_folders import suffix_of
from mammoflow.cohort.image_classes import WORD
from mammoflow.cohort.mask_values import parse_mask_value
from mammoflow.cohort.numbers import decimal_mark, parse_integer, parse_number, quoted
from mammoflow.cohort.plain_text import LOST_CHARACTER, plain_text, visible_text, word_key
from mammoflow.cohort.readers._table_options import Options
from mammoflow.cohort.table_files import ORIGIN, PROBLEM
from mammoflow.cohort.unread_values import UnreadValues, describe_rows
from mammoflow.cohort.words import (
    BLANKS,
    LESION_TYPES,
    OFFICIAL_SPLITS,
    SHEET_ERRORS,
    means_nothing,
    parse_age,
    parse_birads,
    parse_birads_category,
    parse_density,
    parse_label,
    parse_side,
    parse_usable,
    parse_view,
)
from mammoflow.errors import ExcludedCase, StudyError
from mammoflow.reasons.cohort import CohortReason

Value = TypeVar("Value")
IDS = ("patient", "image_id", "lesion", "finding")
OPTIONS = "cohort.dataset.options"
LARGEST_SIDE = 100000  # pixels
FEMALE = frozenset(("f", "w", "female", "woman", "weiblich", "frau", "femme", "femenino", "femenina", "mujer"))
FEMALE |= {"femminile", "donna", "feminino", "vrouw", "vrouwelijk", "kvinna", "kvinde", "kobieta", "zena"}


class RowReader:
    """Reads the mapped rows of one table.

    Parameters
    ----------
    mapped
        The table with every column of `TableColumn`, as text.
    options
        Words and numbers of the table.
    """

    def __init__(self, mapped: pd.DataFrame, options: Options) -> None:
        self.options = options
        self.marks = {name: decimal_mark(mapped[name]) for name in (*BOX, "spacing")}
        self.years_only = bool(mapped["birth_date"].str.fullmatch(r"(?:19|20)\d\d").any())
        self.unread = UnreadValues()
        self.unknown_usable = UnreadValues()
        self.unknown_labels = UnreadValues()
        self.blank_usable: list[str] = []
        self.crossed = False

    def called(self, name: str) -> str:
        """Return what a message calls a value: its name and the table's column where that has another name."""
        source = self.options.columns.get(name, name)  # type: ignore[call-overload]
        return name if source == name else f"{name} (column {source!r})"

    def read(self, values: dict[str, str]) -> dict[str, Any]:
        """Turn one mapped row into `ROW_COLUMNS`, without the names of image, lesion and finding.

        An optional value that cannot be read is a blank and is recorded in `unread`; words of `usable` that are not
        known, and numbers as labels that have no meaning, are recorded too.

        Raises
        ------
        ValueError
            If a needed value is missing or cannot be read.
        ExcludedCase
            If the row contradicts itself.
        """
        if values[PROBLEM]:
            raise ValueError(values[PROBLEM])
        origin = values[ORIGIN]
        values = {name: self._blank(name, text) for name, text in values.items()}
        image = plain_path(values["image"])
        if not image or not values["patient"]:
            raise ValueError(f"no value for {'patient' if image else 'image'}")
        for name in IDS:
            if LOST_CHARACTER in values[name]:
                raise ValueError(
                    f"{name} {quoted(values[name])} lost a character when the table was saved; export it again"
                )
        side, view = self._side_and_view(values)
        spacing = self._optional(values, "spacing", partial(parse_number, above=0, mark=self.marks["spacing"]))
        if means_nothing(values["label"], self.options.labels):
            self.unknown_labels.add("label", values["label"], origin)
        words = self.options.words
        lesion, finding = (values[key].removesuffix(".0") for key in ("lesion", "finding"))  # numbers saved with blanks
        return {
            "patient_id": values["patient"],
            "image_parts": _image_parts(values["image_id"], image),
            "finding": finding,
            "laterality": side,
            "view": view,
            "lesion_type": self._word(values, "type", LESION_TYPES) or "unknown",
            "label": parse_label(values["label"], self.options.labels),
            "pathology": values["label"] or None,
            "birads": self._optional(values, "birads", lambda text: parse_birads(_own(words.get("birads"), text))),
            "birads_category": parse_birads_category(_own(words.get("birads"), values["birads"])),
            "age": self._optional(values, "age", parse_age),
            "density": self._optional(values, "density", lambda text: parse_density(_own(words.get("density"), text))),
            "subtlety": self._optional(values, "subtlety", partial(parse_integer, low=0, high=5)),
            "shape": values["shape"] or None,
            "margins": values["margins"] or None,
            **self._box(values),
            "official_split": self._word(values, "split", OFFICIAL_SPLITS),
            "image_name": image,
            "image_files": image,
            "mask_name": plain_path(values["mask"]),
            "spacing_mm": None if spacing is None else spacing * self.options.spacing_factor,
            "usable": self._usable(values),
            "lesion": lesion,
            "mask_value": self._mask_value(values),
            "has_image_id": bool(values["image_id"]),
            "birth_date": values["birth_date"],
            "birth_key": _birth_key(values["birth_date"], self.years_only),
            "sex": "F" if word_key(values["sex"]) in FEMALE else word_key(values["sex"]),
            **{key: self._optional(values, key, _pixels) for key in ("image_height", "image_width")},
            WORD: values["class"],
            ORIGIN: origin,
        }

    def read_image(self, values: dict[str, str]) -> dict[str, Any]:
        """Return what a row that `read` refuses says of patient, image and split, as `read` does; records nothing."""
        values = {name: self._blank(name, text) for name, text in values.items()}
        image = plain_path(values["image"])
        words = self.options.words
        view, side_of_view = parse_view(values["view"], words.get("view"))
        try:
            side = parse_side(values["side"], further=words.get("side"))
        except ValueError:
            side = ""
        return {
            "patient_id": values["patient"],
            "official_split": self._meaning(values, "split", OFFICIAL_SPLITS) or "",
            "image_parts": _image_parts(values["image_id"], image),
            "image_name": image,
            "laterality": "" if side and side_of_view and side != side_of_view else side or side_of_view,
            "view": view,
        }

    def check_words(self) -> None:
        """Stop where nobody but the user can tell what the words of `usable` or `label` mean.

        Raises
        ------
        StudyError
            With the words, their rows, and the setting that gives them a meaning.
        """
        if self.unknown_usable:
            word = self.unknown_usable.words("usable")[0]
            found = self.unknown_usable.described("usable")
            raise StudyError(
                f"{self.called('usable')} has words that are neither yes nor no: {found}; give their "
                f"meaning in {OPTIONS}.words, such as usable: {{{word!r}: no}}"
            )
        named = self.options.words.get("usable", {})
        if self.crossed and self.blank_usable and not any(not word.strip() for word in named):
            raise StudyError(
                f"{self.called('usable')} has x and blanks ({describe_rows(self.blank_usable)}), and x may mark what "
                f"is usable or what is not; set {OPTIONS}.words, such as usable: {{x: yes, '': no}}"
            )
        if self.unknown_labels:
            raise StudyError(
                f"{self.called('label')} has numbers whose meaning is not known: "
                f"{self.unknown_labels.described('label')}; expected 0 for benign and 1 for malignant alone; give the "
                f"meaning of every number in {OPTIONS}.labels, such as labels: {{1: benign, 2: malignant}}"
            )

    def _blank(self, name: str, text: str) -> str:
        """Return a value in plain form, "" where it is a program's word for no value."""
        plain = text if name in ("image", "mask", ORIGIN) else plain_text(text)
        if name == "label":
            return plain
        lower = plain.lower()
        return "" if lower in BLANKS or (name in (*IDS, "image", "mask") and lower in SHEET_ERRORS) else plain

    def _optional(self, values: dict[str, str], name: str, parse: Callable[[str], Value]) -> Value | None:
        try:
            return parse(values[name])
        except ValueError as error:
            self.unread.add(name, values[name], values[ORIGIN], str(error))
            return None

    def _side_and_view(self, values: dict[str, str]) -> tuple[str, str]:
        words = self.options.words
        side = self._optional(values, "side", partial(parse_side, further=words.get("side"))) or ""
        view, side_of_view = parse_view(values["view"], words.get("view"))
        if side and side_of_view and side != side_of_view:
            detail = f"side is {quoted(values['side'])}, but view is {quoted(values['view'])}"
            raise ExcludedCase(CohortReason.CONTRADICTION, detail)
        return side or side_of_view, view

    def _word(self, values: dict[str, str], name: str, usual: dict[str, str]) -> str:
        """Read a word of a list; what is not in it is a blank."""
        meaning = self._meaning(values, name, usual)
        if meaning is None and values[name]:
            self.unread.add(name, values[name], values[ORIGIN], "the word is not known")
        return meaning or ""

    def _meaning(self, values: dict[str, str], name: str, usual: dict[str, str]) -> str | None:
        """Return what a word of a list means; None where it is not in the list."""
        key = word_key(values[name])
        own = {word_key(word): meaning for word, meaning in self.options.words.get(name, {}).items()}  # type: ignore[call-overload]
        meaning = own.get(key, usual.get(key))
        return None if meaning is None else str(meaning)

    def _box(self, values: dict[str, str]) -> dict[str, float | None]:
        """Read the edges of a box; one that cannot be read costs the row only where there is no mask."""
        edges: dict[str, float | None] = dict.fromkeys(BOX)
        for name in BOX:
            try:
                edges[name] = parse_number(values[name], mark=self.marks[name])
            except ValueError as error:
                if not values["mask"]:
                    raise ValueError(f"{name}: {error}") from error
                self.unread.add(name, values[name], values[ORIGIN], str(error))
                return dict.fromkeys(BOX)
        return edges

    def _mask_value(self, values: dict[str, str]) -> str:
        try:
            return parse_mask_value(values["mask_value"])
        except ValueError as error:
            raise ValueError(f"mask_value: {error}") from error

    def _usable(self, values: dict[str, str]) -> bool:
        text = values["usable"]
        words = self.options.words.get("usable", {})
        try:
            meaning = parse_usable(text, words)
        except ValueError:
            self.unknown_usable.add("usable", text, values[ORIGIN])
            return True
        if meaning is None:
            self.blank_usable.append(values[ORIGIN])
        self.crossed = self.crossed or (word_key(text) == "x" and "x" not in map(word_key, words))
        return meaning is not False


def plain_path(text: str) -> str:
    """Return a path with forward slashes."""
    return str(PurePosixPath(text.replace("\\", "/"))) if text else ""


def _image_parts(image_id: str, image: str) -> tuple[str, ...]:
    """Return the parts of an image's id: its own id, or else those of its path, the last one without its suffix."""
    if image_id or not image:
        return (image_id,) if image_id else ()
    place = PurePosixPath(visible_text(image))
    return *place.parent.parts, place.name.removesuffix(suffix_of(place.name))


def _own(words: dict[str, str] | None, text: str) -> str:
    """Replace a word of the study by its meaning."""
    return {word_key(word): meaning for word, meaning in (words or {}).items()}.get(word_key(text), text)


def _pixels(text: str) -> int | None:
    return parse_integer(text, 1, LARGEST_SIDE)


def _birth_key(text: str, year_only: bool) -> str:
    """Return the numbers of a date in an order that no way of writing changes, or its year alone."""
    numbers: Sequence[str] = re.findall(r"\d+", text.partition(" 00:00")[0])
    if len(numbers) == 1 and len(numbers[0]) == 8:
        numbers = [numbers[0][:4], numbers[0][4:6], numbers[0][6:]]
    if year_only:
        return next((number for number in numbers if len(number) == 4), "")
    return "-".join(str(number) for number in sorted(map(int, numbers)))
