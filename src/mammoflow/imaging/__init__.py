"""DICOM and other files to canonical images, breast region, physical geometry."""
