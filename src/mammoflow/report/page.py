"""Filling the templates, and the format of numbers on the page."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import BytecodeCache, Environment, PackageLoader, StrictUndefined, select_autoescape
from jinja2.bccache import Bucket
from markupsafe import Markup

from mammoflow.evaluation.hypotheses import probability_value

MINUS, DASH = "−", "–"
ABSENT = "n/a"

PLOT_WIDTH, PLOT_HEIGHT = 132, 18
STYLES = ("style.css", "figures.css", "cases.css", "audit.css", "print.css")
SCRIPTS = ("page.js", "tables.js", "figures.js", "cases.js")
"""Each is a function that runs at once, so that none sees the names of another."""

TEMPLATES = Path(__file__).parent / "templates"


def number(value: float | None, digits: int = 3) -> str:
    """Write a number, or `n/a` where it is not defined."""
    if value is None:
        return ABSENT
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", MINUS)


def signed(value: float | None, digits: int = 3) -> str:
    """Write a difference with its sign."""
    return ABSENT if value is None else f"{value:+.{digits}f}".replace("-", MINUS)


def compact(value: float | None, digits: int) -> str:
    """Write a number of any size with as many significant digits."""
    return ABSENT if value is None else f"{value:.{digits}g}".replace("-", MINUS)


def interval(row: dict[str, Any], name: str, digits: int = 2) -> str:
    """Write the interval of a metric of a row; empty where the metric is not defined."""
    if row.get(name) is None:
        return ""
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    if low is None or high is None:
        return "no interval"
    separator = " to " if low < 0 or high < 0 else DASH
    return f"{number(low, digits)}{separator}{number(high, digits)}"


def interval_plot(row: dict[str, Any], name: str, low: float, high: float, marks: list[float | None]) -> Markup:
    """Draw a value and its interval as a small SVG.

    Parameters
    ----------
    row, name
        The value is `row[name]`, its bounds `row[name_low]` and `row[name_high]`.
    low, high
        Ends of the scale.
    marks
        Values marked by a vertical line, the first dashed and dark, the second dotted.
    """
    if row.get(name) is None:
        return Markup("")

    def place(value: float) -> float:
        return 4 + (PLOT_WIDTH - 8) * (min(max(value, low), high) - low) / (high - low)

    middle = PLOT_HEIGHT / 2
    shapes = [
        f'<line class="mark mark-{index}" x1="{place(mark):.1f}" x2="{place(mark):.1f}" y1="0" y2="{PLOT_HEIGHT}"/>'
        for index, mark in enumerate(marks)
        if mark is not None
    ]
    start, end = row.get(f"{name}_low"), row.get(f"{name}_high")
    if start is not None and end is not None:
        line = f'x1="{place(start):.1f}" x2="{place(end):.1f}" y1="{middle}" y2="{middle}"'
        shapes.append(f'<line class="range" {line}/>')
    shapes.append(f'<circle cx="{place(row[name]):.1f}" cy="{middle}" r="3.6"/>')
    size = f'width="{PLOT_WIDTH}" height="{PLOT_HEIGHT}" viewBox="0 0 {PLOT_WIDTH} {PLOT_HEIGHT}"'
    return Markup(f'<svg class="plot" {size} aria-hidden="true" focusable="false">{"".join(shapes)}</svg>')


class _Compiled(BytecodeCache):
    """Keeps compiled templates for the next page of the same process."""

    def __init__(self) -> None:
        self._code: dict[tuple[str, str], bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take over the code of a template, where it is known."""
        code = self._code.get((bucket.key, bucket.checksum))
        if code is not None:
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep the code of a template."""
        self._code[bucket.key, bucket.checksum] = bucket.bytecode_to_string()


_COMPILED = _Compiled()


def render(values: dict[str, Any], template: str, filters: Mapping[str, Callable[..., object]] | None = None) -> str:
    """Fill a template. A value that the template needs and does not get is an error.

    Parameters
    ----------
    values
        Values by the names of the template.
    template
        File name of the template.
    filters
        Further filters of the template, beside those for numbers.
    """
    environment = Environment(
        loader=PackageLoader("mammoflow.report"),
        autoescape=select_autoescape(["j2", "html"], default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=_COMPILED,
    )
    environment.filters |= {
        "number": number,
        "compact": compact,
        "signed": signed,
        "interval": interval,
        "plot": interval_plot,
        "p_value": probability_value,
        # of a page without models and tables of a comparison
        "csv_file": lambda name: None,
        "marks_of": lambda row: (),
        "shown": str,
        "drawn": lambda figure, words: "",
        **(filters or {}),
    }
    script, security = scripts()
    fixed = {"style": styles(), "script": script, "security": security}
    return environment.get_template(template).render(**fixed, **values)


@cache
def styles() -> Markup:
    """Return the style sheets of every page."""
    return Markup("".join((TEMPLATES / name).read_text(encoding="utf-8") for name in STYLES))


@cache
def scripts() -> tuple[Markup, str]:
    """Return the script of every page, and the policy that lets the browser run this script and load nothing.

    The policy is a Content Security Policy (W3C, level 3), which names the script by its digest.
    """
    text = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    rules = ("default-src 'none'", "img-src data:", "style-src 'unsafe-inline'", f"script-src 'sha256-{digest}'")
    return Markup(text), "; ".join((*rules, "base-uri 'none'", "form-action 'none'"))
