"""Tables as hospitals, spreadsheets and statistics programs write them, each with its right answer.

A variant is the plain table of `table_of` with one change. Its answer is one of these: every row is kept, a value is
blanked, a row is excluded with its reason, or reading stops with a message that says what to do.
"""

from __future__ import annotations

import codecs
import io
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from mammoflow.cohort.reader import open_reader
from mammoflow.cohort.selection import select_cases
from mammoflow.errors import MammoflowError
from tests.unit.cohort.small_study import Study, table_of

ROWS = 4
NAME = "mammö.png"


@dataclass(frozen=True)
class Variant:
    """One change of the plain table, and what is right then.

    Attributes
    ----------
    values
        Columns that the table has instead or in addition. None takes a column away.
    save
        Turns the table into the bytes of its file.
    options
        Options of the reader.
    rows
        How many lesions are kept.
    holds
        Columns of the lesions, or of the images, and their content.
    said
        Words of the one note or the one reason that a person is shown. Without words nothing may be said.
    stops
        Words of the error. Without words nothing stops.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    save: Callable[[pd.DataFrame], bytes] = lambda table: table.to_csv(index=False).encode()
    options: Mapping[str, Any] = field(default_factory=dict)
    rows: int = ROWS
    holds: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    said: str = ""
    stops: str = ""


def text(encoding: str = "utf-8", mark: bytes = b"", **form: Any) -> Callable[[pd.DataFrame], bytes]:
    return lambda table: mark + table.to_csv(index=False, **form).encode(encoding)


def replaced(old: str, new: str) -> Callable[[pd.DataFrame], bytes]:
    return lambda table: table.to_csv(index=False).replace(old, new).encode()


def between(before: str, after: str = "") -> Callable[[pd.DataFrame], bytes]:
    return lambda table: f"{before}{table.to_csv(index=False)}{after}".encode()


def workbook(table: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    table.to_excel(stream, index=False)
    return stream.getvalue()


def parquet(table: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    table.to_parquet(stream)
    return stream.getvalue()


def instead(content: bytes) -> Callable[[pd.DataFrame], bytes]:
    return lambda table: content


PATIENTS = {"patient": ["Müller", "Weiß", "Åse", "José"]}
NAMED = {"patient_id": PATIENTS["patient"]}
SPACING = {"spacing": ["0.07", "0.08", "0.09", "0.1"]}
COMMAS = {"spacing": ["0,07", "0,08", "0,09", "0,1"]}
METRES = {"spacing_mm": [0.07, 0.08, 0.09, 0.1]}
LEFT_RIGHT = {"laterality": ["L", "R", "L", "R"]}
LABELS = {"malignant": [0, 1, 0, 1]}
BOX = {"mask": None, "box_y0": [1, 2, 1, 2], "box_x0": [1, 1, 2, 2], "box_y1": 5, "box_x1": 4}


def first(column: str, value: object) -> dict[str, list[object]]:
    """Change the first row only."""
    return {column: [value, *table_of(ROWS)[column].tolist()[1:]]}


def sides(left: str, right: str) -> Variant:
    return Variant({"side": [left, right] * 2}, holds=LEFT_RIGHT)


def labels(benign: object, malignant: object, **options: Any) -> Variant:
    return Variant({"label": [benign, malignant] * 2}, options=options, holds=LABELS)


VARIANTS = {
    # how the file is written
    "plain": Variant(holds=LABELS),
    "utf-8 with a byte order mark": Variant(PATIENTS, text("utf-8-sig"), holds=NAMED),
    "utf-16": Variant(PATIENTS, text("utf-16"), holds=NAMED),
    "utf-16 without a mark": Variant(PATIENTS, text("utf-16-le"), holds=NAMED),
    "utf-16 big endian": Variant(PATIENTS, text("utf-16-be", codecs.BOM_UTF16_BE), holds=NAMED),
    "windows-1252": Variant(PATIENTS, text("cp1252"), holds=NAMED, said="read as Windows-1252"),
    "windows-1250, named": Variant(
        first("patient", "Źuk"),
        text("cp1250"),
        {"encoding": "windows-1250"},
        holds={"patient_id": ["Źuk", "P1", "P2", "P3"]},
    ),
    "windows-1250, not named": Variant(first("patient", "Źuk"), text("cp1250"), stops="neither UTF-8 nor Windows-1252"),
    "two encodings in one file": Variant(
        first("patient", "Müller"),
        lambda table: text()(table) + "images/1.png,masks/1.png,Åse,benign\n".encode("cp1252"),
        stops="mixes encodings",
    ),
    "semicolon": Variant(SPACING, text(sep=";"), holds=METRES),
    "semicolon, decimal comma": Variant(COMMAS, text(sep=";"), holds=METRES),
    "semicolon, comma in a header": Variant(
        {"size, mm": ["1,5", "2,5", "3", "4"]}, lambda t: text(sep=";")(t).replace(b'"', b""), holds=LABELS
    ),
    "tab in a csv": Variant(save=text(sep="\t"), holds=LABELS),
    "vertical bar": Variant(save=text(sep="|"), holds=LABELS),
    "colon, named": Variant(save=text(sep=":"), options={"delimiter": ":"}, holds=LABELS),
    "colon, not named": Variant(
        save=text(sep=":"), stops=r"'image:mask:patient:label' is one column.*options\.delimiter"
    ),
    "sep line of a spreadsheet": Variant(save=between("sep=,\r\n"), holds=LABELS),
    "carriage returns": Variant(save=text(lineterminator="\r\n"), holds=LABELS),
    "blank columns and rows at the end": Variant(
        save=lambda t: text()(t).replace(b"\n", b",,\n") + b",,,,,\n\n", holds=LABELS
    ),
    "line breaks in a cell": Variant({"note": ['a "report"\nwith, lines'] * ROWS}, holds=LABELS),
    "decimal comma between commas": Variant(
        COMMAS, lambda t: text()(t).replace(b'"', b""), stops="4 x .*6 values, the header has 5 columns; a comma inside"
    ),
    "open quotation mark": Variant(
        save=replaced("images/1.png", '"images/1.png'), stops="row 3: a quotation mark opens"
    ),
    "a row too short": Variant(save=replaced(",P1,malignant", ",P1"), rows=3, said="row 3: 3 values, the header has 4"),
    "xlsx": Variant({"birads": [2, 4, 3, 5]}, workbook, holds=LABELS | {"birads": [2, 4, 3, 5]}),
    "parquet": Variant({"birads": [2.0, None, 3.0, 5.0]}, parquet, holds=LABELS),
    "old workbook": Variant(save=instead(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99)), stops=r"old Excel workbook"),
    "web page named csv": Variant(save=instead(b"<html><body><table>"), stops="web page"),
    "empty file": Variant(save=instead(b""), stops="is empty"),
    # columns
    "another header": Variant(
        {"label": None, "Befund": ["gutartig", "bösartig"] * 2}, options={"columns": {"label": "Befund"}}, holds=LABELS
    ),
    "header in another case": Variant(save=replaced("patient", "Patient"), stops="did you mean 'Patient'"),
    "one header twice": Variant(
        save=lambda t: text()(t).replace(b"\n", b",label\n", 1), stops="names the column 'label' twice"
    ),
    "no label column": Variant({"label": None}, stops=r"gives no label: set cohort\.dataset\.options\.columns\.label"),
    "pattern and constant": Variant(
        {"mask": None, "n": range(ROWS)},
        options={"columns": {"mask": "masks/{n}.png", "type": "=mass"}},
        holds={"lesion_type": ["mass"] * ROWS},
    ),
    # numbers
    "micrometres": Variant(
        {"spacing": [70, 80, 90, 100]},
        options={"spacing_factor": 0.001},
        holds={"spacing_mm": pytest.approx(METRES["spacing_mm"])},
    ),
    "unreadable spacing": Variant(
        SPACING | {"spacing": ["0.07", "abc", "0.07", "0.07"]},
        holds={"spacing_mm": [0.07, None, 0.07, 0.07]},
        said=r"^spacing: 1 value counts as blank: 1 x 'abc' \(cases\.csv row 3\)",
    ),
    "thousands or decimals": Variant(
        {"spacing": ["1,234"] * ROWS}, holds={"spacing_mm": [None] * ROWS}, said="4 x '1,234'"
    ),
    "BI-RADS in words": Variant({"birads": ["BI-RADS 4a", "IV", "ACR 3", "4,0"]}, holds={"birads": [4, 4, 3, 4]}),
    "BI-RADS in a letter": Variant(
        {"birads": ["siehe Brief", "2", "3", "5"]}, holds={"birads": [None, 2, 3, 5]}, said="1 x 'siehe Brief'.*row 2"
    ),
    "words for no value": Variant({"birads": ["NA", "n/a", "NULL", ""]}, holds={"birads": [None] * ROWS}),
    "boxes": Variant(BOX, holds={"box_y1": [5] * ROWS}),
    "unreadable box": Variant(
        BOX | {"box_y1": ["5", "bad", "5", "5"]}, rows=3, said="row 3: box_y1: found 'bad', expected a number"
    ),
    "a box in shares of the film": Variant(
        BOX | {"box_y0": [0.1, 1, 1, 1], "box_x0": [0.2, 1, 1, 1], "box_y1": [0.4, 5, 5, 5], "box_x1": [0.5, 4, 4, 4]},
        rows=3,
        said="normalised",
    ),
    "all boxes in shares": Variant(
        BOX | {"box_y0": 0.1, "box_x0": 0.1, "box_y1": 0.4, "box_x1": 0.3}, stops="4 of 4 boxes look normalised"
    ),
    "corner and corner exchanged": Variant(BOX | {"box_y0": 5, "box_y1": 1}, stops="4 of 4 boxes have no extent"),
    # words
    "sides in German": sides("links", "rechts"),
    "sides in French": sides("gauche", "droite"),
    "sides in Spanish": sides("izquierda", "derecha"),
    "sides abbreviated": sides("Lt", "Rt."),
    "side unknown": Variant(
        {"side": ["L", "vorne", "L", "R"]},
        holds={"laterality": ["L", "", "L", "R"]},
        said="^side: 1 value counts as blank: 1 x 'vorne'.*row 3",
    ),
    "side in numbers with words": Variant(
        {"side": [1, 2] * 2}, options={"words": {"side": {1: "L", 2: "R"}}}, holds=LEFT_RIGHT
    ),
    "side in the view": Variant(
        {"view": ["LCC", "R-MLO", "MLO links", "rechts cc"]}, holds=LEFT_RIGHT | {"view": ["CC", "MLO", "MLO", "CC"]}
    ),
    "side against view": Variant(
        {"side": ["L", "R"] * 2, "view": ["LCC", "LMLO", "CC", "CC"]}, rows=3, said="side is 'R', but view is 'LMLO'"
    ),
    "labels 0 and 1": labels(0, 1),
    "labels in German": labels("gutartig", "BÖSARTIG"),
    "labels 1 and 2": Variant({"label": [1, 2] * 2}, stops=r"numbers whose meaning is not known.*options\.labels"),
    "labels 1 and 2 with a meaning": labels(1, 2, labels={1: "benign", 2: "malignant"}),
    "labels of YAML": labels("no", "yes", labels={False: "benign", True: "malignant"}),
    "label unknown": Variant(first("label", "fraglich"), rows=3, said="row 2: label is 'fraglich', BI-RADS not given"),
    "usable in German": Variant({"usable": ["ja", "nein", "Ja", ""]}, rows=3, said="row is marked unusable"),
    "usable perhaps": Variant({"usable": ["ja", "vielleicht", "ja", "ja"]}, stops="neither yes nor no"),
    # paths
    "absolute path inside": Variant(first("image", "{study}/images/0.png")),
    "absolute path outside": Variant(
        first("image", "/etc/hostname"), rows=3, said="does not stay below the study folder"
    ),
    "two dots": Variant(first("image", "../outside.png"), rows=3, said="does not stay below the study folder"),
    "linked folder": Variant(first("image", "linked/0.png")),
    "link that leads nowhere": Variant(first("image", "dangling/0.png"), rows=3, said="leads nowhere|does not exist"),
    "backslashes": Variant(first("image", r"images\0.png")),
    "blanks around a path": Variant(first("image", " images/0.png ")),
    "missing file": Variant(first("mask", "masks/9.png"), rows=3, said="'masks/9.png' does not exist"),
    "suffix in another case": Variant(
        first("image", "images/0.PNG"), rows=3, said="its folder has '0.png': correct the spelling"
    ),
    "accents in another form": Variant(
        first("image", unicodedata.normalize("NFD", NAME)),
        rows=3,
        said="its folder has 'mammö.png': correct the spelling",
    ),
    # patients, images and lesions
    "no patient": Variant(first("patient", ""), rows=3, said="row 2: no value for patient"),
    "invisible characters": Variant(
        {"patient": ["P1", "P\u200b1", "\ufeffP1", "P1\u00a0"]}, holds={"patient_id": ["P1"] * ROWS}
    ),
    "one patient in two spellings": Variant(first("patient", "p1"), stops=r"differ in their spelling only.*ids_differ"),
    "a lost character": Variant(first("patient", "M\ufffdller"), rows=3, said="lost a character"),
    "zeros of a formula": Variant(
        first("patient", "00123"), replaced("00123", '"=""00123"""'), holds={"patient_id": ["00123", "P1", "P2", "P3"]}
    ),
    "a date in place of an id": Variant(first("patient", "02. Jan"), said="looks like a date"),
    "one row twice": Variant(
        first("mask", "masks/0.png"), lambda t: text()(t) + text(header=False)(t.iloc[:1]), said="repeated"
    ),
    "ids that run together": Variant(
        {"image_id": ["P1", "P1_1", "c", "d"], "lesion": ["1_1", "1", "1", "1"]}, rows=ROWS, holds=LABELS
    ),
    "one film of two patients": Variant(
        first("image", "images/1.png"), rows=2, said="'images_1' has several values of patient: P0, P1; expected one"
    ),
    "one mask file with two lesions": Variant(
        {
            "image": ["images/0.png"] * 2 + ["images/2.png", "images/3.png"],
            "mask": ["masks/0.png"] * 2 + ["masks/2.png", "masks/3.png"],
            "patient": ["P0", "P0", "P2", "P3"],
            "mask_value": ["1", "2", "", ""],
        },
        holds={"mask_value": ["1", "2", None, None]},
    ),
    "a normal film": Variant(
        {"label": ["benign", "malignant", "benign", "normal"], "mask": [*table_of(3)["mask"], ""]}, rows=3
    ),
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """One folder with the pictures of all variants; each writes its own table into it."""
    study = Study(tmp_path_factory.mktemp("tables") / "study")
    study.folder.mkdir()
    study.write_pictures(table_of(ROWS))
    cv2.imwrite(str(study.folder / NAME), np.zeros((8, 6), np.uint8))
    (study.folder.parent / "outside.png").write_bytes((study.folder / NAME).read_bytes())
    (study.folder.parent / "disk").mkdir()
    (study.folder.parent / "disk" / "0.png").write_bytes((study.folder / NAME).read_bytes())
    (study.folder / "linked").symlink_to(study.folder.parent / "disk")
    (study.folder / "dangling").symlink_to(study.folder.parent / "nothing")
    return study


def written(study: Study, variant: Variant) -> Path:
    table = table_of(ROWS)
    for column, values in variant.values.items():
        table = table.drop(columns=column) if values is None else table.assign(**{column: values})
    table["image"] = table["image"].str.replace("{study}", str(study.folder), regex=False)
    return study.write(variant.save(table))


def test_the_list_is_long_enough() -> None:
    assert len(VARIANTS) >= 45


@pytest.mark.parametrize("name", VARIANTS)
def test_a_table_has_its_answer(study: Study, name: str) -> None:
    variant = VARIANTS[name]
    path = written(study, variant)
    reader = open_reader(study.dataset(path.name, dict(variant.options)), study.folder)
    if variant.stops:
        with pytest.raises(MammoflowError, match=f"(?s){variant.stops}"):
            select_cases(reader)
        return
    found = select_cases(reader)
    lesions, images = pd.DataFrame(found.resolved.lesions), pd.DataFrame(found.resolved.images)
    assert len(lesions) == variant.rows
    for column, values in variant.holds.items():
        content = (lesions if column in lesions else images)[column]
        assert content.astype(object).where(content.notna(), None).tolist() == values
    excluded = [f"{exclusion.reason}: {exclusion.detail}" for exclusion in found.resolved.excluded]
    if variant.said:
        assert pd.Series([*reader.notes, *excluded]).str.contains(variant.said).any(), [*reader.notes, *excluded]
    else:
        assert [*reader.notes, *excluded] == []
