"""DICOM objects for viewers and archives: segmentations and measurement reports that refer to their film."""
