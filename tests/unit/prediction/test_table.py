"""A table of many films: rows that cannot be used are listed, the others are answered."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from click.testing import CliRunner

from mammoflow.cli import main
from mammoflow.errors import ConfigError, StudyError
from mammoflow.prediction.api import predict_table
from mammoflow.prediction.table import read_requests

HEADER = ["image", "x0", "y0", "x1", "y1", "spacing", "id", "finding"]


def write_table(path: Path, rows: list[list[object]], header: list[str] = HEADER) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def test_rows_of_a_film_are_its_lesions_and_bad_rows_are_listed(made_up: ModuleType, tmp_path: Path) -> None:
    made_up.write_film(tmp_path / "a.dcm")
    made_up.write_picture(tmp_path / "b.png")
    (tmp_path / "broken.dcm").write_text("nothing", encoding="utf-8")
    rows: list[list[object]] = [
        ["a.dcm", *made_up.BOX, 0.25, "first", "mass"],
        ["a.dcm", 20, 200, 60, 240, 0.25, "first", "Calcification"],
        ["b.png", *made_up.BOX, "", "", ""],
        ["b.png", 0.1, 0.2, 0.3, 0.4, "", "", ""],
        ["b.png", "", 126, 124, 174, "", "", ""],
        ["broken.dcm", *made_up.BOX, "", "", ""],
        ["absent.dcm", *made_up.BOX, "", "", ""],
        ["b.png", *made_up.BOX, "", "", "cyst"],
    ]
    table = write_table(tmp_path / "table.csv", rows)
    out = tmp_path / "out"
    result = predict_table(table, out, spacing_mm=0.2, threads=1)
    assert result["id"].tolist() == ["first", "first", "b"]
    assert result["finding"].tolist() == ["mass", "calcification", "unknown"]
    for name, spacing in (("first", 0.25), ("b", 0.2)):
        content = json.loads((out / name / "result.json").read_text(encoding="utf-8"))
        assert content["image"]["row_spacing_mm"] == pytest.approx(spacing)
    assert (out / "first" / "segmentation.dcm").is_file()
    assert not (out / "b" / "segmentation.dcm").exists()
    left_out = pd.read_csv(out / "left_out.csv")
    assert left_out["row"].str.extract(r"row (\d)")[0].tolist() == ["5", "6", "7", "8", "9"]
    assert "in shares of the film" in left_out["reason"][0]
    assert "x0 is blank" in left_out["reason"][1]
    assert len(pd.read_csv(out / "results.csv")) == 3

    predict_table(write_table(table, rows[2:3]), out, spacing_mm=0.2, threads=1)  # takes the earlier answer's place
    assert not (out / "first" / "result.json").exists()
    assert (out / "b" / "mask_1.png").is_file()


def test_a_lesion_that_is_left_out_is_listed_and_has_no_measurements(made_up: ModuleType, tmp_path: Path) -> None:
    made_up.write_picture(tmp_path / "film.png")
    boxes = made_up.BOX, (0, 0, made_up.SIZE[1], made_up.SIZE[0])
    table = write_table(tmp_path / "t.csv", [["film.png", *box, 0.25, "", ""] for box in boxes])
    predict_table(table, tmp_path / "out", threads=1)
    written = pd.read_csv(tmp_path / "out" / "results.csv")
    assert written["area_mm2"].notna().tolist() == [True, False]
    assert written["mask"].fillna("").tolist() == ["film/mask_1.png", ""]
    (reason,) = pd.read_csv(tmp_path / "out" / "left_out.csv")["reason"]
    assert "film.png: lesion 2: this lesion was left out: lesion covers too much of its image" in reason


def test_results_are_joined_to_the_table_by_id_image_and_row(made_up: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    made_up.write_picture(tmp_path / "films" / "a.png")
    made_up.write_picture(tmp_path / "films" / "b c.png")
    whole = (0, 0, made_up.SIZE[1], made_up.SIZE[0])
    rows: list[list[object]] = [
        ["films/absent.png", *made_up.BOX, 0.25, "Fall ö 1", ""],
        ["films/a.png", *made_up.BOX, 0.25, "Fall ö 0", ""],
        ["films/b c.png", *whole, 0.25, "", ""],
        ["./films/a.png", 20, 200, 60, 240, 0.25, "Fall ö 0", ""],
    ]
    table = write_table(tmp_path / "t.csv", rows)
    predict_table(table, tmp_path / "out", threads=1)
    written, left_out = (pd.read_csv(tmp_path / "out" / name) for name in ("results.csv", "left_out.csv"))
    assert written["row"].tolist() == ["t.csv row 3", "t.csv row 5"]
    assert written["image"].tolist() == ["films/a.png", "./films/a.png"]
    assert len(pd.read_csv(table).merge(written, on=["id", "image"])) == 2
    assert all((tmp_path / "out" / folder / "result.json").is_file() for folder in written["folder"])
    assert left_out["row"].tolist() == ["t.csv row 2", "t.csv row 4"]
    assert left_out["image"].tolist() == ["films/absent.png", "films/b c.png"]


def test_a_table_may_lie_in_a_folder_whose_name_is_no_utf_8(made_up: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xfc")
    folder.mkdir()
    made_up.write_picture(tmp_path / "film.png").rename(folder / "film.png")
    rows: list[list[object]] = [[name, *made_up.BOX, 0.25, "", ""] for name in ("film.png", "absent.png")]
    result = predict_table(write_table(folder / "t.csv", rows), tmp_path / "out", threads=1)
    assert result["image"].tolist() == ["film.png"]
    assert pd.read_csv(tmp_path / "out" / "left_out.csv")["image"].tolist() == ["absent.png"]


def test_flags_of_a_film_are_among_the_notes_of_its_lesions(made_up: ModuleType, tmp_path: Path) -> None:
    made_up.write_picture(tmp_path / "film.png")
    table = write_table(tmp_path / "t.csv", [["film.png", *made_up.BOX, 5, "", ""]])  # the film would be 1.6 m high
    result = predict_table(table, tmp_path / "out", threads=1)
    assert result["notes"].tolist() == ["flags of the film: spacing_implausible"]


def test_two_films_with_one_name_are_refused(made_up: ModuleType, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        made_up.write_picture(tmp_path / folder / "film.png")
    table = write_table(
        tmp_path / "t.csv", [[f"{name}/film.png", *made_up.BOX, 0.25, "", ""] for name in ("one", "two")]
    )
    with pytest.raises(StudyError, match="would both be answered in the folder 'film'"):
        read_requests(table, None, "unknown")


@pytest.mark.parametrize("name", ["results.csv", "Left_Out.csv", "result.json"])
def test_a_film_with_the_name_of_a_file_of_the_answer_is_refused(
    made_up: ModuleType, tmp_path: Path, name: str
) -> None:
    made_up.write_picture(tmp_path / f"{name}.png")
    for row in ([f"{name}.png", *made_up.BOX, 0.25, "", ""], [f"{name}.png", *made_up.BOX, 0.25, name, ""]):
        with pytest.raises(StudyError, match="the answer has a file of this name; expected a column `id`"):
            read_requests(write_table(tmp_path / "t.csv", [row]), None, "unknown")


def test_two_spacings_of_one_film_are_refused(made_up: ModuleType, tmp_path: Path) -> None:
    made_up.write_picture(tmp_path / "film.png")
    table = write_table(tmp_path / "t.csv", [["film.png", *made_up.BOX, spacing, "", ""] for spacing in (0.1, 0.2)])
    with pytest.raises(StudyError, match=r"the spacings \['0.1', '0.2'\]; expected one"):
        read_requests(table, None, "unknown")


def test_a_row_with_an_impossible_spacing_is_left_out(made_up: ModuleType, tmp_path: Path) -> None:
    for name in ("a", "b"):
        made_up.write_picture(tmp_path / f"{name}.png")
    rows: list[list[object]] = [["a.png", *made_up.BOX, 70, "", ""], ["b.png", *made_up.BOX, 0.25, "", ""]]
    request = read_requests(write_table(tmp_path / "t.csv", rows), None, "unknown")
    assert [film.name for film in request.films] == ["b"]
    (left_out,) = request.left_out
    assert left_out["image"] == "a.png"
    assert left_out["reason"].startswith("spacing: found 70 mm a pixel; expected 0.005 to 10 mm a pixel")
    with pytest.raises(ConfigError, match="spacing: found 70 mm a pixel"):
        predict_table(tmp_path / "t.csv", tmp_path / "out", spacing_mm=70)
    assert not (tmp_path / "out").exists()


def test_table_without_its_columns_or_usable_rows_is_refused(made_up: ModuleType, tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", [["film.png", 1, 2]], ["image", "x0", "y0"])
    with pytest.raises(StudyError, match="lacks the columns x1, y1"):
        read_requests(table, None, "unknown")
    table = write_table(tmp_path / "t.csv", [["absent.png", *made_up.BOX, 0.1, "", ""]])
    with pytest.raises(StudyError, match="none of 1 rows can be used"):
        predict_table(table, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folders_of_films_stay_inside_the_output(made_up: ModuleType, tmp_path: Path) -> None:
    made_up.write_picture(tmp_path / "film.png")
    table = write_table(tmp_path / "t.csv", [["film.png", *made_up.BOX, 0.1, "../../escape", ""]])
    (film,) = read_requests(table, None, "unknown").films
    assert "/" not in film.name
    assert not film.name.startswith(".")


def test_boxes_beside_a_table_are_refused(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", [])
    result = CliRunner().invoke(main, ["predict", str(table), "--box", "1,2,3,4", "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "expected boxes in its columns" in result.output
