"""With a key, ids are digests, and nothing of a name leaves the tables that say where the films are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mammoflow.cohort.anonymous_ids import IdMaker
from mammoflow.cohort.stage import build_cohort
from mammoflow.config.base import validate_settings
from mammoflow.config.cohort import CohortSettings, DatasetSettings, Unlabelled
from mammoflow.config.images import ImagesSettings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError, ExcludedCase, StudyError
from mammoflow.evaluation.flow import _cases
from mammoflow.imaging.case import Case, excluded_row, prepare_case
from mammoflow.planning.preflight import check_study
from mammoflow.planning.workflow import study_tables
from mammoflow.reasons.files import FileReason
from tests.unit.cohort.small_study import Study, table_of

NAME = "Qzx"  # begins every id and every name of a file
PATHS = {"image_path", "mask_path"}


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "ids.key"
    path.write_bytes(bytes(range(32)))
    return path


def named_table(count: int = 8) -> pd.DataFrame:
    table = table_of(count).assign(patient=[f"{NAME}^Jane{number}" for number in range(count)])
    table["image"] = [f"{NAME}_jane{number}/{NAME}{number}.png" for number in range(count)]
    table["mask"] = [f"{NAME}_jane{number}/{NAME}-mask{number}.png" for number in range(count)]
    return table


def build(folder: Path, key: Path, table: pd.DataFrame) -> Study:
    folder.mkdir()
    return Study(folder / "study").build(table, anonymous_ids=str(key))


def texts(folder: Path) -> dict[str, str]:
    """Return the text of each file, of Parquet the values of its columns without the paths."""
    found = {}
    for path in folder.rglob("*"):
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
            found[path.name] = table.drop(columns=[name for name in PATHS if name in table.columns]).to_csv()
        elif path.is_file():
            found[path.name] = path.read_text(encoding="utf-8")
    return found


@pytest.mark.parametrize("unlabelled", ["leave_out", "keep"])
@pytest.mark.parametrize("birads", [None, 4])
def test_no_name_is_in_any_table_beyond_the_paths(
    tmp_path: Path, key: Path, capsys: pytest.CaptureFixture[str], unlabelled: Unlabelled, birads: int | None
) -> None:
    table = named_table().assign(birads=5, usable=["yes"] * 3 + ["no"] + ["yes"] * 4)
    table.loc[6, "image"] = f"{NAME}-is-not-there.png"
    table.loc[7, "label"] = f"{NAME} who knows"
    table.loc[5, "mask"] = table.loc[4, "mask"]
    study = Study(tmp_path / "study")
    study.folder.mkdir()
    table.to_csv(study.folder / "cases.csv", index=False)
    study.write_pictures(table.drop(index=6))
    mine = study.dataset("cases.csv", {"anonymous_ids": str(key), "malignant_from_birads": birads})
    build_cohort(CohortSettings(dataset=mine, unlabelled=unlabelled), study.folder, study.output)
    said = capsys.readouterr()
    found = texts(study.output) | {"console": said.out + said.err}
    assert {"rows.parquet", "excluded.parquet", "study.json", "images.parquet", "lesions.parquet"} <= set(found)
    named = {name for name, text in found.items() if NAME.lower() in text.lower()}
    assert named == {"files.json"}  # which says where the films of a shard are
    assert study.images["patient_id"].str.fullmatch(r"P_[0-9a-f]{12}").all()
    assert study.images["image_id"].str.fullmatch(r"I_[0-9a-f]{12}").all()
    assert study.lesions["lesion_id"].str.fullmatch(r"L_[0-9a-f]{12}").all()
    assert study.lesions["finding_id"].str.fullmatch(r"F_[0-9a-f]{12}").all()
    assert set(study.lesions["image_id"]) <= set(study.images["image_id"])
    assert study.images["image_path"].str.startswith(NAME).all()  # by which the films are found
    assert study.images["anonymous"].all()
    assert study.excluded.loc[study.excluded["reason"] == FileReason.MISSING_FILE, "detail"].eq("cases.csv row 8").all()


def test_an_id_depends_on_the_key_and_the_value_alone(key: Path) -> None:
    first, again = IdMaker.from_file(key), IdMaker.from_file(key)
    other = IdMaker(b"another key, long enough")
    # printf 'patient_id\x1fDoe^Jane' | openssl dgst -sha256 -mac HMAC -macopt hexkey:000102...1f
    assert first("patient_id", "Doe^Jane") == again("patient_id", "Doe^Jane") == "P_f5f565416356"
    assert first("patient_id", "Doe^John") != first("patient_id", "Doe^Jane") != other("patient_id", "Doe^Jane")
    assert first("image_id", "Doe^Jane")[2:] != first("patient_id", "Doe^Jane")[2:]
    assert first("lesion_id", "") == ""


def test_patients_stay_apart_and_together(tmp_path: Path, key: Path) -> None:
    table = named_table()
    table.loc[1, "patient"] = table.loc[0, "patient"]
    named = build(tmp_path / "a", key, table).images
    assert named.groupby("patient_id").size().sort_values().tolist() == [1] * 6 + [2]


def test_two_values_never_get_one_id(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mammoflow.cohort.anonymous_ids.DIGITS", 1)
    make = IdMaker.from_file(key)
    with pytest.raises(StudyError, match="two values of patient_id get the anonymous id"):
        [make("patient_id", str(number)) for number in range(17)]


def test_where_nothing_is_left_no_name_is_said(tmp_path: Path, key: Path) -> None:
    with pytest.raises(StudyError, match="`mammoflow check` says why") as caught:
        build(tmp_path / "a", key, named_table().assign(label=f"{NAME} unknown"))
    assert NAME not in str(caught.value)
    assert NAME not in texts(tmp_path / "a" / "cohort")["excluded.csv"]


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot be read"), (b"short", "has 5 bytes; expected at least 16")]
)
def test_a_key_that_is_none(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "ids.key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StudyError, match=f"anonymous_ids: key file .*{words}.*head -c 32 /dev/urandom"):
        build(tmp_path / "a", path, named_table())


def test_public_ids_are_kept() -> None:
    with pytest.raises(ConfigError, match="with the reader 'busi'; expected an empty text"):
        validate_settings(
            DatasetSettings, {"reader": "busi", "folder": "/data/busi", "anonymous_ids": "/keys/ids"}, "the test"
        )


@pytest.mark.parametrize("anonymous", [True, False, None, np.nan])
def test_the_image_stage_names_no_file(tmp_path: Path, anonymous: Any) -> None:
    (tmp_path / f"{NAME}.png").write_bytes(b"no picture")
    image = {"patient_id": "P_1", "image_id": "I_1", "image_path": f"{NAME}.png", "source": "mine"}
    lesion = {"patient_id": "P_1", "image_id": "I_1", "lesion_id": "L_1", "mask_path": f"{NAME}-mask.png"}
    rows = [{**row, "anonymous": anonymous} for row in (image, lesion)]
    result = prepare_case(Case(ImagesSettings(), tmp_path, tmp_path / "out", rows[0], [rows[1]]))
    assert [row["level"] for row in result.excluded] == ["image", "lesion"]
    assert (NAME in str(result.excluded)) == (anonymous is not True)
    assert all(row["detail"] for row in result.excluded)


@pytest.mark.parametrize("reason", [FileReason.MISSING_FILE, FileReason.NO_ACCESS, FileReason.OUTSIDE_STUDY])
def test_what_only_names_files_is_left_out(reason: FileReason) -> None:
    problem = ExcludedCase(reason, "'a.dcm' lies behind a symbolic link to '/archive/Muster_Anna_1961/IM1.dcm'")
    row = {"patient_id": "P_1", "image_id": "I_1", "image_path": "a.dcm", "anonymous": True}
    assert excluded_row(row, "a.dcm", problem)["detail"] == ""
    assert "Muster" in excluded_row(row | {"anonymous": False}, "a.dcm", problem)["detail"]


def test_the_flow_names_no_file() -> None:
    ids = {"patient_id": ["P_1", "P_2"], "image_id": ["I_1", "I_2"], "lesion_id": ["L_1", "L_2"]}
    lesions = pd.DataFrame({**ids, "mask_path": [f"{NAME}.png", None]})
    assert _cases(lesions, "stage", "reason", "")["path"].tolist() == [f"{NAME}.png", ""]
    assert _cases(lesions.assign(anonymous=True), "stage", "reason", "")["path"].tolist() == ["", ""]


def test_the_key_is_checked_first_and_its_content_counts(tmp_path: Path, key: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "a.csv").touch()
    values = {"reader": "table", "folder": str(tmp_path / "study"), "tables": ["a.csv"], "anonymous_ids": str(key)}
    config = validate_settings(StudyConfig, {"cohort": {"dataset": values}}, "the test")
    assert str(key) in study_tables(config)
    check_study("cohort.dataset", config.cohort.dataset)
    key.unlink()
    with pytest.raises(ConfigError, match=r"cohort\.dataset\.anonymous_ids: found .*ids\.key', which is no file"):
        check_study("cohort.dataset", config.cohort.dataset)


def test_ages_are_whole_years_and_the_oldest_are_one_group(tmp_path: Path, key: Path) -> None:
    table = named_table().assign(age=["54,7", "97.3", "", "90", "0.5", "41", "42", "43"])
    lesions = build(tmp_path / "ages", key, table).lesions
    assert sorted(lesions["age"].dropna()) == [1, 41, 42, 43, 54, 90, 90]
