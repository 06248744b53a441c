"""The words of a page about a study that is not mammography.

The templates and sentences speak of films, mammograms and BI-RADS. For another modality these words are replaced in the
text of the finished page, in one place, so that no template has two versions. Tags, styles, scripts, settings, paths
and the tables beside the page stay as they are, and so does what the user wrote, such as the name of the study:
templates mark it with `translate="no"`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mammoflow.config.study_modality import StudyModality

MAMMOGRAPHY = ("auto", "mammography")

ALWAYS_KEPT = ("style", "script", "title", "pre", "code")
KEPT_WHERE_MARKED = ("span", "strong", "dl")
"""Elements that stay as they are where they have `translate="no"`; none holds another one of its kind."""

KEPT = "|".join(
    [
        *(rf"<{tag}\b[^>]*>.*?</{tag}>" for tag in ALWAYS_KEPT),
        *(rf'<{tag}\b[^>]*\btranslate="no"[^>]*>.*?</{tag}>' for tag in KEPT_WHERE_MARKED),
        "<!--.*?-->",
    ]
)
IS_KEPT = re.compile(KEPT, re.DOTALL)
PART = re.compile(rf"({KEPT}|<[^>]*>)", re.DOTALL)
SHOWN_ATTRIBUTE = re.compile(r'\b(alt|aria-label|title|data-caption)="([^"]*)"')

FILMS = (
    (r"\b([Aa]) film\b", r"\1n image"),
    (r"\b([Aa]) mammogram\b", r"\1n image"),
    (r"\bfilms\b", "images"),
    (r"\bfilm\b", "image"),
    (r"\bFilms\b", "Images"),
    (r"\bFilm\b", "Image"),
    (r"\bmammograms\b", "images"),
    (r"\bmammogram\b", "image"),
    (r"\bviews of one breast\b", "images of one patient"),
    (r"\bviews of a breast\b", "images of a patient"),
    (r"\bBreast density\b", "Density"),
    (r"\bbreast density\b", "density"),
    (r"\bbreast region\b", "image region"),
    (r"\bmean over its views\b", "mean over its images"),
    (r"\bimages, breasts and patients\b", "images, sides and patients"),
    (r"\ba breast or a patient\b", "a side or a patient"),
    (r"^breast$", "side"),
)
"""Words of radiographs of the breast, and those of any picture."""

NO_READER = (
    (r"\bAgainst BI-RADS\b", "Comparison of models"),
    (r" compared with BI-RADS\b", ""),
    (r"\b[Ee]very model against BI-RADS\b", "Every model"),
    (r"\b([Tt])he study gives no BI-RADS assessment\b", r"\1he study gives no assessment of a reader"),
    (r"\b([Nn])o BI-RADS\b", r"\1o assessment"),
    (r"\b([Aa]) BI-RADS assessment\b", r"\1 reader's assessment"),
    (r"\bBI-RADS assessments?\b", "reader's assessment"),
    (r"(^|[.:;] )BI-RADS\b", r"\1The reader"),
    (r"\bBI-RADS\b", "the reader"),
    (r"\b([Tt]he|[Aa]) radiologist\b", r"\1 reader"),
)
"""Words about BI-RADS, and those for a study in which nobody gave an assessment."""


def speaks_of_birads(modality: StudyModality, assessed: bool) -> bool:
    """Tell whether BI-RADS belongs on the page of a study.

    Parameters
    ----------
    modality
        Of the study.
    assessed
        Whether lesions of the study have an assessment.
    """
    return modality in MAMMOGRAPHY or assessed


def in_words_of(modality: StudyModality, assessed: bool, page: str) -> str:
    """Return a page in the words of a modality; that of a mammographic study does not change.

    Parameters
    ----------
    modality
        Of the study.
    assessed
        Whether lesions of the study have a BI-RADS assessment, as breast ultrasound may have; then BI-RADS stays.
    page
        HTML.
    """
    if modality in MAMMOGRAPHY:
        return page
    replacements = [*FILMS, *(() if speaks_of_birads(modality, assessed) else NO_READER)]
    return "".join(
        _attributes(part, replacements) if part.startswith("<") else _replaced(part, replacements)
        for part in PART.split(page)
    )


def _attributes(tag: str, replacements: Sequence[tuple[str, str]]) -> str:
    """Replace words in the attributes of a tag that a person reads; a kept element stays as it is."""
    if IS_KEPT.match(tag):
        return tag
    return SHOWN_ATTRIBUTE.sub(lambda match: f'{match[1]}="{_replaced(match[2], replacements)}"', tag)


def _replaced(text: str, replacements: Sequence[tuple[str, str]]) -> str:
    for words, other in replacements:
        text = re.sub(words, other, text)
    return text
