"""The first configuration of a study as commented YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

import yaml

from mammoflow.cohort.guessing.columns import Guess
from mammoflow.cohort.guessing.words import CHOICES, SKIP
from mammoflow.cohort.readers._table_options import TableColumn

PLAIN = re.compile(r"[^\W\d][\w/ .()-]*")
RESERVED = frozenset(("yes", "no", "on", "off", "true", "false", "null", "y", "n"))
WIDEST = 70


@dataclass(frozen=True)
class Study:
    """What the configuration says besides the columns.

    Attributes
    ----------
    run, name
        Of the run and the study.
    folder, table
        The study's folder, and the table relative to it.
    words
        For `label`, `side` and `usable`: words of the table to their meaning.
    unknown
        For the same columns: words of the table whose meaning nobody gave.
    spacing_mm
        Pixel spacing of pictures that carry none, or None.
    needs_spacing
        Whether the pictures may carry none, so that the file has a line for it.
    official
        Whether the table's own split is used.
    form
        `encoding`, `delimiter` and `sheet` of the table, as far as they were given.
    """

    run: str
    name: str
    folder: str
    table: str
    words: Mapping[TableColumn, Mapping[str, str]] = field(default_factory=dict)
    unknown: Mapping[TableColumn, Sequence[str]] = field(default_factory=dict)
    spacing_mm: float | None = None
    needs_spacing: bool = False
    official: bool = False
    form: Mapping[str, str] = field(default_factory=dict)


def overlay_text(study: Study, guess: Guess) -> str:
    """Return the configuration; lines that a person should look at end with a comment that begins with CHECK."""
    columns = {key: guess.columns[key] for key in get_args(TableColumn) if key in guess.columns}
    unlabelled = "label" not in columns
    if unlabelled:
        columns["label"] = "=unknown"
    lines = [
        f"# Written by `mammoflow init` for {study.table}. Look at the lines that say CHECK, then run",
        "#   mammoflow check THIS_FILE",
        f"run: {_scalar(study.run)}",
        "cohort:",
        "  dataset:",
        "    reader: table",
        f"    name: {_scalar(study.name)}",
        f"    folder: {_scalar(study.folder)}  # paths in the table are relative to it",
        f"    tables: [{_scalar(study.table)}]",
        "    options:",
        *(f"      {key}: {_quoted(value)}" for key, value in study.form.items() if value),
        "      columns:  # what mammoflow looks for: the column of the table",
    ]
    lines += [f"        {key}: {_scalar(source)}{_doubt(guess, key)}" for key, source in columns.items()]
    lines += _words(study)
    if guess.spacing_factor != 1:
        lines.append(f"      spacing_factor: {guess.spacing_factor:g}  # the spacing column times this is millimetres")
    if study.spacing_mm is not None:
        lines.append(f"    spacing_mm: {study.spacing_mm:g}  # millimetres per pixel of pictures that carry none")
    elif study.needs_spacing:
        lines.append("    # spacing_mm: 0.07  # CHECK: millimetres per pixel; PNG, TIFF and JPEG files carry none")
    if not unlabelled:
        lines.append(f"  split: {{method: {'official' if study.official else 'random'}}}  # by patient")
    else:
        lines += [
            "  split: {method: apply}  # every patient is test, because nothing is trained",
            "  unlabelled: keep  # CHECK: no column says which lesions are malignant",
            "classification: {run: []}  # nothing can be trained without labels",
        ]
    return "\n".join(lines) + "\n"


def _doubt(guess: Guess, key: TableColumn) -> str:
    rivals = guess.rivals.get(key, [])
    doubt = guess.doubts.get(key, "")
    if rivals:
        doubt = "; ".join(filter(None, [doubt, f"it could also be {', '.join(map(repr, rivals))}"]))
    return f"  # CHECK: {doubt}" if doubt else ""


def _words(study: Study) -> list[str]:
    """Return the lines of `labels` and `words`; words without a meaning are in a line or a comment that says CHECK."""
    unknown = {key: words for key, words in study.unknown.items() if words}
    labels = {**study.words.get("label", {}), **dict.fromkeys(unknown.pop("label", ()), "unknown")}
    doubt = "  # CHECK: left out until you give a meaning" if study.unknown.get("label") else ""
    lines = _mapping("      labels:", labels, doubt) if labels else []
    others = {key: words for key, words in study.words.items() if words}
    others.pop("label", None)
    lines += ["      words:"] if others else []
    for key, words in others.items():
        lines += _mapping(f"        {key}:", words)
    if unknown:
        lines.append("      # words:  # CHECK: unknown words; write their meaning and uncomment the lines")
    for key, unread in unknown.items():
        meaning = " or ".join(choice for choice in CHOICES[key] if choice != SKIP)
        lines += [f"      # {line}" for line in _mapping(f"  {key}:", dict.fromkeys(unread, meaning))]
    return lines


def _mapping(head: str, words: Mapping[str, str], comment: str = "") -> list[str]:
    pairs = [f"{_key(word)}: {_scalar(meaning)}" for word, meaning in words.items()]
    line = f"{head} {{{', '.join(pairs)}}}"
    if len(line) <= WIDEST:
        return [f"{line}{comment}"]
    indent = " " * (len(head) - len(head.lstrip()) + 2)
    return [f"{head}{comment}", *(f"{indent}{pair}" for pair in pairs)]


def _key(text: str) -> str:
    return text if PLAIN.fullmatch(text) and text.casefold() not in RESERVED and text == text.strip() else _quoted(text)


def _scalar(text: str) -> str:
    """Return a text as a YAML value that is read as the same text."""
    plain = PLAIN.fullmatch(text) and text == text.strip() and text.casefold() not in RESERVED
    constant = text.startswith("=") and PLAIN.fullmatch(text[1:])
    return text if plain or (constant and yaml.safe_load(f"a: {text}")["a"] == text) else _quoted(text)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
