"""diffuscope: see what a text-to-image diffusion model looks at while it draws.

    import diffuscope as ds

    lens = ds.Lens.load("scenes")
    run = lens.record("a red circle left of a blue square", seed=7)
    run.word("circle").map().save("circle.png")

Names are loaded when first used, so that importing the package is quick and works without torch: only `Lens` and
`capture` need the extra ``diffuscope[models]``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from diffuscope import errors

if TYPE_CHECKING:
    from diffuscope.analysis.comparing import compare
    from diffuscope.engine.capturing import capture
    from diffuscope.engine.lens import Lens
    from diffuscope.figures.compare import write_comparison
    from diffuscope.figures.report import write_report
    from diffuscope.maps.heatmap import Heatmap, HeatmapSeries
    from diffuscope.recording.reader import Recording
    from diffuscope.run import Run, annotate, open
    from diffuscope.selection import Selection

__version__ = "0.1.0"

__all__ = [
    "Heatmap",
    "HeatmapSeries",
    "Lens",
    "Recording",
    "Run",
    "Selection",
    "__version__",
    "annotate",
    "capture",
    "compare",
    "errors",
    "open",
    "write_comparison",
    "write_report",
]

_HOME = {
    "annotate": "diffuscope.run",
    "capture": "diffuscope.engine.capturing",
    "compare": "diffuscope.analysis.comparing",
    "Heatmap": "diffuscope.maps.heatmap",
    "HeatmapSeries": "diffuscope.maps.heatmap",
    "Lens": "diffuscope.engine.lens",
    "Recording": "diffuscope.recording.reader",
    "Run": "diffuscope.run",
    "Selection": "diffuscope.selection",
    "open": "diffuscope.run",
    "write_comparison": "diffuscope.figures.compare",
    "write_report": "diffuscope.figures.report",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its home on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'diffuscope' has no attribute {name!r}")
    try:
        value = getattr(import_module(_HOME[name]), name)
    except ModuleNotFoundError as error:
        if name in ("Lens", "capture") and error.name in {"torch", "diffusers", "transformers"}:
            raise errors.MissingExtraError(name) from error
        raise
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
