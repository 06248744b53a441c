"""Mutated DICOM files against the image stage: what a damaged or hostile file may do, tried ten thousand times."""
