"""How every noun is drawn.

Coordinates run from -1 to 1, x to the right, y down, and are scaled by a thing's radius. A shape is a list of layers,
painted in order; see `shapes_outline`.
"""

from __future__ import annotations

from diffuscope.scenes import shapes_animals, shapes_built, shapes_forms, shapes_still_life
from diffuscope.scenes.shapes_outline import Layer, Polygon, Shape

__all__ = ["SHAPES", "Layer", "Polygon", "Shape"]

SHAPES: dict[str, Shape] = {
    **shapes_forms.SHAPES,
    **shapes_built.SHAPES,
    **shapes_animals.SHAPES,
    **shapes_still_life.SHAPES,
}
"""Noun and its drawing."""
