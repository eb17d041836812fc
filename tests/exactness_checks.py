"""The checks that a recording is exact: each compares it with an account of the same run that was kept independently.

`observe` records with the package while plain hooks of torch note what went in and out of the model; the checks compute
from those notes, in float64 and by their own arithmetic, what the recording must say. Nothing of the package's capture
or map code is used on the independent side. `test_exactness` runs them on many kinds of runs, `test_planted_faults`
shows that each can fail.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from explicit_attention import explicit, watched_projections
from traces import Traces, traces

from diffuscope.engine import Lens
from diffuscope.errors import CoverageError
from diffuscope.maps.attention import probabilities
from diffuscope.run import Run

PROMPT = "a cattle dog, a red cat, cats"
"""One word twice, one inside others before and after it ("cat"), words of several tokens, tokens of no word."""

SIZE: dict[str, Any] = {"width": 64, "height": 16}
"""Twice or four times as wide as high, and yet both grids have a square number of cells (8x32 = 16x16): who takes a
grid to be square gets no error, only another picture."""

ABSOLUTE, RELATIVE = 1e-6, 1e-4


@dataclass(frozen=True)
class SeenCall:
    """One forward of the denoiser as a hook saw it, all rows."""

    timestep: float
    sample: torch.Tensor
    output: torch.Tensor


@dataclass(frozen=True)
class Account:
    """A recorded run, and what is known of it independently.

    Attributes:
        pipe: the pipeline that drew.
        runs: what the package recorded, one a picture.
        images, guided, steps: how many pictures, whether with guidance, and how many steps were asked for.
        projections: module path of each attention, in the order in which they ran, to the outputs of its `to_q` and
            `to_k` for each call, float64 `[row, position, channel]`.
        grids: module path of each transformer to height and width of its feature map.
        calls: every forward of the denoiser while it was recorded.
        plain: every forward of the same drawing without a recording.
        pictures: those that were drawn without a recording.
        before, after: what was installed in the pipeline before and after.
        computed: expected probabilities that were asked for.
    """

    pipe: Any
    runs: tuple[Run, ...]
    images: int
    guided: bool
    steps: int
    projections: dict[str, list[dict[str, np.ndarray]]]
    grids: dict[str, tuple[int, int]]
    calls: list[SeenCall]
    plain: list[SeenCall]
    pictures: list[np.ndarray]
    before: Traces
    after: Traces
    computed: dict[tuple[str, int, int], np.ndarray] = field(default_factory=dict)

    def reopened(self) -> Account:
        """The same, with nothing computed from the recordings yet."""
        return replace(self, runs=tuple(Run.open(run.path) for run in self.runs))

    def row(self, picture: int) -> int:
        """The conditional row: diffusers' Stable Diffusion puts the unconditional ones first."""
        return picture + self.images * self.guided

    def rows(self, picture: int) -> list[int]:
        """All rows of a picture's batch."""
        return [picture, picture + self.images] if self.guided else [picture]

    def heads(self, module: str) -> int:
        """Number of heads, as the model's own module says."""
        return int(self.pipe.unet.get_submodule(module).heads)

    def probabilities(self, module: str, call: int, picture: int) -> np.ndarray:
        """Expected `[head, query, key]`, float64."""
        at = (module, call, picture)
        if at not in self.computed:
            seen, row = self.projections[module][call], self.row(picture)
            self.computed[at] = explicit(seen["q"][row], seen["k"][row], self.heads(module))
        return self.computed[at]

    def calls_of_steps(self) -> list[list[int]]:
        """The calls of each step, from what the scheduler is known to do.

        PNDM (without its Runge-Kutta start) evaluates its first step twice, Heun each but the last; the others none.
        """
        kind = type(self.pipe.scheduler).__name__
        twice = {"PNDMScheduler": {0}, "HeunDiscreteScheduler": set(range(self.steps - 1))}.get(kind, set())
        made: list[list[int]] = []
        for step in range(self.steps):
            first = made[-1][-1] + 1 if made else 0
            made.append([first, first + 1] if step in twice else [first])
        return made


def observe(
    pipe: Any,
    folder: Path,
    *,
    prompt: str = PROMPT,
    guidance: float = 5.0,
    images: int = 1,
    steps: int = 3,
    seed: int = 3,
    negative_prompt: str | None = None,
    **options: Any,
) -> Account:
    """Draw twice, plainly and recorded, and keep an account of both. `options` are those of `Lens.record`."""
    size = {name: options.pop(name, value) for name, value in SIZE.items()}
    generators = [torch.Generator().manual_seed(seed + index) for index in range(images)]
    with _watched(pipe.unet) as (plain, _):
        made = pipe(
            prompt,
            negative_prompt=negative_prompt,
            num_inference_steps=steps,
            guidance_scale=guidance,
            num_images_per_prompt=images,
            generator=generators if images > 1 else generators[0],
            **size,
        )
    before = traces(pipe)
    with watched_projections(pipe.unet) as projections, _watched(pipe.unet) as (calls, grids):
        runs = Lens(pipe).record(
            prompt,
            negative_prompt=negative_prompt,
            steps=steps,
            guidance_scale=guidance,
            images_per_prompt=images,
            seed=seed,
            out=folder,
            **{"keep": "qk", "previews": False, **size, **options},
        )
    return Account(
        pipe=pipe,
        runs=tuple(runs) if images > 1 else (runs,),
        images=images,
        guided=guidance > 1,
        steps=steps,
        projections=projections,
        grids=grids,
        calls=calls,
        plain=plain,
        pictures=[np.asarray(image) for image in made.images],
        before=before,
        after=traces(pipe),
    )


@contextmanager
def _watched(unet: torch.nn.Module) -> Iterator[tuple[list[SeenCall], dict[str, tuple[int, int]]]]:
    calls: list[SeenCall] = []
    grids: dict[str, tuple[int, int]] = {}

    def called(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        given: dict[str, Any] = {**dict(zip(("sample", "timestep"), args, strict=False)), **kwargs}
        made = output[0] if isinstance(output, tuple) else output.sample
        calls.append(SeenCall(float(given["timestep"]), given["sample"].clone(), made.clone()))

    def grid(path: str) -> Any:
        def hook(_: Any, args: tuple[Any, ...]) -> None:
            grids[path] = (int(args[0].shape[2]), int(args[0].shape[3]))

        return hook

    handles = [unet.register_forward_hook(called, with_kwargs=True)]
    for path, module in unet.named_modules():
        if type(module).__name__ == "Transformer2DModel":
            handles.append(module.register_forward_pre_hook(grid(path)))
    try:
        yield calls, grids
    finally:
        for handle in handles:
            handle.remove()


def agrees(found: Any, expected: np.ndarray) -> bool:
    """Within both tolerances."""
    found = np.asarray(found, np.float64)
    if found.shape != expected.shape:
        return False
    error = np.abs(found - expected)
    return bool((error <= ABSOLUTE).all() and (error <= RELATIVE * np.abs(expected) + 1e-30).all())


# The checks. Each raises AssertionError where the recording is not exact.


def check_undisturbed(account: Account) -> None:
    """The model was given and gave, to the bit, what it is given and gives without a recording; so the pictures are."""
    assert len(account.calls) == len(account.plain)
    for recorded, plain in zip(account.calls, account.plain, strict=True):
        assert recorded.timestep == plain.timestep
        assert torch.equal(recorded.sample, plain.sample) and torch.equal(recorded.output, plain.output)
    for run, picture in zip(account.runs, account.pictures, strict=True):
        assert np.array_equal(np.asarray(run.image), picture)


def check_no_trace(account: Account) -> None:
    """Nothing is installed in the pipeline afterwards that was not there before."""
    assert account.after == account.before


def check_coverage(account: Account) -> None:
    """Where a site's attention goes around the kernel, recording stops with the site's name."""
    pipe, (run, *_) = account.pipe, account.runs
    blind = pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn2
    before = blind.processor
    from diffusers.models.attention_processor import AttnProcessor

    blind.set_processor(AttnProcessor())
    try:
        with pytest.raises(CoverageError) as caught:
            Lens(pipe).record("a cat", steps=1, out=run.path.parent / "coverage", **SIZE)
    finally:
        blind.set_processor(before)
    assert caught.value.missing == ("cross:mid",)


def check_sites(account: Account) -> None:
    """Every attention module is a site, in the order in which they run, with its kind, grid, heads, keys and scale."""
    for run in account.runs:
        assert [site.module for site in run.sites] == list(account.projections)
        for site in run.sites:
            kind = "cross" if site.module.endswith("attn2") else "self"
            assert site.kind == kind and site.name.startswith(f"{kind}:")
            transformer = site.module.split(".transformer_blocks")[0]
            assert tuple(site.grid) == account.grids[transformer]
            seen = account.projections[site.module][0]
            heads = account.heads(site.module)
            assert (site.heads, site.head_dim) == (heads, seen["q"].shape[-1] // heads)
            assert site.keys == seen["k"].shape[1]
            assert site.scale == pytest.approx((seen["q"].shape[-1] / heads) ** -0.5, rel=1e-9)


def check_steps(account: Account) -> None:
    """As many steps as were asked for, each with its own calls, and each call with its own latents."""
    expected = account.calls_of_steps()
    assert len(account.calls) == expected[-1][-1] + 1
    for picture, run in enumerate(account.runs):
        assert [step.index for step in run.steps] == list(range(account.steps))
        assert [[call.index for call in step.calls] for step in run.steps] == expected
        for step in run.steps:
            assert step.timestep == account.calls[step.calls[0].index].timestep
            for call in step.calls:
                seen, rows = account.calls[call.index], account.rows(picture)
                assert call.timestep == seen.timestep
                latent, output = (
                    run.recording.latent(step.index, call.index),
                    run.recording.output(step.index, call.index),
                )
                assert np.array_equal(latent.astype(np.float32), seen.sample[rows].float().numpy())
                assert np.array_equal(output.astype(np.float32), seen.output[rows].float().numpy())


def check_rows(account: Account) -> None:
    """The rows of every call are named as they are laid out."""
    labels = ["uncond", "cond"] if account.guided else ["cond"]
    for run in account.runs:
        for step in run.steps:
            for call in step.calls:
                assert (call.rows, call.row) == (labels, len(labels) - 1)


def check_attention(account: Account) -> None:
    """At every site, head and call the softmax of what was kept is that of the model's own projections."""
    for picture, run in enumerate(account.runs):
        for step in run.steps:
            for call in step.calls:
                for site in run.sites:
                    query = run.recording.query(site.name, step.index, call.index)
                    keys = run.recording.keys(site.name, step.index, call.index)
                    expected = account.probabilities(site.module, call.index, picture)
                    found = probabilities(query, keys, site.scale)
                    assert agrees(found, expected), f"{site.name}, call {call.index}"


def check_word_maps(account: Account) -> None:
    """The stored word maps are head means of the probabilities, token by token, over all keys."""
    for picture, run in enumerate(account.runs):
        kinds = [token.kind for token in run.tokens]
        tokens = len(kinds) - kinds.count("padding")
        for step in run.steps:
            for call in step.calls:
                for site in [site for site in run.sites if site.kind == "cross"]:
                    expected = account.probabilities(site.module, call.index, picture).mean(axis=0).T[:tokens]
                    found = run.recording.word_maps(site.name, step.index, call.index)
                    assert found.dtype == np.float32
                    assert agrees(found, expected), f"{site.name}, call {call.index}"


def check_words(account: Account) -> None:
    """Every word is found by its label, with its own tokens."""
    for run in account.runs:
        expected = words_of(account.pipe.tokenizer, run.prompt)
        assert [word.label for word in run.words] == list(expected)
        for label, tokens in expected.items():
            assert run.word(label).tokens == tokens, label
        assert run.word("<start>").tokens == (0,)
        ids = account.pipe.tokenizer(run.prompt).input_ids
        assert [token.id for token in run.tokens[: len(ids)]] == ids
        assert run.word("<end>").tokens == (len(ids) - 1,)


def words_of(tokenizer: Any, prompt: str) -> dict[str, tuple[int, ...]]:
    """Label of each word to its tokens: those by which the prompt up to its end is longer than up to its beginning."""
    found: dict[str, tuple[int, ...]] = {}
    for match in re.finditer(r"\w+", prompt):
        # Without the end token.
        before, after = (len(tokenizer(prompt[:at]).input_ids) - 1 for at in match.span())
        number = 1 + sum(label.split("#")[0] == match[0] for label in found)
        found[match[0] if number == 1 else f"{match[0]}#{number}"] = tuple(range(before, after))
    return found


@dataclass(frozen=True)
class Question:
    """A map that is asked for, and of what it is made: indices of steps, names of sites and heads (None: all)."""

    words: tuple[str, ...]
    asked: dict[str, Any]
    steps: Sequence[int] | None = None
    sites: tuple[str, ...] | None = None
    heads: Sequence[int] | None = None


QUESTIONS = (
    Question(("cat",), {}),
    Question(("dog",), {"steps": "1:3"}, steps=(1, 2)),
    Question(
        ("cattle",), {"sites": "cross:up.1.*", "size": "native"}, sites=("cross:up.1.0", "cross:up.1.1")
    ),
    Question(("a",), {"steps": 0, "heads": 1}, steps=(0,), heads=(1,)),
    Question(("cat",), {"sites": "cross:mid", "heads": [3, 0]}, sites=("cross:mid",), heads=(0, 3)),
    Question(("red", "cat"), {"steps": [0, 2]}, steps=(0, 2)),
)


def check_maps(account: Account) -> None:
    """Maps of words are means over heads, then sites, then steps, on the grid that is asked for."""
    for picture, run in enumerate(account.runs):
        for question in QUESTIONS:
            phrase = " ".join(question.words)
            view = run.phrase(phrase) if len(question.words) > 1 else run.word(phrase)
            found = view.map(**question.asked).array
            assert agrees(found, expected_map(account, picture, question)), question.asked


def expected_map(account: Account, picture: int, question: Question) -> np.ndarray:
    """The map of a question in float64, by sums and `np.interp` alone."""
    words = words_of(account.pipe.tokenizer, account.runs[picture].prompt)
    tokens = [token for word in question.words for token in words[word]]
    size = max(account.grids.values(), key=lambda grid: grid[0] * grid[1])
    per_step = []
    for step in range(account.steps) if question.steps is None else question.steps:
        call = account.calls_of_steps()[step][-1]
        per_site = []
        for module in account.projections:
            name = site_name(module)
            if not name.startswith("cross:") or (question.sites is not None and name not in question.sites):
                continue
            table = account.probabilities(module, call, picture)
            heads = list(question.heads) if question.heads is not None else list(range(len(table)))
            word = table[heads].mean(axis=0)[:, tokens].sum(axis=1)
            grid = account.grids[module.split(".transformer_blocks")[0]]
            per_site.append(grown(word.reshape(grid), size))
        per_step.append(np.mean(per_site, axis=0))
    return np.asarray(np.mean(per_step, axis=0))


def site_name(module: str) -> str:
    """The name that a site has by the documentation: `up_blocks.1.attentions.0.….attn2` is `cross:up.1.0`."""
    kind = "cross" if module.endswith("attn2") else "self"
    match = re.match(r"(down|up)_blocks\.(\d+)\.attentions\.(\d+)\.", module)
    return f"{kind}:{'.'.join(match.groups())}" if match else f"{kind}:mid"


def grown(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear growth, cell centres at half integers, edges held."""
    at = [(np.arange(new) + 0.5) * old / new - 0.5 for old, new in zip(array.shape, size, strict=True)]
    wide = np.array([np.interp(at[1], np.arange(array.shape[1]), row) for row in array])
    return np.array([np.interp(at[0], np.arange(array.shape[0]), column) for column in wide.T]).T


def check_noise(account: Account) -> None:
    """Noise of every step is that of the schedule at the timestep at which the step begins."""
    for run in account.runs:
        for step in run.steps:
            sigma = sigma_at(account, step.calls[0].index)
            assert step.sigma == pytest.approx(sigma, rel=1e-4)
            assert step.log_snr == pytest.approx(-2 * np.log(sigma), rel=1e-4, abs=1e-4)


def check_clean(account: Account) -> None:
    """The predicted clean latent is what guidance makes of the recorded outputs, less the noise of that call."""
    guidance = account.runs[0].manifest.sampling.guidance_scale
    for picture, run in enumerate(account.runs):
        for step in run.steps:
            call = step.calls[-1].index
            seen, rows = account.calls[call], account.rows(picture)
            sample, output = (tensor[rows].double().numpy() for tensor in (seen.sample, seen.output))
            noise = output[0] + guidance * (output[1] - output[0]) if account.guided else output[0]
            sigma = sigma_at(account, call)
            # What goes into the model has unit variance whatever the scheduler's own scaling.
            clean = np.sqrt(1 + sigma**2) * sample[-1] - sigma * noise
            found = run.recording.pred_x0(step.index).astype(np.float64)
            assert found.shape == clean.shape
            # Unlike a probability it is a difference of two numbers as large as sigma, which cancel.
            size = np.abs(sigma * noise).max() + np.abs(clean).max()
            assert np.abs(found - clean).max() <= CLEAN * size * eps(seen.output.dtype)


CLEAN = 64
"""Rounding errors of the dtype that a predicted clean latent may be off by, relative to what it is a difference of.
Schedulers keep their tables in float32, where a small sigma is off by 200 of them."""


def eps(dtype: torch.dtype) -> float:
    """Half the distance of 1 from the next number."""
    return float(torch.finfo(dtype).eps) / 2


def sigma_at(account: Account, call: int) -> float:
    """Noise over signal at a call, from the scheduler's configuration and the papers' formulas alone."""
    config = account.pipe.scheduler.config
    betas = np.linspace(config.beta_start**0.5, config.beta_end**0.5, config.num_train_timesteps) ** 2
    signal = np.cumprod(1 - betas)
    trained = np.sqrt((1 - signal) / signal)
    if getattr(config, "use_karras_sigmas", False):
        # Karras et al. 2022, eq. 5, rho = 7: steps are even in the seventh root of sigma.
        ends = (trained[-1] ** (1 / 7), trained[0] ** (1 / 7))
        entry = next(step for step, calls in enumerate(account.calls_of_steps()) if call in calls)
        return float((ends[0] + entry / (account.steps - 1) * (ends[1] - ends[0])) ** 7)
    # Some schedulers step to timesteps between those of the training: sigma is linear between them.
    return float(np.interp(account.calls[call].timestep, np.arange(len(trained)), trained))


CHECKS: dict[str, Callable[[Account], None]] = {
    "undisturbed": check_undisturbed,
    "no trace": check_no_trace,
    "coverage": check_coverage,
    "sites": check_sites,
    "steps": check_steps,
    "rows": check_rows,
    "attention": check_attention,
    "word maps": check_word_maps,
    "words": check_words,
    "maps": check_maps,
    "noise": check_noise,
    "clean latent": check_clean,
}


def failing(account: Account) -> list[str]:
    """Names of the checks that do not hold."""
    found = []
    for name, check in CHECKS.items():
        try:
            check(account)
        except (AssertionError, pytest.fail.Exception):
            found.append(name)
    return found
