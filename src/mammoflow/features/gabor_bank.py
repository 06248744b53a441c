"""A bank of Gabor filters, applied in the frequency domain on CPU or GPU.

A filter is a complex wave under a Gaussian envelope (Daugman, J. Opt. Soc. Am. A 2, 1985), parametrised as in the
IBSI's reference manual of convolutional filters (Depeursinge et al., arXiv:2006.05470): wavelength, orientation,
width of the envelope along the wave, aspect ratio. The envelope's weights add up to 1, as in scikit-image, so a grating
of amplitude A at the filter's own wavelength gives a magnitude of A / 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from scipy.fft import next_fast_len
from torch import Tensor

ENTROPY_BINS = 32

CACHED_SHAPES = 2
"""Image shapes whose transfer functions are kept; patches of one study mostly share one."""


@dataclass(frozen=True)
class GaborFilter:
    """One filter, in pixels.

    Attributes
    ----------
    wavelength_px
        Wavelength.
    orientation
        Direction of the wave in radians: 0 runs along the columns' axis (to the right), growing towards the rows' axis
        (down). Lines perpendicular to it give the strongest response.
    bandwidth_octaves
        Octaves between the two frequencies at which the response falls to half of its peak.
    aspect_ratio
        Width of the envelope along the wave over its width across it.
    """

    wavelength_px: float
    orientation: float
    bandwidth_octaves: float = 1.0
    aspect_ratio: float = 1.0

    @property
    def sigma_along_px(self) -> float:
        """Standard deviation of the envelope along the wave, from wavelength and bandwidth."""
        ratio = (2**self.bandwidth_octaves + 1) / (2**self.bandwidth_octaves - 1)
        return self.wavelength_px / math.pi * math.sqrt(math.log(2) / 2) * ratio

    @property
    def sigma_across_px(self) -> float:
        """Standard deviation of the envelope across the wave."""
        return self.sigma_along_px / self.aspect_ratio

    def transfer(self, shape: tuple[int, int], device: torch.device) -> Tensor:
        """Return the transfer function (rows, columns), float32, real, on the grid of `torch.fft.fft2`.

        The envelope's own response to a constant is subtracted (as in the Morlet wavelet), so the filter does
        not respond to constant brightness.
        """
        v = torch.fft.fftfreq(shape[0], device=device, dtype=torch.float64)[:, None]
        u = torch.fft.fftfreq(shape[1], device=device, dtype=torch.float64)[None, :]
        along = u * math.cos(self.orientation) + v * math.sin(self.orientation)
        across = v * math.cos(self.orientation) - u * math.sin(self.orientation)
        frequency = 1 / self.wavelength_px
        envelope = (across * self.sigma_across_px) ** 2
        wave = self._gaussian(((along - frequency) * self.sigma_along_px) ** 2 + envelope)
        constant = self._gaussian((along * self.sigma_along_px) ** 2 + envelope)
        gain_at_zero = math.exp(-2 * math.pi**2 * (frequency * self.sigma_along_px) ** 2)
        return (wave - gain_at_zero * constant).to(torch.float32)

    @staticmethod
    def _gaussian(squared: Tensor) -> Tensor:
        return torch.exp(-2 * math.pi**2 * squared)


def shortest_wavelength_px(bandwidth_octaves: float) -> float:
    """Return the shortest wavelength whose upper half-response frequency is at most the Nyquist frequency.

    It is 2.67 pixels for one octave. A filter with a shorter wave would be cut off by the
    pixel grid and measure its noise.
    """
    upper = 2 * 2**bandwidth_octaves / (2**bandwidth_octaves + 1)
    return 2 * upper


def _entropy(values: Tensor) -> Tensor:
    """Return the entropy in bits of each row's histogram, with bins from 0 to the row's largest value."""
    largest = values.amax(1, keepdim=True)
    bins = (
        (values / largest.clamp_min(torch.finfo(values.dtype).tiny) * ENTROPY_BINS).long().clamp_max(ENTROPY_BINS - 1)
    )
    entropies = []
    for row in bins:
        share = torch.bincount(row, minlength=ENTROPY_BINS).double() / row.numel()
        entropies.append(-torch.xlogy(share, share).sum() / math.log(2))
    return torch.stack(entropies)


STATISTICS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda values: values.mean(1),
    "std": lambda values: values.std(1, correction=0),
    "energy": lambda values: values.square().mean(1),
    "entropy": _entropy,
}
"""Statistics of magnitudes (filters, pixels) over a region's pixels, taken as a whole population."""


class GaborBank:
    """Several filters that are applied together.

    Parameters
    ----------
    filters
        At least one.
    device
        Where the transforms run.
    """

    def __init__(self, filters: Sequence[GaborFilter], device: torch.device) -> None:
        self.filters = tuple(filters)
        self.device = device
        widest = max(max(one.sigma_along_px, one.sigma_across_px) for one in self.filters)
        self.margin = math.ceil(3 * widest)
        self._transfers = lru_cache(maxsize=CACHED_SHAPES)(self._make_transfers)

    def magnitudes(self, image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the magnitude of each filter's complex response, (filters, rows, columns), in the image's unit.

        The image (rows, columns) is continued by reflection at its edges.
        """
        return torch.cat(list(self._magnitudes(image))).cpu().numpy()

    def statistics(
        self,
        image: npt.NDArray[np.float32],
        regions: Sequence[npt.NDArray[np.bool_]],
        names: Sequence[str] = ("mean", "std"),
    ) -> npt.NDArray[np.float64]:
        """Return statistics of each filter's magnitude in each region.

        Parameters
        ----------
        image
            (rows, columns).
        regions
            Boolean arrays (rows, columns); an empty one gives `nan`.
        names
            Of the statistics, some of `STATISTICS`.

        Returns
        -------
        numpy.ndarray
            (regions, filters, statistics).
        """
        filled = [number for number, region in enumerate(regions) if region.any()]
        responses = np.full((len(regions), len(self.filters), len(names)), np.nan)
        if not filled:
            return responses
        places = [torch.from_numpy(np.flatnonzero(regions[number])).to(self.device) for number in filled]
        spectra = []
        for magnitude in self._magnitudes(image):
            flat = magnitude.flatten(1)
            values = [flat[:, place].double() for place in places]
            spectra.append(torch.stack([torch.stack([STATISTICS[name](v) for name in names], 1) for v in values]))
        responses[filled] = torch.cat(spectra, dim=1).cpu().numpy()
        return responses

    def _magnitudes(self, image: npt.NDArray[np.float32]) -> Iterator[Tensor]:
        """Yield magnitudes (some filters, rows, columns): one at a time fits a CPU's cache, all at once suit a GPU."""
        rows, columns = image.shape
        shape = (next_fast_len(rows + 2 * self.margin), next_fast_len(columns + 2 * self.margin))
        pads = [(self.margin, full - size - self.margin) for full, size in zip(shape, image.shape, strict=True)]
        centred = image - np.float32(image.mean(dtype=np.float64))
        padded = torch.from_numpy(np.pad(centred, pads, mode="reflect")).to(self.device)
        spectrum = torch.fft.fft2(padded)
        window = (..., slice(self.margin, self.margin + rows), slice(self.margin, self.margin + columns))
        together = 1 if self.device.type == "cpu" else len(self.filters)
        for transfer in torch.split(self._transfers(shape), together):
            yield torch.fft.ifft2(spectrum * transfer)[window].abs()

    def _make_transfers(self, shape: tuple[int, int]) -> Tensor:
        """Return the transfer functions (filters, rows, columns) on a padded shape."""
        return torch.stack([one.transfer(shape, self.device) for one in self.filters])
