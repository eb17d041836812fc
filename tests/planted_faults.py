"""Faults that earlier tools had, or that are near at hand, each planted in one function of the package.

`test_planted_faults` shows that the checks of `exactness_checks` find every one. A fault is silent on purpose: with it
planted, recording and mapping go through without an error, and only the numbers are wrong.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from diffuscope.engine import lens
from diffuscope.engine.capture import clean, kept, session, steps, tap, watch
from diffuscope.engine.capture.patches import Patches
from diffuscope.engine.capture.rows import RowReader
from diffuscope.engine.capture.tap import Attended
from diffuscope.engine.models import tokens
from diffuscope.engine.models.stable_diffusion import StableDiffusion
from diffuscope.maps import aggregate, attention, token_attention, words
from diffuscope.maps.resize import resize
from diffuscope.recording import Recording
from diffuscope.selection import Selection

Patch = pytest.MonkeyPatch


@dataclass(frozen=True)
class Fault:
    """A fault.

    Attributes:
        what: in words.
        known: the tool that had it, or "" where it is only near at hand.
        plant: puts it in, until the patch is undone.
        records: whether it strikes while recording, or only when a recording is read.
    """

    what: str
    known: str
    plant: Callable[[Patch], None]
    records: bool = True


def instead(patch: Patch, function: Any, fault: Any) -> None:
    """`fault` in place of a function of the package, wherever it was imported to."""
    places = 0
    for name, module in list(sys.modules.items()):
        if name.startswith("diffuscope"):
            for attribute, value in list(vars(module).items()):
                if value is function:
                    patch.setattr(module, attribute, fault)
                    places += 1
    assert places, f"{function} is nowhere in the package"


def attended(change: Callable[[Attended], Attended]) -> Callable[[Patch], None]:
    """A fault in what the tap hands on of an attention call."""

    def plant(patch: Patch) -> None:
        original = tap._attended
        instead(patch, original, lambda *args, **kwargs: change(original(*args, **kwargs)))

    return plant


def word_map(change: Callable[[Callable[..., Any], Attended, int, int], Any]) -> Callable[[Patch], None]:
    """A fault in the word maps that are stored."""

    def plant(patch: Patch) -> None:
        every = kept.word_maps

        def original(seen: Attended, row: int, count: int) -> Any:
            return every([seen], [row], count)[0][0]

        def fault(calls: Sequence[Attended], rows: Sequence[int], count: int) -> Any:
            return [[change(original, seen, row, count) for row in rows] for seen in calls]

        instead(patch, every, fault)

    return plant


def aggregated(change: Callable[[np.ndarray, tuple[int, int]], np.ndarray]) -> Callable[[Patch], None]:
    """A fault in how the cells of a site are laid out as a grid."""

    def plant(patch: Patch) -> None:
        original = aggregate.aggregate

        def fault(maps: Any, grids: Any, size: Any, method: Any = "auto", **options: Any) -> Any:
            return original(
                {site: change(each, grids[site]) for site, each in maps.items()},
                grids,
                size,
                method,
                **options,
            )

        instead(patch, original, fault)

    return plant


# Rows: guidance and several pictures.


def unconditional_row(patch: Patch) -> None:
    read = RowReader.read

    def fault(self: RowReader, conditioning: torch.Tensor) -> Any:
        labels, rows = read(self, conditioning)
        half = len(labels) // 2
        return labels[half:] + labels[:half], [row - half for row in rows]

    patch.setattr(RowReader, "read", fault)


def other_picture(seen: Attended) -> Attended:
    def exchanged(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.reshape(-1, 2, *tensor.shape[1:]).flip(1).reshape(tensor.shape)

    return replace(seen, query=exchanged(seen.query), key=exchanged(seen.key), value=exchanged(seen.value))


def both_halves(original: Any, seen: Attended, row: int, count: int) -> Any:
    return (original(seen, row, count) + original(seen, row - len(seen.query) // 2, count)) / 2


def first_row_of_text(patch: Patch) -> None:
    keep = session.Session._keep_text

    def fault(self: Any, picture: int, row: int, number: int, conditioning: torch.Tensor) -> None:
        keep(self, picture, 0, number, conditioning)

    patch.setattr(session.Session, "_keep_text", fault)


# Heads and scale.


def interleaved(seen: Attended) -> Attended:
    """Heads cut as `reshape(-1, dim, heads)` where the channels are `(heads, dim)`."""

    def cut(tensor: torch.Tensor) -> torch.Tensor:
        rows, heads, length, dim = tensor.shape
        return tensor.transpose(1, 2).reshape(rows, length, dim, heads).permute(0, 3, 1, 2)

    return replace(seen, query=cut(seen.query), key=cut(seen.key))


def reversed_heads(seen: Attended) -> Attended:
    return replace(seen, query=seen.query.flip(1), key=seen.key.flip(1), value=seen.value.flip(1))


def next_heads_keys(seen: Attended) -> Attended:
    return replace(seen, key=seen.key.roll(1, 1))


def whole_width(seen: Attended) -> Attended:
    return replace(seen, scale=(seen.query.shape[1] * seen.query.shape[3]) ** -0.5)


# Steps and calls.


def one_step_a_call(patch: Patch) -> None:
    instead(patch, steps.steps_of, lambda scheduler, timesteps: list(range(len(timesteps))))


def previous_call(patch: Patch) -> None:
    original = tap.tap

    def fault(patches: Patches, module: Any, site: str, see: Any, **options: Any) -> None:
        before: list[Attended] = []

        def late(name: str, seen: Attended) -> None:
            before.append(seen)
            see(name, before[-2] if len(before) > 1 else seen)

        original(patches, module, site, late, **options)

    instead(patch, original, fault)


def every_call_a_step(patch: Patch) -> None:
    at = token_attention.WordAttention.at

    def fault(self: Any, site: str, chosen: Sequence[int], weights: Any, heads: Any, _: Any = None) -> Any:
        every = [(step, call.index) for step in chosen for call in self.recording.step(step).calls]
        return np.concatenate([at(self, site, [step], weights, heads, call) for step, call in every])

    patch.setattr(token_attention.WordAttention, "at", fault)


def step_before(patch: Patch) -> None:
    at = token_attention.WordAttention.at

    def fault(self: Any, site: str, chosen: Sequence[int], *rest: Any) -> Any:
        return at(self, site, [max(step - 1, 0) for step in chosen], *rest)

    patch.setattr(token_attention.WordAttention, "at", fault)


def first_call(patch: Patch) -> None:
    call = Recording.call
    patch.setattr(
        Recording,
        "call",
        lambda self, step, index=None: self.step(step).calls[0] if index is None else call(self, step, index),
    )


def end_less_one(patch: Patch) -> None:
    resolve = Selection.resolve_steps

    def fault(self: Selection, n: int) -> tuple[int, ...]:
        found = resolve(self, n)
        return found[:-1] if ":" in self.steps and len(found) > 1 else found

    patch.setattr(Selection, "resolve_steps", fault)


# Grids.


def transposed(values: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    height, width = grid
    return values.reshape(*values.shape[:-1], width, height).swapaxes(-1, -2).reshape(values.shape)


def square(patch: Patch) -> None:
    """`side = sqrt(cells)`: without an error wherever the number of cells is a square."""
    original = aggregate.aggregate

    def fault(maps: Any, grids: Any, size: Any, method: Any = "auto", **options: Any) -> Any:
        sides = {site: math.isqrt(values.shape[-1]) for site, values in maps.items()}
        return original(maps, {site: (side, side) for site, side in sides.items()}, size, method, **options)

    instead(patch, original, fault)


def exchanged_sides(patch: Patch) -> None:
    describe = watch.SiteWatch.describe
    patch.setattr(
        watch.SiteWatch,
        "describe",
        lambda self, call: [
            site.model_copy(update={"grid": site.grid[::-1]}) for site in describe(self, call)
        ],
    )


def nearest(patch: Patch) -> None:
    original = resize
    instead(patch, original, lambda maps, size, method="auto": original(maps, size, "nearest"))


def aligned_corners(patch: Patch) -> None:
    original = resize

    def axis(old: int, new: int) -> np.ndarray:
        at = np.linspace(0, old - 1, new)
        return np.array([np.interp(at, np.arange(old), unit) for unit in np.eye(old)]).T

    def fault(maps: Any, size: Any, method: Any = "auto") -> Any:
        return axis(maps.shape[-2], size[0]) @ maps @ axis(maps.shape[-1], size[1]).T

    instead(patch, original, fault)


def sites_by_cells(patch: Patch) -> None:
    original = aggregate.aggregate

    def fault(maps: Any, grids: Any, size: Any, method: Any = "auto", **options: Any) -> Any:
        cells = {site: values.shape[-1] for site, values in maps.items()}
        mean = np.mean(list(cells.values()))
        weighted = {site: each * cells[site] / mean for site, each in maps.items()}
        return original(weighted, grids, size, method, **options)

    instead(patch, original, fault)


# Softmax and numbers.


def visible_keys(original: Any, seen: Attended, row: int, count: int) -> Any:
    return original(replace(seen, key=seen.key[..., :count, :]), row, count)


def asked_keys(patch: Patch) -> None:
    original = attention.head_mean

    def fault(q: Any, k: Any, scale: float, *, keys: Any = None, **options: Any) -> Any:
        if keys is None:
            return original(q, k, scale, **options)
        last = max(keys) + 1
        return original(q, k[:, :last], scale, keys=keys, **options)

    instead(patch, original, fault)


def through_float16(seen: Attended) -> Attended:
    def rounded(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.half().to(tensor.dtype)

    return replace(seen, query=rounded(seen.query), key=rounded(seen.key), value=rounded(seen.value))


def without_softmax(patch: Patch) -> None:
    instead(patch, attention._softmax, lambda logits: np.float32(logits - logits.min(-1, keepdims=True)))


# Words and tokens.


def without_start(patch: Patch) -> None:
    original = tokens.read_prompt

    def fault(*args: Any) -> Any:
        text = original(*args)
        moved = [word.model_copy(update={"tokens": [at - 1 for at in word.tokens]}) for word in text.words]
        return text.model_copy(update={"words": moved})

    instead(patch, original, fault)


def substring(patch: Patch) -> None:
    instead(
        patch,
        words._match,
        lambda text, label: next((word for word in text.words if label.partition("#")[0] in word.text), None),
    )


def beginning(patch: Patch) -> None:
    instead(
        patch,
        words._match,
        lambda text, label: next((word for word in text.words if label.startswith(word.text)), None),
    )


def first_token(patch: Patch) -> None:
    patch.setattr(words.Term, "weights", lambda self, reduce: {group[0]: 1.0 for group in self.groups})


def mean_of_tokens(patch: Patch) -> None:
    weights = words.Term.weights
    patch.setattr(words.Term, "weights", lambda self, reduce: weights(self, "mean"))


# Sites, and leaving the model alone.


def sorted_as_text(patch: Patch) -> None:
    sites = StableDiffusion.sites
    patch.setattr(
        StableDiffusion,
        "sites",
        lambda self, pipe: tuple(sorted(sites(self, pipe), key=lambda site: site.name)),
    )


def exchanged_kinds(patch: Patch) -> None:
    sites = StableDiffusion.sites
    other: dict[str, Any] = {"cross": "self", "self": "cross"}

    def fault(self: StableDiffusion, pipe: Any) -> Any:
        return tuple(
            replace(site, kind=other[site.kind], name=f"{other[site.kind]}:{site.name.partition(':')[2]}")
            for site in sites(self, pipe)
        )

    patch.setattr(StableDiffusion, "sites", fault)


def unchecked(patch: Patch) -> None:
    """What is not seen is not a site, and nobody is told."""

    def fault(self: Any, call: int) -> None:
        self.sites = tuple(site for site in self.sites if site.name in self.seen)

    patch.setattr(watch.SiteWatch, "check", fault)


def exchanged_maps(patch: Patch) -> None:
    """Sites of one shape, whose maps are computed together, get each other's."""
    original = kept.word_maps

    def fault(calls: Sequence[Attended], rows: Sequence[int], count: int) -> Any:
        forms = [(seen.query.shape, seen.key.shape) for seen in calls]
        made = original(calls, rows, count)
        return [
            made[len(forms) - 1 - forms[::-1].index(form)] if forms.index(form) == index else made[index]
            for index, form in enumerate(forms)
        ]

    instead(patch, original, fault)


def hooks_stay(patch: Patch) -> None:
    # Put back when the fault is taken out: they are not in the pipeline alone.
    patch.setattr(torch.nn.functional, "scaled_dot_product_attention", tap.SDPA)
    patch.setattr(tap, "_taps_on", set())
    patch.setattr(Patches, "__exit__", lambda *_: None)


def own_kernel(patch: Patch) -> None:
    """The tap returns its own softmax in place of the kernel's: the same but for rounding."""

    def fault(self: Any, func: Any, *args: Any, **kwargs: Any) -> Any:
        seen = tap._attended(*args, **kwargs)
        self.see(self.site, seen)
        return (seen.query @ seen.key.mT * seen.scale).softmax(-1) @ seen.value

    patch.setattr(tap._Tap, "attend", fault)


def other_noise(patch: Patch) -> None:
    original = lens._generators
    instead(patch, original, lambda seeds: original([None if seed is None else seed + 1 for seed in seeds]))


# Noise and the predicted clean latent.


def squared_amplitudes(patch: Patch) -> None:
    original = clean.noise_level

    def fault(*args: Any) -> Any:
        level = original(*args)
        return clean.NoiseLevel(level.signal**2, level.noise**2)

    instead(patch, original, fault)


def end_of_step(patch: Patch) -> None:
    original = clean.noise_level

    def fault(scheduler: Any, timestep: float, entry: int) -> Any:
        later = [float(t) for t in scheduler.timesteps if float(t) < timestep]
        return original(scheduler, max(later, default=0.0), entry + 1)

    instead(patch, original, fault)


def signal_left_in(patch: Patch) -> None:
    instead(
        patch,
        clean.predicted_clean,
        lambda scheduler, output, sample, level: sample - level.noise * output,
    )


def read_later(what: str, known: str, plant: Callable[[Patch], None]) -> Fault:
    return Fault(what, known, plant, records=False)


FAULTS = (
    Fault("the unconditional half of the guidance batch is recorded", "OVAM", unconditional_row),
    Fault("text keys are those of the batch's first row", "DAAM, OVAM", first_row_of_text),
    Fault("pictures of one batch are exchanged", "DAAM, OVAM", attended(other_picture)),
    Fault(
        "word maps are averaged over both halves of the guidance batch",
        "Diffusion Detective",
        word_map(both_halves),
    ),
    Fault("heads are cut as (dim, heads) out of (heads, dim)", "Patch Explorer", attended(interleaved)),
    Fault("heads are in reverse order", "", attended(reversed_heads)),
    Fault("keys are those of the next head", "", attended(next_heads_keys)),
    Fault("the scale 1/sqrt(d) is left out", "", attended(lambda seen: replace(seen, scale=1.0))),
    Fault("the scale is that of all heads together", "", attended(whole_width)),
    Fault(
        "the scale is applied twice", "", attended(lambda seen: replace(seen, query=seen.query * seen.scale))
    ),
    Fault("every call of the denoiser is counted as a step", "", one_step_a_call),
    Fault("attention is that of the call before", "", previous_call),
    read_later("a step of two calls counts twice in the mean over steps", "", every_call_a_step),
    read_later("a step shows the one before it", "", step_before),
    read_later("a step of two calls shows its first", "", first_call),
    read_later("the last step of a range is left out", "Patch Explorer", end_less_one),
    read_later("grids are taken to be square", "DAAM, OVAM", square),
    read_later("cells run down the columns", "", aggregated(transposed)),
    read_later("cells are shifted by one", "", aggregated(lambda values, grid: np.roll(values, 1, axis=-1))),
    Fault("height and width of a grid are exchanged", "", exchanged_sides),
    read_later("grids are brought to one size by the nearest cell", "", nearest),
    read_later("grids are brought to one size corner on corner", "", aligned_corners),
    read_later("sites weigh by their number of cells", "", sites_by_cells),
    Fault("stored maps: the softmax leaves out padding", "", word_map(visible_keys)),
    read_later("maps of heads: the softmax runs over the keys up to the word", "", asked_keys),
    read_later("scores are shown without a softmax", "", without_softmax),
    Fault("queries and keys pass through float16", "", attended(through_float16)),
    Fault(
        "word maps are of the batch's first row",
        "OVAM",
        word_map(lambda f, seen, row, count: f(seen, 0, count)),
    ),
    Fault("sites of one shape get each other's word maps", "", exchanged_maps),
    Fault("the start token is forgotten, so that every word is one off", "", without_start),
    read_later("a word is found inside another", "Diffusion Detective", substring),
    read_later("a word is taken for a longer one that it begins", "Diffusion Detective", beginning),
    read_later("of a word's tokens only the first is shown", "", first_token),
    read_later("a word's tokens are averaged where their sum is meant", "", mean_of_tokens),
    Fault("sites are sorted as text", "Patch Explorer", sorted_as_text),
    Fault("self- and cross-attention are exchanged", "", exchanged_kinds),
    Fault("a site that goes around the kernel is passed over", "", unchecked),
    Fault("hooks are never taken out", "Diffusion Detective", hooks_stay),
    Fault("the recording computes attention itself", "", own_kernel),
    Fault("the recorded run draws other noise", "Diffusion Detective", other_noise),
    Fault("noise: amplitudes are squared", "", squared_amplitudes),
    Fault("noise is that of the step's end", "", end_of_step),
    Fault("the predicted clean latent keeps the signal's amplitude", "", signal_left_in),
)
"""`known` names the tool of `docs/planted-faults.md` whose source had the fault."""
