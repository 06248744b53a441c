"""The lines that a stage prints at its end."""

from __future__ import annotations

import numpy as np

from mammoflow.tables.listing import by_flag, by_reason, counted, lines


def test_flags_and_reasons_are_listed_with_the_first_ids() -> None:
    rows = [
        {"lesion_id": f"L{number}", "flag_mask_tiny": np.bool_(number < 7), "flag_b": number == 3}
        for number in range(9)
    ]
    groups = by_flag([*rows, {"lesion_id": "x", "flag_b": None, "flag_c": float("nan")}], "lesion_id")
    assert counted(groups) == "7 x mask tiny; 1 x b"
    assert lines("lesion flagged", groups) == [
        "lesion flagged: 7 x mask tiny (L0, L1, L2, L3, L4 and 2 more)",
        "lesion flagged: 1 x b (L3)",
    ]
    assert counted({}) == "none"
    assert lines("lesion flagged", {}) == []


def test_excluded_cases_without_an_id_are_named_by_their_detail() -> None:
    rows = [
        {"level": "lesion", "reason": "mask is empty", "lesion_id": "a", "detail": "black"},
        {"level": "row", "reason": "mask is empty", "lesion_id": "", "detail": "cases.csv row 3"},
        {"level": "image", "reason": "file is missing", "lesion_id": "", "detail": "-"},
    ]
    assert by_reason(rows, ("lesion", "row"), "lesion_id") == {"mask is empty": ["a", "cases.csv row 3"]}
