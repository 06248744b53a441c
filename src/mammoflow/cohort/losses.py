"""What the cohort stage says on the console: how much of a study is usable, what is not, and why."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mammoflow.cohort.reader import Exclusion
from mammoflow.cohort.unread_values import describe_rows

WITH_ROW = re.compile(r"(?P<origin>[^:\n]* row \d+)(?:: (?P<detail>.*))?", re.DOTALL)
SHOWN = 8
SHOWN_IDS = 3


def describe_losses(excluded: Sequence[Exclusion], shown: int = SHOWN) -> list[str]:
    """Return one line for each cause of exclusion, with the value that was found and the rows.

    Parameters
    ----------
    excluded
        The exclusions of rows, lesions and images. An image that was left out with its rows is not named again.
    shown
        The most lines; a last one says how many causes there are besides.
    """
    causes: dict[tuple[str, str], list[Exclusion]] = {}
    rows: dict[tuple[str, str], list[str]] = {}
    of_rows = [exclusion for exclusion in excluded if exclusion.level in ("row", "lesion")]
    named = {exclusion.image_id for exclusion in of_rows}
    of_images = [exclusion for exclusion in excluded if exclusion.level == "image" and exclusion.image_id not in named]
    for exclusion in [*of_rows, *of_images] or excluded:
        match = WITH_ROW.fullmatch(exclusion.detail)
        detail = exclusion.detail if match is None else match["detail"] or ""
        key = str(exclusion.reason), detail
        causes.setdefault(key, []).append(exclusion)
        rows.setdefault(key, []).extend([match["origin"]] if match else [])
    ordered = sorted(causes, key=lambda key: -len(causes[key]))
    lines = [f"{len(causes[key])} x {key[0]}{_cause(key[1], causes[key], rows[key])}" for key in ordered[:shown]]
    if len(ordered) > shown:
        rest = sum(len(causes[key]) for key in ordered[shown:])
        lines.append(f"{rest} more, for {len(ordered) - shown} other causes: see excluded.parquet")
    return lines


def _cause(detail: str, excluded: Sequence[Exclusion], rows: Sequence[str]) -> str:
    """Return what was found and where: in which rows, or else for which lesions or images."""
    said = f": {detail}" if detail else ""
    if rows and all(row in detail for row in rows):
        return said
    if rows:
        return f"{said} ({describe_rows(rows)})"
    names = list(dict.fromkeys(part.lesion_id or part.image_id or part.patient_id or part.path for part in excluded))
    places = ", ".join(filter(None, names[:SHOWN_IDS])) + (", ..." if len(names) > SHOWN_IDS else "")
    return f"{said} ({places})" if places else said
