"""The chain from maps to masks, each stage a named option, and TITAN's own chain beside it.

1. `map`: the noun phrase's map, the head noun's, or DAAM's of the head noun; `steps`, `sites`, `heads` of it;
2. `refine`: a refinement of `maps.refinement`, by name; none by default;
3. min-max, then `blur`;
4. `threshold`: Otsu's, adaptive, or a fixed share of the largest value;
5. `guided`: the mask found so far is asked of self-attention, its pixels weighed by the map: who looks at it? That
map goes
   through 3 and 4 again;
6. `overlap`: what pixels that several words claim become;
7. connected components, `specks` dropped, holes kept unless `fill`;
8. `merge`: fragments whose boxes overlap are one;
9. `instances`: as many as the prompt says ("two cats"), or every part one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from diffuscope.analysis.objects.masks import checked_share
from diffuscope.errors import InputError, near_first

MAPS = ("phrase", "word", "daam")
OVERLAPS = ("argmax", "smaller", "keep")
INSTANCES = ("count", "parts", "one")


@dataclass(frozen=True)
class Chain:
    """How maps become masks.

    Attributes:
        map: ``phrase`` (adjectives and nouns together), ``word`` (the nouns), or ``daam`` (DAAM's map of the
            nouns).
        steps: as in `Selection`, or ``late``: the last 65%, when the picture has its layout.
        sites: as in `Selection`, or ``finest``: those with words whose grid is the finest.
        heads: as in `Selection`.
        refine: name of a refinement (``edges``, ``spread-edges``, a preset), or empty. It is asked of the same
            steps and sites; a preset that was tuned keeps its own.
        guided: whether self-attention is asked for what the first mask belongs to. Needs ``qk``.
        blur: sigma as a share of the picture's longer side.
        threshold: ``otsu``, ``adaptive``, or a share, 0 to below 1, of the largest value.
        fill: whether holes are filled.
        specks: parts below this share of the largest are dropped.
        merge: parts whose boxes share this part of the smaller one's area are fragments of one thing; 0 merges
        none. instances: ``count`` (as many as the prompt says, where it does), ``parts`` (each part one), ``one``.
        overlap: ``argmax`` (to the largest min-max map), ``smaller`` (to the smallest mask), ``keep``.
        reader: of prompts; see `prompts_tagging`.
        auto: begin with the chain that was settled for the run's own model, where there is one (`PRESETS`), else
            with the default; what differs from the default here is changed in it.
    """

    map: str = "phrase"
    steps: str = "all"
    sites: str = "all"
    heads: str = "all"
    refine: str = ""
    guided: bool = False
    blur: float = 0.0
    threshold: str | float = "otsu"
    fill: bool = False
    specks: float = 0.1
    merge: float = 0.5
    instances: str = "count"
    overlap: str = "argmax"
    reader: str = "auto"
    auto: bool = False

    def __post_init__(self) -> None:
        """Raises InputError for what cannot be."""
        for name, there in (("map", MAPS), ("overlap", OVERLAPS), ("instances", INSTANCES)):
            if getattr(self, name) not in there:
                raise InputError(
                    f"{name}={getattr(self, name)!r} is unknown; it is one of {', '.join(there)}"
                )
        for name in ("blur", "specks", "merge"):
            checked_share(name, getattr(self, name))
        object.__setattr__(self, "threshold", _threshold(self.threshold))

    def __str__(self) -> str:
        """What differs from the default, ``name=value``; ``default`` where nothing does."""
        own = [
            f"{field.name}={getattr(self, field.name)}"
            for field in fields(self)
            if getattr(self, field.name) != field.default
        ]
        return " ".join(own) or "default"

    def resolved(self, model: str) -> Chain:
        """The chain for runs of a model, by its id: itself, unless it is ``auto``."""
        if not self.auto:
            return self
        own = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default and field.name != "auto"
        }
        return Chain(**{**PRESETS.get(model, Chain()).plain(), **own})

    def plain(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, given: Chain | str | Mapping[str, Any] | None = None, **changes: Any) -> Chain:
        """A chain from one, from a name of `CHAINS`, from its plain values, or ``auto``, with changes.

        Raises:
            InputError: there is none of that name, or no such option.
        """
        if isinstance(given, str):
            if given not in CHAINS:
                raise InputError(
                    f"there is no chain {given!r}; there are: {', '.join(near_first(given, list(CHAINS)))}"
                )
            given = CHAINS[given]
        given = CHAINS["auto"] if given is None else given
        values = given.plain() if isinstance(given, Chain) else dict(given)
        values |= changes
        known = {field.name for field in fields(cls)}
        for name in values:
            if name not in known:
                there = ", ".join(near_first(name, sorted(known)))
                raise InputError(f"a chain has no option {name!r}; its options: {there}")
        return cls(**values)


def _threshold(given: str | float) -> str | float:
    if isinstance(given, str):
        if given in ("otsu", "adaptive"):
            return given
        try:
            given = float(given)
        except ValueError:
            raise InputError(
                f"threshold={given!r} is unknown; it is 'otsu', 'adaptive', or a share from 0 to below 1"
            ) from None
    if isinstance(given, bool) or not 0 <= float(given) < 1:
        raise InputError(f"threshold={given!r} is out of range; a share is from 0 to below 1")
    return float(given)


TITAN = Chain(
    map="daam",
    blur=1.1 / 512,
    threshold="otsu",
    fill=True,
    specks=1 / 30,
    merge=0.5,
    instances="parts",
    overlap="keep",
)
"""TITAN's chain (github.com/RishiDarkDevil/TITAN, `annotate_objects.py` and its defaults), on DAAM's map of the
noun: a 5x5 blur (sigma 1.1 at 512 pixels), Otsu, outer contours, parts below 1/30 of the largest dropped, boxes
merged from an overlap of 0.5 on, every part an annotation, words on top of one another. Its area counts what was
dropped as well; here it is that of the mask."""

SCENES = Chain(map="word", steps="late", sites="finest", refine="edges", threshold=0.5)
"""For the drawn world's model: map, steps, sites, refinement and threshold were settled on 40 pictures of prompts of
the training side. Not for other models: there the finest grid need not be the best."""

PRESETS: dict[str, Chain] = {"scenes": SCENES}
"""Chains that were settled on one model, by its id."""

CHAINS: dict[str, Chain] = {
    "auto": Chain(auto=True),
    "default": Chain(),
    "scenes": SCENES,
    "edges": Chain(refine="edges"),
    "guided": Chain(guided=True),
    "titan": TITAN,
}
"""Chains that are known by name."""
