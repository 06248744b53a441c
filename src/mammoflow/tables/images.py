"""Tables of the image stage: canonical images and the lesions on them."""

from __future__ import annotations

import pandera.pandas as pa

from mammoflow.tables.cohort import IMAGES, LESIONS
from mammoflow.tables.columns import flag, integer, number, text

FULLY_ANNOTATED = "fully_annotated"
"""Column of the tables of images that says whether all lesions of an image are known; without it they are."""

IN_PIXELS = "pixels"
"""Value of `spacing_origin` of an image whose spacing is unknown and whose lengths are in pixels."""

LABELLED = "labelled"
"""Column that says whether an image takes part in figures: it has a lesion of known malignancy, or none at all."""

STAYS = "stays_without_lesions"
"""Column of the cohort's images that the images stage alone reads, so naming classes changes no later table."""

# One row per image that later stages can use. Files are relative to the shard's folder.
CANONICAL_IMAGES = pa.DataFrameSchema(
    {
        **{name: column for name, column in IMAGES.columns.items() if name != STAYS},
        # Pixels of the picture in its file; the film's are other ones where those are not square.
        "stored_height": integer(1, 100000, required=False),
        "stored_width": integer(1, 100000, required=False),
        "film_height": integer(1, 100000),
        "film_width": integer(1, 100000),
        "film_spacing_mm": number(nullable=False, above=0),
        "height": integer(1, 100000),  # canonical pixels
        "width": integer(1, 100000),
        "row_spacing_mm": number(nullable=False, above=0),  # canonical
        "column_spacing_mm": number(nullable=False, above=0),
        "image_file": text(),  # 16-bit grey PNG, (height, width); dark is background
        "breast_file": text(),  # 8-bit PNG {0, 255}
        "breast_area_mm2": number(),
        "digest": text(),  # SHA-256 of shape and grey levels of the canonical image
        # With images.colour: keep; null where the colours of the picture do not differ.
        "colour_file": text(nullable=True, required=False),  # 8-bit RGB PNG, (height, width, 3)
        "colour_digest": text(nullable=True, required=False),  # SHA-256 of shape and levels of the colour picture
        # The pectoral muscle; null where the view shows none or none is clear.
        "pectoral_file": text(nullable=True, required=False),  # 8-bit PNG {0, 255}, (height, width)
        "pectoral_share": number(required=False),  # of the breast region's area
        "pectoral_angle_deg": number(required=False),  # between its edge, as a straight line, and the chest wall
        "pectoral_top_mm": number(required=False),  # where that line meets the upper edge, from the corner
        "pectoral_side_mm": number(required=False),  # and the chest wall
        "pectoral_contrast": number(required=False),  # brighter than its surroundings, of the breast's range of levels
        # What the file's header says; every run of the images stage writes these.
        "presentation": text(choices=("presentation", "processing", "unknown"), required=False),
        "voi": text(required=False),  # VOI transformation in the grey levels: "none", "window 1 of 2", "lut 1 of 1"
        "scanner": text(nullable=True, required=False),  # device, where it is a known one
        "modality": text(required=False),  # of the DICOM header: CT, MR, MG, ...; "" where unknown
        "orientation": text(required=False),  # plane of a slice: axial, coronal, sagittal, oblique; "" where unknown
        "magnification": number(above=0, required=False),  # of the breast in the detector's plane; null: not said
        "laterality_header": text(choices=("L", "R", ""), required=False),
        "laterality_image": text(choices=("L", "R", ""), required=False),  # where the breast lies; "" where unclear
        "view_header": text(required=False),
        "flag_for_processing": flag(required=False),
        "flag_laterality_conflict": flag(required=False),  # case table, header and image do not agree
        "flag_view_conflict": flag(required=False),  # case table and header do not agree
        "flag_spacing_conflict": flag(required=False),  # elements of the header disagree, or with the spacing taken
        "flag_spacing_implausible": flag(required=False),  # header or table has a spacing that cannot be
        "flag_pixels_not_square": flag(required=False),
        "flag_photometric_conflict": flag(required=False),  # MONOCHROME2 with INVERSE, or MONOCHROME1 with IDENTITY
        "flag_lossy_compression": flag(required=False),
        "flag_pixels_conflict": flag(required=False),  # header and pixels disagree: bits, sign, order or amount
        "flag_rescale_unusable": flag(required=False),  # Rescale Slope or Intercept is no number, or the slope is 0
        "flag_magnification_unusable": flag(required=False),  # stated, but no number from 1 to 4
        "flag_transfer_syntax_missing": flag(required=False),  # the file does not say how it is encoded
        "flag_picture_turned": flag(required=False),  # the orientation in a picture file was applied
        "flag_few_grey_levels": flag(required=False),  # at most 16, as a mask or a drawing has
        "flag_polarity_implausible": flag(required=False),  # the background looks brighter than the tissue
    },
    unique=["image_id"],
    name="canonical images",
)


# One row per lesion that later stages can use.
CANONICAL_LESIONS = pa.DataFrameSchema(
    {
        **LESIONS.columns,
        "mask_file": text(nullable=True),  # canonical grid, 8-bit PNG {0, 255}; null for a study of boxes
        "y0": number(nullable=False),  # half-open reference box in canonical pixels
        "x0": number(nullable=False),
        "y1": number(nullable=False),
        "x1": number(nullable=False),
        "area_mm2": number(),
        "diameter_mm": number(),  # longest diameter of the reference mask, or of the box
        "patch_file": text(),  # 16-bit PNG at patch spacing, centred on the box; outside the film is 0
        "patch_breast_file": text(),  # 8-bit PNG {0, 255} on the patch grid; outside the film is 0
        "patch_mask_file": text(nullable=True),  # reference mask on the patch grid
        "patch_spacing_mm": number(nullable=False, above=0),
        "patch_y0": number(nullable=False),  # top left corner of the patch in canonical pixels, may be negative
        "patch_x0": number(nullable=False),
        # SHA-256 of the patch and, where there is one, of the reference mask: a table is equal where its pictures are.
        "digest": text(required=False),
        "breast_share": number(required=False),  # of the mask or box that lies in the breast region
        "flag_outside_breast": flag(required=False),  # less than half of it
        "flag_mask_mirrored": flag(required=False),  # it is outside, and its mirror image is inside
        "flag_mask_rescaled": flag(required=False),  # its file has another size than the film's
        "flag_mask_scattered": flag(required=False),  # its pieces lie far apart
        "flag_mask_tiny": flag(required=False),  # fewer than 4 pixels of the film
        "flag_mask_hollow": flag(required=False),  # it covers less than half of what its outline encloses
        "flag_fills_breast": flag(required=False),  # it covers more than half of the breast region
        "flag_box_clipped": flag(required=False),  # the box or contour reached beyond the film
        "flag_box_differs": flag(required=False),  # the case table's box is elsewhere than its mask
    },
    unique=["lesion_id"],
    name="canonical lesions",
)
