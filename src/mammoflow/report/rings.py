"""The circles around a lesion in which features are computed, as the gallery draws them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mammoflow.config.mapping import read_mapping
from mammoflow.features.regions import centre_of
from mammoflow.imaging.geometry import Mask


@dataclass(frozen=True)
class Rings:
    """Diameters in millimetres, the smallest first, and whether the circles are around the predicted mask."""

    diameters_mm: tuple[float, ...]
    of_predicted: bool

    @property
    def outer_mm(self) -> float:
        """The largest diameter."""
        return self.diameters_mm[-1]


def read_rings(settings: Path, families: Iterable[str]) -> Rings | None:
    """Return the rings of the first feature family, by name, that has some; None where none has.

    Parameters
    ----------
    settings
        Folder of the settings files of a run.
    families
        Feature families of the run; the folder may have those of an earlier configuration as well.
    """
    files = [settings / "features" / f"{family}.yaml" for family in sorted(families)]
    for path in filter(Path.is_file, files):
        content = read_mapping(path)
        found = _diameters(content) if isinstance(content, dict) else []
        if found:
            return Rings(tuple(sorted(set(found))), content.get("mask", "predicted") == "predicted")
    return None


def _diameters(settings: dict[str, object]) -> list[float]:
    """Return the diameters that the settings of a family name."""
    ring, inner = settings.get("ring_mm"), settings.get("inner_mm")
    values: Iterable[object] = [inner, *ring] if isinstance(ring, list) and ring else []
    return [float(value) for value in values if isinstance(value, int | float)]


def ring_paths(rings: Rings, mask: Mask, spacing_mm: tuple[float, float]) -> list[str]:
    """Return the circles as SVG path data; none around an empty mask.

    Parameters
    ----------
    rings
        Diameters.
    mask
        (height, width); its centroid is the centre.
    spacing_mm
        Of rows and of columns.
    """
    if not mask.any():
        return []
    y, x = centre_of(mask)
    paths = []
    for diameter in rings.diameters_mm:
        down, across = (diameter / 2 / each for each in spacing_mm)
        arcs = f"a{across:.1f} {down:.1f} 0 1 0 {2 * across:.1f} 0a{across:.1f} {down:.1f} 0 1 0 {-2 * across:.1f} 0Z"
        paths.append(f"M{x - across:.1f} {y:.1f}{arcs}")
    return paths
