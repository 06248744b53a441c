"""Segmentation without prompts: training of automatic models, their probability maps, and what they find."""
