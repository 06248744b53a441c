"""Which meanings the words of each coded column of a table can have; without pandas, for the configuration."""

from __future__ import annotations

from typing import Literal

WordColumn = Literal["usable", "side", "view", "type", "density", "birads", "split"]

MEANINGS: dict[WordColumn, tuple[str, ...]] = {
    "usable": ("yes", "no"),
    "side": ("L", "R", ""),
    "view": (),
    "type": ("mass", "calcification", "unknown"),
    "density": ("1", "2", "3", "4", "A", "B", "C", "D", ""),
    "birads": ("0", "1", "2", "3", "4", "5", "6", ""),
    "split": ("train", "test", ""),
}
"""Meanings of each column; empty where any text is one. "" makes the value a blank."""
