"""Gabor bank by FFT against a loop over scikit-image's spatial filter, in one run.

    python benchmarks/bench_gabor.py [--side PIXELS]

The picture is noise of the size of a lesion's patch (100 mm at 0.2 mm: 500 pixels), the bank is the default one. The
two differ in one thing on purpose: the bank takes the local brightness off, which the spatial kernels let through in
part; so the agreement is stated on a picture whose mean is 0.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from scipy.signal import fftconvolve
from skimage.filters import gabor, gabor_kernel

from mammoflow.features.families.gabor import Options
from mammoflow.features.gabor_bank import GaborBank, GaborFilter
from mammoflow.run.runtime import set_threads

Result = TypeVar("Result")

WHOLE_KERNEL = 5
"""Standard deviations at which a kernel has no weight that counts; the bank's filters are not cut off."""


def timed(call: Callable[[], Result], repeats: int, clock: Callable[[], float]) -> tuple[Result, float]:
    """Return a call's result and its shortest time in seconds."""
    times = []
    for _ in range(repeats):
        start = clock()
        result = call()
        times.append(clock() - start)
    return result, min(times)


def summary(magnitudes: Iterable[np.ndarray]) -> np.ndarray:
    """Return mean and standard deviation of each magnitude image, (filters, 2)."""
    return np.array([(magnitude.mean(), magnitude.std()) for magnitude in magnitudes])


def by_loop(image: np.ndarray, filters: list[GaborFilter]) -> np.ndarray:
    """Filter in space, the usual way."""

    def magnitude(one: GaborFilter) -> np.ndarray:
        widths = {"sigma_x": one.sigma_along_px, "sigma_y": one.sigma_across_px}
        return np.hypot(*gabor(image, 1 / one.wavelength_px, one.orientation, mode="mirror", **widths))

    return summary(map(magnitude, filters))


def by_fftconvolve(image: np.ndarray, filters: list[GaborFilter], deviations: float = 3) -> np.ndarray:
    """Convolve with scikit-image's kernels by SciPy's FFT: a fairer rival, which transforms the picture each time.

    Kernels end at a number of standard deviations of their envelope; 3 is that of `skimage.filters.gabor`.
    """

    def magnitude(one: GaborFilter) -> np.ndarray:
        kernel = gabor_kernel(
            1 / one.wavelength_px,
            one.orientation,
            1,
            one.sigma_along_px,
            one.sigma_across_px,
            n_stds=deviations,
            dtype=np.complex64,
        )
        padded = np.pad(image, [(side // 2, side // 2) for side in kernel.shape], mode="reflect")
        return np.abs(fftconvolve(padded, kernel, mode="valid"))

    return summary(map(magnitude, filters))


def main() -> None:
    """Time all ways and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=500, help="side of the picture in pixels")
    arguments = parser.parse_args()
    options = Options()
    filters = [
        GaborFilter(wavelength / options.spacing_mm, math.pi * step / options.orientations)
        for wavelength in options.wavelengths_mm
        for step in range(options.orientations)
    ]
    image = np.random.default_rng(0).normal(size=(arguments.side, arguments.side)).astype(np.float32)
    everywhere = [np.ones(image.shape, dtype=bool)]
    set_threads(1)
    print(f"{len(filters)} filters on {arguments.side} x {arguments.side} pixels; one CPU thread; CPU seconds")
    expected, slow = timed(lambda: by_loop(image, filters), 1, time.process_time)
    print(f"loop over skimage.filters.gabor: {slow:.2f} s")
    _, middle = timed(lambda: by_fftconvolve(image, filters), 3, time.process_time)
    print(f"skimage kernels by scipy.signal.fftconvolve: {middle:.2f} s, {slow / middle:.0f} times as fast")
    whole = by_fftconvolve(image, filters, WHOLE_KERNEL)
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for name in devices:
        bank = GaborBank(filters, torch.device(name))
        bank.statistics(image, everywhere)  # transfer functions are computed once a study, and the GPU warms up
        clock = time.process_time if name == "cpu" else time.perf_counter
        found, fast = timed(partial(bank.statistics, image, everywhere), 7, clock)
        from_loop, from_whole = (np.abs(found[0] / other - 1).max() for other in (expected, whole))
        print(
            f"mammoflow's bank on {name}: {fast:.3f} s, {slow / fast:.0f} times as fast as the loop, "
            f"{middle / fast:.1f} times as fast as fftconvolve; largest difference from the loop, whose kernels end at "
            f"3 standard deviations, {from_loop:.1e}, and from kernels that end at {WHOLE_KERNEL}, {from_whole:.1e}"
        )


if __name__ == "__main__":
    main()
