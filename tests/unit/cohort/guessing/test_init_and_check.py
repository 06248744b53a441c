"""`mammoflow init` writes a configuration that reads the table, and `mammoflow check` says what can be used."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner, Result

from mammoflow.cli import main
from mammoflow.cohort.guessing.columns import guess_columns
from mammoflow.cohort.guessing.files import list_files
from mammoflow.cohort.guessing.headers import box_as_size, box_columns, likeness
from mammoflow.cohort.guessing.overlay import Study, overlay_text
from mammoflow.cohort.table_files import read_text_table
from mammoflow.storage.files import write_image, write_mask


def add_pictures(folder: Path, names: list[str], masks: list[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(folder / name, np.full((8, 6), 900, dtype=np.uint16))
    for name in masks:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        mask = np.zeros((8, 6), dtype=np.bool_)
        mask[2:5, 2:4] = True
        write_mask(folder / name, mask)


def write_table(path: Path, header: list[str], rows: list[list[str]], encoding: str, delimiter: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding=encoding, newline="") as stream:
        writer = csv.writer(stream, delimiter=delimiter)
        writer.writerows([header, *rows])
    return path


@pytest.fixture
def german(tmp_path: Path) -> Path:
    """Return a table of 12 rows and six patients as a German hospital would export it."""
    folder = tmp_path / "klinik"
    names = [f"bilder/a{number:02d}.png" for number in range(12)]
    masks = [f"masken/a{number:02d}_maske.png" for number in range(12)]
    add_pictures(folder, names, masks)
    rows = [
        [f"PAT {number // 2}", names[number], masks[number], ["links", "rechts"][number // 2 % 2],
         ["CC", "MLO"][number % 2], ["gutartig", "bösartig"][number // 2 % 2], ["2", "4a"][number // 2 % 2], "B",
         "70,5", "ja"]
        for number in range(12)
    ]  # fmt: skip
    rows[4][9] = "nein"
    rows[5][5] = "fraglich"
    header = ["Patientennummer", "Datei", "Maske", "Seite", "Ansicht", "Befund", "BI-RADS", "Dichte"]
    header += ["Pixelgröße (µm)", "auswertbar"]
    return write_table(folder / "Fälle 2024.csv", header, rows, "cp1252", ";")


def run(*arguments: object, answers: str = "") -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=answers)


def dataset_of(file: Path) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))["cohort"]["dataset"]
    return values


def test_a_german_table_needs_no_editing(german: Path, tmp_path: Path) -> None:
    target = tmp_path / "study.yaml"
    result = run("init", german, "--out", target, "--yes")
    assert result.exit_code == 0, result.output
    dataset = dataset_of(target)
    assert dataset["options"]["columns"] == {
        "image": "Datei", "mask": "Maske", "patient": "Patientennummer", "side": "Seite", "view": "Ansicht",
        "label": "Befund", "birads": "BI-RADS", "density": "Dichte", "spacing": "Pixelgröße (µm)",
        "usable": "auswertbar",
    }  # fmt: skip
    assert dataset["options"]["spacing_factor"] == 0.001
    assert dataset["options"]["labels"] == {"fraglich": "unknown"}
    assert len(target.read_text(encoding="utf-8").splitlines()) < 30
    result = run("check", target)
    assert result.exit_code == 0, result.output
    assert "10 of 12 lesions usable, on 10 images of 5 patients" in result.output
    assert "1 x row is marked unusable in the case table (Fälle 2024.csv row 6)" in result.output
    assert "Befund is 'fraglich'" in result.output
    assert "labels: 6 malignant, 4 benign, 0 unknown; 10 lesions with a BI-RADS assessment" in result.output
    assert "split: train" in result.output


def test_unknown_words_are_asked_for(german: Path, tmp_path: Path) -> None:
    target = tmp_path / "study.yaml"
    result = run("init", german, "--out", target, answers="malignant\n")
    assert result.exit_code == 0, result.output
    assert "label 'fraglich' (1 rows) means" in result.output
    assert dataset_of(target)["options"]["labels"] == {"fraglich": "malignant"}
    assert "11 of 12 lesions usable" in run("check", target).output


def test_unknown_words_without_an_answer_are_marked_in_the_file(german: Path, tmp_path: Path) -> None:
    rows = german.read_text(encoding="cp1252").replace("rechts;CC", "quer;CC").replace(";nein", ";vielleicht")
    german.write_text(rows, encoding="cp1252")
    target = tmp_path / "study.yaml"
    result = run("init", german, "--out", target, "--yes")
    assert result.exit_code == 0, result.output
    text = target.read_text(encoding="utf-8")
    assert "labels: {fraglich: unknown}  # CHECK: left out until you give a meaning\n" in text
    assert "      # words:  # CHECK: unknown words; write their meaning" in text
    for comment in ("# words:", "#   side:", "#   usable:"):
        text = text.replace(comment, comment.replace("# ", "", 1))
    options = yaml.safe_load(text)["cohort"]["dataset"]["options"]
    assert options["words"] == {"side": {"quer": "L or R"}, "usable": {"vielleicht": "yes or no"}}

    asked = run("init", german, "--out", target, "--force", answers="unknown\nskip\nno\n")
    assert asked.exit_code == 0, asked.output
    assert "# CHECK: left out" not in target.read_text(encoding="utf-8")


def test_a_file_is_not_overwritten(german: Path, tmp_path: Path) -> None:
    target = tmp_path / "study.yaml"
    target.write_text("mine", encoding="utf-8")
    result = run("init", german, "--out", target, "--yes")
    assert result.exit_code == 1
    assert "study.yaml exists" in result.output
    assert target.read_text(encoding="utf-8") == "mine"
    assert run("init", german, "--out", target, "--yes", "--force").exit_code == 0


LANGUAGES = {
    "French": ("utf-8", ";", ["Fichier", "Masque", "Patiente", "Côté", "Incidence", "Diagnostic"],
               ["gauche", "droite"], ["bénigne", "maligne"]),
    "Spanish": ("utf-16", "\t", ["Archivo", "Máscara", "Paciente", "Lado", "Proyección", "Diagnóstico"],
                ["izquierda", "derecha"], ["benigno", "maligno"]),
    "Italian": ("utf-8-sig", ",", ["Immagine", "Maschera", "Paziente", "Lato", "Proiezione", "Esito"],
                ["sinistra", "destra"], ["benigna", "maligna"]),
    "Dutch": ("cp1252", "|", ["Bestand", "Masker", "PatientID", "Zijde", "Projectie", "Uitslag"],
              ["links", "rechts"], ["goedaardig", "kwaadaardig"]),
}  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_tables_in_other_languages(tmp_path: Path, language: str) -> None:
    encoding, delimiter, header, sides, labels = LANGUAGES[language]
    names, masks = ([f"{kind}{number}.png" for number in range(8)] for kind in ("i", "m"))
    add_pictures(tmp_path / "study", names, masks)
    rows = [
        [names[n], masks[n], f"{n // 2:03d}", sides[n // 2 % 2], ["CC", "MLO"][n % 2], labels[n // 2 % 2]]
        for n in range(8)
    ]
    table = write_table(tmp_path / "study" / "cases.csv", header, rows, encoding, delimiter)
    guess = guess_columns(read_text_table(table), table.parent, list_files(table.parent))
    assert guess.columns == dict(zip(("image", "mask", "patient", "side", "view", "label"), header, strict=True)), guess
    target = tmp_path / "study.yaml"
    assert run("init", table, "--out", target, "--yes").exit_code == 0
    assert "8 of 8 lesions usable, on 8 images of 4 patients" in run("check", target).output.replace("left out", "LOST")


def test_files_are_found_by_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    ids = [f"ex{number}" for number in range(4)]
    add_pictures(
        folder,
        [f"films/{'LR'[number % 2]}/{name}.png" for number, name in enumerate(ids)],
        [f"outlines/{name}_mask.png" for name in ids],
    )
    rows = [[name, "LR"[number % 2], f"p{number}", str(number % 2)] for number, name in enumerate(ids)]
    table = write_table(folder / "t.csv", ["image_id", "side", "patient", "malignant"], rows, "utf-8", ",")
    guess = guess_columns(read_text_table(table), folder, list_files(folder))
    assert guess.columns["image"] == "films/{side}/{image_id}.png"
    assert guess.columns["mask"] == "outlines/{image_id}_mask.png"
    assert "found by the names" in guess.doubts["mask"]


def test_what_is_missing_stops_or_is_asked(tmp_path: Path) -> None:
    add_pictures(tmp_path / "s", ["a.png", "b.png"], ["a_mask.png", "b_mask.png"])
    rows = [["a.png", "a_mask.png", "x", "1"], ["b.png", "b_mask.png", "y", "0"]]
    table = write_table(tmp_path / "s" / "t.csv", ["file", "outline", "who", "q"], rows, "utf-8", ",")
    stopped = run("init", table, "--out", tmp_path / "o.yaml", "--yes")
    assert stopped.exit_code == 1
    assert "no column was recognised for 'patient'; found file, outline, who, q" in stopped.output
    asked = run("init", table, "--out", tmp_path / "o.yaml", answers="who\nq\n0.1\n")
    assert asked.exit_code == 0, asked.output
    dataset = dataset_of(tmp_path / "o.yaml")
    assert dataset["options"]["columns"]["patient"] == "who"
    assert dataset["options"]["columns"]["label"] == "q"
    assert dataset["spacing_mm"] == 0.1


def test_without_labels_the_study_is_kept_and_nothing_is_trained(tmp_path: Path) -> None:
    add_pictures(tmp_path / "s", ["a.png"], ["a_mask.png"])
    table = write_table(
        tmp_path / "s" / "t.csv", ["file", "mask", "patient"], [["a.png", "a_mask.png", "p"]], "utf-8", ","
    )
    target = tmp_path / "o.yaml"
    assert run("init", table, "--out", target, "--yes").exit_code == 0
    values = yaml.safe_load(target.read_text(encoding="utf-8"))
    assert values["cohort"]["unlabelled"] == "keep"
    assert values["cohort"]["split"] == {"method": "apply"}
    assert values["classification"] == {"run": []}
    checked = run("check", target)
    assert checked.exit_code == 0, checked.output
    assert "split: every patient is test; nothing is trained on this study" in checked.output
    assert "labels: 0 malignant, 0 benign, 1 unknown" in checked.output
    assert "no AUC, sensitivity and specificity without both classes" in checked.output
    assert "classifiers: " not in checked.output


def test_a_table_outside_the_study_folder_is_refused(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", ["file"], [["a.png"]], "utf-8", ",")
    (tmp_path / "s").mkdir()
    result = run("init", table, "--folder", tmp_path / "s", "--out", tmp_path / "o.yaml", "--yes")
    assert result.exit_code == 1
    assert "is not inside the study folder" in result.output


@pytest.mark.parametrize(
    ("table", "folder"),
    [("{here}/klinik/t.csv", "../klinik"), ("../klinik/t.csv", "{here}/klinik"), ("../klinik/t.csv", "../link"),
     ("../link/t.csv", "../klinik"), ("../klinik/t.csv", None)],
)  # fmt: skip
def test_table_and_folder_may_be_written_in_two_ways(
    german: Path, monkeypatch: pytest.MonkeyPatch, table: str, folder: str | None
) -> None:
    here = german.parent.parent
    german.rename(here / "klinik" / "t.csv")
    (here / "link").symlink_to("klinik")
    (here / "work").mkdir()
    monkeypatch.chdir(here / "work")
    named = ["--folder", folder.format(here=here)] if folder else []
    result = run("init", table.format(here=here), *named, "--out", "o.yaml", "--yes")
    assert result.exit_code == 0, result.output
    dataset = dataset_of(Path("o.yaml"))
    assert dataset["tables"] == ["t.csv"]
    assert ".." not in dataset["folder"]
    assert run("check", "o.yaml").exit_code == 0


@pytest.mark.parametrize(
    ("header", "column", "expected"),
    [
        ("Patient_ID", "patient", 1.0), ("PatientID", "patient", 1.0), ("LATERALITY", "side", 1.0),
        ("Pixelgröße", "spacing", 1.0), ("image view", "view", 1.0), ("mass_shape", "shape", 1.0),
        ("Notiz", "patient", 0.0),
        ("Befund Klinik", "label", 0.6), ("id", "patient", 0.0),
    ],
)  # fmt: skip
def test_likeness_of_headers(header: str, column: Any, expected: float) -> None:
    assert likeness(header, column) == expected


ACR = ["1", "2", "3", "4"]
BIRADS = ["2", "3", "4a", "5"]
DENSITY = ["A", "B", "C", "D"]
DOUBT = "ACR may be the density"


@pytest.mark.parametrize(
    ("columns", "expected", "doubt"),
    [
        ({"ACR": ACR}, {"birads": "ACR"}, DOUBT),
        ({"ACR": ACR, "Bi-Rads": BIRADS}, {"birads": "Bi-Rads", "density": "ACR"}, None),
        ({"ACR": ACR, "BIRADS Klasse": BIRADS}, {"birads": "BIRADS Klasse", "density": "ACR"}, None),
        ({"ACR": DENSITY}, {"density": "ACR"}, None),
        ({"ACR": BIRADS}, {"birads": "ACR"}, None),
        ({"ACR": ACR, "Dichte": DENSITY}, {"birads": "ACR", "density": "Dichte"}, DOUBT),
        ({"ACR": ACR, "Dichte": DENSITY, "Bi-Rads": BIRADS}, {"birads": "Bi-Rads", "density": "Dichte"}, None),
    ],
)
def test_a_column_acr_is_the_density_where_another_one_is_birads(
    tmp_path: Path, columns: dict[str, list[str]], expected: dict[str, str], doubt: str | None
) -> None:
    guess = guess_columns(pd.DataFrame(columns), tmp_path, list_files(tmp_path))
    assert guess.columns == expected
    assert guess.doubts.get("birads") == doubt
    assert not guess.rivals


def test_a_column_acr_that_is_no_density_is_a_rival_of_birads(tmp_path: Path) -> None:
    table = pd.DataFrame({"ACR": BIRADS, "Bi-Rads": BIRADS})
    guess = guess_columns(table, tmp_path, list_files(tmp_path))
    assert (guess.columns, guess.rivals) == ({"birads": "Bi-Rads"}, {"birads": ["ACR"]})


def test_boxes() -> None:
    assert box_columns(["XMin", "YMin", "XMax", "YMax", "id"]) == {
        "box_y0": "YMin", "box_x0": "XMin", "box_y1": "YMax", "box_x1": "XMax",
    }  # fmt: skip
    assert box_columns(["x", "y", "width", "height"]) == {}
    assert box_as_size(["x", "y", "width", "height"])
    assert not box_as_size(["x0", "y0", "x1", "y1", "width", "height"])


@pytest.mark.parametrize(
    "text", ["a: b", "yes", "1", "{x}", "#3", "ok", "Größe (µm)", "- a", "'", '"', "=mass", "a #b", ""]
)
def test_the_overlay_keeps_odd_names(text: str, tmp_path: Path) -> None:
    table = pd.DataFrame({"file": ["a.png"]})
    guess = guess_columns(table, tmp_path, list_files(tmp_path))
    guess.columns = {"image": text, "label": "label"}
    values = yaml.safe_load(overlay_text(Study("r", text, text, "t.csv", {"label": {text: "benign"}}), guess))
    dataset = values["cohort"]["dataset"]
    assert dataset["name"] == dataset["folder"] == dataset["options"]["columns"]["image"] == text
    assert dataset["options"]["labels"] == {text: "benign"}
