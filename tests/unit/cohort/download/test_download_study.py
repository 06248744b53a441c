"""A small CBIS-DDSM behind a loopback server that does what bad networks do, fetched and read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from mammoflow.cohort.download import case_tables, stage
from mammoflow.cohort.download.bucket import list_files
from mammoflow.cohort.download.manifest import MANIFEST
from mammoflow.cohort.download.series import read_index, wanted_series
from mammoflow.cohort.download.stage import download_study
from mammoflow.cohort.stage import build_cohort
from mammoflow.config.cohort import CohortSettings, DatasetSettings
from mammoflow.config.download import DownloadSettings
from mammoflow.config.split import SplitSettings
from mammoflow.errors import ConfigError, DownloadError, StudyError
from mammoflow.tables.cohort import EXCLUDED, LESIONS
from mammoflow.tables.files import read_table
from mammoflow.transfer.connection import Transfer
from mammoflow.transfer.download import DiskFullError

sys.path.insert(0, str(Path(__file__).parents[2]))
from loopback import Fault, Handler, Loopback, answers, breaks, serving, wrong_bytes

QUICK = Transfer(attempts=3, timeout_s=5, pause_s=0.01)
TABLES = sorted(case_tables.CHECKSUMS)


class Archive:
    """What the Imaging Data Commons has of a study: a bucket that is served, an index, and the case tables' page."""

    def __init__(self, study: Path, server: Loopback, folder: Path) -> None:
        self.server = server
        self.files: dict[str, bytes] = {}
        rows = []
        folders = sorted({path.parent for path in study.rglob("*.dcm")})
        for number, place in enumerate(folders):
            series = str(uuid.UUID(int=number))
            paths = sorted(place.glob("*.dcm"))
            for index, path in enumerate(paths):
                self.files[f"{series}/{uuid.UUID(int=1000 * number + index)}.dcm"] = path.read_bytes()
            patient, study_uid, series_uid = place.relative_to(study).parts[-3:]
            rows.append(
                {
                    "collection_id": "cbis_ddsm",
                    "PatientID": patient.partition("_")[2] + ".dcm",  # the index's ids are not the tables' folders
                    "SeriesInstanceUID": series_uid,
                    "StudyInstanceUID": study_uid,
                    "aws_bucket": "test-bucket",
                    "crdc_series_uuid": series,
                    "instanceCount": len(paths),
                    "series_size_MB": sum(path.stat().st_size for path in paths) / 1e6,
                }
            )
        self.rows = pd.DataFrame(rows)
        self.index = folder / "index.parquet"
        other = self.rows.iloc[:1].assign(collection_id="another", SeriesInstanceUID="1.2.3")
        pd.concat([self.rows, other]).to_parquet(self.index)
        for key, content in self.files.items():
            server.files[f"/test-bucket/{key}"] = content
        for table in study.glob("*.csv"):
            server.files[f"/tables/{table.name}"] = table.read_bytes()
        server.faults["*"] = AnyListing(self)

    def listing(self, prefix: str, after: str = "", most: int = 1000) -> bytes:
        """Write the listing of a folder as S3 does."""
        keys = [key for key in sorted(self.files) if key.startswith(prefix) and key > after]
        entries = "".join(
            f"<Contents><Key>{key}</Key><Size>{len(self.files[key])}</Size>"
            f"<ETag>&quot;{hashlib.md5(self.files[key]).hexdigest()}&quot;</ETag></Contents>"
            for key in keys[:most]
        )
        more = f"<NextContinuationToken>{keys[most - 1]}</NextContinuationToken>" if len(keys) > most else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"{more}{entries}</ListBucketResult>"
        ).encode()

    def settings(self, **values: Any) -> DownloadSettings:
        return DownloadSettings(
            **{
                "index": str(self.index),
                "bucket": self.server.url("/{bucket}"),
                "tables": self.server.url("/tables"),
                "connections": 3,
                **values,
            }
        )


class AnyListing(list[Fault]):
    """Answers listings, one file per page, and lets everything else pass; never used up."""

    def __init__(self, archive: Archive) -> None:
        super().__init__([self.answer])
        self.archive = archive

    def pop(self, _: Any = 0) -> Fault:
        return self.answer

    def answer(self, handler: Handler, _: bytes) -> bool:
        address = urllib.parse.urlsplit(handler.path)
        query = dict(urllib.parse.parse_qsl(address.query))
        if "list-type" not in query:
            return False
        handler.plain(200, self.archive.listing(query["prefix"], query.get("continuation-token", ""), most=1))
        return True


def some_cases(case_class: Any) -> list[Any]:
    """Cases of ten patients in all four tables, every series with a UID of its own."""

    class Distinct(case_class):  # type: ignore[misc]
        def uid(self, name: str) -> str:
            return f"1.3.{int(hashlib.md5(name.encode()).hexdigest()[:12], 16)}"

        @property
        def film_name(self) -> str:
            return f"{self.folder}/{self.uid(self.folder)}.1/{self.uid(self.folder)}.2/000000.dcm"

        def lesion_name(self, number: int) -> str:
            name = self.lesion_folder
            return f"{name}/{self.uid(name)}.1/{self.uid(name)}.2/{number:06d}.dcm"

    pathology = ["BENIGN", "MALIGNANT"]
    cases = [Distinct(patient=f"P_{number:05d}", pathology=pathology[number % 2]) for number in range(1, 8)]
    cases.append(Distinct(patient="P_00008", official="Test", pathology="MALIGNANT"))
    cases.append(Distinct(patient="P_00009", kind="Calc", pathology="BENIGN"))
    cases.append(Distinct(patient="P_00010", kind="Calc", official="Test", pathology="MALIGNANT", mask_first=True))
    return cases


@pytest.fixture
def archive(download: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    study = download.Writer(tmp_path / "original", "CBIS-DDSM").write(some_cases(download.Case))
    assert [table.name for table in sorted(study.glob("*.csv"))] == TABLES
    for table in study.glob("*.csv"):
        monkeypatch.setitem(case_tables.CHECKSUMS, table.name, hashlib.sha256(table.read_bytes()).hexdigest())
    with serving() as server:
        yield Archive(study, server, tmp_path)


def fetch(archive: Archive, study: Path, transfer: Transfer = QUICK, **values: Any) -> pd.DataFrame:
    options = {name: values.pop(name) for name in ("verify", "dry_run") if name in values}
    download_study(archive.settings(**values), study, transfer=transfer, **options)
    return manifest(study)


def manifest(study: Path) -> pd.DataFrame:
    return read_table(study / "download.parquet", MANIFEST)


def asked_files(archive: Archive) -> list[str]:
    """The files of the bucket that were asked for, without listings."""
    return [path for path, _ in archive.server.requests if "?" not in path and path.endswith(".dcm")]


def test_a_whole_study_is_fetched_and_the_reader_finds_every_lesion(archive: Archive, tmp_path: Path) -> None:
    study = tmp_path / "study"
    rows = fetch(archive, study)
    assert len(rows) == len(archive.files) == 30
    assert set(rows["state"]) == {"whole"}
    assert set(rows["checked"]) == {"checksum"}
    for row in rows.to_dict("records"):
        assert hashlib.md5((study / row["path"]).read_bytes()).hexdigest() == row["checksum"].removeprefix("md5:")
    dataset = DatasetSettings(reader="cbis-ddsm", name="fetched", folder=str(study), spacing_mm=0.05)
    build_cohort(CohortSettings(dataset=dataset, split=SplitSettings(method="random")), study, tmp_path / "cohort")
    assert len(read_table(tmp_path / "cohort" / "lesions.parquet", LESIONS)) == 10
    assert read_table(tmp_path / "cohort" / "excluded.parquet", EXCLUDED).empty
    record = json.loads((study / "download.json").read_text())
    assert (record["patients"], record["series"]) == (10, 20)
    assert "10.7937/K9/TCIA.2016.7O02S9CY" in record["citation"]


def test_a_second_call_asks_for_nothing(archive: Archive, tmp_path: Path) -> None:
    fetch(archive, tmp_path / "study")
    before = len(archive.server.requests)
    fetch(archive, tmp_path / "study")
    assert len(archive.server.requests) == before


def test_connections_are_bounded(archive: Archive, tmp_path: Path) -> None:
    archive.server.delay_s = 0.02
    fetch(archive, tmp_path / "study", connections=2)
    assert archive.server.most_at_once == 2


@pytest.mark.parametrize(
    ("values", "patients"),
    [
        ({"patients": ["P_00003", "P_00008"]}, {"P_00003", "P_00008"}),
        ({"at_most": 2}, {"P_00001", "P_00002"}),
        ({"types": ["calcification"]}, {"P_00009", "P_00010"}),
        ({"splits": ["test"], "types": ["mass"]}, {"P_00008"}),
    ],
)
def test_a_part_is_fetched(archive: Archive, tmp_path: Path, values: dict[str, Any], patients: set[str]) -> None:
    rows = fetch(archive, tmp_path / "study", **values)
    assert set(rows["patient_id"]) == patients
    assert len(rows) == 3 * len(patients)
    whole = fetch(archive, tmp_path / "study")
    assert len(whole) == 30
    assert sorted(asked_files(archive)) == sorted(set(asked_files(archive)))  # nothing came twice


def test_a_patient_that_does_not_exist_is_named(archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="P_77777"):
        fetch(archive, tmp_path / "study", patients=["P_77777"])


def test_broken_connections_and_passing_faults_are_got_over(archive: Archive, tmp_path: Path) -> None:
    paths = [f"/test-bucket/{key}" for key in sorted(archive.files)]
    archive.server.faults[paths[0]] = [breaks(0.5), breaks(0.3)]
    archive.server.faults[paths[1]] = [answers(503), answers(500)]
    archive.server.faults[paths[2]] = [answers(429, {"Retry-After": "0"})]
    rows = fetch(archive, tmp_path / "study")
    assert set(rows["state"]) == {"whole"}
    ranges = archive.server.asked(paths[0])
    assert ranges[0] is None
    assert all(found is not None for found in ranges[1:])


def test_what_cannot_be_had_is_a_row_and_the_rest_comes(archive: Archive, tmp_path: Path) -> None:
    wrong, gone = (f"/test-bucket/{key}" for key in sorted(archive.files)[:2])
    archive.server.faults[wrong] = [wrong_bytes]
    gone_content = archive.server.files.pop(gone)
    with pytest.raises(DownloadError, match=r"2 of 20 series are not whole.*run the same command again"):
        fetch(archive, tmp_path / "study")
    rows = manifest(tmp_path / "study")
    failed = rows[rows["state"] == "failed"].set_index("url")
    assert len(rows) == 30
    assert "expected md5:" in failed.loc[archive.server.url(wrong), "detail"]
    assert "answers 404" in failed.loc[archive.server.url(gone), "detail"]
    assert not any((tmp_path / "study" / path).exists() for path in failed["path"])
    archive.server.files[gone] = gone_content
    before = len(asked_files(archive))
    assert set(fetch(archive, tmp_path / "study")["state"]) == {"whole"}
    assert len(asked_files(archive)) == before + 2


def test_damage_on_the_disk_is_found_and_mended(archive: Archive, tmp_path: Path) -> None:
    study = tmp_path / "study"
    paths = [study / path for path in fetch(archive, study)["path"]]
    content = paths[0].read_bytes()
    paths[0].write_bytes(content[:-1] + b"x")  # the same size: only reading it tells
    paths[1].write_bytes(content[:100])
    paths[2].unlink()
    before = len(asked_files(archive))
    fetch(archive, study)
    assert len(asked_files(archive)) == before + 2
    assert paths[0].read_bytes() != content
    fetch(archive, study, verify=True)
    assert len(asked_files(archive)) == before + 3
    assert paths[0].read_bytes() == content


def test_without_the_manifest_what_is_there_is_checked_and_kept(archive: Archive, tmp_path: Path) -> None:
    fetch(archive, tmp_path / "study")
    (tmp_path / "study" / "download.parquet").unlink()
    before = len(asked_files(archive))
    assert set(fetch(archive, tmp_path / "study")["state"]) == {"whole"}
    assert len(asked_files(archive)) == before
    (tmp_path / "study" / "download.parquet").write_bytes(b"torn")
    with pytest.raises(StudyError, match="remove it"):
        fetch(archive, tmp_path / "study")


def test_a_killed_download_goes_on(archive: Archive, tmp_path: Path) -> None:
    study = tmp_path / "study"
    archive.server.delay_s = 0.2
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps(archive.settings(connections=1).model_dump()))
    code = (
        "import json, sys; from pathlib import Path; from mammoflow.cohort.download import case_tables\n"
        f"case_tables.CHECKSUMS.update({case_tables.CHECKSUMS!r})\n"
        "from mammoflow.cohort.download.stage import download_study\n"
        "from mammoflow.config.download import DownloadSettings\n"
        f"values = json.loads(Path({str(settings)!r}).read_text())\n"
        f"download_study(DownloadSettings(**values), Path({str(study)!r}))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    until = time.monotonic() + 60
    while len(list(study.rglob("*.dcm"))) < 3 and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    archive.server.delay_s = 0
    there = list(study.rglob("*.dcm"))
    assert 3 <= len(there) < 30
    before = set(asked_files(archive))
    assert set(fetch(archive, study)["state"]) == {"whole"}
    again = [path for path in asked_files(archive) if path in before]
    assert len(again) <= len(before) + 1  # at most the file that was on its way
    assert len(list(study.rglob("*.part"))) == 0


def test_too_small_a_disk_and_a_disk_that_fills_stop_all(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    fake = SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=1000))
    monkeypatch.setattr(stage, "shutil", fake)
    with pytest.raises(DiskFullError, match=r"make room, or fetch a part"):
        fetch(archive, tmp_path / "study")
    assert asked_files(archive) == []
    fake.disk_usage = lambda _: usage
    monkeypatch.setattr(
        "mammoflow.transfer.download.shutil", SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=10))
    )
    with pytest.raises(DiskFullError, match="is full"):
        fetch(archive, tmp_path / "study")


def test_a_network_that_is_down_is_given_up_soon(archive: Archive, tmp_path: Path) -> None:
    for key in archive.files:
        archive.server.files.pop(f"/test-bucket/{key}")
    with pytest.raises(DownloadError, match="the last 3 series all failed"):
        fetch(archive, tmp_path / "study", connections=1)
    assert (manifest(tmp_path / "study")["state"] == "failed").sum() < 30


def test_a_dry_run_fetches_the_tables_alone(
    archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    download_study(archive.settings(), tmp_path / "study", dry_run=True, transfer=QUICK)
    assert "20 series of 10 patients; 20 to look after" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "study").iterdir()) == TABLES


def test_tables_of_ones_own_are_kept_and_a_page_without_them_says_what_to_do(
    archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "study"
    study.mkdir()
    name = "mass_case_description_test_set.csv"
    edited = archive.server.files.pop(f"/tables/{name}") + b"\r\n"
    with pytest.raises(DownloadError, match=f"save {name} from https"):
        fetch(archive, study)
    (study / name).write_bytes(edited)
    fetch(archive, study)
    assert (study / name).read_bytes() == edited
    assert "not the table as published" in capsys.readouterr().err


def test_where_the_bucket_gives_no_checksum_the_size_is_checked_and_said(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = archive.listing
    monkeypatch.setattr(archive, "listing", lambda *values, **named: listing(*values, **named).replace(b"ETag", b"Tag"))
    assert set(fetch(archive, tmp_path / "study")["checked"]) == {"size"}
    before = len(asked_files(archive))
    fetch(archive, tmp_path / "study", verify=True)
    assert len(asked_files(archive)) == before


def listed(key: str) -> bytes:
    return f"<ListBucketResult><Contents><Key>{key}</Key><Size>1</Size></Contents></ListBucketResult>".encode()


def test_listings_come_page_by_page_and_nothing_strange_is_believed(archive: Archive, tmp_path: Path) -> None:
    address = archive.server.url("/test-bucket")
    prefix = next(key.partition("/")[0] for key in archive.files if sum(k[:36] == key[:36] for k in archive.files) == 2)
    found = list_files(address, prefix, QUICK)
    assert [f"{prefix}/{file.name}" for file in found] == sorted(key for key in archive.files if key.startswith(prefix))
    for text, words in (
        (b"<html>no</html>", "expected ListBucketResult"),
        (b"not xml", "no listing"),
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]><ListBucketResult/>", "document type"),
        (listed(f"{prefix}/../../x.dcm"), "names"),
        (listed("other/x.dcm"), "names"),
    ):
        archive.listing = lambda *_, text=text, **__: text  # type: ignore[method-assign]
        with pytest.raises(DownloadError, match=words):
            list_files(address, prefix, QUICK)


def test_an_index_that_lacks_series_or_is_none_is_an_error(archive: Archive, tmp_path: Path) -> None:
    archive.rows.iloc[1:].to_parquet(archive.index)
    with pytest.raises(StudyError, match="1 of 20 series of the case tables are not in the index"):
        fetch(archive, tmp_path / "study")
    pd.DataFrame({"a": [1]}).to_parquet(archive.index)
    with pytest.raises(StudyError, match="cannot be read as an index"):
        read_index(archive.index)
    with pytest.raises(StudyError, match="cannot be read as an index"):
        read_index(tmp_path / "absent.parquet")


def test_the_real_tables_and_the_packaged_index_name_the_same_series(real_data: Path) -> None:
    pytest.importorskip("idc_index_data")
    from mammoflow.cohort.download.series import packaged_index

    series = wanted_series(DownloadSettings(), real_data / "cbis-ddsm", packaged_index())
    assert len(series) == 6775
    assert sum(one.files for one in series) == 10239
    assert len({one.folder for one in series}) == 3103 + 3568
    assert len({one.patient_id for one in series}) == 1566
    assert sum(one.size for one in series) == pytest.approx(163.5e9, rel=0.001)


def test_the_real_tables_are_those_that_are_known(real_data: Path) -> None:
    for name, digest in case_tables.CHECKSUMS.items():
        assert hashlib.sha256((real_data / "cbis-ddsm" / name).read_bytes()).hexdigest() == digest


def test_a_file_of_a_person_with_the_name_of_the_record_is_not_replaced(archive: Archive, tmp_path: Path) -> None:
    study = tmp_path / "study"
    study.mkdir()
    (study / "download.json").write_text('{"mine": 1}')
    with pytest.raises(ConfigError, match="is no record of a download"):
        download_study(archive.settings(), study, transfer=QUICK)
    assert [path.name for path in study.iterdir()] == ["download.json"]
    assert (study / "download.json").read_text() == '{"mine": 1}'
