"""Published weights brought from a server."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mammoflow.classification.networks import efficientnet_b0
from mammoflow.config.download import PrefetchJob
from mammoflow.errors import DownloadError, WeightsError
from mammoflow.segmentation.models.sam import ARCHITECTURES
from mammoflow.weights.fetch import fetch_weights, prefetch
from mammoflow.weights.published import weights_source
from mammoflow.weights.registry import ModelSpec, find_weights

sys.path.insert(0, str(Path(__file__).parents[1]))
from loopback import Loopback, breaks, serving


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """A server that has weights of sam_vit_b (with a SHA-256), medsam_vit_b (MD5) and efficientnet_b0 (nothing)."""
    with serving() as server:
        server.files = {f"/{name}": f"weights of {name}".encode() * 100 for name in ("sam", "medsam", "b0")}
        digests = {
            "sam": f"sha256:{hashlib.sha256(server.files['/sam']).hexdigest()}",
            "medsam": f"md5:{hashlib.md5(server.files['/medsam']).hexdigest()}",
            "b0": "",
        }
        for name, path in (("sam_vit_b", "sam"), ("medsam_vit_b", "medsam"), ("efficientnet_b0", "b0")):
            source = replace(weights_source(name), url=server.url(f"/{path}"), checksum=digests[path])
            if path == "b0":  # the digits in its name are those of this file
                source = replace(source, file=f"b0-{hashlib.sha256(server.files['/b0']).hexdigest()[:8]}.pth")
            if name in ARCHITECTURES:
                monkeypatch.setitem(ARCHITECTURES, name, replace(ARCHITECTURES[name], source=source))
            else:
                monkeypatch.setattr(efficientnet_b0, "WEIGHTS", source)
        yield server


def test_prefetch_brings_what_is_named_records_it_and_comes_back_to_nothing(upstream: Loopback, tmp_path: Path) -> None:
    job = PrefetchJob(
        folder=str(tmp_path / "weights"),
        models={"small": "", "sam_vit_b": "", "medsam_vit_b": str(tmp_path / "own" / "m.pth"), "efficientnet_b0": ""},
    )
    upstream.faults["/sam"] = [breaks(0.5)]
    prefetch(job, tmp_path / "record.json")
    record = json.loads((tmp_path / "record.json").read_text())
    assert (tmp_path / "weights" / "sam_vit_b_01ec64.pth").read_bytes() == upstream.files["/sam"]
    assert record["medsam_vit_b"]["file"] == str(tmp_path / "own" / "m.pth")
    assert record["medsam_vit_b"]["sha256"] == hashlib.sha256(upstream.files["/medsam"]).hexdigest()
    assert record["small"]["file"] == "inside the package"
    asked = len(upstream.requests)
    prefetch(job, tmp_path / "record.json")
    assert len(upstream.requests) == asked


def test_prefetch_takes_a_named_file_for_a_file_whatever_its_suffix(upstream: Loopback, tmp_path: Path) -> None:
    file = tmp_path / "w" / "sam_vit_b.pt"
    prefetch(PrefetchJob(folder=str(tmp_path), models={"sam_vit_b": str(file)}), tmp_path / "record.json")
    assert file.read_bytes() == upstream.files["/sam"]
    assert json.loads((tmp_path / "record.json").read_text())["sam_vit_b"]["file"] == str(file)


def test_another_file_in_the_place_is_an_error_that_names_both_digests_and_is_left_alone(
    upstream: Loopback, tmp_path: Path
) -> None:
    path = tmp_path / "sam_vit_b_01ec64.pth"
    path.write_bytes(b"tuned for weeks")
    with pytest.raises(WeightsError) as caught:
        fetch_weights("sam_vit_b", tmp_path)
    for part in (hashlib.sha256(b"tuned for weeks").hexdigest(), weights_source("sam_vit_b").checksum, "left alone"):
        assert part in str(caught.value)
    assert path.read_bytes() == b"tuned for weeks"
    path.unlink()
    upstream.files["/sam"] = b"another file"
    with pytest.raises(DownloadError, match=f"expected {weights_source('sam_vit_b').checksum}"):
        fetch_weights("sam_vit_b", tmp_path)


def test_a_digest_that_nobody_publishes_is_said_recorded_and_held_to(
    upstream: Loopback, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fetch_weights("efficientnet_b0", tmp_path)
    digest = hashlib.sha256(upstream.files["/b0"]).hexdigest()
    said = capsys.readouterr().err
    assert digest in said
    assert f"{digest[:8]} in its name are the first of its SHA-256" in said
    record = tmp_path / f"b0-{digest[:8]}.pth.sha256"
    assert record.read_text() == f"{digest}  {path.name}\n"
    path.unlink()
    upstream.files["/b0"] = b"swapped"
    with pytest.raises(DownloadError, match=f"expected sha256:{digest}.* recorded in .*{record.name}"):
        fetch_weights("efficientnet_b0", tmp_path)
    path.write_bytes(b"another one")
    with pytest.raises(WeightsError, match=f"expected sha256:{digest} recorded in .*{record.name}.* left alone"):
        fetch_weights("efficientnet_b0", tmp_path)
    fetch_weights("medsam_vit_b", tmp_path)
    (tmp_path / "medsam_vit_b.pth.sha256").write_text("nonsense")
    assert find_weights(
        ModelSpec("medsam_vit_b", "medsam_vit_b", tmp_path / "medsam_vit_b.pth")
    )  # held to the published MD5
    torch.save({"weight": torch.zeros(1)}, tmp_path / "own.pth")
    (tmp_path / "own.pth.sha256").write_text("0" * 64)
    with pytest.raises(WeightsError, match=f"expected sha256:{'0' * 64}"):
        find_weights(ModelSpec("mine", "sam_vit_b", tmp_path / "own.pth"))


def test_a_first_file_that_its_name_contradicts_is_refused_and_not_recorded(upstream: Loopback, tmp_path: Path) -> None:
    right, page = upstream.files["/b0"], b"<html>sign in to the network</html>"
    upstream.files["/b0"] = page
    with pytest.raises(
        WeightsError, match=r"found no file of weights .* begins with the digits in this name; it was removed"
    ):
        fetch_weights("efficientnet_b0", tmp_path)
    assert list(tmp_path.iterdir()) == []
    path = tmp_path / weights_source("efficientnet_b0").file
    path.write_bytes(page)
    with pytest.raises(WeightsError, match="left alone"):
        fetch_weights("efficientnet_b0", tmp_path)
    assert path.read_bytes() == page
    path.unlink()
    upstream.files["/b0"] = right
    assert fetch_weights("efficientnet_b0", tmp_path).read_bytes() == right


def test_weights_whose_name_has_the_digits_of_an_earlier_file_are_taken(
    upstream: Loopback, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    upstream.files["/b0"] = (tmp_path / "other.pth").read_bytes()
    path = fetch_weights("efficientnet_b0", tmp_path)
    assert path.read_bytes() == upstream.files["/b0"]
    assert "in its name begin neither its SHA-256 nor its MD5" in capsys.readouterr().err


def test_a_mirror_is_taken_and_the_file_may_have_any_name(upstream: Loopback, tmp_path: Path) -> None:
    upstream.files["/mirror/x"] = upstream.files["/medsam"]
    path = fetch_weights("medsam_vit_b", tmp_path / "m.pth", upstream.url("/mirror/x"))
    assert path == tmp_path / "m.pth"
    assert upstream.asked("/medsam") == []
