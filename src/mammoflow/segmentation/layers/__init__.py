"""Layers that several segmentation networks share."""
