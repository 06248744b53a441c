"""What all figures share: size, type, colours that colour-blind readers can part, titles that name phantoms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mammoflow.storage.files import writing

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195", "#8C6D1F")
"""Okabe and Ito's palette (Color Universal Design, 2008) without black and yellow, and two that keep apart from it."""

DASHES = (
    "-",
    (0, (5, 1.5)),
    (0, (1, 1)),
    (0, (5, 1.5, 1, 1.5)),
    "-",
    (0, (5, 1.5)),
    (0, (1, 1)),
    (0, (5, 1.5, 1, 1.5)),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
INK = "#1b2733"
GREY = "#7b8794"
WIDTH_INCHES = 5.6
DPI = 190

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": "#9aa5b1",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e7eb",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
}


_MARK: ContextVar[str] = ContextVar("mark", default="")


@contextmanager
def marked_figures(mark: str) -> Iterator[None]:
    """Put a mark behind the title of every figure that is drawn inside, such as `leaking split`; "" puts none."""
    token = _MARK.set(mark)
    try:
        yield
    finally:
        _MARK.reset(token)


@contextmanager
def drawing(path: Path, height_inches: float) -> Iterator[Figure]:
    """Give an empty figure in the house style; on success write it to `path` as PNG."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
        yield figure
        with writing(path) as temporary:
            figure.savefig(temporary, dpi=DPI, metadata={"Software": ""})


def put_title(figure: Figure, title: str, phantom: bool) -> None:
    """Put a title at the figure's left edge, marked where it shows phantoms or what `marked_figures` says."""
    marks = "; ".join(mark for mark in ("phantom" if phantom else "", _MARK.get()) if mark)
    figure.suptitle(f"{title} ({marks})" if marks else title, x=0.01, ha="left", fontweight="bold", fontsize=10.5)


def say_nothing_to_draw(axes: Axes, why: str) -> None:
    """Write on an empty plot why it is empty."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes, color=GREY)
