"""Trainers: ways to learn from labelled and unlabelled batches, found by their file name."""
