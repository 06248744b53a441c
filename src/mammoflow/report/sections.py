"""The sections of the report in the order of the page.

A section has a template, which is filled with the values of the whole page. A part of a section is a template too, and
its section includes it in one line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes
    ----------
    id
        Anchor of the section.
    title
        Its name in the navigation.
    template
        File of its template.
    heading
        Its heading on the page; "" for that of the navigation.
    needs
        Name of the value without which the page does not have the section; "" for a section of every page.
    """

    id: str
    title: str
    template: str
    heading: str = ""
    needs: str = ""


SECTIONS = (
    Section("summary", "Summary", "summary.html.j2"),
    Section("comparison", "Against BI-RADS", "against_birads.html.j2"),
    Section("operating-points", "Operating points", "operating_points.html.j2", needs="operating_points"),
    Section("use", "Calibration and use", "use.html.j2", "Calibration, decision curve, reclassification"),
    Section("subgroups", "Subgroups", "subgroups.html.j2", needs="subgroups"),
    Section("protocols", "Protocols", "protocols.html.j2", "The price of the protocol", "protocols"),
    Section("birads", "BI-RADS alone", "birads.html.j2", needs="birads_table"),
    Section("cases", "Cases", "cases.html.j2", needs="gallery"),
    Section("segmentation", "Segmentation", "segmentation.html.j2"),
    Section("detection", "Detection", "detection.html.j2", "Detection without prompts", "detection"),
    Section("few-labels", "Few labels", "few_labels.html.j2", needs="few_labels"),
    Section("transfer", "Data sets", "transfer.html.j2", "Transfer between data sets", "transfer"),
    Section("ablation", "Ablation", "ablation.html.j2", needs="ablation"),
    Section("classes", "Classes", "classes.html.j2", "Classes of images", "classes"),
    Section("losses", "Losses", "losses.html.j2", needs="losses"),
    Section("saliency", "Where classifiers look", "saliency.html.j2", needs="saliency"),
    Section("robustness", "Robustness", "robustness.html.j2", needs="robustness"),
    Section("features", "Features", "features.html.j2"),
    Section("cohort", "Cohort", "cohort.html.j2", "Cohort and exclusions"),
    Section("audit", "Audit", "audit_of_study.html.j2", "Audit of the study", "audit"),
    Section("methods", "Methods", "methods.html.j2", "Methods, and how to read this"),
    Section("provenance", "Provenance", "provenance.html.j2"),
)


def sections_of(values: Mapping[str, Any]) -> list[Section]:
    """Return the sections that a page with these values has."""
    return [section for section in SECTIONS if not section.needs or values[section.needs]]
