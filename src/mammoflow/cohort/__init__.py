"""Readers of studies, the phantom cohort, audit and patient-safe splits."""
