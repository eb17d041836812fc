"""Refined maps: what may be done to a word's map so that it covers its object better. All of it optional and labelled.

In this order, each step only where it is asked for:

1. selection: steps, sites with weights, or single heads, other than the map's own; with `share`, divided by what all
   words of the prompt get at each patch together: start, end and padding, which take most of the attention and are
   read for what the whole prompt says, have no part in it then;
2. `floor`: the map's smallest value is taken off, at first and again after each step below. Every word gets a little
   attention everywhere;
3. `spread`: the map moves along the run's own self-attention, ``m <- keep m0 + (1 - keep) P m``, so many times, with
   `P` the row-stochastic matrix of the run (mean over heads, sites and steps), or, with `sharpen`, its entries raised
   to that power and its rows made to sum to 1 again. With ``keep=0`` these are the powers of the matrix;
4. `edges`: brought to the picture's pixels along its edges (`maps.edges`).

A refined map is no measurement of attention any more: its unit says so, and its aggregation what was done.

Settings that were tuned belong to the model that they were tuned on: a preset names it, and is refused elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import SelectionError, near_first
from diffuscope.maps.choosing import kept_text_sites
from diffuscope.maps.edges import along_edges
from diffuscope.maps.heatmap import UNIT, Heatmap
from diffuscope.maps.region_view import ask, kept_self_sites
from diffuscope.maps.resize import Size, resize
from diffuscope.maps.self_matrix import self_matrices
from diffuscope.maps.word_view import WordView
from diffuscope.selection import Selection

if TYPE_CHECKING:
    from diffuscope.recording import Recording, Site
    from diffuscope.run import Run

REFINED = f"refined {UNIT}"
GRAIN = 0.35
"""Share of the steps that ``late`` leaves out."""
PRESETS = Path(__file__).parent / "presets"
"""Presets that ship with the package, one JSON file each."""


class Mapped(Protocol):
    """What can be refined: a word, phrase, concept or region of a run."""

    run: Run

    @property
    def label(self) -> str: ...

    def map(self, steps: Any = None, sites: Any = None, heads: Any = None, *, size: Any = None) -> Heatmap:
        """Its map."""


@dataclass(frozen=True)
class Refinement:
    """How a map is refined. The default does nothing.

    Attributes:
        steps, sites: of the map, as in `Selection`; or ``late``, the kept steps after the first 35%, when the picture
            has its layout, and ``finest``, the sites of the finest grid: one rule for every model.
        weights: of its sites, as in `maps.weights`; empty for equal ones.
        heads: single heads in place of sites, ``{"cross:up.2.0": [2, 3]}``: the mean over these heads' maps.
        share: whether the map is the word's share of what all words of the prompt get, patch by patch.
        floor: whether the smallest value is taken off.
        spread: how often the map moves along self-attention.
        keep: share of the map itself in each of these moves, 0 to below 1.
        sharpen: power of the matrix's entries; 1 leaves it as it is.
        spread_steps, spread_sites: of self-attention; likewise.
        edges: reach of the guided filter as a share of the picture's longer side; 0 for none.
        softness: of the guided filter.
        model: the model that it was tuned on, by its id and the SHA-256 of its denoiser's weights; empty where nothing
            was tuned.
    """

    steps: str = "all"
    sites: str = "all"
    weights: str = ""
    heads: tuple[tuple[str, tuple[int, ...]], ...] = ()
    share: bool = False
    floor: bool = False
    spread: int = 0
    keep: float = 0.0
    sharpen: float = 1.0
    spread_steps: str = "all"
    spread_sites: str = "all"
    edges: float = 0.0
    softness: float = 1e-3
    model: str = ""

    def __post_init__(self) -> None:
        wrong = [
            name
            for name, good in (
                (
                    "spread",
                    isinstance(self.spread, int)
                    and not isinstance(self.spread, bool)
                    and 0 <= self.spread <= 100,
                ),
                ("keep", 0 <= self.keep < 1),
                ("sharpen", 0 < self.sharpen <= 100),
                ("edges", 0 <= self.edges <= 1),
                ("softness", 0 < self.softness < np.inf),
            )
            if not good
        ]
        if wrong:
            raise SelectionError(
                f"{wrong[0]}={getattr(self, wrong[0])!r} is out of range: spread is 0 to 100 times, keep 0 to below 1, "
                "sharpen above 0, edges 0 to 1, softness above 0"
            )
        pairs = self.heads.items() if isinstance(self.heads, Mapping) else self.heads
        object.__setattr__(
            self, "heads", tuple((str(site), tuple(int(head) for head in heads)) for site, heads in pairs)
        )

    def __str__(self) -> str:
        """What is done, in words; ``as it is`` where nothing is."""
        said = [
            f"{name} {getattr(self, name)}" for name in ("steps", "sites") if getattr(self, name) != "all"
        ]
        if self.weights:
            said.append(f"sites weighed {self.weights}")
        if self.heads:
            said.append(
                "heads " + " ".join(f"{site}:{'+'.join(map(str, heads))}" for site, heads in self.heads)
            )
        if self.share:
            said.append("share of what all words get")
        if self.floor:
            said.append("smallest value taken off")
        if self.spread:
            times = "once" if self.spread == 1 else f"{self.spread} times"
            sharp = f", entries to the power {self.sharpen:g}" if self.sharpen != 1 else ""
            kept = f", {self.keep:g} of the map kept" if self.keep else ""
            said.append(f"spread {times} by self-attention{sharp}{kept}")
        if self.edges:
            said.append(
                f"along the picture's edges (guided filter, reach {self.edges:g}, softness {self.softness:g})"
            )
        return "; ".join(said) or "as it is"

    def save(self, path: str | Path) -> Path:
        """Write it as JSON: a preset to keep, share, or ship."""
        path = Path(path)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        return path


UNTUNED: dict[str, Refinement] = {
    "floor": Refinement(floor=True),
    "spread": Refinement(floor=True, spread=1),
    "spread-sharp": Refinement(floor=True, spread=2, keep=0.5, sharpen=2.0),
    "edges": Refinement(floor=True, edges=1 / 8),
    "spread-edges": Refinement(floor=True, spread=2, keep=0.5, sharpen=2.0, edges=1 / 8),
    "object": Refinement(steps="late", sites="finest", floor=True, edges=1 / 4),
}
"""Refinements that any model may use: their few numbers are the same for all."""


def named(name: str | Path) -> Refinement:
    """A refinement by its name: one of `UNTUNED`, a preset that ships with the package, or a file that `save` wrote.

    Raises:
        SelectionError: there is none of that name, or the file is no preset.
    """
    if name in UNTUNED:
        return UNTUNED[str(name)]
    shipped = PRESETS / f"{name}.json"
    path = shipped if shipped.is_file() else Path(name)
    if not path.is_file():
        there = [*UNTUNED, *sorted(each.stem for each in PRESETS.glob("*.json"))]
        raise SelectionError(
            f"there is no refinement {str(name)!r}; there are: {', '.join(near_first(str(name), there))}"
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if set(values) - {field.name for field in fields(Refinement)}:
            raise ValueError("it holds other settings than a refinement has")
        return Refinement(**values)
    except (OSError, ValueError, TypeError) as error:
        raise SelectionError(f"{path} is no preset: {error}") from error


def model_of(recording: Recording) -> str:
    """What a preset names a run's model by: its id, and the SHA-256 of its denoiser's weights."""
    model = recording.manifest.model
    weights = [
        file.sha256
        for file in model.files
        if file.path.startswith(("unet/", "transformer/")) and "safetensors" in file.path
    ]
    return " ".join([model.id, *sorted(weights)])


def refined(view: Mapped, how: Refinement | str, *, size: Size | None = None) -> Heatmap:
    """A word's (phrase's, concept's, region's) map, refined.

    Args:
        view: what is mapped.
        how: a refinement, or the name of one.
        size: ``(height, width)`` of the result; None for the map's own, or the picture's where `edges` is asked for.

    Raises:
        SelectionError: it was tuned on another model, there is none of that name, or what it selects is not there.
        NotKeptError: it needs self-attention, single heads or the picture, and the run has none.
    """
    chosen = named(how) if isinstance(how, str) else how
    run = view.run
    if chosen.model and chosen.model != model_of(run.recording):
        raise SelectionError(
            f"this refinement was tuned on the model {chosen.model.split(' ')[0]!r} and belongs to it "
            f"alone; this run was drawn by {run.manifest.model.id!r}"
            + (" with other weights" if run.manifest.model.id == chosen.model.split(" ")[0] else "")
        )
    exact = _resolved(run, chosen)
    base = _base(view, exact)
    plane = base.array.astype(np.float64)
    if chosen.share:
        plane = _shared(view, plane, exact)

    def floored(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values - values.min() if chosen.floor else values

    plane = floored(plane)
    if chosen.spread:
        plane = floored(_spread(run, plane, exact))
    if chosen.edges:
        plane = floored(along_edges(plane, run.image, chosen.edges, chosen.softness))
    if size is not None:
        plane = resize(plane, size)
    return replace(
        base,
        array=plane.astype(np.float32),
        unit=base.unit if chosen == Refinement() else REFINED,
        aggregation=f"{base.aggregation} Refined: {chosen}." if chosen != Refinement() else base.aggregation,
    )


def _resolved(run: Run, how: Refinement) -> Refinement:
    """The refinement with steps and sites of this run for ``late`` and ``finest``."""
    late = late_steps(run)
    return replace(
        how,
        steps=late if how.steps == "late" else how.steps,
        sites=finest_words(run) if how.sites == "finest" else how.sites,
        spread_steps=late if how.spread_steps == "late" else how.spread_steps,
        spread_sites=finest_self(run) if how.spread and how.spread_sites == "finest" else how.spread_sites,
    )


def late_steps(run: Run) -> str:
    """The late ones of the steps whose attention was kept, as `Selection.steps`."""
    kept = run.recording.attended_steps
    late = kept[round(GRAIN * len(kept)) :]
    if not late:
        return "all"
    together = late[-1] - late[0] == len(late) - 1
    return f"{late[0]}:{late[-1] + 1}" if together else ",".join(map(str, late))


def finest_words(run: Run) -> str:
    """Sites with words whose grid is the finest, as `Selection.sites`."""
    return _finest(kept_text_sites(run.recording))


def finest_self(run: Run) -> str:
    """Self-attention sites whose grid is the finest, as `Selection.sites`. Raises NotKeptError where none was kept."""
    return _finest(kept_self_sites(run.recording))


def _finest(sites: Sequence[Site]) -> str:
    most = max(site.grid[0] * site.grid[1] for site in sites)
    return ",".join(site.name for site in sites if site.grid[0] * site.grid[1] == most)


def _base(view: Mapped, how: Refinement) -> Heatmap:
    if not how.heads:
        options: dict[str, Any] = {"weights": how.weights} if how.weights else {}
        return view.map(how.steps, how.sites, None, **options)
    maps = [(view.map(how.steps, site, list(heads)), len(heads)) for site, heads in how.heads]
    total = sum(each.array.astype(np.float64) * count for each, count in maps) / sum(
        count for _, count in maps
    )
    first = maps[0][0]
    chosen = Selection.of(how.steps, [site for site, _ in how.heads])
    return replace(
        first,
        array=np.asarray(total, np.float32),
        selection=replace(first.selection, sites=chosen.sites, heads="all"),
        aggregation=f"Mean over {sum(count for _, count in maps)} heads of {len(maps)} sites, then over steps.",
    )


def _shared(view: Mapped, plane: NDArray[np.float64], how: Refinement) -> NDArray[np.float64]:
    """The plane over that of all words together; 0 where they get nothing.

    Raises:
        SelectionError: what is mapped is no word of the prompt.
    """
    if not isinstance(view, WordView) or not view.term.words:
        raise SelectionError(
            f"only words of the prompt have a share of what its words get, and {view.label!r} is none"
        )
    whole = view.run.phrase([word.label for word in view.run.words])
    if set(whole.tokens) <= set(view.tokens):
        raise SelectionError(
            f"{view.label!r} is the whole prompt: there is no other word that it could share with"
        )
    total = _base(whole, how).array.astype(np.float64)
    return np.divide(plane, total, out=np.zeros_like(plane), where=total > 0)


def _spread(run: Run, plane: NDArray[np.float64], how: Refinement) -> NDArray[np.float64]:
    asked = ask(run.recording, None, how.spread_steps, how.spread_sites, None)
    size = (plane.shape[0], plane.shape[1])
    matrices = self_matrices(run._self_attention, asked)
    if how.sharpen == 1:
        # Grid by grid: the common matrix is not needed.
        def move(values: NDArray[np.float64]) -> NDArray[np.float64]:
            return matrices.apply(values)

    else:
        table = matrices.on(size) ** how.sharpen
        table /= table.sum(axis=1, keepdims=True)

        def move(values: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray((table @ values.ravel()).reshape(size))

    out = plane
    for _ in range(how.spread):
        out = how.keep * plane + (1 - how.keep) * move(out)
    return out
