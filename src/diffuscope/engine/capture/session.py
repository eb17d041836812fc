"""One recording in progress: from the denoiser's calls to the run folders.

The session watches four things while the ordinary pipeline runs: the prompt's embeddings (to tell rows apart), each
forward of the denoiser (to gate the taps and check that every site was seen), the taps themselves, and the
scheduler's steps (to know when a step is whole). It changes nothing that flows through any of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

import torch

from diffuscope.engine.capture.carry import Carrier, SameText, Timetable
from diffuscope.engine.capture.clean import NoiseLevel, noise_level, predicted_clean
from diffuscope.engine.capture.joint import grid_of, joint_word_map, unpacked
from diffuscope.engine.capture.kept import (
    HALF,
    LSE_ERROR,
    LSE_ERROR_HALF,
    Keeping,
    head_gram,
    lse_error,
    rounded,
    rounding,
    row_mask,
    word_maps,
)
from diffuscope.engine.capture.packing import Packer
from diffuscope.engine.capture.patches import Patches
from diffuscope.engine.capture.rows import RowReader
from diffuscope.engine.capture.steps import steps_of
from diffuscope.engine.capture.tap import Attended
from diffuscope.engine.capture.unkept import Writer
from diffuscope.engine.capture.watch import Reduce, SiteWatch, mask_kind
from diffuscope.engine.models.family import AttentionSite, DenoiserCall, Family
from diffuscope.errors import CaptureError, UnsupportedAttentionError
from diffuscope.recording import Branch, Call, Level, Site, Step

LARGE = 2**22
"""Bytes of what a site is given from which on it is let go as soon as it was taken, and not when the call is over.
Smaller sites are better taken together: in a small model it is the number of operations that takes time."""


@dataclass(frozen=True)
class FirstCall:
    """What the first call of the denoiser shows of a run, for one picture: all that its size depends on.

    Attributes:
        sites: every attention site.
        seen: what each site was given; all rows of the batch.
        latent, output, embedding: `[row, …]` of this picture, as they are kept.
        calls, steps: entries and steps of the scheduler's timetable that are to come, this call included.
    """

    sites: list[Site]
    seen: dict[str, Attended]
    latent: torch.Tensor
    output: torch.Tensor
    embedding: torch.Tensor
    calls: int
    steps: int


Open = Callable[[FirstCall], tuple[list[Writer], Keeping]]
"""Opens the run folders, one a picture, once the first call has shown what there is to keep, and says what is kept."""


@dataclass
class _Part:
    """What was kept of one picture since the last whole step."""

    tensors: dict[str, Any] = field(default_factory=dict)
    maps: dict[str, Any] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    rounding: float | None = None


class Session:
    """Records one run of a pipeline. Use as a context around the pipeline's call; see `Lens.record`.

    Args:
        pipe: the pipeline.
        family: its adapter.
        pictures: how many pictures the call draws.
        tokens: how many text tokens are not padding: those whose maps are kept.
        open_writers: see `Open`.
        lse: whether the row log-sum-exp of self and joint attention may be asked for.
        branch: whose attention is kept: the conditional row's or the unconditional one's.
        progress: called as `progress(step, steps)` when a step is whole.
        level: what is to be kept, where that is known before the first call.

    Raises (from within the pipeline's call):
        CoverageError: an attention site was not seen, or seen twice, in a call.
        UnsupportedAttentionError: a site uses attention that the recording cannot represent.
    """

    def __init__(
        self,
        pipe: Any,
        family: Family,
        *,
        pictures: int,
        tokens: int,
        open_writers: Open,
        lse: bool = True,
        branch: Branch = "cond",
        progress: Callable[[int, int], None] | None = None,
        level: Level | None = None,
    ) -> None:
        self.pipe, self.family, self.tokens = pipe, family, tokens
        self._asked = level
        self.watch = SiteWatch(family.sites(pipe), lse=lse)
        self.rows = RowReader(pictures, branch)
        self.open_writers, self.progress = open_writers, progress
        self.writers: list[Writer] = []
        self.keeping: Keeping
        self._patches = Patches()
        self._parts = [_Part() for _ in range(pictures)]
        self._carry = Carrier()
        self._pack = Packer(self._carry)
        self._sites: dict[str, Site] = {}
        self._once: list[dict[str, torch.Tensor]] = [{} for _ in range(pictures)]
        self._texts = [SameText() for _ in range(pictures)]
        self._kept_sites: list[AttentionSite] = []
        self._heads: dict[int, list[int] | None] = {}
        self._forms: dict[str, tuple[Any, ...]] = {}
        self._lse_errors: dict[str, float] = {}
        self._taken: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
        self._calls = 0
        self._entry = 0
        self._first_entry = 0
        self._timetable: Timetable | None = None
        self._steps: list[int] = []
        self._kept_steps: frozenset[int] = frozenset()
        self._level: NoiseLevel | None = None
        self._packed: tuple[int, int] | None = None

    # The context: what is watched, and nothing left behind.

    def __enter__(self) -> Self:
        self._patches.__enter__()
        try:
            self.rows.watch(self._patches, self.pipe, self.family.embeddings)
            self._watch_denoiser()
            self._watch_scheduler()
            self.watch.install(self._patches)
        except BaseException:
            self._patches.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._patches.__exit__(kind, error, trace)

    def _watch_denoiser(self) -> None:
        denoiser = self.family.denoiser(self.pipe)
        forward = denoiser.forward

        @functools.wraps(forward)
        def watched(*args: Any, **kwargs: Any) -> Any:
            call = self.family.call(args, kwargs)
            self.watch.begin(self._take_early(call))
            try:
                output = forward(*args, **kwargs)
            finally:
                self.watch.end()
            self._called(call, output[0] if isinstance(output, tuple) else output.sample)
            return output

        self._patches.replace(denoiser, "forward", watched)

    def _watch_scheduler(self) -> None:
        scheduler = self.pipe.scheduler
        step = scheduler.step

        @functools.wraps(step)
        def watched(
            model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, *args: Any, **kwargs: Any
        ) -> Any:
            entry = self._first_entry + self._entry
            level = noise_level(scheduler, self._number(timestep), entry)
            clean = predicted_clean(scheduler, model_output, sample, level)
            made = step(model_output, timestep, sample, *args, **kwargs)
            self._stepped(clean, level)
            return made

        self._patches.replace(scheduler, "step", watched)

    # What happens when something is seen.

    def _take_early(self, call: DenoiserCall) -> Reduce | None:
        """What takes from large sites what is kept of them while the forward is under way, so that their queries, keys
        and values do not all wait in memory for its end. None in a first call that has yet to show what is kept."""
        self._taken.clear()
        first = not self.writers
        if first and self._asked != "maps":
            return None
        try:
            _, rows = self.rows.read(call.conditioning)
        except CaptureError:
            return None  # Said when the forward is over, as what was not seen in it goes first.
        kept = {site.name for site in self._kept_sites}
        wanted = bool(rows) and (first or self._step in self._kept_steps)
        packed = None if call.positions is None else grid_of(call.positions)

        def take(site: AttentionSite, seen: Attended) -> Attended:
            if site.kind == "cross" or _bytes(seen) < LARGE:
                return seen
            if first:
                self._sites[site.name] = self.watch.described(site, seen, call, packed)
            if wanted and (first or site.name in kept):
                self._taken[site.name] = [
                    self._part_of(part, site, seen, row) for part, row in zip(self._parts, rows, strict=True)
                ]
            return _without_values(seen)

        return take

    def _part_of(
        self, part: _Part, site: AttentionSite, seen: Attended, row: int
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What is kept of one site for one picture: tensors and maps on their way to the host."""
        kept, maps = dict[str, torch.Tensor](), dict[str, torch.Tensor]()
        if self.writers:
            self._keep(part, kept, maps, site, seen, row)
        elif site.kind == "joint":
            maps[site.name] = self._joint_map(site, seen, row)
        return self._pack(kept, self._calls), self._pack(maps, self._calls)

    def _called(self, call: DenoiserCall, output: torch.Tensor) -> None:
        """A forward of the denoiser is over: check it, and keep what is kept of it."""
        self.watch.check(self._calls)
        timestep = self._timestep(call)
        if not self._steps:
            self._read_timetable(timestep)
        labels, rows = self.rows.read(call.conditioning)
        pictures = len(self._parts)
        if not self.writers:
            self._begin(call, output)
        number = self._calls
        self._calls += 1
        words = self._word_maps(rows) if rows and self._step in self._kept_steps else []
        for picture, part in enumerate(self._parts):
            mine = range(picture, len(labels), pictures)
            kept, maps = dict[str, torch.Tensor](), dict[str, torch.Tensor]()
            kept["latent_in"] = self._latent(call.sample[picture::pictures])
            kept["output"] = self._latent(output[picture::pictures])
            # Guidance by a separate forward: a call may hold no conditional row. It is needed for replay only.
            row = rows[picture] if rows else -1
            within = mine.index(row) if rows else -1
            part.calls.append(_call(number, timestep, [labels[each] for each in mine], within))
            if rows:
                self._keep_text(picture, row, number, call.conditioning)
            if rows and self._step in self._kept_steps:
                for site in self._kept_sites:
                    if site.name in self._taken:
                        tensors, early = self._taken[site.name][picture]
                        part.tensors |= tensors
                        part.maps |= early
                    else:
                        self._keep(part, kept, maps, site, self.watch.seen[site.name][0], row)
                maps |= words[picture]
            part.tensors |= self._pack(kept, number)
            part.maps |= self._pack(maps, number)
        self._taken.clear()
        self.watch.seen.clear()

    def _begin(self, call: DenoiserCall, output: torch.Tensor) -> None:
        """The first call is over: now it is known what there is to keep."""
        described = self.watch.describe(call)
        self._packed = None if call.positions is None else grid_of(call.positions)
        self._sites = {site.name: site for site in described}
        first = self._steps[self._first_entry]
        steps = self._steps[-1] - first + 1
        seen = {name: each[0] for name, each in self.watch.seen.items()}
        calls = len(self._steps) - self._first_entry
        self.writers, self.keeping = self.open_writers(
            FirstCall(
                described,
                seen,
                self._latent(call.sample[:: len(self._parts)]),
                self._latent(output[:: len(self._parts)]),
                call.conditioning[0],
                calls,
                steps,
            )
        )
        self._kept_steps = frozenset(self.keeping.steps.within(steps))
        self._kept_sites = [site for site in self.watch.sites if site.name in self.keeping.sites]
        self._heads = {site.heads: self.keeping.heads_of(site.heads) for site in described}
        self._forms = {name: _form(each) for name, each in seen.items()}
        if self.keeping.level != "maps":
            # Weights do not change during a run: written with the first text, once for each picture.
            self._once = [self._grams()] * len(self._parts)

    def _grams(self) -> dict[str, torch.Tensor]:
        """``gram/<site>`` of the kept sites that have an output projection of their own."""
        grams = {}
        for site in self._kept_sites:
            described = self._sites[site.name]
            dtype = self.watch.seen[site.name][0].value.dtype
            gram = head_gram(site.module, described.heads, described.head_dim, dtype)
            if gram is not None:
                grams[f"gram/{site.name}"] = gram
        return grams

    @property
    def _step(self) -> int:
        """Index of the step that the next call serves."""
        return self._steps[self._first_entry + self._entry] - self._steps[self._first_entry]

    def _keep(
        self,
        part: _Part,
        kept: dict[str, torch.Tensor],
        maps: dict[str, torch.Tensor],
        site: AttentionSite,
        seen: Attended,
        row: int,
    ) -> None:
        """Attention of one site in one call, of the conditional row, to `kept`; word maps of joint sites to `maps`."""
        self._check_form(site.name, seen)
        level, cross = self.keeping.level, site.kind == "cross"
        wanted = {"maps": "", "cross": "q" if cross else "", "qk": "q" if cross else "qk"}[level]
        if wanted == "qk" and self.keeping.values:
            wanted += "v"
        heads = self._heads[seen.query.shape[-3]]
        stored = seen
        if wanted and self.keeping.float16 and seen.query.dtype != torch.float16:
            stored = replace(
                seen,
                query=rounded(seen.query, site.name),
                key=rounded(seen.key, site.name),
                value=rounded(seen.value, site.name) if "v" in wanted else seen.value,
            )
            lost = rounding(seen, stored, row, every_query=cross)
            part.rounding = max(part.rounding or 0.0, lost)
        if site.kind == "joint":
            maps[site.name] = self._joint_map(site, seen, row)
        for kind, tensor in (("q", stored.query), ("k", stored.key), ("v", stored.value)):
            if kind in wanted:
                kept[f"{kind}/{site.name}"] = _heads(tensor[row], heads)
        if (
            "k" in wanted
            and seen.lse is not None
            and stored is seen
            and self._lse_error(site.name, seen, row) <= LSE_ERROR
        ):
            kept[f"lse/{site.name}"] = _heads(seen.lse[row], heads)

    def _joint_map(self, site: AttentionSite, seen: Attended, row: int) -> torch.Tensor:
        """Word maps of one joint site."""
        most = LSE_ERROR_HALF if seen.query.dtype in HALF else LSE_ERROR
        holds = self._lse_error(site.name, seen, row) <= most
        return joint_word_map(seen, row, self._sites[site.name], self.tokens, lse_holds=holds)

    def _word_maps(self, rows: Sequence[int]) -> list[dict[str, torch.Tensor]]:
        """Word maps of every cross site in one call, of the conditional row of each picture."""
        names = [site.name for site in self._kept_sites if site.kind == "cross"]
        made = word_maps([self.watch.seen[name][0] for name in names], rows, self.tokens)
        return [
            {name: each[picture] for name, each in zip(names, made, strict=True)}
            for picture in range(len(rows))
        ]

    def _lse_error(self, name: str, seen: Attended, row: int) -> float:
        """How far the log-sum-exp of a site's kernel is off, tried in its first call."""
        if name not in self._lse_errors:
            self._lse_errors[name] = lse_error(seen, row)
        return self._lse_errors[name]

    def _latent(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents as `[row, channel, y, x]`, however they go through the model."""
        return latents if self._packed is None else unpacked(latents, self._packed)

    def _check_form(self, name: str, seen: Attended) -> None:
        """What the manifest says of a site holds in every call."""
        if _form(seen) != self._forms[name]:
            raise UnsupportedAttentionError(
                f"{name} changes its shape, scale or kind of mask during the run, which recordings do not hold"
            )

    def _keep_text(self, picture: int, row: int, number: int, conditioning: torch.Tensor) -> None:
        """Text as it is in this call. Keys and values do not change with the step in a plain run: where they do, the
        writer stores a version."""
        text = {"embedding": conditioning[row]}
        for site in self._kept_sites if self.keeping.level != "maps" else ():
            seen = self.watch.seen[site.name][0]
            if site.kind == "cross":
                text[f"k/{site.name}"], text[f"v/{site.name}"] = seen.key[row], seen.value[row]
            mask = row_mask(seen, row)
            if mask is not None and (site.kind == "cross" or self.keeping.level == "qk"):
                text[f"mask/{site.name}"] = mask
        if self._texts[picture](text.values()):
            return
        if self.keeping.float16:
            text |= {name: rounded(each, name[2:]) for name, each in text.items() if name[:2] in ("k/", "v/")}
        text, self._once[picture] = self._once[picture] | text, {}
        self.writers[picture].write_text(
            {f"{name}@{number}": self._carry(tensor) for name, tensor in text.items()}
        )

    def _stepped(self, clean: torch.Tensor, level: NoiseLevel) -> None:
        """The scheduler has advanced by one entry of its timetable: write the step if it is whole."""
        if not self._steps:
            raise CaptureError("the scheduler advanced before the denoiser was called")
        entry = self._first_entry + self._entry
        self._entry += 1
        step = self._steps[entry]
        # A step of two stages is at the noise level at which it begins.
        self._level = self._level or level
        if entry + 1 < len(self._steps) and self._steps[entry + 1] == step:
            return
        first = self._steps[self._first_entry]
        clean = self._latent(clean)
        if all(call.row < 0 for part in self._parts for call in part.calls):
            raise CaptureError(
                f"no call of this step holds a row of the branch {self.rows.branch!r}: without guidance there is none"
            )
        for picture, part in enumerate(self._parts):
            part.tensors["pred_x0"] = self._carry(clean[picture])
            begin = part.calls[0].timestep
            self.writers[picture].write_step(
                Step(
                    index=step - first,
                    timestep=begin,
                    sigma=self._level.sigma,
                    log_snr=self._level.log_snr,
                    rounding=part.rounding,
                    calls=part.calls,
                    files=[],
                ),
                part.tensors,
                part.maps,
            )
            self._parts[picture] = _Part()
        self._level = None
        if self.progress is not None:
            self.progress(step - first + 1, self._steps[-1] - first + 1)

    def _timestep(self, call: DenoiserCall) -> float:
        """The scheduler's timestep that a call is at."""
        if call.divisor == 1:
            return self._number(call.timestep)
        if not self._steps:
            given = self._number(call.timestep * call.divisor)
            assert self._timetable is not None
            # Divided, and in the model's dtype, it is not to the bit what it was.
            return min(self._timetable.values, key=lambda value: abs(value - given))
        assert self._timetable is not None
        return self._timetable.values[self._first_entry + self._entry]

    def _number(self, timestep: Any) -> float:
        if self._timetable is None:
            self._timetable = Timetable(self.pipe.scheduler.timesteps)
        return self._timetable.value(timestep)

    def _read_timetable(self, timestep: float) -> None:
        assert self._timetable is not None
        values = self._timetable.values
        # Image-to-image enters the timetable late; the first call's own timestep says where.
        if timestep not in values:
            raise CaptureError(f"the first call's timestep {timestep} is not in the scheduler's timetable")
        self._steps = steps_of(self.pipe.scheduler, values)
        self._first_entry = values.index(timestep)


def _call(number: int, timestep: float, rows: list[Any], row: int) -> Call:
    return Call(index=number, timestep=timestep, rows=rows, row=row)


def _bytes(seen: Attended) -> int:
    """Memory of queries, keys and values."""
    return sum(each.numel() * each.element_size() for each in (seen.query, seen.key, seen.value))


def _without_values(seen: Attended) -> Attended:
    """The shapes and types alone, and the mask."""
    bare = {name: getattr(seen, name).to("meta") for name in ("query", "key", "value")}
    return replace(seen, **bare, lse=None if seen.lse is None else seen.lse.to("meta"))


def _form(seen: Attended) -> tuple[Any, ...]:
    return (seen.query.shape[-3:], seen.key.shape[-2], seen.scale, mask_kind(seen), seen.causal)


def _heads(tensor: torch.Tensor, heads: list[int] | None) -> torch.Tensor:
    return tensor if heads is None else tensor[heads]
