"""Which lesions the drawn regions of an INbreast film are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from skimage.measure import points_in_poly

from mammoflow.formats.contour_files import Contour
from mammoflow.storage.files import text_digest

FINDINGS = {
    "mass": ("mass", "mass"),
    "cluster": ("calcification", "cluster"),
    "spiculated region": ("unknown", "spiculated region"),
    "asymmetry": ("unknown", "asymmetry"),
    "distortion": ("unknown", "distortion"),
}
"""Finding to lesion type and shape."""
SPELLINGS = {"espiculated region": "spiculated region", "assymetry": "asymmetry"}
SINGLE_CALCIFICATION = re.compile(r"calcifications?|unnamed|point ?[0-9]*|")
"""Unnamed, Point 1 and Point 3 are names that the drawing program gave; they mark dots among calcifications."""
SINGLE = "single calcifications"


@dataclass(frozen=True)
class Region:
    """A lesion as one or several regions of the annotation file, or why the regions are none.

    Attributes
    ----------
    kind
        A finding, or single calcifications.
    items
        Places of its regions in the file.
    digest
        Of name and points, so that neither the order of the regions nor a further one changes it.
    problem
        "" or why it cannot be used.
    alone
        Whether the film shows nothing else, so that the film's assessment is that of this lesion.
    """

    kind: str
    items: tuple[int, ...]
    digest: str
    problem: str = ""
    alone: bool = True

    @property
    def lesion_type(self) -> str:
        """The type in mammoflow's words."""
        return FINDINGS[self.kind][0] if self.kind in FINDINGS else "calcification"


def regions_of_film(contours: Sequence[Contour]) -> tuple[list[Region], Counter[str]]:
    """Make lesions of the contours of one film.

    Every mass, cluster, spiculated region, asymmetry and distortion is a lesion of its own. INbreast draws single
    calcifications too, as small contours or, where they are too small for that, as one or two points. Those inside a
    cluster belong to it. The others of a film together are one lesion of several regions.

    Parameters
    ----------
    contours
        In the order of the file.

    Returns
    -------
    regions
        Lesions, and the contours that are none with the problem.
    counts
        What was found: contours of each kind, dots among them, single calcifications inside clusters.
    """
    kinds = [_kind(contour.name) for contour in contours]
    counts = Counter(f"regions: {kind or 'of another name'}" for kind in kinds)
    regions, loose = [], []
    clusters = [contours[place] for place, kind in enumerate(kinds) if kind == "cluster" and _is_area(contours[place])]
    for place, (contour, kind) in enumerate(zip(contours, kinds, strict=True)):
        problem = _problem(contour, kind)
        if kind == SINGLE and not problem:
            counts["single calcifications drawn as points"] += len(contour.points) < 3
            inside = any(_holds(cluster, contour) for cluster in clusters)
            counts["single calcifications inside a cluster"] += inside
            if not inside:
                loose.append(place)
        else:
            regions.append(Region(kind or contour.name[:40], (place,), _digest([contour]), problem))
    if loose:
        alone = not any(kind in FINDINGS for kind in kinds)
        regions.append(Region(SINGLE, tuple(loose), _digest([contours[place] for place in loose]), alone=alone))
    return regions, counts


def _kind(name: str) -> str:
    """Return the finding that a region's name means; "" where it is none."""
    plain = " ".join(name.lower().split())
    plain = SPELLINGS.get(plain, plain)
    if plain in FINDINGS:
        return plain
    return SINGLE if SINGLE_CALCIFICATION.fullmatch(plain) else ""


def _problem(contour: Contour, kind: str) -> str:
    if contour.problem:
        return contour.problem
    if not kind:
        return f"{contour.name[:40]!r} is none of {', '.join(FINDINGS)}, Calcification"
    if kind != SINGLE and not _is_area(contour):
        return f"{len(contour.points)} points enclose no area; expected the outline of a {kind}"
    return ""


def _is_area(contour: Contour) -> bool:
    return contour.area > 0


def _holds(cluster: Contour, calcification: Contour) -> bool:
    centre = calcification.points.mean(axis=0, keepdims=True)
    return bool(points_in_poly(centre, cluster.points)[0])


def _digest(contours: Sequence[Contour]) -> str:
    return text_digest(*(f"{contour.name}:{contour.points.tolist()}" for contour in contours))[:8]
