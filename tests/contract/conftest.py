"""Fixtures of the contract tests: what every member of a family must do."""

from __future__ import annotations

from ..unit.features.conftest import make_shard  # noqa: F401
