"""Pictures of saliency maps: what the network saw and the map over it, both with the outline of the lesion."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mammoflow.classification.saliency.scores import Map, Mask
from mammoflow.storage.files import write_encoded, writing

LEAST_SIDE_PX = 256
STRONGEST = 0.6
"""Opacity of the map where it is highest."""

OUTLINE = (255, 255, 0)
"""Blue, green, red of the outline; the colours of the maps do not have it."""

JPEG_QUALITY = 88


def draw_map(path: Path, picture: Map, saliency: Map, mask: Mask) -> None:
    """Write a JPEG: the picture on the left, and the map over it on the right.

    Parameters
    ----------
    path
        The file.
    picture
        (side, side) grey levels in 0 to 1; they are stretched for display.
    saliency
        (side, side), not negative; the highest value is the strongest colour.
    mask
        (side, side) lesion, whose outline is drawn on both.

    Raises
    ------
    StudyError
        If the picture cannot be written.
    """
    factor = -(-LEAST_SIDE_PX // len(mask))
    low, high = np.percentile(picture, [1, 99.5])
    grey = _enlarged(np.clip((picture - low) / max(float(high - low), 1e-6), 0, 1), factor)
    strength = _enlarged(saliency / max(float(saliency.max()), 1e-12), factor)[..., None]
    shown = np.repeat(grey[..., None], 3, axis=2) * 255
    colours = cv2.applyColorMap(np.round(strength[..., 0] * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    opacity = STRONGEST * strength
    panels = [np.round(panel).astype(np.uint8) for panel in (shown, (1 - opacity) * shown + opacity * colours)]
    enlarged = np.kron(mask, np.ones((factor, factor), dtype=np.uint8)).astype(np.uint8)
    contours, _ = cv2.findContours(enlarged, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for panel in panels:
        cv2.drawContours(panel, contours, -1, OUTLINE, 1, cv2.LINE_AA)
    with writing(path) as temporary:
        write_encoded(temporary, path.suffix, np.hstack(panels), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def _enlarged(levels: Map, factor: int) -> npt.NDArray[np.float32]:
    side = len(levels) * factor
    larger = cv2.resize(levels.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(larger, dtype=np.float32)
