"""Where a pixel spacing comes from, and what is said of headers that contradict themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from mammoflow.errors import ExcludedCase
from mammoflow.imaging.scanners import SCANNERS, known_scanner
from mammoflow.imaging.spacing import HeaderSpacing, Spacing, choose_spacing, header_spacing, spacing_flags
from mammoflow.reasons.imaging import ImagingReason


def header(**values: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def spacing_of(**values: Any) -> Spacing | None:
    return header_spacing(header(**values)).spacing


def test_order_of_header_elements() -> None:
    every: dict[str, Any] = {"PixelSpacing": [0.09, 0.09], "PixelSpacingCalibrationType": "FIDUCIAL"}
    every |= {"ImagerPixelSpacing": [0.1, 0.1], "NominalScannedPixelSpacing": [0.05, 0.05]}
    every |= {"Manufacturer": "LUMISYS", "Rows": 4000, "Columns": 3000}
    assert spacing_of(**every) == Spacing(0.09, 0.09, "calibrated")
    del every["PixelSpacingCalibrationType"]
    assert spacing_of(**every) == Spacing(0.1, 0.1, "imager")
    del every["ImagerPixelSpacing"]
    assert spacing_of(**every) == Spacing(0.09, 0.09, "pixel")
    del every["PixelSpacing"]
    assert spacing_of(**every) == Spacing(0.05, 0.05, "nominal")
    del every["NominalScannedPixelSpacing"]
    assert spacing_of(**every) == Spacing(0.05, 0.05, "scanner")
    del every["Manufacturer"]
    assert spacing_of(**every) is None


@pytest.mark.parametrize(
    ("elements", "origin", "millimetres"),
    [
        ({"ImagerPixelSpacing": [0.1, 0.1]}, "imager", 0.08),
        ({"NominalScannedPixelSpacing": [0.1, 0.1]}, "nominal", 0.08),
        ({"PixelSpacing": [0.1, 0.1]}, "pixel", 0.1),
        ({"PixelSpacing": [0.1, 0.1], "PixelSpacingCalibrationType": "GEOMETRY"}, "calibrated", 0.1),
    ],
)
def test_magnification_divides_what_is_measured_behind_the_breast(
    elements: dict[str, Any], origin: str, millimetres: float
) -> None:
    found = header_spacing(header(**elements, EstimatedRadiographicMagnificationFactor="1.25"))
    assert found.spacing == Spacing(pytest.approx(millimetres), pytest.approx(millimetres), origin)
    assert found.magnification == 1.25


def test_magnification_from_the_distances_to_the_source() -> None:
    """A disk of 10 mm on the breast support, 600 of 660 mm from the source, covers 11 mm of the detector."""
    found = header_spacing(
        header(ImagerPixelSpacing=[0.1, 0.1], DistanceSourceToDetector="660", DistanceSourceToPatient="600")
    )
    assert found.spacing is not None
    pixels_across = 11.0 / 0.1
    assert pixels_across * found.spacing.rows_mm == pytest.approx(10.0)
    stated = header(ImagerPixelSpacing=[0.1, 0.1], EstimatedRadiographicMagnificationFactor="2")
    stated.DistanceSourceToDetector, stated.DistanceSourceToPatient = "660", "600"
    assert header_spacing(stated).magnification == 2.0


@pytest.mark.parametrize(
    "elements",
    [
        {"EstimatedRadiographicMagnificationFactor": "0"},
        {"EstimatedRadiographicMagnificationFactor": "0.5"},
        {"EstimatedRadiographicMagnificationFactor": "100"},
        {"EstimatedRadiographicMagnificationFactor": "nan"},
        {"EstimatedRadiographicMagnificationFactor": "-1.8"},
        {"DistanceSourceToDetector": "600", "DistanceSourceToPatient": "660"},
        {"DistanceSourceToDetector": "660", "DistanceSourceToPatient": "0"},
        {},
    ],
)
def test_an_absurd_magnification_counts_as_absent_and_is_marked(elements: dict[str, Any]) -> None:
    found = header_spacing(header(ImagerPixelSpacing=[0.1, 0.1], **elements))
    unknown = not elements or elements.get("DistanceSourceToPatient") == "0"
    assert found == HeaderSpacing(Spacing(0.1, 0.1, "imager"), magnification_unusable=not unknown)


@pytest.mark.parametrize(
    "bad",
    [[0, 0], [-0.1, -0.1], [0.1, 0], [500, 500], [1.5, 1.5], [0.0001, 0.0001], [0.1, 0.3], "0.1", [0.1, 0.1, 0.1]],
)
def test_implausible_header_values_are_flagged_and_left_aside(bad: Any) -> None:
    alone = header_spacing(header(ImagerPixelSpacing=bad))
    assert alone == HeaderSpacing(None, implausible=True)
    both = header_spacing(header(ImagerPixelSpacing=bad, PixelSpacing=[0.07, 0.08]))
    assert both.spacing == Spacing(0.07, 0.08, "pixel")
    assert both.implausible
    with pytest.raises(ExcludedCase):
        choose_spacing(alone.spacing, None, None)


def test_a_film_larger_than_any_film_is_implausible() -> None:
    found = header_spacing(header(ImagerPixelSpacing=[0.7, 0.7], Rows=3328, Columns=2560))
    assert (found.spacing, found.implausible) == (None, True)
    assert header_spacing(header(ImagerPixelSpacing=[0.07, 0.07], Rows=3328, Columns=2560)).spacing is not None


@pytest.mark.parametrize(
    ("elements", "conflicting"),
    [
        ({"ImagerPixelSpacing": [0.1, 0.1], "PixelSpacing": [0.1, 0.1]}, False),
        ({"ImagerPixelSpacing": [0.1, 0.1], "PixelSpacing": [0.08, 0.08]}, True),
        (
            {
                "ImagerPixelSpacing": [0.1, 0.1],
                "PixelSpacing": [0.08, 0.08],
                "EstimatedRadiographicMagnificationFactor": "1.25",
            },
            False,
        ),
        (
            {
                "ImagerPixelSpacing": [0.1, 0.1],
                "PixelSpacing": [0.06, 0.06],
                "PixelSpacingCalibrationType": "GEOMETRY",
            },
            False,
        ),
        (
            {
                "ImagerPixelSpacing": [0.1, 0.1],
                "PixelSpacing": [0.2, 0.2],
                "PixelSpacingCalibrationType": "GEOMETRY",
            },
            True,
        ),
        ({"NominalScannedPixelSpacing": [0.05, 0.05], "PixelSpacing": [0.05, 0.05]}, False),
        ({"NominalScannedPixelSpacing": [0.05, 0.05], "PixelSpacing": [0.1, 0.1]}, True),
        ({"PixelSpacing": [0.1, 0.2], "PixelAspectRatio": ["1", "2"]}, False),
        ({"PixelSpacing": [0.1, 0.1], "PixelAspectRatio": ["1", "2"]}, True),
        ({"PixelAspectRatio": ["1", "2"]}, True),
        ({"PixelAspectRatio": ["1", "1"]}, False),
        ({"PixelAspectRatio": ["0", "1"]}, False),
    ],
)
def test_elements_that_do_not_go_together(elements: dict[str, Any], conflicting: bool) -> None:
    assert header_spacing(header(**elements)).conflicting == conflicting


def test_spacing_of_an_enhanced_object() -> None:
    measures, shared = Dataset(), Dataset()
    measures.PixelSpacing = [0.1, 0.1]
    shared.PixelMeasuresSequence = Sequence([measures])
    assert spacing_of(SharedFunctionalGroupsSequence=Sequence([shared])) == Spacing(0.1, 0.1, "pixel")


@pytest.mark.parametrize(
    ("maker", "model", "name", "millimetres"),
    [
        ("DBA", "", "DBA", 0.042),
        ("HOWTEK", "960", "HOWTEK", 0.0435),
        ("Lumisys Inc", "200 laser", "LUMISYS", 0.05),
        ("HOLOGIC, Inc.", "Selenia Dimensions", "Hologic Selenia", 0.07),
        ("LORAD, A Hologic Company", "Lorad Selenia", "Hologic Selenia", 0.07),
        ("GE MEDICAL SYSTEMS", "Senographe Essential VERSION ADS_54.11", "GE Senographe", 0.1),
        ("GE MEDICAL SYSTEMS", "Senograph DS ADS_43.10.1", "GE Senographe", 0.1),
        ("SIEMENS", "Mammomat Novation DR", "Siemens Mammomat Novation", 0.07),
    ],
)
@pytest.mark.parametrize("kind", ["", "SecondaryCaptureDevice"])
def test_known_scanners(maker: str, model: str, name: str, millimetres: float, kind: str) -> None:
    dataset = header(**{f"{kind}Manufacturer": maker, f"{kind}ManufacturerModelName": model})
    scanner = known_scanner(dataset)
    assert scanner is not None
    assert (scanner.name, scanner.spacing_mm) == (name, millimetres)
    assert header_spacing(dataset).spacing is None  # its size says nothing
    dataset.Rows, dataset.Columns = round(240 / millimetres), round(180 / millimetres)
    assert header_spacing(dataset).spacing == Spacing(millimetres, millimetres, "scanner")
    dataset.Rows, dataset.Columns = 1024, 768  # resampled
    assert header_spacing(dataset).spacing is None


def test_other_devices_are_not_known() -> None:
    for maker, model in (
        ("GE MEDICAL SYSTEMS", "Discovery CT750"),
        ("SIEMENS", "Skyra"),
        ("HOLOGIC", "Horizon"),
        ("", ""),
    ):
        assert known_scanner(header(Manufacturer=maker, ManufacturerModelName=model)) is None
    assert all(scanner.source for scanner in SCANNERS)


def test_table_before_header_before_default() -> None:
    found = Spacing(0.1, 0.1, "imager")
    assert choose_spacing(found, 0.05, 0.04) == Spacing(0.05, 0.05, "table")
    assert choose_spacing(found, None, 0.04) == found
    assert choose_spacing(found, np.nan, 0.04) == found
    assert choose_spacing(None, pd.NA, 0.04) == Spacing(0.04, 0.04, "default")


@pytest.mark.parametrize("table", [None, np.nan, 0.0, -1.0, np.inf])
def test_no_spacing_excludes(table: float | None) -> None:
    with pytest.raises(ExcludedCase) as problem:
        choose_spacing(None, table, None)
    assert problem.value.reason == ImagingReason.NO_SPACING


def test_flags() -> None:
    def flags(found: HeaderSpacing, chosen: Spacing) -> list[str]:
        return [name for name, value in spacing_flags(found, chosen).items() if value]

    imager = Spacing(0.1, 0.1, "imager")
    assert flags(HeaderSpacing(imager), imager) == []
    assert flags(HeaderSpacing(), Spacing(0.05, 0.05, "table")) == []
    assert flags(HeaderSpacing(imager), Spacing(0.101, 0.101, "table")) == []
    assert flags(HeaderSpacing(imager), Spacing(0.05, 0.05, "table")) == ["flag_spacing_conflict"]
    assert flags(HeaderSpacing(imager, conflicting=True), imager) == ["flag_spacing_conflict"]
    assert flags(HeaderSpacing(implausible=True), Spacing(0.05, 0.05, "default")) == ["flag_spacing_implausible"]
    for table, found in ((50.0, ["flag_spacing_implausible"]), (0.05, []), (np.nan, []), (None, [])):
        default = Spacing(0.05, 0.05, "default")
        assert [name for name, value in spacing_flags(HeaderSpacing(), default, table).items() if value] == found
    oblong = Spacing(0.1, 0.2, "pixel")
    assert flags(HeaderSpacing(oblong), oblong) == ["flag_pixels_not_square"]


@given(
    spacing=st.floats(0.02, 0.9),
    magnification=st.floats(1.0, 4.0),
    size=st.floats(0.5, 30.0),
)
def test_a_length_in_the_breast_comes_back(spacing: float, magnification: float, size: float) -> None:
    """Similar triangles: what measures `size` in the breast covers `size * magnification / spacing` pixels."""
    found = header_spacing(
        header(ImagerPixelSpacing=[spacing] * 2, EstimatedRadiographicMagnificationFactor=magnification)
    )
    assert found.spacing is not None
    assert size * magnification / spacing * found.spacing.columns_mm == pytest.approx(size)


def unreadable(dataset: Dataset, keyword: str, value: bytes) -> Dataset:
    """Give an element a text that is no number, as a device with decimal commas writes it."""
    tag = Tag(keyword)
    dataset[tag] = RawDataElement(tag, "DS", len(value), value, 0, False, True)
    return dataset


@pytest.mark.parametrize("value", [b"1,8 ", b"1.8x", b"1.8\\2 ", b"\xff\xfe"])
@pytest.mark.parametrize(
    "keyword", ["EstimatedRadiographicMagnificationFactor", "DistanceSourceToDetector", "DistanceSourceToPatient"]
)
def test_a_magnification_that_is_no_number_is_marked(keyword: str, value: bytes) -> None:
    found = header_spacing(unreadable(header(ImagerPixelSpacing=[0.1, 0.1]), keyword, value))
    assert found == HeaderSpacing(Spacing(0.1, 0.1, "imager"), magnification_unusable=True)


@pytest.mark.parametrize("keyword", ["ImagerPixelSpacing", "PixelSpacing", "NominalScannedPixelSpacing"])
@pytest.mark.parametrize("value", [b"0,07\\0,07 ", b"0.07mm", b"\xff\xfe"])
def test_a_spacing_that_is_no_number_is_implausible(keyword: str, value: bytes) -> None:
    assert header_spacing(unreadable(header(), keyword, value)) == HeaderSpacing(implausible=True)


@pytest.mark.parametrize(
    ("chosen", "shape", "found"),
    [
        (Spacing(0.8, 0.8, "default"), (4096, 3328), True),  # the default belongs to reduced pictures
        (Spacing(7.0, 7.0, "table"), (256, 256), True),
        (Spacing(0.1, 0.2, "pixel"), (1000, 2600), True),
        (Spacing(0.8, 0.8, "default"), (256, 256), False),
        (Spacing(0.05, 0.05, "table"), (6000, 4000), False),
        (Spacing(0.1, 0.1, "imager"), (3000, 2400), False),
    ],
)
def test_a_film_longer_than_any_detector_is_flagged(chosen: Spacing, shape: tuple[int, int], found: bool) -> None:
    assert spacing_flags(HeaderSpacing(), chosen, None, shape)["flag_spacing_implausible"] is found
