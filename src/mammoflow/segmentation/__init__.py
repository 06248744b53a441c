"""Prompts, promptable models behind one protocol, refinement, overlap scores."""
