"""The weights that are known: where each file comes from, what it must be, and whether a file is that.

The SHA-256 digests are those that users of the publishers' files record; the six digits in the names of SAM's files are
of their MD5.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from mammoflow.config.segmentation import ModelName
from mammoflow.errors import ConfigError, WeightsError
from mammoflow.transfer.checksums import checksum_of, matches_checksum

SMALL_WEIGHTS = Path(__file__).parent.parent / "segmentation" / "small" / "small.safetensors"
"""Weights of the small model, shipped inside the package."""

GITHUB_FILES = frozenset({"objects.githubusercontent.com", "release-assets.githubusercontent.com"})


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
        `sha256:...`, or `md5:...` where upstream publishes that one; empty where none is published, and for what is
        shipped inside the package.
    licence
        Licence of the weights.
    architecture
        The network that they fit.
    hosts
        Hosts that the address is known to be redirected to.
    """

    file: str
    url: str
    page: str
    checksum: str
    licence: str
    architecture: str
    hosts: frozenset[str] = frozenset()


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

FURTHER_WEIGHTS = {
    # The publisher gives no checksum beside the digits in the file's name.
    "efficientnet_b0": WeightsSource(
        "efficientnet-b0-355c32eb.pth",
        "https://github.com/lukemelas/EfficientNet-PyTorch/releases/download/1.0/efficientnet-b0-355c32eb.pth",
        "https://github.com/lukemelas/EfficientNet-PyTorch",
        "",
        "Apache-2.0",
        "EfficientNet-B0, ImageNet",
        GITHUB_FILES,
    ),
}
"""Weights of other networks that a configuration can name."""


def weights_source(name: str) -> WeightsSource:
    """Return the registry's entry of published weights.

    Raises
    ------
    ConfigError
        If the name is not known.
    """
    known = {**WEIGHTS, **FURTHER_WEIGHTS}
    if name not in known:
        raise ConfigError(f"weights {name!r} are not known; expected one of {', '.join(known)}")
    return known[name]


def split_model(name: str, architecture: str | None = None) -> tuple[str, str]:
    """Return a model's name and architecture, of which a published model needs no mention.

    Parameters
    ----------
    name
        A published name, or `name=architecture` for a model of one's own.
    architecture
        The architecture, where the name does not carry it.

    Raises
    ------
    ConfigError
        If the architecture is not known, or a published name is given another one.
    """
    own, _, inside = name.partition("=")
    network = architecture or inside or own
    published = get_args(ModelName)
    if network not in published:
        raise ConfigError(
            f"promptable model {network!r} is not known; expected one of {sorted(published)}, or a name of your own "
            "with one of them as its architecture (segmentation.custom in the configuration)"
        )
    if own in published and own != network:
        raise ConfigError(f"{own} is a published model, expected another name for weights of architecture {network}")
    return own, network


def find_weights(name: str, weights: Path | None, architecture: str | None = None) -> Path:
    """Return the weights file of a model, after a check that it is there and is the published one.

    A file without a published digest is held to the digest that was recorded beside it when it was fetched.

    Raises
    ------
    ConfigError
        If the model is not known.
    WeightsError
        If the file is not given, not there, or has another checksum; the message says how to get it.
    """
    own, network = split_model(name, architecture)
    source = WEIGHTS[network]
    shipped = own == network and not source.url
    path = SMALL_WEIGHTS if weights is None and shipped else weights
    way = remedy(own, network)
    if path is None:
        raise WeightsError(f"no weights file is given for {own}, expected {source.file}; {way}")
    if not path.is_file():
        raise WeightsError(f"weights file {path} for {own} does not exist; {way}")
    checksum = source.checksum if own == network else ""
    checksum = checksum or recorded_checksum(path)
    if checksum and not matches_checksum(path, checksum):
        found = checksum_of(path, checksum)
        raise WeightsError(f"weights file {path} for {own} has {found}, expected {checksum}; {way}")
    return path


def record_path(path: Path) -> Path:
    """Return where the digest of a fetched file is recorded, in the form of the tool sha256sum."""
    return path.with_name(f"{path.name}.sha256")


def recorded_checksum(path: Path) -> str:
    """Return the digest that was recorded when a file was fetched; "" where there is none.

    Raises
    ------
    WeightsError
        If the record cannot be read.
    """
    record = record_path(path)
    if not record.is_file():
        return ""
    words = record.read_text(encoding="utf-8", errors="replace").split()
    if not words or len(words[0]) != 64:
        raise WeightsError(f"{record} holds no SHA-256; remove it and the weights, and fetch them again")
    return f"sha256:{words[0].lower()}"


def remedy(own: str, network: str) -> str:
    """Say how the weights file of a model of this name and architecture is to be had."""
    source = WEIGHTS[network]
    if own != network:
        return f"correct segmentation.custom.{own}.weights"
    if not source.url:
        return "install the package again, it ships this file"
    return (
        f"fetch {source.file} ({source.checksum}) with the workflow's target `prefetch` or with `mammoflow weights "
        f"fetch {own} --to FOLDER`, or name the file under segmentation.weights.{own}"
    )
