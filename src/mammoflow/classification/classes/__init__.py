"""Classifiers that tell several classes of whole images apart."""
