"""The figures of the comparison on the page: their SVG inside it, captions, and files to download."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import unquote

from markupsafe import Markup

from mammoflow.errors import StudyError
from mammoflow.evaluation.drawing import SERIES
from mammoflow.evaluation.seen_patients import SEEN_MARK
from mammoflow.tables.robustness import CURVES
from mammoflow.tables.study import LEAKING, PHANTOM

FIGURES = {
    "roc": "ROC curves on the test split, with the operating points of BI-RADS; floors and the ceiling are grey, and "
    "models joined with the reader are in the figure of AUCs.",
    "roc_panels": "The same ROC curves, one model in each panel, over the curves of all others in grey. The black "
    "curve is BI-RADS, and the dot is its operating point.",
    "precision_recall": "Precision (PPV) against recall (sensitivity) on the test split. The dotted line is the share "
    "of malignant lesions, the precision of calling every lesion malignant.",
    "auc": "AUC of every model on the test split with its interval; the dashed line is BI-RADS, the dotted one chance.",
    "confusion": "Confusion matrices on the test split; shading is the share of the true class. "
    "If a model has several seeds, the first is shown.",
    "reliability": "Calibration of each classifier on the test split: the share of malignant lesions against the mean "
    "predicted probability, in ten bins of equal counts; on the dotted line probabilities are right.",
    "decision_curve": "Net benefit on the test split against the threshold probability of malignancy, beside calling "
    "every lesion malignant, calling none, and BI-RADS; bands are intervals over patients.",
    "forest": "AUC of BI-RADS and of the model that is best on validation in each subgroup of the test split, with "
    "their difference and intervals over patients.",
    "dice_margin": "Mean Dice on the test split against the margin of the box prompt, with the ellipse inscribed in "
    "the box as floor; bands are intervals.",
    "dice_iteration": "Mean Dice on the test split by refinement iteration, for each margin; bands are intervals.",
    "dice_diameter": "Dice of each test lesion against its longest diameter, at the default margin.",
    "flow": "The flow of lesions, images and patients from the case tables to the scored test lesions, in the form of "
    "STARD 2015.",
}
"""Figures that every run has, with their captions."""

FIGURES_OF_SOME_RUNS = {
    "froc": "FROC curves of automatic models on the test split: the share of lesions that are hit against the false "
    "positives per image. A mark is the end of a curve; vertical lines are intervals at the stated false positives.",
    "few_labels": "Dice of automatic models, or AUC of classifiers, on the test split against the share of training "
    "patients whose labels were used. Vertical lines are intervals over patients.",
    "segmentation_parameters": "Mean Dice on the test split against the number of parameters that a training changed, "
    "for each segmentation model that the run trained and, in grey, for those that a training started from. Vertical "
    "lines are intervals over patients. Models with nearly as many parameters are drawn side by side. The panels show "
    "different tasks: promptable models are told where the lesion is.",
    "class_confusion": "Confusion matrices of the classes of images on the test split, one for each classifier; "
    "shading is the share of the true class.",
    "learning_curves": "Learning curves of each classifier: loss of training and validation, and validation AUC, by "
    "epoch; one line for each seed and fold. A dotted line marks the start of another phase of the training.",
    "learning_curves_segmentation": "Learning curves of each segmentation model that the run trained: loss of training "
    "and, where it is of the same kind, of validation, and validation Dice, by epoch; one line for each fold.",
}
"""Figures that some runs have. A page shows one where a template has `picture(figures, NAME, ...)`."""

ROBUSTNESS_CURVES = (
    "Dice of segmentation models and AUC of classifiers on drawn test lesions against the level of each degradation. "
    "The level none is the undegraded image; the levels are in their order with equal steps. Vertical lines are "
    "intervals over patients."
)
"""Caption of the figure that the target robustness draws."""

COLOURS = {
    "#1b2733": "ink",
    "#ffffff": "ground",
    "#e4e7eb": "grid",
    "#9aa5b1": "axis",
    "#7b8794": "grey",
    "#cbd2d9": "faint",
    "#0072b2": "blue",
    "#d55e00": "vermilion",
    "#009e73": "green",
    "#cc79a7": "pink",
    "#e69f00": "orange",
    "#56b4e9": "sky",
    "#7a5195": "violet",
    "#8c6d1f": "brown",
}
"""Colours of the drawings -> names of the variables of `figures.css`, which have a value for dark windows."""

KINDS = {".svg": ("SVG", "image/svg+xml"), ".png": ("PNG", "image/png"), ".csv": ("CSV", "text/csv")}
FOLDER = "comparison/figures"

LARGEST_IN_PAGE = 700_000
"""Bytes of the largest file that can be saved from inside the page; of a larger one the page has only the path."""


@dataclass(frozen=True)
class File:
    """A file inside the page: its name, what it is, and its content as a data URI."""

    name: str
    kind: str
    uri: str


@dataclass(frozen=True)
class Figure:
    """A figure of the page.

    Attributes
    ----------
    name
        Name of its files.
    caption
        What it shows.
    marks
        What limits every figure of the study, such as `phantom`.
    svg
        The drawing, without an XML declaration.
    files
        SVG, PNG and, where the figure has one, the CSV of its data, but none above `LARGEST_IN_PAGE`.
    path
        Where the files are in the results.
    """

    name: str
    caption: str
    marks: tuple[str, ...]
    svg: str
    files: tuple[File, ...]
    path: str


def read_figures(
    folder: Path,
    phantom: bool = False,
    leaking: bool = False,
    seen: Sequence[str] = (),
    robustness: Path | None = None,
) -> dict[str, Figure]:
    """Read the figures of a comparison by name.

    Parameters
    ----------
    folder
        Of the figures; each has a PNG and an SVG, and most have a CSV.
    phantom, leaking
        Whether the study is made of phantoms, and whether its split leaks. Each figure says so.
    seen
        Sentences on test patients that models were trained on, which each caption repeats.
    robustness
        Folder of the robustness, whose curves are a further figure; without it there is none.

    Raises
    ------
    StudyError
        If a figure is missing that every run has, or the curves of the given robustness.
    """
    marks = tuple(mark for mark, applies in ((PHANTOM, phantom), (LEAKING, leaking), (SEEN_MARK, seen)) if applies)
    texts = {**FIGURES, **FIGURES_OF_SOME_RUNS}
    places = [(name, folder / name, "comparison", f"{FOLDER}/{name}.*") for name in texts]
    if robustness is not None:
        texts["robustness"] = ROBUSTNESS_CURVES
        places.append(("robustness", robustness / CURVES, "robustness", f"{robustness.name}/{CURVES}.*"))
    found = {}
    for name, place, stage, shown in places:
        paths = [place.with_name(f"{place.name}{suffix}") for suffix in KINDS]
        missing = [path for path in paths[:2] if not path.is_file()]
        if missing and name in FIGURES_OF_SOME_RUNS:
            continue
        if missing:
            raise StudyError(f"figure {missing[0]} does not exist; run the {stage} again")
        caption = texts[name] + (" Leaking split: patients are on both sides of it." if leaking else "")
        caption += f" Test patients seen: {'; '.join(seen)}." if seen else ""
        small = [path for path in paths if path.is_file() and path.stat().st_size <= LARGEST_IN_PAGE]
        files = tuple(data_file(path) for path in small)
        found[name] = Figure(name, caption, marks, paths[0].read_text(encoding="utf-8"), files, shown)
    return found


def data_file(path: Path) -> File:
    """Return a file as a link that needs nothing outside the page."""
    kind, media = KINDS[path.suffix]
    return File(path.name, kind, f"data:{media};base64," + base64.b64encode(path.read_bytes()).decode("ascii"))


def drawn(figure: Figure, words: str) -> Markup:
    """Return the drawing of a figure as a part of the page.

    The ids get the name of the figure, since an id may occur once on a page. Colours of the house become variables, so
    that the page can change them in dark windows. Curves get the class `series` and their name.

    Parameters
    ----------
    figure
        The figure.
    words
        What a screen reader says instead of the drawing.
    """
    svg = figure.svg[figure.svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<title>.*?</title>", "", svg, flags=re.DOTALL)
    svg = re.sub(rf'<g id="{SERIES}:([^":]*):\d+"', _series, svg)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    kept = "|".join(re.escape(each) for each in sorted(used, key=len, reverse=True)) or "$^"
    svg = re.sub(rf' id="(?!(?:{kept})")[^"]*"', "", svg)
    svg = re.sub(rf'( id="|href="#|url\(#)({kept})(?=["\)])', rf"\g<1>{figure.name}-\g<2>", svg)
    svg = re.sub(r"#[0-9a-fA-F]{6}\b", lambda found: _variable(found.group()), svg)
    label = f"{words}. {'; '.join(figure.marks)}" if figure.marks else words
    opening = re.match(r"<svg[^>]*>", svg)
    box = re.search(r'viewBox="[^"]*"', opening.group()) if opening else None
    if opening is None or box is None:
        raise StudyError(f"figure {figure.name}.svg has no viewBox; run the comparison again")
    inside = re.sub(r"\s*\n\s*", "\n", svg[opening.end() :])
    links = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return Markup(f'<svg {links} {box.group()} role="img" aria-label="{escape(label)}">{inside}')


def _series(found: re.Match[str]) -> str:
    return f'<g class="series" data-name="{escape(unquote(found.group(1)))}"'


def _variable(colour: str) -> str:
    name = COLOURS.get(colour.lower())
    return f"var(--figure-{name})" if name else colour
