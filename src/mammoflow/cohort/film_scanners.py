"""Pixel spacing of the scanners that digitised the films of DDSM (Heath et al., IWDM 2000), in millimetres."""

from __future__ import annotations

SCANNER_SPACING_MM = {"DBA": 0.042, "HOWTEK": 0.0435, "LUMISYS": 0.05}
