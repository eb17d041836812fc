"""The objects of a run as its report shows them: outlines over the picture, a switch for each category."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffuscope.datasets.polygons import rings
from diffuscope.errors import DiffuscopeError
from diffuscope.figures.objects import colours_of

if TYPE_CHECKING:
    from diffuscope.run import Run


def objects_data(run: Run) -> dict[str, Any] | None:
    """What templates/js/objects.js shows: each object's outline as an SVG path in pixels, holes included; None
    where nothing can be shown (a prompt without objects, a run without what the chain needs, the extra not
    installed)."""
    try:
        found = run.objects()
    except DiffuscopeError:
        return None
    if not len(found):
        return None
    colours = colours_of(each.category for each in found)
    return {
        "chain": str(found.chain),
        "reader": found.reading.reader,
        "colours": {
            name: "#" + "".join(f"{value:02x}" for value in colour) for name, colour in colours.items()
        },
        "found": [
            {
                "category": each.category,
                "text": each.text,
                "box": list(each.box),
                "share": float(f"{each.area / each.mask.size:.4g}"),
                "score": float(f"{each.score:.4g}"),
                "path": "".join(
                    "M" + "L".join(f"{x} {y}" for x, y in ring) + "Z" for ring in rings(each.mask)
                ),
            }
            for each in found
        ],
    }
