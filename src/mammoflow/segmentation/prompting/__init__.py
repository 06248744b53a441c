"""Prompts for promptable models: boxes and points from references, readers and other models."""
