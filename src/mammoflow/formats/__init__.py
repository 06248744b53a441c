"""File formats: DICOM, its codecs, contour files, and reading them in a process of their own."""
