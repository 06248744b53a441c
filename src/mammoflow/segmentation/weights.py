"""Weights of the promptable models: where they come from, how they are fetched, and loading that executes nothing."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mammoflow.errors import ConfigError, WeightsError
from mammoflow.segmentation.download import checksum_of, download
from mammoflow.segmentation.protocol import PromptableModel
from mammoflow.store import file_digest

SMALL_WEIGHTS = Path(__file__).parent / "small" / "small.safetensors"
"""Weights of the small model, shipped inside the package."""


@dataclass(frozen=True)
class WeightsSource:
    """Where the weights of a model come from.

    Attributes
    ----------
    file
        Upstream's file name.
    url
        Address of the file; empty for what is shipped inside the package.
    page
        Where upstream describes it.
    checksum
        `sha256:...`, or `md5:...` where upstream publishes that one; empty for what is shipped inside the package.
    licence
        Licence of the weights.
    architecture
        The network that they fit.
    """

    file: str
    url: str
    page: str
    checksum: str
    licence: str
    architecture: str


def _sam(file: str, digest: str, architecture: str) -> WeightsSource:
    return WeightsSource(
        file,
        f"https://dl.fbaipublicfiles.com/segment_anything/{file}",
        "https://github.com/facebookresearch/segment-anything",
        f"sha256:{digest}",
        "Apache-2.0",
        architecture,
    )


def _sam2(file: str, digest: str, architecture: str) -> WeightsSource:
    return WeightsSource(
        file,
        f"https://dl.fbaipublicfiles.com/segment_anything_2/092824/{file}",
        "https://github.com/facebookresearch/sam2",
        f"sha256:{digest}",
        "Apache-2.0",
        architecture,
    )


WEIGHTS = {
    "small": WeightsSource(
        SMALL_WEIGHTS.name, "", "docs/model-card-small.md", "", "Apache-2.0", "SAM at 256 x 256 with a small encoder"
    ),
    "sam_vit_b": _sam(
        "sam_vit_b_01ec64.pth", "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912", "SAM ViT-B"
    ),
    "sam_vit_l": _sam(
        "sam_vit_l_0b3195.pth", "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622", "SAM ViT-L"
    ),
    "sam_vit_h": _sam(
        "sam_vit_h_4b8939.pth", "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e", "SAM ViT-H"
    ),
    # Upstream publishes MedSAM on Google Drive and on Zenodo (record 10689643), which lists the MD5 of the file.
    "medsam_vit_b": WeightsSource(
        "medsam_vit_b.pth",
        "https://zenodo.org/records/10689643/files/medsam_vit_b.pth",
        "https://github.com/bowang-lab/MedSAM",
        "md5:3bb6db55bd0c9ca30b61248bca72f8d6",
        "CC-BY-4.0 (code: Apache-2.0)",
        "SAM ViT-B",
    ),
    "sam2.1_hiera_tiny": _sam2(
        "sam2.1_hiera_tiny.pt", "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69", "SAM 2.1 Hiera-T"
    ),
    "sam2.1_hiera_small": _sam2(
        "sam2.1_hiera_small.pt", "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38", "SAM 2.1 Hiera-S"
    ),
    "sam2.1_hiera_base_plus": _sam2(
        "sam2.1_hiera_base_plus.pt",
        "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
        "SAM 2.1 Hiera-B+",
    ),
    "sam2.1_hiera_large": _sam2(
        "sam2.1_hiera_large.pt", "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318", "SAM 2.1 Hiera-L"
    ),
}
"""The models that can be run, by their name in the configuration."""


def weights_source(name: str) -> WeightsSource:
    """Return the registry's entry of a model.

    Raises
    ------
    ConfigError
        If the name is not known.
    """
    if name not in WEIGHTS:
        raise ConfigError(f"promptable model {name!r} is not known; expected one of {sorted(WEIGHTS)}")
    return WEIGHTS[name]


def fetch_weights(name: str, folder: Path, url_override: str | None = None) -> Path:
    """Bring a model's weights to a folder, for nodes without a network; return the file.

    What is there already and whole is kept; what was broken off is continued.

    Parameters
    ----------
    name
        A key of `WEIGHTS`.
    folder
        Where the file shall lie, under upstream's name.
    url_override
        Another address of the same file, such as a mirror.

    Raises
    ------
    ConfigError
        If the name is not known.
    WeightsError
        If the file cannot be fetched or has another checksum.
    """
    source = weights_source(name)
    if not source.url:
        return SMALL_WEIGHTS
    path = folder / source.file
    download(url_override or source.url, path, source.checksum)
    return path


def find_weights(name: str, weights: Path | None) -> Path:
    """Return the weights file of a model, after a check that it is there and is the published one.

    Raises
    ------
    WeightsError
        If it is not given, not there, or has another checksum; the message names the command that fetches it.
    """
    source = weights_source(name)
    path = SMALL_WEIGHTS if weights is None and not source.url else weights
    remedy = (
        f"fetch {source.file} ({source.checksum}) with `mammoflow weights fetch {name} --to FOLDER` and name the file "
        f"in the configuration under segmentation.weights.{name}"
        if source.url
        else "install the package again, it ships this file"
    )
    if path is None:
        raise WeightsError(f"no weights file is given for {name}, expected {source.file}; {remedy}")
    if not path.is_file():
        raise WeightsError(f"weights file {path} for {name} does not exist; {remedy}")
    if source.checksum:
        found = checksum_of(path, source.checksum)
        if found != source.checksum:
            raise WeightsError(f"weights file {path} for {name} has {found}, expected {source.checksum}; {remedy}")
    return path


def read_state(path: Path) -> dict[str, Tensor]:
    """Read named tensors from a `.safetensors` file or a checkpoint of torch, without executing anything in it.

    A checkpoint may hold the tensors themselves or, like SAM 2's, hold them under `model`.

    Raises
    ------
    WeightsError
        If the file carries anything but tensors and plain containers, or is damaged.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(str(path)))
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"weights file {path} was refused: it is damaged or carries code, expected tensors alone; "
            f"fetch it again from its publisher ({str(error).splitlines()[0]})"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"weights file {path} cannot be read: {error}; expected a whole file; fetch it again"
        ) from error
    state = content.get("model", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(
            f"weights file {path} holds {type(state).__name__}, expected tensors by name; fetch it again"
        )
    return {str(key): value for key, value in state.items()}


def load_model(name: str, weights: Path | None, device: torch.device) -> PromptableModel:
    """Load a promptable model, ready for inference.

    Parameters
    ----------
    name
        A key of `WEIGHTS`.
    weights
        The weights file; None takes the file inside the package, which only `small` has.
    device
        Where the network goes.

    Raises
    ------
    ConfigError
        If the name is not known.
    WeightsError
        If the file is missing, has another checksum, carries code, or does not fit the network.
    """
    path = find_weights(name, weights)
    state, digest = read_state(path), file_digest(path)
    if name.startswith("sam2"):
        from mammoflow.segmentation.sam2 import build_sam2_model

        return build_sam2_model(name, state, digest, device)
    from mammoflow.segmentation.sam import build_sam_model

    return build_sam_model(name, state, digest, device)
