"""The vision experts: what one is (base.py), how one is found by name (registry.py), the kinds."""

from openmova.experts.base import Expert, crop, normalize, resize, square, square_view
from openmova.experts.registry import KINDS, build_expert, known_kinds

__all__ = [
    "KINDS",
    "Expert",
    "build_expert",
    "crop",
    "known_kinds",
    "normalize",
    "resize",
    "square",
    "square_view",
]
