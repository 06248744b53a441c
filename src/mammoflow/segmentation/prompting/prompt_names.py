"""Ids of prompts."""

from __future__ import annotations

from mammoflow.config.prompts import PromptKind
from mammoflow.tables.prompts import REFERENCE


def prompt_name(
    lesion_id: str,
    margin_mm: float | None,
    kind: PromptKind = "box",
    origin: str = REFERENCE,
    draw: int = 0,
    counts: tuple[int, int] = (1, 0),
    jitter: str = "",
) -> str:
    """Return the id of a prompt: what is asked in the same way has the same name in every run.

    Parameters
    ----------
    lesion_id
        The lesion.
    margin_mm
        None for a point without a box.
    kind, origin, draw
        As in the table PROMPTS.
    counts
        Points on the lesion and beside it; named where they differ from one and none.
    jitter
        How far the sides of a drawn box may be moved, with its unit.
    """
    points = "" if kind == "box" or counts == (1, 0) else f"[{counts[0]}+{counts[1]}-]"
    margin = "" if margin_mm is None else f"+{margin_mm:g}mm"
    drawn = f"#{draw}" if draw else ""
    moved = f"~{jitter}" if draw and jitter and margin_mm is not None else ""
    source = "" if origin == REFERENCE else f"@{origin}"
    return f"{lesion_id}@{kind}{points}{margin}{moved}{drawn}{source}"
