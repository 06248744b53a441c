"""Coded words of the objects, from DICOM's context groups (PS3.16) by pydicom's dictionary.

They name what an object says, not what it means for a patient: the type of the finding, where it is, which view shows
it, what was measured.
"""

from __future__ import annotations

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

FINDINGS: dict[str, Code] = {
    "mass": codes.SCT.MammographicBreastMass,  # CID 6054, Breast Imaging Finding
    "calcification": codes.SCT.CalcificationOfBreast,  # CID 6054
    "unknown": codes.SCT.Lesion,
}
ABNORMAL = codes.SCT.MorphologicallyAbnormalStructure  # CID 7150, Segmentation Property Category
BREAST = codes.SCT.Breast  # CID 4013, Anatomic Region for Mammography
SIDES: dict[str, Code] = {"L": codes.SCT.Left, "R": codes.SCT.Right}  # CID 244
PROCEDURES: dict[str, Code] = {  # CID 6050, Breast Procedure Reported
    "L": codes.LN.BreastLeftMammogram,
    "R": codes.LN.BreastRightMammogram,
    "": codes.LN.BreastUnilateralMammogram,
}
RADIOGRAPHS = ("MG", "CR", "DX", "OT")
"""Modalities of mammograms; scanned films have OT."""

IMAGING_PROCEDURE = codes.SCT.ImagingProcedure  # CID 100, Quantitative Diagnostic Imaging Procedure
VIEWS: dict[str, Code] = {  # CID 4014, View for Mammography
    "CC": codes.SCT.CranioCaudal,
    "MLO": codes.SCT.MedioLateralObliqueProjection,
    "ML": codes.SCT.MedioLateralProjection,
    "LM": codes.SCT.LateroMedial,
    "LMO": codes.SCT.LateroMedialOblique,
    "XCC": codes.SCT.CranioCaudal,
    "XCCL": codes.SCT.CranioCaudalExaggeratedLaterally,
    "XCCM": codes.SCT.CranioCaudalExaggeratedMedially,
    "FB": codes.SCT.CaudoCranial,
    "SIO": codes.SCT.SuperolateralToInferomedialOblique,
    "ISO": codes.SCT.InferomedialToSuperolateralOblique,
}
AREA = codes.SCT.Area  # CID 7471
LONGEST_DIAMETER = codes.SCT.LongAxis  # CID 7470
PROBABILITY = codes.DCM.ProbabilityOfCancer  # CID 6048
SQUARE_MILLIMETRE, MILLIMETRE, PERCENT = codes.UCUM.SquareMillimeter, codes.UCUM.Millimeter, codes.UCUM.Percent
ARTIFICIAL_INTELLIGENCE = codes.DCM.ArtificialIntelligence  # CID 7162
DEVICE = codes.DCM.Device
IMAGING_MEASUREMENT_REPORT = codes.DCM.ImagingMeasurementReport
IMAGE_LIBRARY, IMAGE_LATERALITY, IMAGE_VIEW = codes.DCM.ImageLibrary, codes.DCM.ImageLaterality, codes.DCM.ImageView
HORIZONTAL_SPACING, VERTICAL_SPACING = codes.DCM.HorizontalPixelSpacing, codes.DCM.VerticalPixelSpacing
