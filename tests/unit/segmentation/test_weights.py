from __future__ import annotations

import hashlib
import json
import os
import pickle
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mammoflow.config.base import validate_settings
from mammoflow.config.download import PrefetchJob
from mammoflow.config.segmentation import ModelName
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError, DownloadError, WeightsError
from mammoflow.planning.models import weights_path
from mammoflow.segmentation.loading import describe_weights, load_model
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.storage.files import file_digest
from mammoflow.weights.checkpoint import read_state
from mammoflow.weights.fetch import fetch_weights, prefetch
from mammoflow.weights.registry import FURTHER_WEIGHTS, WEIGHTS, find_weights, split_model

sys.path.insert(0, str(Path(__file__).parents[1]))
from loopback import Loopback, breaks, serving

CPU = torch.device("cpu")


class Code:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def test_every_model_of_the_configuration_has_weights_with_a_source() -> None:
    assert set(WEIGHTS) == set(get_args(ModelName))
    for name, source in WEIGHTS.items():
        assert source.licence
        assert source.architecture
        assert name == "small" or source.url.endswith(source.file)
        algorithm, _, digits = source.checksum.partition(":")
        assert name == "small" or len(digits) == {"sha256": 64, "md5": 32}[algorithm]
    assert len({source.checksum for source in WEIGHTS.values()}) == len(WEIGHTS)


def test_saved_weights_come_back_and_their_digest_is_part_of_the_model(
    small_model: PromptableModel, small_weights: Path, tmp_path: Path
) -> None:
    image = np.random.default_rng(0).integers(0, 65536, (64, 48), dtype=np.uint16)
    loaded = load_model("small", small_weights, CPU, precision="fp32")
    expected, found = (model.encode([image])[0]["image"] for model in (small_model, loaded))
    np.testing.assert_array_equal(found, expected)
    state = read_state(small_weights)
    name = next(name for name, tensor in state.items() if tensor.ndim > 1)
    save_file({**state, name: state[name] + 1e-3}, tmp_path / "other.safetensors")
    assert load_model("small", tmp_path / "other.safetensors", CPU, precision="fp32").digest != loaded.digest
    assert load_model("small", small_weights, CPU, precision="fp32").digest == loaded.digest
    assert load_model("small", small_weights, CPU, precision="bf16").digest != loaded.digest


@pytest.mark.parametrize("wrapped", [False, True])
def test_checkpoints_of_torch_are_read_plain_or_under_model(
    wrapped: bool, tmp_path: Path, small_model: PromptableModel
) -> None:
    state = small_model.network.state_dict()
    torch.save({"model": state} if wrapped else state, tmp_path / "small.pt")
    for name, tensor in read_state(tmp_path / "small.pt").items():
        assert torch.equal(tensor, state[name])


def test_weights_that_carry_code_are_refused_and_the_code_does_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    torch.save({"model": {"weight": torch.zeros(2)}, "extra": Code(mark)}, tmp_path / "zip.pt")
    torch.save({"extra": Code(mark)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Code(mark)))
    for name in ("zip.pt", "old.pth", "plain.pth"):
        with pytest.raises(WeightsError, match="refused"):
            read_state(tmp_path / name)
    assert not mark.exists()


def test_damaged_files_and_files_of_something_else_are_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1000)}, tmp_path / "whole.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:900])
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "page.safetensors").write_text("<html>not found</html>")
    torch.save({"weight": "text"}, tmp_path / "text.pt")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    for name in ("cut.pt", "empty.pt", "page.safetensors", "text.pt", "list.pt"):
        with pytest.raises(WeightsError, match=name.replace(".", r"\.")):
            read_state(tmp_path / name)


def test_absent_weights_name_file_checksum_and_command(tmp_path: Path) -> None:
    command = "mammoflow weights fetch sam_vit_b --to FOLDER"
    for given in (None, tmp_path / "nothing.pth"):
        with pytest.raises(WeightsError) as caught:
            load_model("sam_vit_b", given, CPU)
        for part in (command, "sam_vit_b_01ec64.pth", WEIGHTS["sam_vit_b"].checksum):
            assert part in str(caught.value)
    assert str(tmp_path / "nothing.pth") in str(caught.value)


def test_weights_that_are_not_the_published_ones_are_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "sam_vit_b_01ec64.pth")
    with pytest.raises(WeightsError, match=f"has sha256:{file_digest(tmp_path / 'sam_vit_b_01ec64.pth')}, expected"):
        find_weights("sam_vit_b", tmp_path / "sam_vit_b_01ec64.pth")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(1)}, tmp_path / "small.safetensors")
    with pytest.raises(WeightsError, match="do not fit"):
        load_model("small", tmp_path / "small.safetensors", CPU)


def test_sam2_checkpoints_load_as_upstream_lays_them_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mammoflow.segmentation.sam2 import build_sam2_model

    name = "sam2.1_hiera_tiny"
    torch.manual_seed(1)
    state = build_sam2_model(name, None, "", CPU).network.state_dict()
    path = tmp_path / "sam2.1_hiera_tiny.pt"
    torch.save({"model": state}, path)
    monkeypatch.setitem(WEIGHTS, name, replace(WEIGHTS[name], checksum=f"sha256:{file_digest(path)}"))
    loaded = load_model(name, path, CPU).network.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_unknown_models_are_refused(tmp_path: Path) -> None:
    for action in (lambda: load_model("sam_vit_x", None, CPU), lambda: fetch_weights("sam_vit_x", tmp_path)):
        with pytest.raises(ConfigError, match="sam_vit_x"):
            action()


def test_registry_is_whole() -> None:
    assert not set(FURTHER_WEIGHTS) & set(WEIGHTS)
    for source in FURTHER_WEIGHTS.values():
        assert source.url.endswith(source.file)
        assert source.licence
        assert source.page


@pytest.mark.parametrize("key", ["model", "state_dict", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module.", "sam."])
def test_what_trainers_save_beside_and_before_the_weights_is_left_out(tmp_path: Path, key: str, prefix: str) -> None:
    torch.manual_seed(3)
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = network.state_dict()
    saved = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    torch.save({key: saved, "optimizer": optimizer.state_dict(), "epoch": 7, "best": 0.9}, tmp_path / "tuned.pth")
    found = read_state(tmp_path / "tuned.pth")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)


def test_constants_of_sam_and_half_precision_and_the_old_format_are_taken(tmp_path: Path) -> None:
    state = {"image_encoder.weight": torch.arange(6).half(), "pixel_mean": torch.ones(3)}
    torch.save(state, tmp_path / "half.pth", _use_new_zipfile_serialization=False)
    found = read_state(tmp_path / "half.pth")
    assert list(found) == ["image_encoder.weight"]
    assert torch.equal(found["image_encoder.weight"], torch.arange(6).half())


def test_a_prefix_that_is_not_before_every_name_is_part_of_the_name(tmp_path: Path) -> None:
    save_file({"model.weight": torch.zeros(2), "head.weight": torch.ones(2)}, tmp_path / "x.safetensors")
    assert set(read_state(tmp_path / "x.safetensors")) == {"model.weight", "head.weight"}


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    torch.save({"good": torch.zeros(2), "bad": torch.tensor([1.0, float("nan")])}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="not finite, in bad"):
        read_state(tmp_path / "x.pth")


def test_code_is_named_wherever_it_hides(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    inner = tmp_path / "inner.pt"
    torch.save({"weight": torch.zeros(2), "extra": Code(mark)}, inner)
    with zipfile.ZipFile(tmp_path / "nested.pt", "w") as archive:
        archive.write(inner, "inner.pt")
    with (
        zipfile.ZipFile(inner) as source,
        zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for entry in source.namelist():
            archive.writestr(entry, source.read(entry))
    with tarfile.open(tmp_path / "old.pt", "w") as archive:
        (tmp_path / "pickle").write_bytes(pickle.dumps(Code(mark)))
        for name in ("sys_info", "pickle", "storages", "tensors"):
            archive.add(tmp_path / "pickle", name)
    program = torch.jit.script(torch.nn.Linear(2, 2))
    program.save(str(tmp_path / "program.pt"))
    (tmp_path / "code.safetensors").write_bytes(pickle.dumps(Code(mark)))
    expected = {
        "inner.pt": "carries .*system",
        "nested.pt": "archive of inner.pt",
        "packed.pt": "compressed",
        "old.pt": r"\.tar format",
        "program.pt": "TorchScript",
        "code.safetensors": "cannot be read",
    }
    for name, words in expected.items():
        with pytest.raises(WeightsError, match=words):
            read_state(tmp_path / name)
    assert not mark.exists()


def test_weights_of_ones_own_load_under_ones_own_name_and_share_embeddings(small_weights: Path, tmp_path: Path) -> None:
    published = load_model("small", small_weights, CPU)
    torch.save(
        {"model": {f"module.{name}": tensor for name, tensor in read_state(small_weights).items()}, "optimizer": {}},
        tmp_path / "tuned.pth",
    )
    for arguments in (("my_tuned", "small"), ("my_tuned=small", None)):
        own = load_model(arguments[0], tmp_path / "tuned.pth", CPU, architecture=arguments[1])
        assert own.name == "my_tuned"
        assert type(own) is type(published)
        for name, tensor in own.network.state_dict().items():
            assert torch.equal(tensor, published.network.state_dict()[name])
    assert load_model("other=small", small_weights, CPU).digest == published.digest
    assert load_model("my_tuned=small", tmp_path / "tuned.pth", CPU).digest != published.digest


def test_names_of_ones_own_are_told_from_published_ones(tmp_path: Path) -> None:
    assert split_model("sam_vit_b") == ("sam_vit_b", "sam_vit_b")
    assert split_model("mine=sam_vit_b") == ("mine", "sam_vit_b")
    assert split_model("mine", "medsam_vit_b") == ("mine", "medsam_vit_b")
    for wrong in ("mine", "mine=sam_vit_x"):
        with pytest.raises(ConfigError, match=r"not known.*segmentation\.custom"):
            split_model(wrong)
    with pytest.raises(ConfigError, match="published model"):
        split_model("sam_vit_b=sam_vit_l")
    with pytest.raises(WeightsError, match=r"does not exist; correct segmentation\.custom\.mine\.weights"):
        load_model("mine=sam_vit_b", tmp_path / "absent.pth", CPU)


def test_a_configuration_says_where_each_models_weights_lie(tmp_path: Path) -> None:
    values = {
        "segmentation": {
            "models": ["small", "sam_vit_b", "medsam_vit_b", "my_tuned"],
            "default_model": "my_tuned",
            "weights": {"medsam_vit_b": "elsewhere/medsam.pth"},
            "custom": {"my_tuned": {"architecture": "sam_vit_b", "weights": "tuned.safetensors"}},
        },
        "prefetch": {"folder": "brought"},
        "classification": {"efficientnet": {"weights": "b0.pth"}},
    }
    config = validate_settings(StudyConfig, values, "test")
    found = {model: weights_path(config, model) for model in config.segmentation.models}
    assert found == {
        "small": None,
        "sam_vit_b": Path("brought/sam_vit_b_01ec64.pth"),
        "medsam_vit_b": Path("elsewhere/medsam.pth"),
        "my_tuned": Path("tuned.safetensors"),
    }
    job = config.stages()["prefetch"].model_dump()
    assert job["models"] == {
        "small": "",
        "sam_vit_b": "",
        "medsam_vit_b": "elsewhere/medsam.pth",
        "efficientnet_b0": "b0.pth",
    }


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"models": ["my_tuned"]}, "models names 'my_tuned'"),
        ({"custom": {"sam_vit_b": {"architecture": "sam_vit_b", "weights": "x"}}}, "custom names a model 'sam_vit_b'"),
        ({"custom": {"ellipse": {"architecture": "sam_vit_b", "weights": "x"}}}, "custom names a model 'ellipse'"),
        ({"custom": {"a/b": {"architecture": "sam_vit_b", "weights": "x"}}}, "custom names a model 'a/b'"),
        ({"custom": {"mine": {"architecture": "vit", "weights": "x"}}}, "architecture"),
        ({"custom": {"mine": {"weights": "x"}}}, "architecture"),
        ({"weights": {"mine": "x"}}, "weights names 'mine'"),
        ({"weights": {"small": "x"}}, "weights names 'small', whose weights are inside the package"),
        ({"models": ["small", "small"]}, "each model once"),
    ],
)
def test_models_that_cannot_be_are_refused_by_the_configuration(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        validate_settings(StudyConfig, {"segmentation": values}, "test")


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
        for table, name, path in (
            (WEIGHTS, "sam_vit_b", "sam"),
            (WEIGHTS, "medsam_vit_b", "medsam"),
            (FURTHER_WEIGHTS, "efficientnet_b0", "b0"),
        ):
            source = replace(table[name], url=server.url(f"/{path}"), checksum=digests[path])
            monkeypatch.setitem(table, name, source)
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


def test_another_file_in_the_place_is_an_error_that_names_both_digests_and_is_left_alone(
    upstream: Loopback, tmp_path: Path
) -> None:
    path = tmp_path / "sam_vit_b_01ec64.pth"
    path.write_bytes(b"tuned for weeks")
    with pytest.raises(WeightsError) as caught:
        fetch_weights("sam_vit_b", tmp_path)
    for part in (hashlib.sha256(b"tuned for weeks").hexdigest(), WEIGHTS["sam_vit_b"].checksum, "left alone"):
        assert part in str(caught.value)
    assert path.read_bytes() == b"tuned for weeks"
    path.unlink()
    upstream.files["/sam"] = b"another file"
    with pytest.raises(DownloadError, match=f"expected {WEIGHTS['sam_vit_b'].checksum}"):
        fetch_weights("sam_vit_b", tmp_path)


def test_a_digest_that_nobody_publishes_is_said_recorded_and_held_to(
    upstream: Loopback, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fetch_weights("efficientnet_b0", tmp_path)
    digest = hashlib.sha256(upstream.files["/b0"]).hexdigest()
    said = capsys.readouterr().err
    assert digest in said
    assert "355c32eb in its name are the first of neither" in said
    record = tmp_path / "efficientnet-b0-355c32eb.pth.sha256"
    assert record.read_text() == f"{digest}  {path.name}\n"
    path.unlink()
    upstream.files["/b0"] = b"swapped"
    with pytest.raises(DownloadError, match=f"expected sha256:{digest}"):
        fetch_weights("efficientnet_b0", tmp_path)
    record.unlink()
    assert fetch_weights("efficientnet_b0", tmp_path).read_bytes() == b"swapped"
    fetch_weights("medsam_vit_b", tmp_path)
    (tmp_path / "medsam_vit_b.pth.sha256").write_text("nonsense")
    assert find_weights("medsam_vit_b", tmp_path / "medsam_vit_b.pth")  # held to the published MD5
    torch.save({"weight": torch.zeros(1)}, tmp_path / "own.pth")
    (tmp_path / "own.pth.sha256").write_text("0" * 64)
    with pytest.raises(WeightsError, match=f"expected sha256:{'0' * 64}"):
        find_weights("mine", tmp_path / "own.pth", "sam_vit_b")


def test_a_mirror_is_taken_and_the_file_may_have_any_name(upstream: Loopback, tmp_path: Path) -> None:
    upstream.files["/mirror/x"] = upstream.files["/medsam"]
    path = fetch_weights("medsam_vit_b", tmp_path / "m.pth", upstream.url("/mirror/x"))
    assert path == tmp_path / "m.pth"
    assert upstream.asked("/medsam") == []


def test_weights_are_described(small_weights: Path) -> None:
    said = describe_weights(small_weights)
    assert file_digest(small_weights) in said
    assert "none of the published" in said
    assert "image_encoder" in said
