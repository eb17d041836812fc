"""One recording in progress: from the denoiser's calls to the run folders.

The session watches four things while the ordinary pipeline runs: the prompt's embeddings (to tell rows apart), each
forward of the denoiser (to gate the taps and check that every site was seen), the taps themselves, and the
scheduler's steps (to know when a step is whole). It changes nothing that flows through any of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import torch

from diffuscope.engine.capture.clean import NoiseLevel, noise_level, predicted_clean
from diffuscope.engine.capture.kept import to_numpy, word_map
from diffuscope.engine.capture.patches import Patches
from diffuscope.engine.capture.rows import RowReader
from diffuscope.engine.capture.steps import steps_of
from diffuscope.engine.capture.tap import Attended, tap
from diffuscope.engine.models.family import AttentionSite, DenoiserCall, Family
from diffuscope.errors import CaptureError, CoverageError, UnsupportedAttentionError
from diffuscope.recording import Call, Level, RunWriter, Site, Step

Open = Callable[[list[Site]], list[RunWriter]]
"""Opens the run folders, one a picture, once the first call has shown what the sites are."""


@dataclass
class _Part:
    """What was kept of one picture since the last whole step."""

    tensors: dict[str, Any] = field(default_factory=dict)
    maps: dict[str, Any] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)


class Session:
    """Records one run of a pipeline. Use as a context around the pipeline's call; see `Lens.record`.

    Args:
        pipe: the pipeline.
        family: its adapter.
        pictures: how many pictures the call draws.
        tokens: how many text tokens are not padding: those whose maps are kept.
        level: the keep level.
        sites: names of the sites to keep; all are still checked.
        open_writers: see `Open`.
        progress: called as `progress(step, steps)` when a step is whole.

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
        level: Level,
        sites: tuple[AttentionSite, ...],
        open_writers: Open,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.pipe, self.family, self.level, self.tokens = pipe, family, level, tokens
        self.kept = {site.name for site in sites}
        self.all_sites = family.sites(pipe)
        self.rows = RowReader(pictures)
        self.open_writers, self.progress = open_writers, progress
        self.writers: list[RunWriter] = []
        self._patches = Patches()
        self._parts = [_Part() for _ in range(pictures)]
        self._seen: dict[str, list[Attended]] = {}
        self._grids: dict[int, tuple[int, int]] = {}
        self._text: dict[str, torch.Tensor] = {}
        self._calls = 0
        self._entry = 0
        self._first_entry = 0
        self._timetable: list[float] = []
        self._steps: list[int] = []
        self._level: NoiseLevel | None = None
        self._in_call = False

    # The context: what is watched, and nothing left behind.

    def __enter__(self) -> Self:
        self._patches.__enter__()
        try:
            self.rows.watch(self._patches, self.pipe)
            self._watch_denoiser()
            self._watch_scheduler()
            for site in self.all_sites:
                tap(self._patches, site.module, site.name, self._see)
            for module in {id(site.spatial): site.spatial for site in self.all_sites}.values():
                self._watch_grid(module)
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
            self._seen.clear()
            self._in_call = True
            try:
                output = forward(*args, **kwargs)
            finally:
                self._in_call = False
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
            level = noise_level(scheduler, float(timestep), entry)
            clean = predicted_clean(scheduler, model_output, sample, level)
            made = step(model_output, timestep, sample, *args, **kwargs)
            self._stepped(clean, level)
            return made

        self._patches.replace(scheduler, "step", watched)

    def _watch_grid(self, module: torch.nn.Module) -> None:
        forward = module.forward

        @functools.wraps(forward)
        def watched(hidden: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            self._grids[id(module)] = (hidden.shape[-2], hidden.shape[-1])
            return forward(hidden, *args, **kwargs)

        self._patches.replace(module, "forward", watched)

    # What happens when something is seen.

    def _see(self, site: str, attended: Attended) -> None:
        if self._in_call:
            self._seen.setdefault(site, []).append(attended)

    def _called(self, call: DenoiserCall, output: torch.Tensor) -> None:
        """A forward of the denoiser is over: check it, and keep what is kept of it."""
        self._check()
        if not self._timetable:
            self._read_timetable(call.timestep)
        if not self.writers:
            self.writers = self.open_writers(self._describe_sites())
        labels, rows = self.rows.read(call.conditioning)
        number = self._calls
        self._calls += 1
        for picture, part in enumerate(self._parts):
            mine = [row for row in range(len(labels)) if row % len(self._parts) == picture]
            part.tensors[f"latent_in@{number}"] = to_numpy(call.sample[mine])
            part.tensors[f"output@{number}"] = to_numpy(output[mine])
            if not rows:
                # Guidance by a separate forward: this one held no conditional row. It is needed for replay only.
                part.calls.append(_call(number, call, [labels[row] for row in mine], -1))
                continue
            row = rows[picture]
            part.calls.append(_call(number, call, [labels[r] for r in mine], mine.index(row)))
            for site in self.all_sites:
                if site.name in self.kept:
                    self._keep(part, picture, site, self._seen[site.name][0], row, number)
            self._keep_text(picture, row, number, call.conditioning)
        self._seen.clear()

    def _keep(
        self, part: _Part, picture: int, site: AttentionSite, seen: Attended, row: int, number: int
    ) -> None:
        if seen.mask is not None or seen.causal:
            raise UnsupportedAttentionError(
                f"{site.name} uses an attention mask, which recordings do not hold yet"
            )
        key = f"{site.name}@{number}"
        if site.kind == "cross":
            part.maps[key] = word_map(seen, row, self.tokens)
            if self.level != "maps":
                part.tensors[f"q/{key}"] = to_numpy(seen.query[row])
        elif self.level == "qk":
            part.tensors[f"q/{key}"] = to_numpy(seen.query[row])
            part.tensors[f"k/{key}"] = to_numpy(seen.key[row])

    def _keep_text(self, picture: int, row: int, number: int, conditioning: torch.Tensor) -> None:
        """Text keys and values do not change with the step in a plain run: a version is stored when they do."""
        fresh: dict[str, torch.Tensor] = {}
        if self._is_new(f"{picture}/embedding", conditioning[row]):
            fresh["embedding"] = conditioning[row]
        for site in self.all_sites:
            if site.kind == "cross" and site.name in self.kept and self.level != "maps":
                seen = self._seen[site.name][0]
                if self._is_new(f"{picture}/k/{site.name}", seen.key[row]):
                    fresh[f"k/{site.name}"] = seen.key[row]
                if self._is_new(f"{picture}/v/{site.name}", seen.value[row]):
                    fresh[f"v/{site.name}"] = seen.value[row]
        if fresh:
            self.writers[picture].write_text(
                {f"{name}@{number}": to_numpy(tensor) for name, tensor in fresh.items()}
            )

    def _is_new(self, name: str, tensor: torch.Tensor) -> bool:
        before = self._text.get(name)
        if before is not None and torch.equal(before, tensor):
            return False
        self._text[name] = tensor.detach().clone()
        return True

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
        for picture, part in enumerate(self._parts):
            part.tensors["pred_x0"] = to_numpy(clean[picture])
            begin = part.calls[0].timestep
            self.writers[picture].write_step(
                Step(
                    index=step - first,
                    timestep=begin,
                    sigma=self._level.sigma,
                    log_snr=self._level.log_snr,
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

    # Reading the model's own account of itself.

    def _check(self) -> None:
        """Every site must have been seen exactly once: a map of a part is never shown as if it were whole."""
        missing = [site.name for site in self.all_sites if site.name not in self._seen]
        if missing:
            raise CoverageError(missing, self._calls)
        for name, seen in self._seen.items():
            if len(seen) != 1:
                raise UnsupportedAttentionError(
                    f"{name} called its attention kernel {len(seen)} times in one forward (an adapter?); "
                    "recording knows sites with one attention call"
                )

    def _read_timetable(self, timestep: float) -> None:
        self._timetable = [float(t) for t in self.pipe.scheduler.timesteps]
        self._steps = steps_of(self._timetable)
        # Image-to-image enters the timetable late; the first call's own timestep says where.
        if timestep not in self._timetable:
            raise CaptureError(f"the first call's timestep {timestep} is not in the scheduler's timetable")
        self._first_entry = self._timetable.index(timestep)

    def _describe_sites(self) -> list[Site]:
        described = []
        for site in self.all_sites:
            seen = self._seen[site.name][0]
            height, width = self._grids[id(site.spatial)]
            if height * width != seen.query.shape[-2]:
                raise UnsupportedAttentionError(
                    f"{site.name} has {seen.query.shape[-2]} queries, which is not its grid of {height} x {width}"
                )
            described.append(
                Site(
                    name=site.name,
                    module=site.path,
                    kind=site.kind,
                    grid=[height, width],
                    heads=seen.query.shape[-3],
                    head_dim=seen.query.shape[-1],
                    scale=seen.scale,
                    keys=seen.key.shape[-2],
                )
            )
        return described


def _call(number: int, call: DenoiserCall, rows: list[Any], row: int) -> Call:
    return Call(index=number, timestep=call.timestep, rows=rows, row=row)
