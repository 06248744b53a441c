"""Radiomics of a lesion on its crop against PyRadiomics on the whole film, in one run.

    python benchmarks/bench_radiomics.py [--size ROWS COLUMNS] [--diameter PIXELS] [--skip-defaults]

The film is smooth noise; the lesion is a disc. PyRadiomics runs once with its defaults (all classes and the shape of
volumes; a film is one slice) and once with the classes and settings of the family. Values are compared with the second.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import radiomics
import SimpleITK as sitk  # noqa: N813
from radiomics.featureextractor import RadiomicsFeatureExtractor
from scipy.ndimage import gaussian_filter

from mammoflow.features.families.radiomics import Options, open_family
from mammoflow.features.lesion_patch import LesionPatch
from mammoflow.features.radiomics_images import as_volume

SPACING_MM = 0.05


def timed(call: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    """Return a call's result and its shortest processor time in seconds."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        result = call()
        times.append(time.process_time() - start)
    return result, min(times)


def main() -> None:
    """Time all ways and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=(4808, 3024), help="rows and columns of the film")
    parser.add_argument("--diameter", type=int, default=75, help="diameter of the lesion: 15 mm at 0.2 mm a pixel")
    parser.add_argument("--skip-defaults", action="store_true", help="leave PyRadiomics' defaults out")
    arguments = parser.parse_args()
    radiomics.logger.setLevel(logging.CRITICAL)
    radiomics.setVerbosity(logging.CRITICAL)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    rows, columns = arguments.size
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(rows, columns)).astype(np.float32), 2)
    film = (30000 + 60000 * noise).clip(0, 65535).astype(np.uint16)
    y, x = np.ogrid[:rows, :columns]
    mask = np.hypot(y - rows / 2, x - columns / 2) < arguments.diameter / 2
    image, region = as_volume(film, SPACING_MM), as_volume(mask.astype(np.uint8), SPACING_MM)

    family = open_family(Options(), "cpu")
    patch = LesionPatch(film.astype(np.float32), mask, np.ones_like(mask), SPACING_MM)
    found, fast = timed(lambda: family(patch), 5)
    print(f"film of {rows} x {columns} pixels, lesion of {mask.sum()} pixels; processor time")
    print(f"mammoflow, {len(found)} features: {fast:.4f} s")

    plain = RadiomicsFeatureExtractor(binCount=32, force2D=True, additionalInfo=False)
    plain.disableAllFeatures()
    for name in Options().classes:
        plain.enableFeatureClassByName(name)
    expected, slow = timed(lambda: plain.execute(image, region), 2)
    worst = max(
        abs(float(value) - found[f"radiomics_{name}"]) / max(abs(float(value)), 1e-12)
        for name, value in expected.items()
    )
    print(f"PyRadiomics, the same classes on the film: {slow:.3f} s, ratio {slow / fast:.1f}; difference {worst:.1e}")
    if not arguments.skip_defaults:
        usual = RadiomicsFeatureExtractor(binCount=32)
        values, longest = timed(lambda: usual.execute(image, region), 1)
        print(f"PyRadiomics' defaults on the film, {len(values)} entries: {longest:.2f} s, ratio {longest / fast:.0f}")


if __name__ == "__main__":
    main()
