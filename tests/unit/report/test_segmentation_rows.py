"""Which rows of the segmentation tables the page shows, and how it words prompts."""

from __future__ import annotations

from typing import Any

import pytest

from mammoflow.report.segmentation import (
    choice_groups,
    default_model_first,
    default_segmentation,
    prompt_words,
    subgroup_groups,
    with_prompts_of_masks,
)


def row(**values: Any) -> dict[str, Any]:
    return {"model": "small", "field_of_view": "image", "prompts": "box", "margin_mm": 10.0, "feed": "logits"} | values


@pytest.mark.parametrize(
    ("prompts", "margin", "view", "words"),
    [
        ("box", 10.0, "image", "box +10 mm"),
        ("box", 2.5, "window", "box +2.5 mm, on a window"),
        ("point", None, "image", "point"),
        ("box_point; reader:A: first", 0.0, "image", "box and point +0 mm of reader A: first"),
        ("box; model:medsam_vit_b; drawn", 5.0, "", "box +5 mm around the mask of medsam vit b, drawn at random"),
    ],
)
def test_prompts_in_words(prompts: str, margin: float | None, view: str, words: str) -> None:
    assert prompt_words(row(prompts=prompts, margin_mm=margin, field_of_view=view)) == words
    if margin is not None:
        assert "mm" not in prompt_words(row(prompts=prompts, margin_mm=margin, field_of_view=view), margin=False)


def test_default_model_stands_first_and_the_floor_last() -> None:
    rows = [row(model=model, place=place) for place, model in enumerate(["ellipse", "a", "small", "a", "small"])]
    assert [each["place"] for each in default_model_first(rows, "small")] == [2, 4, 1, 3, 0]


def test_only_the_prompts_that_masks_were_made_with_are_shown() -> None:
    masks = [row(), row(model="sam", prompts="point", margin_mm=None)]
    rows = [row(), row(margin_mm=5.0), row(field_of_view="window"), row(model="sam"), masks[1], row(model="ellipse")]
    assert with_prompts_of_masks(rows, masks) == [rows[0], rows[4]]
    chosen = [row(split="test", selection="iteration 1"), row(split="all", selection="chosen"), row(margin_mm=5.0)]
    assert default_segmentation(chosen, masks, "small") is None
    wanted = row(split="test", selection="chosen")
    assert default_segmentation([*chosen, wanted], masks, "small") is wanted


def test_choices_stand_in_blocks_and_heads_once_for_all_ways_to_feed_back() -> None:
    rows = [
        row(feed=feed, among=among, choice=choice)
        for feed in ("box", "logits")
        for among, choices in (("iterations", ("iteration 1", "iteration 2")), ("heads", ("head 1", "head 2")))
        for choice in choices
    ]
    groups = {heading: [each["choice"] for each in group] for heading, group in choice_groups(rows)}
    assert groups == {
        "small, box +10 mm: iterations, box fed back": ["iteration 1", "iteration 2"],
        "small, box +10 mm: heads of the first iteration": ["head 1", "head 2"],
        "small, box +10 mm: iterations, logits fed back": ["iteration 1", "iteration 2"],
    }


def test_models_of_a_subgroup_stand_together() -> None:
    rows = [
        row(grouping=grouping, group=group, model=model)
        for model in ("small", "sam")
        for grouping, group in (
            ("longest diameter", "up to 9.3 mm"),
            ("longest diameter", "over 9.3 mm"),
            ("label", "x"),
        )
    ]
    (first, sizes), (second, labels) = subgroup_groups(rows)
    assert (first, second) == ("longest diameter", "label")
    assert [(each["group"][:4], each["model"]) for each in sizes] == [
        ("up t", "small"),
        ("up t", "sam"),
        ("over", "small"),
        ("over", "sam"),
    ]
    assert [each["model"] for each in labels] == ["small", "sam"]
