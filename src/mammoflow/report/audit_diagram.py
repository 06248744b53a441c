"""The flow diagram of a study as SVG: remaining cases in the left column, excluded ones in the right column.

The form is that of the STARD 2015 and PRISMA 2020 statements. There is one drawing for wide windows and one for
telephones; the style sheet shows one of them.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from mammoflow.cohort.audit.study_flow import Step, StudyFlow

SIZE = 14
LINE = 19
PADDING = 12
GAP = 30
ARROW = 6
MOST_REASONS = 8

WIDEST_LETTER = 0.58
"""Mean width of a letter in heights of the type; large enough for text to fit its box in any sans-serif font."""


@dataclass(frozen=True)
class Frame:
    """Positions in a drawing, in pixels.

    Attributes
    ----------
    name
        Class of the SVG element.
    width
        Width of the whole drawing.
    remaining
        Left edge and width of the boxes of remaining cases.
    trunk
        x coordinate of the line that joins these boxes.
    excluded
        Left edge and width of the boxes of excluded cases.
    """

    name: str
    width: int
    remaining: tuple[int, int]
    trunk: int
    excluded: tuple[int, int]

    @property
    def stacked(self) -> bool:
        """Whether the boxes of the splits are below each other."""
        return self.excluded[0] < self.remaining[1]


WIDE = Frame("wide-flow", 900, (1, 420), 210, (480, 419))
NARROW = Frame("narrow-flow", 342, (1, 340), 22, (56, 285))


@dataclass
class Drawing:
    """Elements of an SVG from top to bottom, and the height that they have reached."""

    frame: Frame
    y: int = 1
    elements: list[str] = field(default_factory=list)

    def box(self, x: int, y: int, width: int, lines: list[str], kind: str, heading: int = 1) -> int:
        """Draw a box of lines, the first `heading` of them bold; return its height."""
        height = len(lines) * LINE + 2 * PADDING - 4
        texts = [
            f'<text x="{x + PADDING}" y="{y + PADDING + SIZE - 2 + place * LINE}"'
            f"{' class=head' if place < heading else ''}>{escape(line)}</text>"
            for place, line in enumerate(lines)
        ]
        rectangle = f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>'
        self.elements.append(f'<g class="{kind}">{rectangle}{"".join(texts)}</g>')
        return height

    def down(self, end: int, arrow: bool = True) -> None:
        """Continue the trunk to a height."""
        x = self.frame.trunk
        self.elements.append(f'<path class="line" d="M{x} {self.y}V{end}"/>')
        if arrow:
            self.elements.append(f'<path class="tip" d="M{x - ARROW} {end - ARROW - 3}H{x + ARROW}L{x} {end}Z"/>')

    def right(self, y: int, end: int, kind: str = "line") -> None:
        """Draw an arrow from the trunk to the right."""
        self.elements.append(f'<path class="{kind}" d="M{self.frame.trunk} {y}H{end - 3}"/>')
        self.elements.append(f'<path class="tip" d="M{end - ARROW - 3} {y - ARROW}V{y + ARROW}L{end} {y}Z"/>')


def flow_diagrams(flow: StudyFlow) -> Markup:
    """Draw a study's flow for wide windows and for telephones."""
    return Markup("").join(flow_diagram(flow, frame) for frame in (WIDE, NARROW))


def flow_diagram(flow: StudyFlow, frame: Frame) -> Markup:
    """Draw a study's flow in one frame."""
    drawing = Drawing(frame)
    for place, step in enumerate(flow.steps):
        if place:
            _draw_loss(drawing, step)
        x, width = frame.remaining
        name = _wrapped(_sentence(step.name), width)
        drawing.y += drawing.box(x, drawing.y, width, [*name, *_wrapped(_counts(step), width)], "kept", len(name))
    _draw_splits(drawing, flow.splits)
    words = "; ".join(f"{step.name}: {step.lesions} lesions" for step in flow.steps)
    label = escape(f"Flow diagram. {words}. The table of the flow holds every number.")
    return Markup(
        f'<svg class="{frame.name}" role="img" aria-label="{label}" viewBox="0 0 {frame.width} {drawing.y + 1}"'
        f' width="{frame.width}" height="{drawing.y + 1}">{"".join(drawing.elements)}</svg>'
    )


def _draw_loss(drawing: Drawing, step: Step) -> None:
    """Draw the line to a step and the box of the cases that the step excludes."""
    if not step.lost:
        drawing.down(drawing.y + GAP)
        drawing.y += GAP
        return
    x, width = drawing.frame.excluded
    lines = _wrapped(f"{_lesions(step.lost)} left out", width)
    reasons = list(step.excluded.items())
    for reason, count in reasons[:MOST_REASONS]:
        lines += _wrapped(f"{count:,}  {reason}", width, indent="       ")
    if len(reasons) > MOST_REASONS:
        rest = sum(count for _, count in reasons[MOST_REASONS:])
        lines += _wrapped(f"{rest:,}  for {len(reasons) - MOST_REASONS} further reasons", width)
    top = drawing.y + GAP // 2
    height = drawing.box(x, top, width, lines, "lost")
    drawing.right(top + height // 2, x, "line dashed")
    end = top + height + GAP // 2
    drawing.down(end)
    drawing.y = end


def _draw_splits(drawing: Drawing, splits: dict[str, dict[str, int]]) -> None:
    """Draw a box for each split: side by side, or below each other where there is no room."""
    frame, top = drawing.frame, drawing.y
    if frame.stacked:
        x, width = frame.excluded
        y, last = top + GAP // 2, top
        for name, counts in splits.items():
            height = drawing.box(x, y, width, _split_lines(name, counts, width), "split")
            last = y + height // 2
            drawing.right(last, x)
            y += height + GAP // 2
        drawing.down(last, arrow=False)
        drawing.y = y - GAP // 2
        return
    space = 18
    width = (frame.width - 2 - space * (len(splits) - 1)) // max(len(splits), 1)
    lines = [_split_lines(name, counts, width) for name, counts in splits.items()]
    middles = [1 + place * (width + space) + width // 2 for place in range(len(lines))]
    bar, below = top + GAP // 2, top + GAP + ARROW
    drawing.down(bar, arrow=False)
    ends = [*middles, frame.trunk]
    drawing.elements.append(f'<path class="line" d="M{min(ends)} {bar}H{max(ends)}"/>')
    heights = []
    for place, (middle, text) in enumerate(zip(middles, lines, strict=True)):
        drawing.elements.append(f'<path class="line" d="M{middle} {bar}V{below - 3}"/>')
        tip = f"M{middle - ARROW} {below - ARROW - 3}H{middle + ARROW}L{middle} {below}Z"
        drawing.elements.append(f'<path class="tip" d="{tip}"/>')
        heights.append(drawing.box(1 + place * (width + space), below, width, text, "split"))
    drawing.y = below + max(heights, default=0)


def _split_lines(name: str, counts: dict[str, int], width: int) -> list[str]:
    counted = f"{_lesions(counts['lesions'])}, {counts['malignant']:,} malignant"
    return [
        *_wrapped(f"{name.capitalize()} split", width),
        *_wrapped(counted, width),
        *_wrapped(f"{_many(counts['images'], 'image')}, {_many(counts['patients'], 'patient')}", width),
    ]


def _counts(step: Step) -> str:
    return f"{_lesions(step.lesions)}, {_many(step.images, 'image')}, {_many(step.patients, 'patient')}"


def _lesions(count: int) -> str:
    return _many(count, "lesion")


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    letters = int((width - 2 * PADDING) / (SIZE * WIDEST_LETTER))
    return textwrap.wrap(text, letters, subsequent_indent=indent, drop_whitespace=True) or [""]
