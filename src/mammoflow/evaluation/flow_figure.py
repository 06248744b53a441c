"""The flow of cases as a figure in the form of STARD 2015: what remains on the left, what was left out on the right."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from mammoflow.evaluation.drawing import INK, drawing, put_title, write_data

WIDTH = 7.6
LEFT, RIGHT = (0.1, 3.3), (4.1, 3.4)
"""Left edge and width of the two columns, in inches."""

LINE, PADDING, GAP, TOP = 0.17, 0.1, 0.24, 0.42
LETTERS_AN_INCH = 15.5
"""At the size of the text; few enough for the widest font that may show the SVG."""

MOST_REASONS = 6
SIZE = 8.0


@dataclass(frozen=True)
class _Block:
    """A step: the lines of its box, of what it left out, and of what is counted beside it."""

    step: list[str]
    lost: list[str]
    beside: list[str]

    @property
    def height(self) -> float:
        right = sum(_height(lines) + PADDING for lines in (self.lost, self.beside) if lines)
        return max(_height(self.step), right)


def draw_flow(path: Path, steps: Sequence[Mapping[str, Any]], phantom: bool) -> None:
    """Draw the flow of lesions, images and patients.

    Parameters
    ----------
    path
        The PNG.
    steps
        Of `flow.flow`.
    phantom
        Whether the study is made of phantoms.
    """
    write_data(path, flow_rows(steps), phantom)
    blocks = _blocks(steps)
    height = TOP + sum(block.height + GAP for block in blocks)
    with drawing(path, height, WIDTH) as figure:
        # Boxes are placed in inches, from the top.
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, WIDTH), ylim=(height, 0))
        axes.set_axis_off()
        put_title(figure, "Flow of cases", phantom, y=1 - 0.1 / height)
        top = TOP
        for place, block in enumerate(blocks):
            bottom = top + _height(block.step)
            _box(axes, LEFT, top, block.step, "#9aa5b1", "white")
            side = top
            for lines, edge, face in ((block.lost, "#e69f00", "none"), (block.beside, "#9aa5b1", "none")):
                if lines:
                    _box(axes, RIGHT, side, lines, edge, face)
                    middle = min(side + _height(lines) / 2, bottom - 0.05) if side == top else side + 0.15
                    if side == top:
                        axes.plot([LEFT[0] + LEFT[1], RIGHT[0]], [middle, middle], color=edge, linewidth=1)
                    side += _height(lines) + PADDING
            if place < len(blocks) - 1:
                x = LEFT[0] + LEFT[1] / 2
                end = top + block.height + GAP
                axes.annotate(
                    "", (x, end), (x, bottom), arrowprops={"arrowstyle": "-|>", "color": "#7b8794", "linewidth": 1}
                )
            top += block.height + GAP


def flow_rows(steps: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return one row for each step and reason: counts that remain, and how many cases the reason left out."""
    rows = []
    for step in steps:
        kept = {name: step[name] for name in ("step", "branch", "lesions", "images", "patients")}
        reasons = [{name: each[name] for name in ("reason", "level", "count")} for each in step["excluded"]]
        rows += [kept | reason for reason in reasons or [{"reason": None, "level": None, "count": 0}]]
    names = ["step", "branch", "lesions", "images", "patients", "reason", "level", "count"]
    return pd.DataFrame(rows, columns=names).rename(columns={"count": "left_out"})


def _blocks(steps: Sequence[Mapping[str, Any]]) -> list[_Block]:
    blocks: list[_Block] = []
    for step in steps:
        counted = ", ".join(
            f"{step[name]:,} {name}" for name in ("lesions", "images", "patients") if step[name] is not None
        )
        if not step["branch"]:
            name = str(step["step"])
            lost = sum(int(each["count"]) for each in step["excluded"])
            lines = [
                f"{each['count']:,} ({each['level']}): {each['reason']}" for each in step["excluded"][:MOST_REASONS]
            ]
            rest = len(step["excluded"]) - MOST_REASONS
            lines += [f"and {rest} further reasons"] if rest > 0 else []
            blocks.append(
                _Block(
                    [*_wrapped(name[:1].upper() + name[1:], LEFT), *_wrapped(counted, LEFT)],
                    [
                        f"{lost:,} {'case' if lost == 1 else 'cases'} left out",
                        *(part for line in lines for part in _wrapped(line, RIGHT)),
                    ]
                    if lost
                    else [],
                    [],
                )
            )
        elif blocks:
            beside = blocks[-1].beside
            beside += [] if beside else ["Of these"]
            beside += _wrapped(f"{step['step']}: {step['lesions']:,} lesions, {step['patients']:,} patients", RIGHT)
    return blocks


def _box(axes: Axes, column: tuple[float, float], top: float, lines: Sequence[str], edge: str, face: str) -> None:
    x, width = column
    shape = "round,pad=0,rounding_size=0.05"
    axes.add_patch(
        FancyBboxPatch((x, top), width, _height(lines), boxstyle=shape, edgecolor=edge, facecolor=face, linewidth=1)
    )
    for place, line in enumerate(lines):
        y = top + PADDING + LINE * (place + 0.5)
        weight = "bold" if place == 0 else "normal"
        axes.text(x + PADDING, y, line, va="center", fontsize=SIZE, color=INK, fontweight=weight)


def _height(lines: Sequence[str]) -> float:
    return 2 * PADDING + LINE * len(lines)


def _wrapped(text: str, column: tuple[float, float]) -> list[str]:
    return textwrap.wrap(text, int((column[1] - 2 * PADDING) * LETTERS_AN_INCH), subsequent_indent="  ") or [""]
