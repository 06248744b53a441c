"""Reading files of drawn contours: the property lists that OsiriX exports and INbreast contains.

Every fault of a broken or hostile file becomes an `ExcludedCase` with a reason. The standard library's `plistlib` reads
the XML. It refuses every entity declaration, so no entity can expand or refer to another file.
"""

from __future__ import annotations

import plistlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mammoflow.errors import ExcludedCase
from mammoflow.formats.opening import cannot_open, first_bytes
from mammoflow.reasons.files import FileReason

Points = npt.NDArray[np.float64]

LARGEST_BYTES = 2**25  # 32 MiB: half a million points, about fifty times the largest file of INbreast
LARGEST_COORDINATE = 1e6
NUMBER = r"\s*([+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?)\s*"
POINT = re.compile(rf"[({{]{NUMBER},{NUMBER}[)}}]")
ITEM = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class Contour:
    """One drawn region.

    Attributes
    ----------
    name
        The radiologist's name for it, such as Mass; "" where there is no name.
    points
        (n, 2) corners as (y, x) in pixels of the stored image. The polygon closes from the last corner to the first.
        Corners may be outside the image. Pixel i covers [i, i + 1): OsiriX places the centre of the first pixel at 0.5,
        since its `convertPixX:pixY:toDICOMCoords:pixelCenter:` subtracts half a pixel before it converts to patient
        coordinates.
    problem
        Why the points cannot be used, or "". With a problem there are no points.
    """

    name: str
    points: Points
    problem: str = ""

    @property
    def area(self) -> float:
        """Area inside the polygon in square pixels; 0 for one or two points."""
        if len(self.points) < 3:
            return 0.0
        y, x = (self.points - self.points[0]).T
        return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def is_contour_file(path: Path) -> bool:
    """Tell by its first characters whether a file is XML; an HTML page is not.

    Raises
    ------
    ExcludedCase
        MISSING_FILE or NO_ACCESS where it cannot be opened.
    """
    start = first_bytes(path, 1024).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return start.startswith(b"<") and b"<html" not in start and b"<!doctype html" not in start


def read_contours(path: Path) -> list[Contour]:
    """Read the regions of the only image of an OsiriX property list, in the order of the file.

    A region whose points cannot be read keeps its place and says why in `problem`; the other regions are read.

    Raises
    ------
    ExcludedCase
        MISSING_FILE where there is no file; CONTOURS where it is too large, no property list, has entity declarations,
        or does not hold exactly one image with a list of regions.
    """
    content = _parse(path)
    images = content.get("Images") if isinstance(content, dict) else None
    if not isinstance(images, list) or len(images) != 1 or not isinstance(images[0], dict):
        count = f"{len(images)} images" if isinstance(images, list) else "none"
        raise ExcludedCase(FileReason.CONTOURS, f"{path.name}: found {count} under the key Images, expected one")
    regions = images[0].get("ROIs", [])
    if not isinstance(regions, list):
        raise ExcludedCase(FileReason.CONTOURS, f"{path.name}: the key ROIs holds {type(regions).__name__}, not a list")
    return [_contour(region) for region in regions]


def choose_contours(contours: Sequence[Contour], item: str | None) -> list[Contour]:
    """Return the contours whose positions a lesion's `mask_item` lists; None or "" returns all of them.

    Raises
    ------
    ExcludedCase
        CONTOURS where the text is no list of positions, or a position does not exist in the file.
    """
    if not item:
        return list(contours)
    positions = [position.strip() for position in item.split(",")]
    wrong = [position for position in positions if not ITEM.fullmatch(position) or int(position) >= len(contours)]
    if wrong:
        raise ExcludedCase(
            FileReason.CONTOURS, f"mask_item names the region {wrong[0][:40]!r}, the file has {len(contours)}, from 0"
        )
    return [contours[int(position)] for position in positions]


def _parse(path: Path) -> Any:
    try:
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise ExcludedCase(FileReason.CONTOURS, f"{path.name} has {size} bytes, expected at most {LARGEST_BYTES}")
        return plistlib.loads(path.read_bytes(), fmt=plistlib.FMT_XML)
    except OSError as error:
        raise cannot_open(path, error) from error
    except ExcludedCase:
        raise
    except Exception as error:  # expat, plistlib and number parsing each raise their own errors for damaged files
        detail = f"{path.name} is no property list that can be read: {type(error).__name__}"
        raise ExcludedCase(FileReason.CONTOURS, detail) from error


def _contour(region: Any) -> Contour:
    none = np.empty((0, 2))
    if not isinstance(region, dict):
        return Contour("", none, f"the region is {type(region).__name__}, expected keys and values")
    name = region.get("Name")
    name = name.strip() if isinstance(name, str) else ""
    texts = region.get("Point_px")
    if not isinstance(texts, list) or not texts:
        return Contour(name, none, "there are no points")
    count = region.get("NumberOfPoints", len(texts))
    if count != len(texts):
        return Contour(name, none, f"{len(texts)} points are there, NumberOfPoints differs")
    points = np.empty((len(texts), 2))
    for row, text in enumerate(texts):
        point = POINT.fullmatch(text.strip()) if isinstance(text, str) else None
        if point is None:
            return Contour(name, none, f"point {row} is not of the form (x, y)")
        points[row] = float(point[2]), float(point[1])
    if not bool(np.all(np.abs(points) < LARGEST_COORDINATE)):
        return Contour(name, none, f"a point lies more than {LARGEST_COORDINATE:g} pixels away")
    return Contour(name, points)
