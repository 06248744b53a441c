"""Mask against crop by content."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mammoflow.cohort.mask_content import has_shape_of, resolve_mask
from mammoflow.errors import ExcludedCase
from mammoflow.reasons.files import FileReason
from mammoflow.reasons.lesions import LesionReason


@pytest.mark.parametrize("names", [("000000.dcm", "000001.dcm"), ("000001.dcm", "000000.dcm")])
def test_mask_is_found_whatever_it_is_called(download, tmp_path, names):
    mask = download.write_dicom(tmp_path / names[0], download.mask_pixels((60, 40)))
    crop = download.write_dicom(tmp_path / names[1], download.film_pixels((20, 15)))
    for candidates in ([mask, crop], [crop, mask]):
        found = resolve_mask(candidates, 60, 40)
        assert (found.mask, found.crop) == (mask, crop)


def test_a_crop_of_the_films_proportions_is_still_a_crop(download, tmp_path):
    crop = download.write_dicom(tmp_path / "a.dcm", download.film_pixels((30, 20)))
    mask = download.write_dicom(tmp_path / "b.dcm", download.mask_pixels((60, 40)))
    assert resolve_mask([crop, mask], 60, 40).mask == mask


def test_an_evenly_scaled_mask_is_taken_and_an_exact_one_before_it(download, tmp_path):
    scaled = download.write_dicom(tmp_path / "a.dcm", download.mask_pixels((870, 435)))
    exact = download.write_dicom(tmp_path / "b.dcm", download.mask_pixels((1000, 500)))
    assert resolve_mask([scaled], 1000, 500).mask == scaled
    assert resolve_mask([scaled, exact], 1000, 500).mask == exact


def test_a_mask_of_another_shape_is_named_as_such(download, tmp_path):
    mask = download.write_dicom(tmp_path / "a.dcm", download.mask_pixels((60, 44)))
    crop = download.write_dicom(tmp_path / "b.dcm", download.film_pixels((20, 15)))
    with pytest.raises(ExcludedCase, match="60 x 44") as error:
        resolve_mask([crop, mask], 60, 40)
    assert error.value.reason is LesionReason.MASK_SHAPE


def test_two_crops_are_no_mask(download, tmp_path):
    crops = [download.write_dicom(tmp_path / f"{n}.dcm", download.film_pixels((20 + n, 15))) for n in range(2)]
    with pytest.raises(ExcludedCase) as error:
        resolve_mask(crops, 60, 40)
    assert error.value.reason is LesionReason.MASK_NOT_FOUND


def test_a_damaged_file_is_the_reason_where_no_mask_is_left(download, tmp_path):
    crop = download.write_dicom(tmp_path / "a.dcm", download.film_pixels((20, 15)))
    mask = download.write_dicom(tmp_path / "b.dcm", download.mask_pixels((60, 40)))
    mask.write_bytes(mask.read_bytes()[:-500])
    with pytest.raises(ExcludedCase) as error:
        resolve_mask([crop, mask], 60, 40)
    assert error.value.reason is FileReason.TRUNCATED


def test_levels_between_the_two_are_seen(download, tmp_path):
    pixels = download.mask_pixels((600, 400))
    pixels[::2, 7] = 128
    crop = download.write_dicom(tmp_path / "a.dcm", pixels)
    with pytest.raises(ExcludedCase) as error:
        resolve_mask([crop], 600, 400)
    assert error.value.reason is LesionReason.MASK_NOT_FOUND


@given(rows=st.integers(200, 6000), columns=st.integers(200, 6000), scale=st.floats(0.5, 2), stretch=st.floats(1.03, 2))
def test_one_scale_fits_and_two_do_not(rows, columns, scale, stretch):
    scaled = round(rows * scale), round(columns * scale)
    assert has_shape_of(scaled, (rows, columns))
    assert not has_shape_of((scaled[0], round(scaled[1] * stretch)), (rows, columns))


def test_the_real_crops_that_lie_in_mask_folders_are_no_masks(real_data):
    crops = sorted((real_data / "cbis-ddsm" / "dicom").rglob("*.dcm"))
    assert len(crops) == 2
    with pytest.raises(ExcludedCase) as error:
        resolve_mask(crops, 4144, 2600)
    assert error.value.reason is LesionReason.MASK_NOT_FOUND
    assert np.all([crop.parent.name.find("ROI mask images") > 0 for crop in crops])
