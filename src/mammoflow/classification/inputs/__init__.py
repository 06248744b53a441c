"""Inputs of the classifiers: each module is one way to show a lesion to a network."""
