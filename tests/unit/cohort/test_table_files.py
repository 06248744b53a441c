"""Tables as hospitals save them: encodings, delimiters, workbooks, decimal marks, and what is no table at all."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mammoflow.cohort.table_files import ORIGIN, PROBLEM, TableForm, read_text_table
from mammoflow.errors import ConfigError, StudyError
from tests.unit.cohort.small_study import Study, table_of

HEADER = ["image", "mask", "patient", "label"]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path / "study")


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., pd.DataFrame]:
    def read_bytes(content: bytes | str, name: str = "cases.csv", **form: str) -> pd.DataFrame:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_text_table(path, TableForm(**form))

    return read_bytes


def workbook(*sheets: list[list[object]], names: tuple[str, ...] = ("Sheet",)) -> bytes:
    book = openpyxl.Workbook()
    for place, rows in enumerate(sheets):
        sheet = book.active if place == 0 else book.create_sheet()
        sheet.title = names[place]
        for row in rows:
            sheet.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def parquet(table: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    table.to_parquet(stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-16", b""),
        ("utf-16-le", b""),
        ("utf-16-be", b"\xfe\xff"),
        ("utf-16-be", b""),
        ("utf-32", b""),
        ("utf-8-sig", b""),
        ("utf-8", b""),
        ("cp1252", b""),
    ],
)
def test_encodings_that_are_certain_are_read(read, encoding, mark):
    table = read(mark + "image,patient,label\na.png,Müller,benign\nb.png,Åse,malignant\n".encode(encoding))
    assert table["patient"].tolist() == ["Müller", "Åse"]
    assert table.columns[0] == "image"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "image,patient\na,\u0179uk\nb,\u0164uk\n".encode("cp1250"),
            "neither UTF-8 nor Windows-1252: byte 0x8F in line 2",
        ),
        ("image,patient\na,Müller\n".encode("cp850"), "neither UTF-8 nor Windows-1252"),
        ("image,patient\na,Müller\n".encode("mac-roman"), "another encoding"),
        ("image,patient\na,Pa\u0142ka\n".encode("cp1250"), "another encoding"),
        ("image,patient\na,März\n".encode("cp850"), "another encoding"),
        ("image,patient\na,Müller\n".encode() + b"b,M\xfcller\n", r"mixes encodings: line 2 has 'ü' in UTF-8.*line 3"),
        (b"image,patient\na,M\xfcller\n" + "b,Müller\n".encode(), r"mixes encodings: line 3 has 'ü' in UTF-8.*line 2"),
        (b"image,patient\n" + "a,Müller/".encode() + b"M\xfcller\n", "mixes encodings"),
        ("image,patient\na,Łuk\n".encode() + "b,Łuk\n".encode("cp1250"), "mixes encodings"),
        ("image,patient\na,x\n".encode("utf-16") + b"b", "begins like UTF-16"),
        (b"\xef\xbb\xbfimage,patient\na,M\xfcller\n", "begins like UTF-8"),
        (b"image,patient\na,P\x00\n", r"NUL characters \(line 2\)"),
    ],
)
def test_bytes_that_the_encoding_lacks_and_mixed_encodings_stop(read, content, message):
    with pytest.raises(StudyError, match=message):
        read(content)


def test_a_named_encoding_is_taken_and_checked(read):
    content = "image,patient\na,\u0179uk\nb,\u0164uk\n".encode("cp1250")
    assert read(content, encoding="windows-1250")["patient"].tolist() == ["\u0179uk", "\u0164uk"]
    with pytest.raises(StudyError, match="is not utf-8, as"):
        read(content, encoding="utf-8")
    with pytest.raises(StudyError, match="which is no encoding"):
        read(content, encoding="windows-9999")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["cases.csv", "cases.tsv", "cases.txt"])
def test_the_delimiter_is_found_whatever_the_suffix(read, delimiter, name):
    table = read(table_of().to_csv(index=False, sep=delimiter), name)
    assert table.columns.tolist()[:4] == HEADER
    assert (table[PROBLEM] == "").all()


@pytest.mark.parametrize(
    "text",
    [
        'image;"size, mm";patient\na.png;1,5;P1\nb.png;2,5;P2\n',
        "image;size, mm;patient\na.png;1,5;P1\nb.png;2,5;P2\n",
        "sep=;\r\nimage;size, mm;patient\r\na.png;1,5;P1\r\nb.png;2,5;P2\r\n",
        'image,"size; mm",patient\n"a.png","1,5",P1\n"b.png","2,5",P2\n'.replace(",", "\t")
        .replace("1\t5", "1,5")
        .replace("2\t5", "2,5"),
    ],
)
def test_a_delimiter_inside_a_header_or_a_number_is_not_the_delimiter(read, text):
    table = read(text)
    assert table.iloc[:, 1].tolist() == ["1,5", "2,5"]
    assert table["patient"].tolist() == ["P1", "P2"]


@pytest.mark.parametrize("name", ["PK", "BZh", "%P", "{id}", "[a]"])
def test_a_header_that_begins_like_another_format_is_a_header(read, name):
    assert read(f"{name},patient\na,P1\n").columns.tolist()[:2] == [name, "patient"]


def test_a_delimiter_that_is_none_of_the_usual_ones_is_named_by_the_settings(read, study):
    text = table_of().to_csv(index=False, sep=":")
    assert read(text, delimiter=":")["patient"].tolist() == table_of()["patient"].tolist()
    study.write(text)
    with pytest.raises(ConfigError, match=r"'image:mask:patient:label' is one column.*options\.delimiter"):
        study.rebuild()


def test_rows_are_numbered_as_a_spreadsheet_numbers_them(read):
    table = read('image,note\na.png,"two\nlines"\n\nb.png,one\nc.png\n')
    assert table[ORIGIN].tolist() == ["cases.csv row 2", "cases.csv row 4", "cases.csv row 5"]
    assert table[PROBLEM].tolist() == ["", "", "1 values, the header has 2 columns"]
    sheet = workbook([["image", "note"], ["a.png", "x"], [None, None], ["b.png", "y"]])
    assert read(sheet, "cases.xlsx")[ORIGIN].tolist() == ["cases.xlsx row 2", "cases.xlsx row 4"]


@pytest.mark.parametrize("place", [3, 7])
def test_a_quotation_mark_that_swallows_rows_stops(study, place):
    lines = table_of().to_csv(index=False).splitlines()
    lines[place] = '"' + lines[place]
    if place == 3:
        lines[6] = 'x"' + lines[6]
    study.write("\n".join(lines))
    with pytest.raises(StudyError, match=f"row {place + 1}: a quotation mark opens and swallows the rows below it"):
        study.rebuild()


def test_inches_and_quoted_line_breaks_are_no_open_quotation_marks(read):
    table = read('image,note\na.png,5" film\nb.png,"a report, with\ncommas, in\nlines"\n')
    assert table["note"].tolist() == ['5" film', "a report, with\ncommas, in\nlines"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), r"old Excel workbook \(\.xls\)"),
        (b"<html><body><table>", "web page or XML"),
        (b"\xef\xbb\xbf <!DOCTYPE html>", "web page or XML"),
        ("<html><table>".encode("utf-16"), "web page or XML"),
        (b"<?xml version='1.0'?><Workbook>", "web page or XML"),
        (b"%PDF-1.7", "PDF"),
        (b"\x1f\x8b\x08\x00abc", "gzip archive; unpack"),
        (b'[{"image": "a.png"}]', "JSON"),
        (b"PK\x03\x04broken", "damaged"),
        (b"$FL2@(#) SPSS", "SPSS"),
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"\n\n   \n", "is empty"),
    ],
)
def test_what_is_no_table_is_named(read, content, message):
    with pytest.raises(StudyError, match=message):
        read(content)


@pytest.mark.parametrize("name", ["cases.xlsx", "cases.csv"])
def test_a_workbook_is_read_as_a_person_sees_it(read, name):
    rows = [["patient", "flag", "number", "day"], ["P1", True, 3.0, None], ["P2", False, 0.07, "x"]]
    book = openpyxl.load_workbook(io.BytesIO(workbook(rows)))
    book.active["A2"] = 123
    book.active["A2"].number_format = "00000"
    stream = io.BytesIO()
    book.save(stream)
    table = read(stream.getvalue(), name)
    assert table["patient"].tolist() == ["00123", "P2"]
    assert table["flag"].tolist() == ["true", "false"]
    assert table["number"].tolist() == ["3", "0.07"]
    assert table["day"].tolist() == ["", "x"]


def test_sheets_and_formulas_of_a_workbook(tmp_path):
    path = tmp_path / "cases.xlsx"
    path.write_bytes(workbook([["a", "b"], [1, 2]], [["a", "b"], [3, 4]], names=("first", "second")))
    notes: list[str] = []
    assert read_text_table(path, notes=notes)["a"].tolist() == ["1"]
    assert notes == ["cases.xlsx: the sheet 'first' was read, not 'second' (cohort.dataset.options.sheet)"]
    assert read_text_table(path, TableForm(sheet="second"))["a"].tolist() == ["3"]
    with pytest.raises(StudyError, match=r"no sheet 'third'.*first, second"):
        read_text_table(path, TableForm(sheet="third"))
    path.write_bytes(workbook([["a", "usable"], [1, "=1=1"]]))
    with pytest.raises(StudyError, match="formula in B2 has no stored result"):
        read_text_table(path)


def changed(book, before, after):
    """Return a workbook with another text in its first sheet."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            part = old.read(name)
            assert (before in part) == name.endswith("sheet1.xml")
            new.writestr(name, part.replace(before, after))
    return stream.getvalue()


def test_a_formula_whose_stored_result_is_an_empty_text_is_a_blank(read):
    book = workbook([["image", "usable"], ["a.png", '=IF(1=2,"no","")']])
    without = b'<c r="B2"><f>IF(1=2,"no","")</f><v /></c>'
    empty = changed(book, without, without.replace(b'"B2"', b'"B2" t="str"'))
    assert read(empty, "cases.xlsx")["usable"].tolist() == [""]
    without_result = changed(book, without, without.replace(b'"B2"', b'"B2" t="str"').replace(b"<v />", b""))
    for never_computed in (book, without_result):
        with pytest.raises(StudyError, match="formula in B2 has no stored result"):
            read(never_computed, "cases.xlsx")


def test_a_comment_in_a_sheet_takes_no_time(read):
    book = workbook([["image", "usable"], ["a.png", '=IF(1=2,"no","")']])
    without = b'<c r="B2"><f>IF(1=2,"no","")</f><v /></c>'
    comment = b"<!--" + b'<c r="A1" ' * 20_000 + b"-->"
    empty = changed(book, without, without.replace(b'"B2"', b'"B2" t="str"') + comment)
    before = time.process_time()
    assert read(empty, "cases.xlsx")["usable"].tolist() == [""]
    assert time.process_time() - before < 5


def test_a_parquet_table_that_would_fill_the_memory_is_refused_unread(read, monkeypatch):
    stream = io.BytesIO()
    pd.DataFrame({"patient": ["P1"] * 1000}).to_parquet(stream)
    monkeypatch.setattr("mammoflow.cohort.table_files.MOST_PARQUET_CELLS", 999)
    monkeypatch.setattr(pd, "read_parquet", None)
    with pytest.raises(StudyError, match="has 1,000 rows and 1 columns; expected at most 999 cells"):
        read(stream.getvalue())


def test_parquet_is_told_by_content_and_bytes_are_text(read):
    stream = io.BytesIO()
    pd.DataFrame(
        {"patient": [b"P1", "M\u00fcller".encode()], "n": [1, None], "day": pd.to_datetime(["2020-01-02"] * 2)}
    ).to_parquet(stream)
    table = read(stream.getvalue())
    assert table["patient"].tolist() == ["P1", "Müller"]
    assert table["n"].tolist() == ["1.0", ""]
    assert table["day"].tolist() == ["2020-01-02"] * 2
    assert table[ORIGIN].tolist() == ["cases.csv row 1", "cases.csv row 2"]


def test_whole_numbers_of_parquet_are_exact_beside_blanks(read):
    patients = [90071992547409931, 90071992547409933, None]
    whole = {
        "patient": patients,
        "lesion": pa.array([1, None, 2], pa.int32()),
        "exam": pa.array([2**64 - 1, None, 1], pa.uint64()),
    }
    stream = io.BytesIO()
    pq.write_table(pa.table({**whole, "spacing": pa.array([1, None, 0.1], pa.float32())}), stream)
    table = read(stream.getvalue())
    assert table["patient"].tolist() == ["90071992547409931", "90071992547409933", ""]
    assert table["lesion"].tolist() == ["1", "", "2"]
    assert table["exam"].tolist() == ["18446744073709551615", "", "1"]
    assert table["spacing"].tolist() == ["1.0", "", "0.10000000149011612"]
    indexed = pd.DataFrame({"n": [1, 2, 3]}, index=pd.Index(patients, dtype="Int64", name="patient"))
    assert read(parquet(indexed))["patient"].tolist() == table["patient"].tolist()


def test_an_index_of_parquet_is_a_column_and_one_that_repeats_its_column_is_none(read):
    table = pd.DataFrame({"patient": ["P1", "P2"], "exam": pd.array([1, None], dtype="Int64"), "image": ["a", "b"]})
    for index in ("patient", "exam", ["patient", "exam"]):
        for drop in (True, False):
            found = read(parquet(table.set_index(index, drop=drop)))
            assert sorted(found.columns) == sorted([*table.columns, PROBLEM, ORIGIN])
            assert found["patient"].tolist() == ["P1", "P2"]
            assert found["exam"].tolist() == ["1", ""]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pd.DataFrame({"patient": ["P1"]}, index=pd.Index(["P2"], name="patient")), "names the column 'patient' twice"),
        (pd.DataFrame({"patient": ["P1"], "patient\u200b": ["P1"]}), r"'patient' twice.*rename or remove one"),
        (pd.DataFrame({"patient": ["P1"], ORIGIN: ["x"]}), "has the column 'row_origin', a name that mammoflow uses"),
        (pd.DataFrame({"patient": ["P1"]}, index=pd.Index(["x"], name=PROBLEM)), "has the column 'row_problem'"),
    ],
)
def test_names_of_parquet_columns_are_those_of_any_table(read, table, message):
    with pytest.raises(StudyError, match=message):
        read(parquet(table))


def test_headers_lose_what_is_invisible_and_blank_columns_go(read):
    table = read("\u200bimage, patient\u00a0id ,label,,\na.png,P1,benign,,\n")
    assert table.columns.tolist()[:3] == ["image", "patient id", "label"]
    assert (table[PROBLEM] == "").all()
    assert len(table.columns) == 5
    with pytest.raises(StudyError, match="names the column 'label' twice"):
        read("image,label,label\u200b\na,b,c\n")


def test_the_zeros_of_a_formula_text_stay(read):
    assert read('patient,label\n="00123",benign\n"=""00124""",benign\n')["patient"].tolist() == ["00123", "00124"]


def test_a_column_of_another_case_is_suggested(study):
    study.write(table_of().to_csv(index=False).replace("patient", "Patient", 1))
    with pytest.raises(ConfigError, match="did you mean 'Patient'"):
        study.rebuild()


def test_decimal_commas(study):
    table = table_of().assign(spacing=["0,07", "0,08", "0,1", "0,070", "1,234", "0.09", "", "7"])
    images = study.select(table.drop(index=5)).images
    assert images["spacing_mm"].tolist()[:5] == [0.07, 0.08, 0.1, 0.07, 1.234]
    images = study.select(table).images  # one point: what may be thousands is no longer certain
    assert images["spacing_mm"].isna().tolist() == [False] * 4 + [True, False, True, False]


@pytest.mark.parametrize("value", ["1,234", "1_000", "abc", "1e400", "-1", "0"])
def test_a_spacing_that_cannot_be_read_is_a_blank_and_is_said(study, value):
    found = study.select(table_of(2).assign(spacing=[value, "0.07"]))
    assert found.images["spacing_mm"].isna().tolist() == [True, False]
    assert found.notes[0].startswith(f"spacing: 1 value counts as blank: 1 x {value!r} (cases.csv row 2); ")


def test_a_box_that_cannot_be_read_costs_the_row_only_without_a_mask(study):
    box = {"box_y0": "1,5", "box_x0": "2", "box_y1": ["5,25", "bad"], "box_x1": "4,5"}
    found = study.select(table_of(2).assign(**box))
    assert found.lesions["box_y0"].isna().tolist() == [False, True]
    assert found.lesions["box_y0"][0] == 1.5
    assert found.notes == ["box_y1: 1 value counts as blank: 1 x 'bad' (cases.csv row 3); expected a number"]
    found = study.select(table_of(2).drop(columns="mask").assign(**box))
    assert len(found.lesions) == 1
    assert found.details == ["cases.csv row 3: box_y1: found 'bad', expected a number"]


def test_a_study_without_a_usable_row_names_values_and_rows_and_lists_them(study):
    with pytest.raises(StudyError) as error:
        study.build(
            table_of().assign(diagnosis=["foo", "bar"] * 4).drop(columns="label"), columns={"label": "diagnosis"}
        )
    message = str(error.value)
    assert "4 x malignancy is unknown: diagnosis is 'foo', BI-RADS not given (cases.csv row 2, 4, 6, 8)" in message
    assert len(study.excluded) == 16
    assert len(pd.read_csv(study.output / "excluded.csv")) == 16
    study.build(table_of())
    assert not (study.output / "excluded.csv").exists()


def test_a_study_of_normal_images_alone_says_so(study):
    with pytest.raises(
        StudyError, match=r"be used: 8 images are usable, none has a lesion.*at least one lesion\. Check"
    ):
        study.build(table_of().assign(label="normal", mask=""))


def test_the_console_says_what_is_left_out_and_where(study, capsys):
    study.build(table_of().assign(patient=["P0", "", "P2", "", *table_of()["patient"][4:]]))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "cohort: 6 of 8 lesions usable, on 6 images of 6 patients"
    assert lines[1] == "  left out: 2 x row of the case table cannot be read: no value for patient (cases.csv row 3, 5)"


def test_a_split_that_cannot_be_made_leaves_the_list_of_exclusions(study):
    with pytest.raises(StudyError):
        study.build(table_of(3).assign(patient=["A", "A", ""]))
    assert study.excluded["detail"].tolist() == ["cases.csv row 4: no value for patient"]


def test_decimal_commas_between_commas_are_explained(study):
    lines = table_of(3).to_csv(index=False).splitlines()
    study.write("\n".join([f"{lines[0]},spacing", *(f"{line},0,07" for line in lines[1:])]))
    with pytest.raises(
        StudyError, match=r"3 x .*6 values, the header has 5 columns; a comma inside a value, such as a dec"
    ):
        study.rebuild()
