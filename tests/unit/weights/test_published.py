"""What is known of published weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mammoflow.config.architectures import published_names
from mammoflow.errors import ConfigError
from mammoflow.storage.files import file_digest
from mammoflow.weights.published import describe_weights, published_sources, weights_source


def test_published_weights_say_where_they_come_from() -> None:
    sources = published_sources()
    assert set(published_names()) < set(sources)
    for name, source in sources.items():
        assert source.licence
        assert source.title
        assert source.page
        assert [bool(source.url), source.shipped is not None, source.package is not None].count(True) == 1
        assert not source.url or source.url.endswith(source.file)
        algorithm, _, digits = source.checksum.partition(":")
        assert not digits or len(digits) == {"sha256": 64, "md5": 32}[algorithm], name
    checksums = [source.checksum for source in sources.values() if source.checksum]
    assert len(set(checksums)) == len(checksums)


def test_small_is_described_as_the_network_that_it_is() -> None:
    title = weights_source("small").title
    assert "convolutional encoder at 256 x 256" in title
    assert "residual U-Net decoder" in title
    assert "SAM" not in title


def test_unknown_weights_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'sam_vit_x' are not known; expected one of .*sam_vit_b"):
        weights_source("sam_vit_x")


def test_weights_are_described(tmp_path: Path) -> None:
    save_file({"image_encoder.weight": torch.zeros(2, 3)}, tmp_path / "x.safetensors")
    said = describe_weights(tmp_path / "x.safetensors")
    assert file_digest(tmp_path / "x.safetensors") in said
    assert "none of the published" in said
    assert "1 tensors of 6 numbers: image_encoder" in said
