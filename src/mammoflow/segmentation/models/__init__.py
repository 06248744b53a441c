"""Segmentation models: a module says which architectures it builds, and builds them."""
