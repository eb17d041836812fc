"""The pictures of an atlas: each head's own map, at a step or over all of them, for one content at a time.

Exact maps are given for a step (`Atlas.at`) and for the mean over steps (`Atlas.mean`). `Atlas.overview` has every step
at once for the page: bytes behind each map's own range, at a resolution that keeps the whole within `OVERVIEW_BYTES`
whatever the model's size. All words of a prompt are surveyed in one pass, since what costs is the softmax and not the
word; what was surveyed is kept in the run's cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from diffuscope.analysis.atlas.cells import Cells, CellSite
from diffuscope.analysis.atlas.contents import Content, tokens_of
from diffuscope.analysis.atlas.plates import Plates, Slot, plates_of, side_for
from diffuscope.errors import NotKeptError, RecordingError, SelectionError
from diffuscope.maps.attention import probabilities
from diffuscope.maps.cache import RunCache
from diffuscope.maps.heads import contributions
from diffuscope.selection import Selection

if TYPE_CHECKING:
    from diffuscope.maps.resize import Size
    from diffuscope.recording import Recording, Site

MEAN: Literal["mean"] = "mean"
"""The slot of the mean over the steps."""

Floats = NDArray[np.float32]
Maps = dict[str, Floats]
"""Site name to ``[head, y, x]``."""

OVERVIEW_BYTES = 6 * 2**20
"""Of the maps of an overview, beside their ranges."""
DETAIL_BYTES = 8 * 2**20
"""Of the maps of one slot at full resolution."""
PRODUCTS = 4e9
"""Queries times keys that a survey of self-attention may compute: the steps of its overview are chosen to fit."""
QUERIES, FEWER_QUERIES, DEAR = 1024, 256, 5e8
"""Queries of a site that stand for all: so many, or fewer where a step would cost more than `DEAR` products."""
CACHE = "atlas"
PROJECTIONS = "projections"
PROJECTION_BYTES = 128 * 2**20
"""Up to this size output projections are kept in float32, beyond it in float16."""


class Atlas:
    """The atlas of a recording.

    Attributes:
        recording: what is read.
        cells: all of its kept heads.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.cells = Cells.of(recording)
        self._unkept: dict[Content, tuple[Plates, Plates]] = {}

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps whose attention was kept."""
        return self.recording.attended_steps

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Labels of the words that have maps: those of the prompt that were not cut off, then start and end token."""
        text = self.recording.manifest.text
        found = [word.label for word in text.words if word.tokens]
        kinds = {token.kind for token in text.tokens}
        return (*found, *(f"<{kind}>" for kind in ("start", "end") if kind in kinds))

    def sites(self, content: Content) -> tuple[CellSite, ...]:
        """The sites that have a content, in the order of the data.

        Raises:
            NotKeptError: none has it; the error says what the recording lacks.
            UnknownWordError: the prompt has no such word.
        """
        if content.word is not None:
            tokens_of(self.recording, content.word)
        if not self.steps:
            raise NotKeptError("this run was stopped before a step whose attention was to be kept")
        there = self.cells.of_kinds(content.kinds)
        if content.signed:
            there = tuple(site for site in there if site.name in self.projections)
        found: list[CellSite] = []
        lacking: NotKeptError | None = None
        for kind in dict.fromkeys(site.kind for site in there):
            mine = [site for site in there if site.kind == kind]
            try:
                self._probe(content, mine[0])
            except NotKeptError as error:
                lacking = lacking or error
            else:
                found += mine
        if not found:
            raise lacking or NotKeptError(
                f"no {' or '.join(content.kinds)}-attention site was kept in this run, so it has no {content.label}"
            )
        return tuple(sorted(found, key=lambda site: site.index))

    def why_not(self, content: Content) -> str | None:
        """Why a content cannot be had; None where it can."""
        try:
            self.sites(content)
        except NotKeptError as error:
            return str(error)
        return None

    # Exact maps.

    def at(self, content: Content, step: int, sites: Sequence[str] | None = None) -> Maps:
        """Each head's map at one step: site name to float32 ``[head, y, x]`` of the kept heads, at the site's own grid.

        At large grids `received` and `focus` are of a sample of the queries (`stride`): of `focus` a map has those
        patches alone.

        Raises:
            SelectionError: no such step or site. NotKeptError, UnknownWordError: as `sites`.
            RecordingError: NaN or infinity in the recording.
        """
        if step not in self.steps:
            raise SelectionError(
                f"attention of step {step} was not kept; there are {len(self.steps)} steps from {self.steps[0]}"
                if self.steps
                else "this run kept the attention of no step"
            )
        return {site.name: self._made([content], site, step)[0] for site in self._chosen(content, sites)}

    def mean(
        self, content: Content, steps: Sequence[int] | None = None, sites: Sequence[str] | None = None
    ) -> Maps:
        """As `at`, the mean over steps (all that were kept where none are named)."""
        chosen = self._chosen(content, sites)
        asked = self.steps if steps is None else tuple(steps)
        totals: dict[str, NDArray[np.float64]] = {}
        for step in asked:
            for name, maps in self.at(content, step, [site.name for site in chosen]).items():
                totals[name] = totals[name] + maps if name in totals else maps.astype(np.float64)
            self.recording.let_go(step)
        return {name: (total / len(asked)).astype(np.float32) for name, total in totals.items()}

    def stride(self, content: Content) -> Mapping[str, int]:
        """Of every how many-th query, in y and x, a content is made at each site: 1 is all of them."""
        found = dict.fromkeys((site.name for site in self.cells.sites), 1)
        if content.family in ("received", "focus"):
            sites = self.cells.of_kinds(content.kinds)
            for most in (QUERIES, FEWER_QUERIES):
                found |= {site.name: _stride(site.grid, most) for site in sites}
                if sum(self._products(site, found[site.name]) for site in sites) <= DEAR:
                    break
        return found

    # For the page.

    def overview(self, content: Content) -> Plates:
        """The mean over the steps and every step, in bytes, from the run's cache where it was made before.

        Of `received` and `focus` in large models there are fewer steps, evenly spaced, and the mean is theirs.
        """
        return self._surveyed(content, "all")

    def detail(self, content: Content, slot: Slot) -> Plates:
        """One slot at full resolution, in bytes. The mean is that of the overview's steps."""
        if slot == MEAN:
            return self._surveyed(content, MEAN)
        sites = self.sites(content)
        return plates_of(content, sites, (slot,), [self.at(content, int(slot))], DETAIL_BYTES)

    def masses(self, words: Sequence[str] | None = None) -> tuple[tuple[Slot, ...], NDArray[np.float32]]:
        """Attention mass of words at each head, ``[word, slot, cell]`` over the cells of `sites`: the mean over patches
        of each head's map, exact. Slot 0 is the mean over the steps.

        Args:
            words: labels; all of `words` when None.
        """
        chosen = self.words if words is None else tuple(words)
        plates = [self.overview(Content("word", word)) for word in chosen]
        if not plates:
            raise NotKeptError("the prompt has no word with a map")
        return plates[0].slots, np.stack([each.mean for each in plates])

    def overview_slots(self, content: Content, sites: Sequence[CellSite]) -> tuple[Slot, ...]:
        """What the slots of a content's overview are: the mean, then steps."""
        steps = self.steps
        if content.family in ("received", "focus"):
            stride = self.stride(content)
            cost = sum(self._products(site, stride[site.name]) for site in sites)
            count = max(1, min(len(steps), int(PRODUCTS / max(cost, 1.0))))
            places = np.unique(np.linspace(0, len(steps) - 1, count).round().astype(int))
            steps = tuple(steps[place] for place in places)
        return (MEAN, *steps)

    # The output projections, which a model has and a recording has not.

    @cached_property
    def projections(self) -> dict[str, NDArray[np.generic]]:
        """Site name to ``[head, dim, channel]`` of all heads, as `keep_projections` left them.

        Raises:
            NotKeptError: they were not kept.
        """
        found = RunCache(self.recording).read(PROJECTIONS, {})
        if found is None:
            raise NotKeptError(
                "the sign of a head's contribution needs the model's output projections, which a recording does not "
                "hold; the job `projections`, or `diffuscope heads RUN --atlas F.png --show signed`, reads them once"
            )
        return found

    def _surveyed(self, content: Content, what: Literal["all", "mean"]) -> Plates:
        """Overview or mean of a content, made where the run's cache has none."""
        sites, cache = self.sites(content), RunCache(self.recording)
        if content not in self._unkept:
            found = cache.read(CACHE, _key(content, what))
            if found is not None:
                slots = self.overview_slots(content, sites) if what == "all" else (MEAN,)
                # An entry that was tampered with is made anew.
                with suppress(ValueError):
                    return Plates.of_tensors(content, sites, slots, found)
            together = [content]
            if content.family == "word" and content.word in self.words:
                together = [Content("word", word) for word in self.words]
            made = self._survey(together, sites)
            for each, (plates, mean) in made.items():
                cache.write(CACHE, _key(each, "all"), plates.tensors())
                cache.write(CACHE, _key(each, MEAN), mean.tensors())
            if cache.read(CACHE, _key(content, what)) is None:  # The folder cannot be written.
                self._unkept = made
            return made[content][0 if what == "all" else 1]
        return self._unkept[content][0 if what == "all" else 1]

    def _chosen(self, content: Content, sites: Sequence[str] | None) -> tuple[CellSite, ...]:
        there = self.sites(content)
        if sites is None:
            return there
        lacking = [name for name in sites if name not in {site.name for site in there}]
        if lacking:
            raise SelectionError(f"{lacking[0]} has no {content.label} here")
        return tuple(site for site in there if site.name in set(sites))

    def _probe(self, content: Content, site: CellSite) -> None:
        """Raises NotKeptError where a kind of site cannot answer."""
        step = self.steps[0]
        self.recording.query(site.name, step)
        self.recording.keys(site.name, step)
        if content.family in ("contribution", "signed"):
            self.recording.values(site.name, step)
            if content.family == "contribution":
                self.recording.gram(site.name)

    def _products(self, site: CellSite, stride: int) -> float:
        height, width = site.grid
        rows = -(-height // stride) * -(-width // stride)
        return float(rows * height * width * len(site.heads))

    def _survey(
        self, contents: Sequence[Content], sites: tuple[CellSite, ...]
    ) -> dict[Content, tuple[Plates, Plates]]:
        """Overview and mean of contents of one family, in one pass over the steps."""
        slots = self.overview_slots(contents[0], sites)
        side = side_for(sites, len(slots), OVERVIEW_BYTES)
        totals: dict[str, NDArray[np.float64]] = {}
        steps: list[list[Plates]] = [[] for _ in contents]
        for step in slots[1:]:
            made = {site.name: self._made(contents, site, int(step)) for site in sites}
            for name, maps in made.items():
                totals[name] = totals[name] + maps if name in totals else maps.astype(np.float64)
            for at, content in enumerate(contents):
                one = {name: maps[at] for name, maps in made.items()}
                steps[at].append(plates_of(content, sites, (step,), [one], OVERVIEW_BYTES, side))
            self.recording.let_go(int(step))
        found = {}
        for at, content in enumerate(contents):
            mean = {name: (total[at] / (len(slots) - 1)).astype(np.float32) for name, total in totals.items()}
            first = plates_of(content, sites, (MEAN,), [mean], OVERVIEW_BYTES, side)
            whole = plates_of(content, sites, (MEAN,), [mean], DETAIL_BYTES)
            found[content] = (Plates.joined([first, *steps[at]]), whole)
        return found

    def _made(self, contents: Sequence[Content], site: CellSite, step: int) -> Floats:
        """``[content, head, y, x]`` of one site at one step, contents of one family."""
        family = contents[0].family
        if family == "word":
            words = [tokens_of(self.recording, str(each.word)) for each in contents]
            found = self._words(site, step, words)
        elif family in ("received", "focus"):
            received, focus = self._looks(site, step, self.stride(contents[0])[site.name])
            found = (received if family == "received" else focus)[None]
        else:
            found = np.stack([self._contribution(each, site, step) for each in contents])
        if not np.isfinite(found).all():
            raise RecordingError(
                f"the recorded attention of {site.name} holds NaN or infinity: the model produced invalid numbers; "
                "record it again in float32, or with another seed"
            )
        return found.astype(np.float32)

    def _words(self, site: CellSite, step: int, words: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Probability mass of words' tokens, ``[word, head, y, x]``.

        At joint sites with a recorded log-sum-exp only the text's columns are computed: the softmax there runs over
        thousands of keys.
        """
        recording = self.recording
        described = recording.site(site.name)
        tokens = sorted({token for word in words for token in word})
        lse = self._lse(described, step)
        columns = []
        for place, (q, k, mask) in enumerate(self._per_head(site.name, step)):
            if lse is None or mask is not None:
                columns.append(probabilities(q, k, described.scale, mask)[0][:, tokens])
            else:
                logits = q[0].astype(np.float64) @ k[0, tokens].astype(np.float64).T * described.scale
                columns.append(np.exp(logits - lse[place].astype(np.float64)[:, None]))
        shares = np.array([[token in word for token in tokens] for word in words], np.float64)
        found = np.stack([shares @ each.astype(np.float64).T for each in columns], axis=1)
        return found.reshape(len(words), -1, *site.grid)

    def _looks(
        self, site: CellSite, step: int, stride: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """How much each patch is looked at ``[head, y, x]``, and how narrowly each query looks ``[head, y', x']``."""
        described = self.recording.site(site.name)
        height, width = site.grid
        rows = np.arange(height * width).reshape(height, width)[::stride, ::stride]
        text = 0 if described.text_keys is None else described.text_keys[1] - described.text_keys[0]
        received, focus = [], []
        for q, k, mask in self._per_head(site.name, step):
            small = (
                None
                if mask is None
                else mask
                if mask.shape[-2] == 1
                else np.take(mask, rows.ravel(), axis=-2)
            )
            looks = probabilities(q[:, rows.ravel()], k, described.scale, small)[0]
            looks = looks[:, text : text + height * width].astype(np.float64)
            received.append(looks.mean(axis=0))
            total = looks.sum(axis=1, keepdims=True)
            share = np.divide(looks, total, out=np.zeros_like(looks), where=total > 0)
            logs = np.log(share, out=np.zeros_like(share), where=share > 0)
            focus.append(1 + (share * logs).sum(axis=1) / np.log(max(share.shape[1], 2)))
        return np.stack(received).reshape(-1, height, width), np.stack(focus).reshape(-1, *rows.shape)

    def _contribution(self, content: Content, site: CellSite, step: int) -> Floats:
        described = self.recording.site(site.name)
        tokens = None if content.word is None else tokens_of(self.recording, content.word)
        projections = {site.name: self.projections[site.name].astype(np.float64)} if content.signed else None
        made = contributions(
            self.recording,
            [described],
            (step,),
            {site.name: site.heads},
            Selection.of(step, site.name),
            content.label,
            tokens=tokens,
            projections=projections,
        )
        return np.asarray(made.per_site[site.name][0], np.float32)

    def _per_head(
        self, site: str, step: int
    ) -> Iterator[tuple[NDArray[np.generic], NDArray[np.generic], NDArray[np.generic] | None]]:
        """Queries ``[1, query, dim]``, keys ``[1, key, dim]`` and mask of each kept head in turn."""
        q, k = self.recording.query(site, step), self.recording.keys(site, step)
        mask = self.recording.mask(site, step)
        group = len(q) // len(k)
        for head in range(len(q)):
            own = mask
            if mask is not None and mask.ndim == 3 and mask.shape[0] > 1:
                own = mask[head : head + 1]
            yield q[head : head + 1], k[head // group : head // group + 1], own

    def _lse(self, site: Site, step: int) -> NDArray[np.generic] | None:
        """Row log-sum-exp of a joint site, where it was recorded."""
        if site.kind != "joint":
            return None
        try:
            return self.recording.lse(site.name, step)
        except NotKeptError:
            return None


def keep_projections(recording: Recording, projections: Mapping[str, NDArray[np.floating]]) -> int:
    """Put a model's output projections into the run's cache, for the signed contents. Returns their bytes."""
    whole = sum(each.size * 4 for each in projections.values())
    dtype = np.float32 if whole <= PROJECTION_BYTES else np.float16
    tensors = {name: each.astype(dtype) for name, each in projections.items()}
    RunCache(recording).write(PROJECTIONS, {}, tensors)
    return sum(each.nbytes for each in tensors.values())


def _key(content: Content, what: str) -> dict[str, str]:
    return {"content": content.text, "what": what, "form": "1"}


def _stride(grid: Size, most: int) -> int:
    stride = 1
    while -(-grid[0] // stride) * -(-grid[1] // stride) > most:
        stride += 1
    return stride
