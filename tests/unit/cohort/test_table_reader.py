"""The generic table: columns by name, pattern and constant; boxes; joins; rows that cannot be used."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammoflow.cohort.reader import Reader
from mammoflow.cohort.readers._table_options import JoinSettings
from mammoflow.config.base import validate_settings
from mammoflow.config.cohort import READERS, CohortSettings, DatasetSettings
from mammoflow.errors import ConfigError, StudyError
from mammoflow.reasons.cohort import CohortReason
from mammoflow.reasons.files import FileReason
from mammoflow.reasons.labels import LabelReason
from mammoflow.reasons.lesions import LesionReason
from mammoflow.tables.cohort import EXCLUDED
from mammoflow.tables.files import read_table
from tests.unit.cohort.small_study import Study, table_of


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path / "study")


def test_columns_of_their_own_name_need_no_mapping(study):
    study.build(table_of())
    assert list(study.images["image_path"]) == [f"images/{number}.png" for number in range(8)]
    assert list(study.lesions["malignant"]) == [0, 1] * 4
    assert list(study.images["image_id"]) == [f"images_{number}" for number in range(8)]
    assert study.lesions["lesion_id"].str.fullmatch("images_[0-7]_[0-9a-f]{8}").all()
    assert set(study.lesions["lesion_type"]) == {"unknown"}


def test_parquet_with_numbers_and_flags_reads_as_csv_does(study):
    table = table_of().assign(label=[0, 1] * 4, birads=[4.0, np.nan] * 4, usable=[True] * 7 + [False], spacing=0.1)
    study.build(table, name="cases.parquet", spacing_factor=0.5)
    assert list(study.lesions["malignant"]) == [0, 1, 0, 1, 0, 1, 0]
    assert study.lesions["birads"].isna().sum() == 3
    assert (study.images["spacing_mm"] == 0.05).all()
    assert (study.images["spacing_origin"] == "table").all()
    assert study.reasons == {str(CohortReason.MARKED_UNUSABLE): 1}


def test_sides_views_birads_and_density_in_many_spellings(study):
    table = table_of().assign(
        side=["LEFT", "R", "left", "right", "l", "Right", "", "L"],
        view=["cc", "MLO", "mlo", "CC", "", "LM", "CC", "CC"],
        birads=["4A", "BI-RADS 5", "birads 0", "3", "2.0", "6", "", "4c"],
        density=["A", "d", "2", "3.0", "", "4", "B", "C"],
    )
    study.build(table)
    assert list(study.lesions["laterality"]) == ["L", "R", "L", "R", "L", "R", "", "L"]
    assert list(study.lesions["view"]) == ["CC", "MLO", "MLO", "CC", "", "LM", "CC", "CC"]
    assert study.lesions["birads"].fillna(-1).tolist() == [4, 5, 0, 3, 2, 6, -1, 4]
    assert study.images["density"].fillna(-1).tolist() == [1, 4, 2, 3, -1, 4, 2, 3]


def test_words_of_the_users_own(study):
    table = table_of().assign(label=["Krebs", "gutartig"] * 4)
    study.build(table, labels={"krebs": "malignant", "gutartig": "benign"})
    assert list(study.lesions["malignant"]) == [1, 0] * 4


def test_an_unknown_word_is_excluded_and_counted(study):
    study.build(table_of().assign(label=["malignant", "benign", "?"] * 2 + ["benign", ""]))
    assert study.reasons == {str(LabelReason.NO_LABEL): 3}


def test_boxes_in_place_of_masks(study):
    table = table_of().drop(columns="mask")
    table = table.assign(box_y0=1, box_x0=2, box_y1=[5] * 6 + [1, None], box_x1=4.5)
    study.build(table)
    assert study.lesions["mask_path"].isna().all()
    assert study.lesions.loc[0, ["box_y0", "box_x0", "box_y1", "box_x1"]].tolist() == [1, 2, 5, 4.5]
    assert study.reasons == {str(LesionReason.BOX_INVALID): 2}


def test_boxes_that_are_not_in_pixels_are_excluded_with_a_hint(study):
    table = table_of().drop(columns="mask").assign(box_y0=1.0, box_x0=2.0, box_y1=5.0, box_x1=4.5)
    table.loc[0, ["box_y0", "box_x0", "box_y1", "box_x1"]] = [0.1, 0.2, 0.4, 0.5]
    table.loc[1, ["box_y0", "box_y1"]] = [5, 1]
    table.loc[2, "box_y1"] = 1.5
    study.build(table)
    details = read_table(study.output / "excluded.parquet", EXCLUDED)["detail"].str
    assert study.reasons == {str(LesionReason.BOX_INVALID): 3}
    assert details.contains("normalised").sum() == details.contains("swapped").sum() == 1
    with pytest.raises(StudyError, match=r"8 of 8 boxes look normalised.*multiply"):
        study.build(table.assign(box_y0=0.1, box_x0=0.1, box_y1=0.4, box_x1=0.3))
    with pytest.raises(StudyError, match="8 of 8 boxes have no extent"):
        study.build(table.assign(box_y0=6, box_x0=5, box_y1=2, box_x1=1))


def test_one_mask_file_holds_several_lesions_by_value(study):
    table = table_of().assign(mask_value=["1", "2"] * 4)
    table.loc[1, ["image", "mask", "patient"]] = table.loc[0, ["image", "mask", "patient"]]
    study.build(table)
    same = study.lesions[study.lesions["mask_path"] == "masks/0.png"]
    assert sorted(same["mask_value"]) == ["1", "2"]
    assert same["lesion_id"].nunique() == 2
    study.build(table.assign(mask_value=["lesion", "", *[">0"] * 6]))
    assert study.reasons == {str(CohortReason.BAD_ROW): 1}


def test_lesions_keep_their_ids_in_any_order_and_when_others_come(study):
    study.build(table_of())
    alone = study.lesions.set_index("mask_path")["lesion_id"]
    table = pd.concat([table_of(), table_of(2).assign(mask=["masks/-.png", "masks/z.png"], label="malignant")])
    study.build(table)
    more = study.lesions.set_index("mask_path")["lesion_id"]
    assert len(more) == 10
    assert more[alone.index].tolist() == alone.tolist()
    study.build(table.iloc[::-1])
    assert study.lesions.set_index("mask_path")["lesion_id"].to_dict() == more.to_dict()
    assert study.lesions["finding_id"].is_unique


def test_a_lesion_with_a_mask_keeps_its_id_beside_one_with_a_box(study):
    box = dict.fromkeys(["box_y0", "box_x0", "box_y1", "box_x1"], None)
    study.build(table_of().assign(**box))
    alone = study.lesions["lesion_id"].tolist()
    further = table_of(9).iloc[8:].assign(mask=None, box_y0=1.0, box_x0=1.0, box_y1=4.0, box_x1=4.0)
    study.build(pd.concat([table_of().assign(**box), further]))
    assert len(study.lesions) == 9
    assert set(alone) < set(study.lesions["lesion_id"])


def test_names_that_are_no_file_names_become_safe_and_stay_apart(study):
    table = table_of()
    table["image"] = [f"images/a ({number}).png" for number in range(6)] + ["images/b c.png", "images/b_c.png"]
    study.build(table)
    assert study.images["image_id"].str.fullmatch(r"[A-Za-z0-9._-]+").all()
    assert study.images["image_id"].is_unique


def test_bad_files_and_rows_of_a_table(study, tmp_path):
    (tmp_path / "outside.png").write_bytes(b"x")
    table = table_of(12)
    table.loc[8, "image"] = "../outside.png"
    table.loc[9, "mask"] = "masks/nothing.tif"
    table.loc[10, "patient"] = None
    table.loc[11, "mask"] = None
    study.build(table)
    assert study.reasons == {
        str(CohortReason.BAD_ROW): 1,
        str(FileReason.OUTSIDE_STUDY): 1,
        str(FileReason.MISSING_FILE): 1,
        str(LesionReason.MASK_NOT_FOUND): 1,
    }
    assert len(study.lesions) == 8
    excluded = read_table(study.output / "excluded.parquet", EXCLUDED)
    assert "no value for patient" in " ".join(excluded["detail"])
    images = excluded[excluded["level"] == "image"]
    assert sorted(images["patient_id"]) == ["P11", "P8", "P9"]


def test_dicom_images_are_opened_and_damaged_ones_left_out(study, download):
    table = table_of()
    table["image"] = [f"images/{number}.dcm" for number in range(8)]
    for name in table["image"]:
        download.write_dicom(study.folder / name, download.film_pixels())
    damaged = study.folder / "images/3.dcm"
    damaged.write_bytes(damaged.read_bytes()[:-50])
    study.build(table)
    assert study.reasons == {str(FileReason.TRUNCATED): 1}
    assert len(study.images) == 7


def test_dicom_files_that_are_named_by_their_uid(study, download):
    names = [f"1.2.840.9.{number}" for number in range(8)]
    table = table_of().assign(image=[*names[:7], "folder"])
    for name in [*names[:7], f"folder/{names[7]}"]:
        (study.folder / name).parent.mkdir(parents=True, exist_ok=True)
        download.write_dicom(study.folder / name, download.film_pixels())
    damaged = study.folder / names[3]
    damaged.write_bytes(damaged.read_bytes()[:-50])
    study.build(table)
    assert study.reasons == {str(FileReason.TRUNCATED): 1}
    found = study.images.set_index("image_id")["image_path"].to_dict()
    assert found == {name: name for name in names[:7] if name != names[3]} | {"folder": f"folder/{names[7]}"}


def test_a_normal_image_stays_without_a_lesion(study):
    study.build(table_of().assign(label=["malignant", "benign"] * 3 + ["normal"] * 2))
    assert len(study.images) == 8
    assert len(study.lesions) == 6
    assert study.reasons == {}
    flow = json.loads((study.output / "study.json").read_text())["flow"]
    assert [(step["images"], step["lesions"]) for step in flow] == [(8, 6)] * 5


def test_a_normal_image_that_stands_twice_is_no_lost_lesion(study):
    table = table_of().assign(label=["malignant", "benign"] * 3 + ["normal"] * 2, mask=[*table_of(6)["mask"], "", ""])
    study.build(pd.concat([table, table.iloc[[5, 7]]]))
    flow = json.loads((study.output / "study.json").read_text())["flow"]
    assert [step["lesions"] for step in flow] == [7, 6, 6, 6, 6]
    assert flow[1]["excluded"] == {str(CohortReason.DUPLICATE_ROW): 1}
    assert study.reasons == {str(CohortReason.DUPLICATE_ROW): 2}


@pytest.mark.parametrize("backwards", [False, True])
def test_rows_of_one_lesion_that_differ_in_malignancy_are_left_out_in_any_order(study, backwards):
    table = pd.concat([table_of(), table_of(2).assign(label=["malignant", ""])])
    study.build(table.iloc[::-1] if backwards else table)
    labels = study.lesions.set_index("image_id")["malignant"]
    assert "images_0" not in labels.index
    assert labels.to_dict() == {f"images_{number}": number % 2 for number in range(1, 8)}
    assert study.reasons == {str(LabelReason.LABEL_CONFLICT): 2, str(CohortReason.DUPLICATE_ROW): 1}


def test_normal_images_that_are_marked_unusable_are_no_lost_lesions(study, capsys):
    normal = table_of(4).assign(image=[f"images/n{number}.png" for number in range(4)], mask="", label="normal")
    normal = normal.assign(patient=["N0", "N1", "N2", "N3"], usable=["yes", "no", "no", "no"])
    broken = table_of(9)[8:].assign(patient="", usable="yes")
    study.build(pd.concat([table_of(8).assign(usable="yes"), normal, broken]))
    assert study.reasons == {str(CohortReason.BAD_ROW): 1}
    summary = json.loads((study.output / "study.json").read_text())
    assert [(step["images"], step["lesions"]) for step in summary["flow"]] == [(12, 9), *[(9, 8)] * 4]
    lost = study.excluded[study.excluded["reason"] == str(CohortReason.MARKED_UNUSABLE)]
    assert lost[["level", "image_id", "lesion_id"]].values.tolist() == [
        ["image", f"images_n{number}", ""] for number in (1, 2, 3)
    ]
    assert "3 x row is marked unusable in the case table (cases.csv row 11, 12, 13)" in capsys.readouterr().err


def test_an_image_with_a_lesion_is_never_normal(study):
    table = table_of()
    denied = table_of(3).assign(label="normal", mask="")
    table.loc[0, "mask"] = "masks/nothing.tif"
    table.loc[1, "label"] = "?"
    study.build(pd.concat([denied, table]))
    assert study.images["image_id"].tolist() == [f"images_{number}" for number in range(2, 8)]
    assert study.reasons == {
        str(LabelReason.LABEL_CONFLICT): 3,
        str(FileReason.MISSING_FILE): 1,
        str(LabelReason.NO_LABEL): 1,
    }
    flow = json.loads((study.output / "study.json").read_text())["flow"]
    assert [step["lesions"] for step in flow] == [8, 8, 7, 7, 6]
    assert [sum(step["excluded"].values()) for step in flow] == [0, 0, 1, 0, 1]


def test_an_image_of_two_patients_is_left_out(study):
    table = pd.concat([table_of(), table_of(1).assign(patient="P7", mask="masks/other.png")])
    study.build(table)
    assert study.reasons == {str(CohortReason.BAD_ROW): 2}
    assert "images_0" not in set(study.images["image_id"])


def test_joins_add_columns_and_refuse_ambiguous_keys(study):
    study.folder.mkdir()
    sizes = pd.DataFrame({"patient": [f"P{number}" for number in range(8)], "millimetres": [0.1] * 7 + [None]})
    sizes.to_csv(study.folder / "sizes.csv", index=False)
    join = [JoinSettings(table="sizes.csv", column="patient")]
    study.build(table_of(), joins=join, columns={"spacing": "millimetres"})
    assert study.images["spacing_mm"].tolist()[:7] == [0.1] * 7
    assert study.images["spacing_mm"].isna().tolist() == [False] * 7 + [True]
    pd.concat([sizes, sizes]).to_csv(study.folder / "sizes.csv", index=False)
    with pytest.raises(StudyError, match="several rows for patient 'P0'"):
        study.build(table_of(), joins=join)


def test_a_row_that_joins_an_unreadable_one_is_left_out(study):
    study.folder.mkdir()
    lines = ["patient,unit,millimetres", *(f"P{number},mm,0.1" for number in range(7)), "P7,0.2", ",mm,0.3", ",mm,0.4"]
    (study.folder / "sizes.csv").write_text("\n".join(lines))
    join = [JoinSettings(table="sizes.csv", column="patient")]
    study.build(table_of(), joins=join, columns={"spacing": "millimetres"})
    assert study.images["spacing_mm"].tolist() == [0.1] * 7
    excluded = read_table(study.output / "excluded.parquet", EXCLUDED)
    assert "joined table sizes.csv: 2 values, the header has 3 columns" in excluded["detail"].iloc[0]


def test_a_joined_table_without_a_common_key_stops(study):
    study.folder.mkdir()
    (study.folder / "sizes.csv").write_text("patient,millimetres\n0.0,0.1\n")
    with pytest.raises(StudyError, match=r"shares no patient with table cases\.csv: found 'P0', '0\.0'; expected"):
        study.build(table_of(), joins=[JoinSettings(table="sizes.csv", column="patient")])


def test_words_for_no_value_are_blanks(study):
    table = table_of().assign(
        density=["NA", "n/a", "NaN", "null", "#N/A", "B", "C", ""],
        birads=["NULL", "4", "5", "2", "3", "1", "2", "na"],
        side=["NA"] * 8,
    )
    table.loc[7, "patient"] = "NA"
    study.build(table)
    assert study.images["density"].fillna(-1).tolist() == [-1] * 5 + [2, 3]
    assert study.lesions["birads"].fillna(-1).tolist() == [-1, 4, 5, 2, 3, 1, 2]
    assert study.reasons == {str(CohortReason.BAD_ROW): 1}


def test_an_optional_number_that_cannot_be_read_is_a_blank_and_named_in_part(study, capsys):
    table = table_of().assign(spacing=["0;07"] + ["0.07"] * 7, density=["B"] * 7 + ["a long report " * 99])
    study.build(table)
    assert len(study.lesions) == 8
    assert study.images["spacing_mm"].isna().tolist() == [True] + [False] * 7
    said = capsys.readouterr().err
    assert "spacing: 1 value counts as blank: 1 x '0;07' (cases.csv row 2); expected a number above 0" in said
    assert max(map(len, said.splitlines())) < 250


def test_a_report_in_place_of_a_label_is_quoted_in_part(study):
    study.build(table_of().assign(label=["malignant", "benign"] * 3 + ["a long report " * 99, ""]))
    excluded = read_table(study.output / "excluded.parquet", EXCLUDED).query("level == 'lesion'")
    assert excluded["detail"].str.len().max() < 120
    assert "cases.csv row 9: label is not given, BI-RADS not given" in set(excluded["detail"])


def test_a_table_in_windows_1252_keeps_its_patients_apart(study):
    study.build(table_of())
    table = table_of().assign(patient=["Müller", "Möller", *table_of()["patient"][2:]])
    path = study.folder / "cases.csv"
    table.to_csv(path, index=False, encoding="cp1252")
    study.rebuild()
    assert set(study.images["patient_id"]) >= {"Müller", "Möller"}


def test_a_column_that_stands_twice_is_named(study):
    study.folder.mkdir()
    (study.folder / "cases.csv").write_text("image,mask,patient,label,label\na.png,m.png,P1,benign,benign\n")
    with pytest.raises(StudyError, match=r"names the column 'label' twice.*rename or remove"):
        study.rebuild()


def test_a_column_that_is_not_there_is_named_with_those_that_are(study):
    with pytest.raises(ConfigError, match=r"columns\.birads is 'BIRADS'.*columns found: image, mask, patient, label"):
        study.build(table_of(), columns={"birads": "BIRADS"})
    with pytest.raises(ConfigError, match=r"gives no label: set cohort\.dataset\.options\.columns\.label"):
        study.build(table_of().drop(columns="label"))
    with pytest.raises(ConfigError, match="gives no mask"):
        study.build(table_of().drop(columns="mask"))
    with pytest.raises(ConfigError, match="no column nothing"):
        study.build(table_of(), columns={"mask": "{nothing}.png"})


@pytest.mark.parametrize("name", READERS.names())
def test_every_module_of_the_readers_folder_is_a_reader(name):
    module = importlib.import_module(f"mammoflow.cohort.readers.{name.replace('-', '_')}")
    assert issubclass(module.StudyReader, Reader)
    assert name in DatasetSettings.model_json_schema()["properties"]["reader"]["enum"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"reader": "inbrest", "folder": "x"},
            r"is no data set reader; expected one of .*cbis-ddsm, .*phantom, .*table",
        ),
        ({"reader": "table", "folder": "x"}, "exactly one entry in tables"),
        ({"reader": "cbis-ddsm"}, "needs the study's folder"),
        (
            {"reader": "cbis-ddsm", "folder": "x", "options": {"columns": {"image": "y"}}},
            r"dataset\.options\.columns: unknown key",
        ),
        (
            {"reader": "table", "folder": "x", "tables": ["a.csv"], "options": {"columns": {"imge": "y"}}},
            r"dataset\.options\.columns\.imge",
        ),
        (
            {"reader": "table", "folder": "x", "tables": ["a.csv"], "options": {"labels": {"a": "bad"}}},
            r"dataset\.options\.labels\.a: found 'bad'",
        ),
        (
            {"reader": "table", "folder": "x", "tables": ["a.csv"], "labels": {"a": "benign"}, "spacing_factor": 2.0},
            r"(?s)dataset\.labels: found .* expected: options\.labels, .*dataset\.spacing_factor: found 2\.0; "
            r"expected: options\.spacing_factor, for it is an option of the reader 'table'",
        ),
    ],
)
def test_wrong_settings_are_one_clear_error(values, message):
    with pytest.raises(ConfigError, match=message):
        validate_settings(CohortSettings, {"dataset": values}, "settings")


def test_the_configuration_is_read_without_the_reader_and_pandas():
    code = (
        "import sys; from mammoflow.config.cohort import DatasetSettings as Dataset; "
        "table = Dataset(reader='table', folder='x', tables=['a.csv'], options={'columns': {'image': 'y'}}); "
        "Dataset(reader='vindr-mammo', folder='x'); "
        "sys.exit(2 * ('pandas' in sys.modules) + (table.options.columns != {'image': 'y'}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def pair(download, study):
    """Two files of one image and a table of eight others; which files the table names, the test says."""
    shape = (60, 40)
    for kind in ("processing", "presentation"):
        intent = {"PresentationIntentType": f"FOR {kind.upper()}"}
        path = study.folder / "pair" / f"{kind}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        download.write_dicom(path, download.film_pixels(shape), **intent)
    table = table_of().assign(image_id=[f"I{number}" for number in range(8)])

    def build(*images: str) -> Study:
        rows = [table.iloc[0].to_dict() | {"image": image, "image_id": "pair", "patient": "Q"} for image in images]
        return study.build(pd.concat([table, pd.DataFrame(rows)], ignore_index=True))

    return build


@pytest.mark.parametrize("images", [("pair",), ("pair/processing.dcm", "pair/presentation.dcm")])
def test_of_two_files_of_an_image_the_one_for_presentation_is_taken(pair, images):
    study = pair(*images)
    found = study.images.set_index("image_id")
    assert found.loc["pair", "image_path"] == "pair/presentation.dcm"
    assert len(found) == 9
    assert (study.lesions["image_id"] == "pair").sum() == 1
    excluded = read_table(study.output / "excluded.parquet", EXCLUDED).set_index("path")
    assert excluded.loc["pair/processing.dcm", "reason"] == str(FileReason.FOR_PROCESSING)
    assert excluded.loc["pair/processing.dcm", "level"] == "file"
    assert "pair/presentation.dcm (presentation) was taken" in excluded.loc["pair/processing.dcm", "detail"]


def test_a_file_that_is_marked_unusable_is_not_taken(pair, study):
    table = pd.DataFrame(
        {
            "image": ["pair/presentation.dcm", "pair/processing.dcm"],
            "image_id": "pair",
            "mask": "masks/0.png",
            "patient": "Q",
            "label": "benign",
            "usable": ["no", "yes"],
        }
    )
    study.build(pd.concat([table_of().assign(image_id=[f"I{number}" for number in range(8)]), table]))
    assert study.images.set_index("image_id").loc["pair", "image_path"] == "pair/processing.dcm"


def test_an_image_for_processing_alone_is_kept(pair):
    study = pair("pair/processing.dcm")
    assert study.images.set_index("image_id").loc["pair", "image_path"] == "pair/processing.dcm"
    assert read_table(study.output / "excluded.parquet", EXCLUDED).empty


def test_a_damaged_file_for_presentation_leaves_the_other(pair, study):
    path = study.folder / "pair" / "presentation.dcm"
    path.write_bytes(path.read_bytes()[:-100])
    study = pair("pair")
    assert study.images.set_index("image_id").loc["pair", "image_path"] == "pair/processing.dcm"
    excluded = read_table(study.output / "excluded.parquet", EXCLUDED).set_index("path")
    assert excluded.loc["pair/presentation.dcm", "reason"] == str(FileReason.TRUNCATED)


def test_an_empty_folder_and_files_of_two_kinds_are_excluded(pair, study):
    (study.folder / "empty").mkdir(parents=True, exist_ok=True)
    study = pair("empty")
    assert study.reasons == {str(FileReason.MISSING_FILE): 1}
    study = pair("pair/processing.dcm", "images/pair.png")
    assert study.reasons == {str(CohortReason.BAD_ROW): 2}


def test_each_shard_names_its_files_and_shards_of_an_earlier_run_go(study: Study) -> None:
    study.build(table_of())
    shards = study.output / "shards"
    (shards / "07").mkdir()
    for name in ("images.parquet", "files.json"):
        (shards / "07" / name).write_text("of an earlier run")
    (shards / "00" / "notes.txt").write_text("mine")
    (shards / "mine").mkdir()
    (shards / "mine" / "images.parquet").write_text("mine")
    study.rebuild()
    named = [json.loads((shards / shard / "files.json").read_text())["mine"] for shard in ("00", "01")]
    assert sorted(named[0] + named[1]) == sorted([*study.images["image_path"], *study.lesions["mask_path"]])
    of_shard = study.images[study.images["shard"] == 0]
    assert set(of_shard["image_path"]) <= set(named[0])
    assert not set(of_shard["image_path"]) & set(named[1])
    assert {path.name for path in shards.iterdir()} == {"00", "01", "mine"}
    assert (shards / "00" / "notes.txt").read_text() == (shards / "mine" / "images.parquet").read_text() == "mine"


def test_a_missing_image_or_mask_is_named_with_its_row(study, capsys):
    table = table_of()
    table.loc[3, "mask"] = ""
    study.build(table)
    (study.folder / "images" / "1.png").unlink()
    (study.folder / "masks" / "2.png").unlink()
    study.rebuild()
    assert study.excluded.query("level == 'lesion'")["detail"].tolist() == [
        "cases.csv row 3: 'images/1.png' does not exist",
        "cases.csv row 4: 'masks/2.png' does not exist",
        "cases.csv row 5: the row names neither mask nor box",
    ]
    said = "".join(capsys.readouterr())
    for number, name in ((3, "images/1"), (4, "masks/2")):
        assert f"1 x file is missing: '{name}.png' does not exist (cases.csv row {number})" in said


def test_pictures_of_one_id_are_refused_with_the_name_of_their_column(study):
    study.write_pictures(table_of())
    table = table_of().rename(columns={"image": "Datei"})
    table.loc[1, "Datei"] = "images/0.dcm"
    details = study.select(table, columns={"image": "Datei"}).details
    found = "image_id 'images_0' has several values of image (column 'Datei'): images/0.dcm, images/0.png; expected one"
    assert details[:2] == [f"cases.csv row {number}: {found}" for number in (2, 3)]
