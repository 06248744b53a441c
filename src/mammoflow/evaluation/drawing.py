"""What all figures share: size, type, colours that colour-blind readers can part, titles that name phantoms."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from urllib.parse import quote

import matplotlib as mpl
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mammoflow.storage.files import writing
from mammoflow.tables.files import write_csv

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195", "#8C6D1F")
"""Okabe and Ito's palette (Color Universal Design, 2008) without black and yellow, and two that keep apart from it."""

Dashes = str | tuple[int, tuple[float, ...]]

DASHES: tuple[Dashes, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)))
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
    # Text stays text: smaller, searchable, and in the font of the page that shows it. Ids are the same in every run.
    "svg.fonttype": "none",
    "svg.hashsalt": "mammoflow",
    # curves of a thousand points lose those within half a pixel of a straight line
    "path.simplify_threshold": 0.5,
}

LEGEND_LINE_INCHES = 0.2
"""Height of a line of a legend."""

TITLE_LETTERS = 11.0
"""Letters of a title on an inch; a longer title takes a further line."""

NO_BREAK = "\N{NO-BREAK SPACE}"

LEAST_LEGEND_LETTERS = 10
"""Letters of a line of a legend below which a legend that is too wide stays so."""

SERIES = "series"
"""Start of the id of every artist of a named curve in an SVG: `series:NAME:NUMBER`, the name in percent encoding."""


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
def drawing(path: Path, height_inches: float, width_inches: float = WIDTH_INCHES) -> Iterator[Figure]:
    """Give an empty figure in the house style; on success write it as PNG to `path`, and as SVG beside it."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
        yield figure
        _lay_out(figure)
        with writing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": ""})
        with writing(path.with_suffix(".svg")) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})


def _lay_out(figure: Figure) -> None:
    """Place axes and texts for the resolution of the PNG, once; saving would draw the figure once more for it."""
    engine, resolution = figure.get_layout_engine(), figure.dpi
    if engine and figure.axes:
        figure.dpi = DPI
        engine.execute(figure)
        figure.dpi = resolution
    figure.set_layout_engine("none")


def write_data(path: Path, table: pd.DataFrame, phantom: bool, columns: Sequence[str] = ()) -> None:
    """Write what a figure shows as CSV beside it, with the marks of its title in the column `figure_marks`.

    Parameters
    ----------
    path
        The PNG of the figure.
    table
        One row for each point, bar or cell.
    phantom
        Whether the figure shows phantoms.
    columns
        Columns to write, in this order; without them all.
    """
    shown = table[[name for name in columns if name in table.columns]] if columns else table
    write_csv(path.with_suffix(".csv"), shown.assign(figure_marks=_marks(phantom)))


def name_artists(name: str, artists: Sequence[Artist]) -> None:
    """Name the artists of a curve, so that a page that shows the SVG can highlight it."""
    for place, artist in enumerate(artists):
        artist.set_gid(f"{SERIES}:{quote(name, safe='')}:{place}")


def remove_figure(path: Path) -> None:
    """Remove the files of a figure that this run does not have."""
    for suffix in (".png", ".svg", ".csv"):
        path.with_suffix(suffix).unlink(missing_ok=True)


def put_title(figure: Figure, title: str, phantom: bool, y: float | None = None) -> None:
    """Put a title at the figure's left edge, marked where it shows phantoms or what `marked_figures` says."""
    marks = _marks(phantom)
    place = {} if y is None else {"y": y, "va": "top"}
    text = f"{title} ({marks})" if marks else title
    lines = textwrap.wrap(text, int(TITLE_LETTERS * figure.get_size_inches()[0]))
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontweight="bold", fontsize=10.5, **place)


def wrapped(text: str, letters: int) -> str:
    """Break each line of a text that has more letters, at blanks, hyphens and underscores if there are some.

    A no-break space becomes a blank at which no line is broken.
    """
    lines = [textwrap.fill(line.replace("_", "_ "), letters).replace("_ ", "_") for line in text.splitlines()]
    return "\n".join(lines).replace(NO_BREAK, " ")


def dashes(place: int) -> Dashes:
    """Return the dashes of a line; with `COLOURS[place % len(COLOURS)]` no two of 32 lines look alike."""
    return DASHES[(place + place // len(COLOURS)) % len(DASHES)]


def put_legend(figure: Figure, axes: Axes | Sequence[Axes], columns: int = 2, title: str | None = None) -> None:
    """Put a legend below the plots; if names are too long, it has fewer columns, then more lines, and the figure grows.

    Parameters
    ----------
    figure
        Not laid out yet.
    axes
        The plots whose artists are named; each name is in the legend once.
    columns
        Most columns.
    title
        A line above the names.
    """
    named = [one.get_legend_handles_labels() for one in ([axes] if isinstance(axes, Axes) else axes)]
    entries = {label: handle for handles, labels in named for handle, label in zip(handles, labels, strict=True)}
    rows = -(-len(entries) // columns)
    names, letters = list(entries), max(map(len, entries), default=0)
    tried = columns
    while True:
        legend = figure.legend(entries.values(), names, loc="outside lower center", ncols=tried, title=title)
        fits = legend.get_window_extent().width <= figure.bbox.width
        if fits or (tried == 1 and letters < LEAST_LEGEND_LETTERS):
            break
        legend.remove()
        if tried > 1:
            tried -= 1
        else:
            letters = int(0.9 * letters)
            names = [wrapped(name, letters) for name in entries]
    lines = sum(name.count("\n") for name in names) + -(-len(entries) // tried)
    figure.set_figheight(figure.get_figheight() + LEGEND_LINE_INCHES * (lines - rows))


def _marks(phantom: bool) -> str:
    return "; ".join(mark for mark in ("phantom" if phantom else "", _MARK.get()) if mark)


def say_nothing_to_draw(axes: Axes, why: str) -> None:
    """Write on an empty plot why it is empty."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes, color=GREY)
