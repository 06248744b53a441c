"""The networks of the package segment-anything, without its top level.

The top level of the package imports torchvision, which takes several seconds, for programs that mammoflow does not use.
Python runs the top level of a package before it imports a module of it. So this module registers the package without
running its top level, imports what it needs, and removes the registration. A later `import segment_anything` runs the
top level as usual and finds the same classes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec


@contextmanager
def _without_top_level(package: str) -> Iterator[None]:
    """Let modules of a package be imported, and leave its top level for a later import."""
    spec = None if package in sys.modules else find_spec(package)
    if spec is None:  # the top level has run already, or the package is missing and its import says so
        yield
        return
    sys.modules[package] = module_from_spec(spec)
    try:
        yield
    finally:
        del sys.modules[package]


with _without_top_level("segment_anything"):
    from segment_anything.build_sam import sam_model_registry
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
    from segment_anything.modeling.image_encoder import Attention as EncoderAttention
    from segment_anything.modeling.image_encoder import get_rel_pos
    from segment_anything.modeling.transformer import Attention, TwoWayAttentionBlock

__all__ = [
    "Attention",
    "EncoderAttention",
    "ImageEncoderViT",
    "MaskDecoder",
    "PromptEncoder",
    "Sam",
    "TwoWayAttentionBlock",
    "TwoWayTransformer",
    "get_rel_pos",
    "sam_model_registry",
]
