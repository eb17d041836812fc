"""Selection: these steps, these sites, these heads, this word or region, as one small value with one text
form.

    steps=0:10 sites=cross:up.* heads=3,5 word=circle#2

The Python API takes it, the command line takes it, edits are aimed with it, and a sentence that cites it can
be recomputed. Every field holds a *normal form*: two selections that mean the same are equal, hash alike and
read alike, and `Selection.parse(str(selection)) == selection` for every selection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Literal, SupportsIndex

from diffuscope.errors import SelectionError, listed, near_first
from diffuscope.ranges import ALL, Ranges

Choice = str | int | slice | range | Iterable[SupportsIndex] | None
"""Which steps or heads: ``7``, ``slice(0, 10)``, ``range(10)``, ``[0, 3]``, a text form, or None for all."""

SiteChoice = str | Iterable[str] | None
"""Which sites: a pattern, several joined by commas or in a list, or None for all."""

Kind = Literal["cross", "self", "joint"]


@dataclass(frozen=True)
class Selection:
    """Which part of a run is meant. Fields may be given in any spelling and are brought to normal form.

    Attributes:
        steps: ``all``, ``7``, ``0:10`` (end excluded), ``5:``, or such joined by commas: ``0,3,8:12``. Steps
            count from 0, the noisiest. Normal form: ascending, merged, without repetition.
        sites: ``all``, or patterns as of a shell (``*``, ``?``, ``[…]``; case matters) joined by commas.
            Normal form: sorted, without repetition.
        heads: as steps. Head numbers count within each site.
        word: label of a word or phrase of the prompt (``circle#2``), or None.
        region: ``pixel:x,y``, ``pixels:x,y;x,y``, ``range:x,y;x,y`` (first and last in reading order),
            ``box:x0,y0,x1,y1`` (inclusive), all in image pixels, origin top left; ``contour:x,y;x,y;x,y``
            (corners, holes after ``/``, further contours after ``|``); ``mask:<sha256>`` (a stored mask by the
            hash of its content); or None.
        concept: text that need not be in the prompt, or None.

    Raises:
        SelectionError: a field has no such form.
    """

    steps: str = ALL
    sites: str = ALL
    heads: str = ALL
    word: str | None = None
    region: str | None = None
    concept: str | None = None

    def __post_init__(self) -> None:
        for name, value in (
            ("steps", str(Ranges.of(self.steps, "steps"))),
            ("sites", ",".join(_patterns(self.sites)) or ALL),
            ("heads", str(Ranges.of(self.heads, "heads"))),
            ("word", _text("word", self.word)),
            ("region", None if self.region is None else _region(self.region)),
            ("concept", _text("concept", self.concept)),
        ):
            object.__setattr__(self, name, value)

    @classmethod
    def of(
        cls,
        steps: Choice = None,
        sites: SiteChoice = None,
        heads: Choice = None,
        word: str | None = None,
        region: str | None = None,
        concept: str | None = None,
    ) -> Selection:
        """A selection from whatever callers find natural to write; see `Choice`. None means all.

        Raises:
            SelectionError: a value has no such form (negative numbers, strides, empty lists, a bad pattern,
                …).
        """
        return cls(
            steps=str(Ranges.of(steps, "steps")),
            sites=",".join(_patterns(sites)) or ALL,
            heads=str(Ranges.of(heads, "heads")),
            word=word,
            region=region,
            concept=concept,
        )

    @classmethod
    def parse(cls, text: str) -> Selection:
        """Read the text form: ``key=value`` pairs apart by blanks; a value with blanks or quotes stands in
        double quotes, with ``\\"`` and ``\\\\`` inside. ``all``, or nothing at all, selects everything.

        Raises:
            SelectionError: the text is not of this form.
        """
        if text.strip() in ("", ALL):
            return cls()
        values: dict[str, str] = {}
        at = 0
        while at < len(text):
            match = _PAIR.match(text, at)
            if match is None or not match["key"]:
                if text[at:].strip():
                    raise SelectionError(f"bad selection {text!r} from {text[at:].strip()!r}; {_FORM}")
                break
            key, value = match["key"], match["bare"]
            if match["quoted"] is not None:
                value = re.sub(r"\\(.)", r"\1", match["quoted"], flags=re.DOTALL)
            if key not in _KEYS:
                raise SelectionError(
                    f"a selection has no {key!r}; it has: {', '.join(near_first(key, _KEYS))}"
                )
            if key in values:
                raise SelectionError(f"{key} stands twice in {text!r}; join what it lists with commas")
            values[key] = value
            at = match.end()
        return cls(**values)

    def __str__(self) -> str:
        named = [(name, getattr(self, name)) for name in _KEYS]
        pairs = [
            f"{name}={_quoted(value)}"
            for name, value in named
            if value is not None and value != _DEFAULTS[name]
        ]
        return " ".join(pairs) or ALL

    def resolve_steps(self, n: int) -> tuple[int, ...]:
        """Step indices, ascending, of a run with steps 0 to n - 1.

        Raises:
            SelectionError: there are no steps, or a step beyond the last is named.
        """
        return Ranges.of(self.steps, "steps").resolve(n, "step", "the run")

    def resolve_heads(self, n: int, site: str) -> tuple[int, ...]:
        """Head indices, ascending, of a site with heads 0 to n - 1.

        Raises:
            SelectionError: the site has no head of a number named.
        """
        return Ranges.of(self.heads, "heads").resolve(n, "head", site)

    def resolve_sites(self, names: Sequence[str], kind: Kind | None = None) -> tuple[str, ...]:
        """The names that are selected, in the order in which they are given.

        Args:
            names: all there are, in their natural order (block 2 before block 10).
            kind: only names of this kind (``cross:…``); None for all kinds.

        Raises:
            SelectionError: nothing is selected, or one of several patterns matches nothing, since what it was
                meant to select would be silently left out.
        """
        wanted = [name for name in names if kind is None or name.startswith(f"{kind}:")]
        what = "site" if kind is None else f"{kind}-attention site"
        if not wanted:
            raise SelectionError(f"there is no {what} here")
        if self.sites == ALL:
            return tuple(wanted)
        patterns = _patterns(self.sites)
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in wanted):
                raise SelectionError(
                    f"no {what} matches {pattern!r}; there are: {listed(near_first(pattern, wanted), 12)}"
                )
        return tuple(name for name in wanted if any(fnmatchcase(name, pattern) for pattern in patterns))


_KEYS = tuple(field.name for field in fields(Selection))
_DEFAULTS = {field.name: field.default for field in fields(Selection)}
_FORM = "it reads like: steps=0:10 sites=cross:up.* heads=3,5 word=circle"
# A key, then a quoted or a bare value, then a blank or the end: `word="a"b` is an error, not two values.
_PAIR = re.compile(
    r'\s*(?P<key>\w+)=(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s"\\]+))(?=\s|\Z)\s*', re.DOTALL
)


def _quoted(value: str) -> str:
    if re.fullmatch(r'[^\s"\\]+', value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _text(name: str, value: str | None) -> str | None:
    """Text with its blanks made plain, so that a label copied across lines is the same label."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise SelectionError(f"{name}={value!r} is no text")
    joined = " ".join(value.split())
    if not joined:
        raise SelectionError(f"{name} is empty; leave it out or name one")
    return joined


def _patterns(sites: object) -> tuple[str, ...]:
    """Sorted patterns; empty when they select all."""
    if sites is None:
        return ()
    if not isinstance(sites, str | Iterable):
        raise SelectionError(f"sites={sites!r} is no pattern; write one like 'cross:up.*'")
    given = [sites] if isinstance(sites, str) else list(sites)
    if not all(isinstance(each, str) for each in given):
        raise SelectionError(
            f"sites={sites!r} holds something that is no pattern; write them like 'cross:up.*'"
        )
    patterns = [part.strip() for each in given for part in each.split(",")]
    if not patterns or not all(patterns):
        raise SelectionError(
            f"sites={sites!r} holds an empty pattern; write patterns like 'cross:up.*,cross:mid'"
        )
    if ALL in patterns or "*" in patterns:
        return ()
    return tuple(sorted(dict.fromkeys(patterns)))


def _region(text: str) -> str:
    """A region's text in normal form. What the numbers must be for the picture is known only beside the picture."""
    kind, _, rest = text.partition(":") if isinstance(text, str) else ("", "", "")
    kind, rest = kind.strip(), re.sub(r"\s+", "", rest)
    if kind == "mask" and re.fullmatch(r"[0-9a-f]{64}", rest):
        return f"mask:{rest}"
    form = _REGIONS.get(kind)
    if form is not None and re.fullmatch(form, rest):
        # One spelling of each number: no leading zeros, no zeros after the last digit that counts.
        plain = re.sub(
            r"[0-9]+(\.[0-9]+)?", lambda found: f"{float(found[0]):.3f}".rstrip("0").rstrip("."), rest
        )
        if kind == "box":
            x0, y0, x1, y1 = (int(number) for number in plain.split(","))
            if x0 > x1 or y0 > y1:
                raise SelectionError(
                    f"the box {text!r} is empty; it reads box:x0,y0,x1,y1 with x0 <= x1 and y0 <= y1"
                )
        return f"{kind}:{plain}"
    raise SelectionError(
        f"bad region {text!r}; it reads pixel:x,y or pixels:x,y;x,y or range:x,y;x,y (first and last) or "
        "box:x0,y0,x1,y1 or contour:x,y;x,y;x,y or mask:<sha256 in hex>"
    )


_PIXEL = "[0-9]{1,9},[0-9]{1,9}"
_POINT = r"[0-9]{1,9}(\.[0-9]{1,3})?,[0-9]{1,9}(\.[0-9]{1,3})?"
_CONTOUR = rf"{_POINT}(;{_POINT}){{2,}}"
_REGIONS = {
    "pixel": _PIXEL,
    "pixels": rf"{_PIXEL}(;{_PIXEL})*",
    "range": f"{_PIXEL};{_PIXEL}",
    "box": f"{_PIXEL},{_PIXEL}",
    # Holes follow their outline after a /, further contours after a |.
    "contour": rf"{_CONTOUR}([/|]{_CONTOUR})*",
}
