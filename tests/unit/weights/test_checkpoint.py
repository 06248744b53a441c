"""Weights files in the forms in which people keep them, and files that are refused."""

from __future__ import annotations

import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mammoflow.errors import WeightsError
from mammoflow.weights.checkpoint import read_state


class Code:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("wrapped", [False, True])
def test_checkpoints_of_torch_are_read_plain_or_under_model(wrapped: bool, tmp_path: Path) -> None:
    state = torch.nn.Conv2d(2, 3, 3).state_dict()
    torch.save({"model": state} if wrapped else state, tmp_path / "weights.pt")
    for name, tensor in read_state(tmp_path / "weights.pt").items():
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


def test_a_file_of_the_old_format_is_refused_wherever_it_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({f"{name}.weight": torch.zeros(4) for name in "abc"}, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for size in range(0, len(whole), 3):
        path.write_bytes(whole[:size])
        with pytest.raises(WeightsError):
            read_state(path)


@pytest.mark.parametrize("content", ["benign\n", "(a,b\n", ".", "K", "<!DOCTYPE html>", '{"a": 1}'])
def test_text_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.pth").write_text(content)
    with pytest.raises(WeightsError, match=r"x\.pth"):
        read_state(tmp_path / "x.pth")


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize("tensor", [torch.eye(2).to_sparse(), torch.ones(2).to(torch.float8_e4m3fn)])
def test_tensors_whose_values_cannot_be_checked_are_refused(tmp_path: Path, tensor: torch.Tensor) -> None:
    torch.save({"good": torch.zeros(2), "other": tensor}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"holds other as torch.*expected dense tensors"):
        read_state(tmp_path / "x.pth")


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
