"""The Gabor filter against the reference of the Image Biomarker Standardisation Initiative (IBSI), chapter 2.

The IBSI defines the filter in its manual of convolutional filters (Depeursinge et al., arXiv:2006.05470, id Q88H). mirp
2.7.0 (EUPL-1.2) computes it as the IBSI's consensus response maps have it (Whybra et al., Radiology 310, 2024). The
numbers below are responses that mirp gave for three pictures that are made by a rule, in the manner of the IBSI's
digital phantoms. mirp is no part of mammoflow; nothing here runs it.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mammoflow.features.gabor_bank import GaborBank, GaborFilter

SIDE = 64
SIGMA, WAVELENGTH, GAMMA = 5.0, 4.0, 1.5  # pixels, pixels, ratio
PLACES = ((32, 32), (20, 40), (45, 15), (30, 30))
Y, X = np.mgrid[:SIDE, :SIDE]

PICTURES = {
    "impulse": np.where((Y == 32) & (X == 32), 255.0, 0.0),
    "checkerboard": (Y // 4 + X // 4) % 2 * 255.0,
    "disc": np.where(np.hypot(Y - 31.5, X - 31.5) < 20, 255.0, 0.0),
}

# Picture, orientation in degrees (clockwise from the columns' axis), modulus of mirp's response at PLACES. Boundary:
# mirror.
RESPONSES = [
    ("impulse", 0, (255, 0.10874643, 0.00039220086, 196.61815)),
    ("impulse", 30, (255, 0.022433556, 1.5480309e-06, 214.40486)),
    ("impulse", 60, (255, 0.060980726, 3.4541238e-07, 214.40486)),
    ("impulse", 135, (255, 3.2584889, 0.021955525, 177.90746)),
    ("checkerboard", 0, (0.084149513, 0.083877222, 0.24522901, 0.11729144)),
    ("checkerboard", 30, (162.38008, 162.37789, 165.11971, 162.30256)),
    ("checkerboard", 60, (162.38008, 162.3628, 162.56653, 162.30256)),
    ("checkerboard", 135, (404.27052, 404.27328, 403.58554, 404.23506)),
    ("disc", 0, (0.68361451, 39.793667, 66.722481, 1.238382)),
    ("disc", 30, (0.69496318, 54.222436, 179.72247, 1.7967135)),
    ("disc", 60, (0.69496318, 55.61333, 180.42373, 1.7967135)),
    ("disc", 135, (0.55405264, 552.7468, 1043.9431, 0.57612416)),
]

# Largest difference, as a part of the picture's largest response. The impulse shows the kernel itself. On the other
# pictures the two differ in what mammoflow does on purpose: it subtracts the envelope's response to constant
# brightness, and it continues the picture by reflection over three standard deviations.
TOLERANCES = {"impulse": 1e-6, "checkerboard": 1e-3, "disc": 1e-3}
LARGEST = {"impulse": 255.0, "checkerboard": 1453.0634, "disc": 1199.4481}


@pytest.mark.parametrize(("picture", "degrees", "expected"), RESPONSES)
def test_response_is_that_of_the_reference(picture, degrees, expected):
    # The bandwidth of this ratio of envelope and wavelength: the inverse of the formula in `GaborFilter`.
    c = SIGMA / WAVELENGTH * math.pi / math.sqrt(math.log(2) / 2)
    one = GaborFilter(WAVELENGTH, math.radians(degrees), math.log2((c + 1) / (c - 1)), GAMMA)
    assert one.sigma_along_px == pytest.approx(SIGMA)
    found = GaborBank([one], torch.device("cpu")).magnitudes(PICTURES[picture].astype(np.float32))[0]
    # The IBSI's envelope is 1 in its middle, that of mammoflow has the sum 1.
    responses = [found[place] * 2 * math.pi * one.sigma_along_px * one.sigma_across_px for place in PLACES]
    np.testing.assert_allclose(responses, expected, atol=TOLERANCES[picture] * LARGEST[picture])
