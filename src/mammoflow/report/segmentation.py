"""The segmentation section of the report: its rows, their headings, and prompts in words."""

from __future__ import annotations

from typing import Any

from mammoflow.evaluation.candidates import display_name
from mammoflow.evaluation.segmentation_summary import ELLIPSE
from mammoflow.evaluation.segmentation_tables import CHOSEN, FEEDS
from mammoflow.report.content import Tables
from mammoflow.tables.detections import NO_PROMPT

Row = dict[str, Any]

HANDED_ON = ("model", "field_of_view", "prompts", "margin_mm")
"""Columns that identify the prompts of the chosen masks among all prompts."""

SOURCES = {"reader": " of reader ", "model": " around the mask of ", "drawn": ", drawn at random"}

AMONG = {"iterations": "iterations", "heads": "heads of the first iteration"}


def prompt_words(row: Row, margin: bool = True) -> str:
    """Describe a prompt in words: kind, margin, source, and whether the network saw a window.

    Parameters
    ----------
    row
        `prompts` as in the tables of the comparison (`box; reader:A`), `margin_mm` and `field_of_view`.
    margin
        Whether the description includes the margin; some tables have a column for it.
    """
    kind, *sources = str(row["prompts"]).split("; ")
    if kind == NO_PROMPT:
        return "no prompt"
    words = kind.replace("_", " and ")
    if margin and row["margin_mm"] is not None:
        words += f" +{row['margin_mm']:g} mm"
    for source in sources:
        origin, _, name = source.partition(":")
        words += SOURCES[origin] + (display_name(name) if origin == "model" else name)
    return words + (", on a window" if row["field_of_view"] == "window" else "")


def default_model_first(rows: list[Row], model: str) -> list[Row]:
    """Order rows: the default model, the others, the floor; rows of one model keep their order."""
    return sorted(rows, key=lambda row: (row["model"] == ELLIPSE, row["model"] != model))


def default_segmentation(rows: list[Row], diameters: list[Row], model: str) -> Row | None:
    """Return the test row of the default model for the prompts of its chosen masks."""
    headline = {"model": model, "split": "test", "selection": CHOSEN}
    matching = [row for row in with_prompts_of_masks(rows, diameters) if headline.items() <= row.items()]
    return matching[0] if matching else None


def with_prompts_of_masks(rows: list[Row], diameters: list[Row]) -> list[Row]:
    """Return the rows of the prompts that the masks were made with.

    Parameters
    ----------
    rows
        Rows of any segmentation table.
    diameters
        Rows of `dice_by_diameter.csv`, one for each mask.
    """
    handed_on = {tuple(row[key] for key in HANDED_ON) for row in diameters}
    return [row for row in rows if tuple(row[key] for key in HANDED_ON) in handed_on]


def choice_groups(rows: list[Row]) -> list[tuple[str, list[Row]]]:
    """Group rows of `segmentation_choices.csv` under headings of model, prompt, and the alternatives of the choice.

    Heads are those of the first iteration, which gets no earlier mask. Their rows are the same for all ways of feeding
    masks back, so they are shown once.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        heading = f"{display_name(str(row['model']))}, {prompt_words(row)}: {AMONG[row['among']]}"
        if row["among"] == "iterations":
            heading += f", {FEEDS[row['feed']]}"
        group = groups.setdefault(heading, [])
        if row["choice"] not in {other["choice"] for other in group}:
            group.append(row)
    return list(groups.items())


def subgroup_groups(rows: list[Row]) -> list[tuple[str, list[Row]]]:
    """Group rows of `segmentation_subgroups.csv` by grouping, each group's models together."""
    groups: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        groups.setdefault(str(row["grouping"]), {}).setdefault(str(row["group"]), []).append(row)
    return [(grouping, [row for rows in by_group.values() for row in rows]) for grouping, by_group in groups.items()]


def with_headings(rows: list[Row]) -> list[Row]:
    """Return rows of `segmentation_differences.csv` with a `heading`: what the Dice is of, the prompt, and the feed."""
    several = len({row["feed"] for row in rows if row["feed"]}) > 1
    return [
        row
        | {
            "heading": f"{str(row['dice_of']).capitalize()}, {prompt_words(row)}"
            + (f", {FEEDS[row['feed']]}" if several and row["feed"] else "")
        }
        for row in rows
    ]


def segmentation_values(tables: Tables, model: str) -> dict[str, Any]:
    """Return the rows of the segmentation section; subgroups and choices only for the prompts of the chosen masks.

    Parameters
    ----------
    tables
        Tables of the comparison.
    model
        The default model, whose rows come first.
    """
    diameters = tables.rows("dice_by_diameter")
    segmentation, choices, subgroups, correlation = (
        default_model_first(tables.rows(name), model)
        for name in ("segmentation", "segmentation_choices", "segmentation_subgroups", "dice_diameter_correlation")
    )
    tested = [row for row in choices if row["split"] == "test"]
    return {
        "segmentation": segmentation,
        "default_segmentation": default_segmentation(segmentation, diameters, model),
        "segmentation_choices": choice_groups(with_prompts_of_masks(tested, diameters)),
        "segmentation_subgroups": subgroup_groups(with_prompts_of_masks(subgroups, diameters)),
        "correlation": correlation,
        "segmentation_parameters": [
            row | {"task": f"{str(row['kind']).capitalize()} models, Dice of {row['dice_of']}"}
            for row in tables.rows("segmentation_parameters")
        ],
        "segmentation_differences": with_headings(tables.rows("segmentation_differences")),
        **{
            name: [row for row in tables.rows(name) if row["split"] == "test"]
            for name in ("tuning_methods", "segmentation_heads", "segmentation_empty")
        },
    }
