"""Losses of automatic segmentation: a module says how far logits are from reference masks."""
