"""Pixel spacing of film digitisers and detectors, for headers that name the device and give no spacing."""

from __future__ import annotations

from dataclasses import dataclass

import pydicom

from mammoflow.cohort.film_scanners import SCANNER_SPACING_MM
from mammoflow.formats.dicom_header import header_integer, header_value

SHORTEST_MM, LONGEST_MM = 150.0, 350.0
"""Bounds of the longer side of an exposure at the device's resolution. Mammography films measure 18 x 24 and 24 x 30
cm, and some exports are cropped to the breast. An image outside these bounds was resampled, so the spacing of the
device does not apply to it."""
DEVICE_ELEMENTS = (
    ("Manufacturer", "ManufacturerModelName"),
    ("SecondaryCaptureDeviceManufacturer", "SecondaryCaptureDeviceManufacturerModelName"),
)


@dataclass(frozen=True)
class Scanner:
    """A device whose pixels are known.

    Attributes
    ----------
    name
        Name in the tables.
    maker, model
        Text that the header's manufacturer and model must contain, in lower case; an empty model fits all.
    spacing_mm
        Distance between pixels in the plane of film or detector.
    source
        Publication of the spacing.
    """

    name: str
    maker: str
    model: str
    spacing_mm: float
    source: str


DDSM = "Heath et al., The Digital Database for Screening Mammography, IWDM 2000"
SCANNERS = (
    *(Scanner(name, name.lower(), "", spacing, DDSM) for name, spacing in SCANNER_SPACING_MM.items()),
    Scanner("Hologic Selenia", "hologic", "selenia", 0.070, "Hologic, Characterizing Detector Performance"),
    Scanner("Hologic Selenia", "lorad", "selenia", 0.070, "Hologic, Characterizing Detector Performance"),
    *(
        Scanner("GE Senographe", "ge med", model, 0.100, "Ghetti et al., Med Phys 2008, doi 10.1118/1.2828185")
        for model in ("senographe essential", "senographe ds", "senograph ds")
    ),
    Scanner("Siemens Mammomat Novation", "siemens", "novation", 0.070, "Hoheisel et al., IEEE NSS 2004"),
)


def known_scanner(dataset: pydicom.Dataset) -> Scanner | None:
    """Return the device that a header names, if its pixels are known."""
    for maker_element, model_element in DEVICE_ELEMENTS:
        maker = str(header_value(dataset, maker_element) or "").lower()
        model = str(header_value(dataset, model_element) or "").lower()
        for scanner in SCANNERS:
            if scanner.maker in maker and scanner.model in model:
                return scanner
    return None


def at_own_resolution(dataset: pydicom.Dataset, scanner: Scanner) -> bool:
    """Tell whether an image has about as many pixels as a mammogram at the resolution of this device."""
    longest = max(header_integer(dataset, "Rows") or 0, header_integer(dataset, "Columns") or 0) * scanner.spacing_mm
    return SHORTEST_MM <= longest <= LONGEST_MM
