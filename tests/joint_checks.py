"""The checks that a recording of joint attention is exact: each compares it with an account kept independently.

Forward hooks note what each attention module's projections (or, where there are any, the norms behind them) give. From
these the sequence is put together, turned (rotary embedding) and its softmax taken here in float64, by this file's own
arithmetic. Nothing of the package's capture or map code is used on the independent side.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from traces import Traces, traces

from diffuscope.engine import Lens
from diffuscope.maps.self_attention import SelfAttention
from diffuscope.run import Run

PROMPT = "a cattle dog, a red cat, cats"
"""One word twice, one inside others before and after it ("cat"), words of several tokens, tokens of no word."""

SIZE: dict[str, Any] = {"width": 48, "height": 16}
"""Three times as wide as high: a grid of 4 x 12."""

T5 = 24
"""Tokens of T5 that the runs read: not the pipeline's default."""

ABSOLUTE, RELATIVE = 1e-6, 1e-4

PROJECTIONS = {
    "q": ("norm_q", "to_q"),
    "k": ("norm_k", "to_k"),
    "text q": ("norm_added_q", "add_q_proj"),
    "text k": ("norm_added_k", "add_k_proj"),
}
"""What is watched of an attention module: the norm if it has one, else the projection."""


@dataclass(frozen=True)
class Account:
    """A recorded run, and what is known of it independently.

    Attributes:
        pipe, runs: the pipeline, and what the package recorded, one run a picture.
        family: `sd3`, `sd35` or `flux`.
        images, guidance, steps: how many pictures; `batched`, `separate` (two forwards a step) or `none`; how many
            steps were asked for.
        projections: path of each attention module, in the order in which they ran, to what was watched of it in each
            call, float32 `[row, head, position, dim]`.
        calls: timestep, latents and output of every forward, as the denoiser had them.
        plain: the same of a drawing without a recording.
        pictures: those that were drawn without a recording.
        before, after: what was installed in the pipeline before and after.
    """

    pipe: Any
    runs: tuple[Run, ...]
    family: str
    images: int
    guidance: str
    steps: int
    projections: dict[str, list[dict[str, np.ndarray]]]
    calls: list[tuple[float, torch.Tensor, torch.Tensor]]
    plain: list[tuple[float, torch.Tensor, torch.Tensor]]
    pictures: list[np.ndarray]
    before: Traces
    after: Traces
    scale: float
    computed: dict[tuple[str, int, int], np.ndarray] = field(default_factory=dict)

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width in cells: patches of 2 x 2 of a latent that is half as large as the picture."""
        sampling = self.runs[0].manifest.sampling
        return sampling.height // 4, sampling.width // 4

    @property
    def text(self) -> int:
        """Number of text tokens: T5's, and CLIP's before them in Stable Diffusion 3."""
        return T5 if self.family == "flux" else self.pipe.tokenizer.model_max_length + T5

    def row(self, picture: int) -> int:
        """The conditional row: Stable Diffusion 3 puts the unconditional ones first."""
        return picture + self.images * (self.guidance == "batched")

    def calls_of(self, step: int) -> list[int]:
        """Calls of a step."""
        return [2 * step, 2 * step + 1] if self.guidance == "separate" else [step]

    def conditional(self, step: int) -> int:
        """The call of a step that reads the prompt: the first of two."""
        return self.calls_of(step)[0]

    def probabilities(self, module: str, call: int, picture: int) -> np.ndarray:
        """Expected `[head, query, key]` of the whole sequence in the model's own order, float64."""
        at = (module, call, picture)
        if at not in self.computed:
            seen, row = self.projections[module][call], self.row(picture)
            q, k = seen["q"][row], seen["k"][row]
            if "text q" in seen:
                order = [0, 1] if self.family == "flux" else [1, 0]
                q, k = (
                    np.concatenate([(seen[f"text {name}"][row], own)[index] for index in order], axis=1)
                    for name, own in (("q", q), ("k", k))
                )
            if self.family == "flux":
                turn = rotation(self.pipe.transformer.config.axes_dims_rope, self.text, self.grid)
                q, k = turned(q, *turn), turned(k, *turn)
            scores = np.einsum("hqd,hkd->hqk", q.astype(np.float64), k.astype(np.float64)) / np.sqrt(
                q.shape[-1]
            )
            powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
            self.computed[at] = powers / powers.sum(axis=-1, keepdims=True)
        return self.computed[at]

    def parts(self, module: str) -> tuple[slice, slice]:
        """Where text and picture stand in a module's sequence."""
        cells = self.grid[0] * self.grid[1]
        if module.endswith("attn2"):
            return slice(0, 0), slice(0, cells)
        if self.family == "flux":
            return slice(0, self.text), slice(self.text, self.text + cells)
        return slice(cells, cells + self.text), slice(0, cells)


def rotation(axes: tuple[int, ...], text: int, grid: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine `[position, dim / 2]` of Flux's rotary embedding (Su et al. 2021, eq. 34, on three axes): text at
    the origin, cell (y, x) at (0, y, x)."""
    y, x = np.indices(grid).reshape(2, -1)
    places = np.concatenate([np.zeros((text, 3)), np.stack([0 * y, y, x], axis=1)])
    angles = [
        places[:, axis, None] * 10000.0 ** (-np.arange(0, dim, 2) / dim) for axis, dim in enumerate(axes)
    ]
    angle = np.concatenate(angles, axis=1)
    return np.cos(angle), np.sin(angle)


def turned(x: np.ndarray, cosine: np.ndarray, sine: np.ndarray) -> np.ndarray:
    """`[head, position, dim]` with each pair of neighbouring channels turned, rounded as the model's float32 is."""
    even, odd = x[..., 0::2].astype(np.float64), x[..., 1::2].astype(np.float64)
    out = np.empty_like(x)
    out[..., 0::2] = even * cosine - odd * sine
    out[..., 1::2] = odd * cosine + even * sine
    return out


def observe(
    family: str,
    pipe: Any,
    folder: Path,
    *,
    guidance: str = "none",
    images: int = 1,
    steps: int = 2,
    seed: int = 3,
    **options: Any,
) -> Account:
    """Draw twice, plainly and recorded, and keep an account of both. `options` are those of `Lens.record`."""
    negative = {"negative_prompt": options.pop("negative_prompt", "a dog")} if guidance != "none" else {}
    scale = {"batched": 4.0, "separate": 3.5, "none": 3.5 if family == "flux" else 1.0}[guidance]
    extra: dict[str, Any] = {"max_sequence_length": T5, "guidance_scale": scale, **negative}
    if guidance == "separate":
        extra["true_cfg_scale"] = 2.0
    size = {name: options.pop(name, value) for name, value in SIZE.items()}
    generators = [torch.Generator().manual_seed(seed + index) for index in range(images)]
    with watched_calls(pipe) as plain:
        made = pipe(
            PROMPT,
            num_inference_steps=steps,
            num_images_per_prompt=images,
            generator=generators if images > 1 else generators[0],
            **size,
            **extra,
        )
    before = traces(pipe)
    with watched_projections(pipe.transformer) as projections, watched_calls(pipe) as calls:
        runs = Lens(pipe).record(
            PROMPT,
            steps=steps,
            images_per_prompt=images,
            seed=seed,
            out=folder,
            **{"keep": "qk", "previews": False, **size, **extra, **options},
        )
    return Account(
        pipe=pipe,
        runs=tuple(runs) if images > 1 else (runs,),
        family=family,
        images=images,
        guidance=guidance,
        steps=steps,
        projections=projections,
        calls=calls,
        plain=plain,
        pictures=[np.asarray(image) for image in made.images],
        before=before,
        after=traces(pipe),
        scale=extra.get("true_cfg_scale", scale),
    )


@contextmanager
def watched_projections(model: torch.nn.Module) -> Iterator[dict[str, list[dict[str, np.ndarray]]]]:
    """See `Account.projections`."""
    seen: dict[str, list[dict[str, np.ndarray]]] = {}
    handles = []

    def note(path: str, module: Any, what: str) -> Any:
        def hook(_module: torch.nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            calls = seen.setdefault(path, [])
            if what == "q":
                calls.append({})
            made = output.detach().float().numpy().copy()
            if made.ndim == 3:
                # Straight from a projection: heads are runs of channels.
                made = made.reshape(*made.shape[:2], module.heads, -1)
            if made.shape[1] != module.heads or type(module).__name__ == "FluxAttention":
                made = made.transpose(0, 2, 1, 3)
            calls[-1][what] = made

        return hook

    for path, module in model.named_modules():
        if path.endswith((".attn", ".attn2")):
            for what, names in PROJECTIONS.items():
                there = [getattr(module, name, None) for name in names]
                source = next((each for each in there if each is not None), None)
                if source is not None:
                    handles.append(source.register_forward_hook(note(path, module, what)))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def watched_calls(pipe: Any) -> Iterator[list[tuple[float, torch.Tensor, torch.Tensor]]]:
    """Timestep, latents and output of every forward of the denoiser."""
    calls: list[tuple[float, torch.Tensor, torch.Tensor]] = []

    def called(_: Any, _args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        calls.append(
            (float(kwargs["timestep"].flatten()[0]), kwargs["hidden_states"].clone(), output[0].clone())
        )

    handle = pipe.transformer.register_forward_hook(called, with_kwargs=True)
    try:
        yield calls
    finally:
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
        assert recorded[0] == plain[0]
        assert torch.equal(recorded[1], plain[1]) and torch.equal(recorded[2], plain[2])
    for run, picture in zip(account.runs, account.pictures, strict=True):
        assert np.array_equal(np.asarray(run.image), picture)
    assert account.after == account.before


def check_sites(account: Account) -> None:
    """Every attention module is a site, in the order in which they run, with its kind, parts, grid, heads and scale."""
    for run in account.runs:
        assert [site.module for site in run.sites] == list(account.projections)
        blocks = 0
        for site in run.sites:
            seen = account.projections[site.module][0]
            dual = site.module.endswith("attn2")
            assert site.name == (f"self:{blocks - 1}" if dual else f"joint:{blocks}")
            blocks += not dual
            text, image = account.parts(site.module)
            assert tuple(site.grid) == account.grid
            assert site.keys == text.stop - text.start + image.stop - image.start
            heads, dim = seen["q"].shape[1], seen["q"].shape[3]
            assert (site.heads, site.head_dim) == (heads, dim)
            assert site.scale == pytest.approx(dim**-0.5, rel=1e-9)
            if dual:
                assert site.kind == "self" and site.text_keys is None and site.image_keys is None
            else:
                assert site.kind == "joint"
                assert (site.text_keys, site.image_keys) == (
                    [text.start, text.stop],
                    [image.start, image.stop],
                )


def check_steps(account: Account) -> None:
    """Steps, calls and their rows, latents of each call as pictures, and noise levels of flow matching."""
    sigmas = account.pipe.scheduler.sigmas.double().numpy()
    labels = {"none": [["cond"]], "batched": [["uncond", "cond"]], "separate": [["cond"], ["uncond"]]}[
        account.guidance
    ]
    assert len(account.calls) == account.calls_of(account.steps - 1)[-1] + 1
    for picture, run in enumerate(account.runs):
        assert [step.index for step in run.steps] == list(range(account.steps))
        for step in run.steps:
            assert [call.index for call in step.calls] == account.calls_of(step.index)
            assert [call.rows for call in step.calls] == labels
            assert [call.row for call in step.calls] == [
                rows.index("cond") if "cond" in rows else -1 for rows in labels
            ]
            sigma = sigmas[step.index]
            assert step.timestep == pytest.approx(1000 * sigma, rel=1e-6)
            if sigma == 1:
                assert step.sigma is None and step.log_snr is None
            else:
                assert step.sigma == pytest.approx(sigma / (1 - sigma), rel=1e-5)
                assert step.log_snr == pytest.approx(2 * np.log((1 - sigma) / sigma), rel=1e-5)
            for call in step.calls:
                _, sample, output = account.calls[call.index]
                rows = slice(picture, None, account.images)
                for found, expected in (
                    (run.recording.latent(step.index, call.index), sample[rows]),
                    (run.recording.output(step.index, call.index), output[rows]),
                ):
                    assert np.array_equal(found, pictures_of(account, expected).numpy())


def pictures_of(account: Account, latents: torch.Tensor) -> torch.Tensor:
    """Latents `[row, channel, y, x]`, unpacked by the pipeline's own function where they are packed."""
    if account.family != "flux":
        return latents
    sampling = account.runs[0].manifest.sampling
    unpacked: torch.Tensor = account.pipe._unpack_latents(latents, sampling.height, sampling.width, 2)
    return unpacked


def check_clean(account: Account) -> None:
    """The predicted clean latent is the latent less sigma times the velocity after guidance."""
    sigmas = account.pipe.scheduler.sigmas.double().numpy()
    for picture, run in enumerate(account.runs):
        for step in run.steps:
            rows = slice(picture, None, account.images)
            outputs = [account.calls[call][2][rows].double() for call in account.calls_of(step.index)]
            sample = account.calls[account.conditional(step.index)][1][rows].double()[-1:]
            if account.guidance == "batched":
                velocity = outputs[0][:1] + account.scale * (outputs[0][1:] - outputs[0][:1])
            elif account.guidance == "separate":
                velocity = outputs[1] + account.scale * (outputs[0] - outputs[1])
            else:
                velocity = outputs[0]
            clean = pictures_of(account, sample - sigmas[step.index] * velocity)[0].numpy()
            assert np.abs(run.recording.pred_x0(step.index) - clean).max() <= 1e-5 * max(
                1, np.abs(clean).max()
            )


def check_attention(account: Account) -> None:
    """At every site, head and step the softmax of what was kept is that of the model's own projections."""
    for picture, run in enumerate(account.runs):
        for step in run.steps:
            call = account.conditional(step.index)
            for site in run.sites:
                whole = account.probabilities(site.module, call, picture)
                text, image = account.parts(site.module)
                q, k = run.recording.query(site.name, step.index), run.recording.keys(site.name, step.index)
                # The reader gives the picture's queries, and the text's keys before the picture's.
                expected = np.concatenate([whole[:, image, text], whole[:, image, image]], axis=2)
                assert agrees(softmax(q, k, site.scale), expected), f"{site.name}, step {step.index}"
                if site.kind == "joint":
                    q = run.recording.text_query(site.name, step.index)
                    expected = np.concatenate([whole[:, text, text], whole[:, text, image]], axis=2)
                    assert agrees(softmax(q, k, site.scale), expected), f"text at {site.name}"


def softmax(q: np.ndarray, k: np.ndarray, scale: float) -> np.ndarray:
    """`[head, query, key]`, float64."""
    scores = np.einsum("hqd,hkd->hqk", q.astype(np.float64), k.astype(np.float64)) * scale
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def check_lse(account: Account) -> None:
    """The kernel's log-sum-exp was kept, and is that of the rows of the whole sequence."""
    for run in account.runs:
        for site in run.sites:
            q, k = run.recording.query(site.name, 1), run.recording.keys(site.name, 1)
            scores = np.einsum("hqd,hkd->hqk", q.astype(np.float64), k.astype(np.float64)) * site.scale
            expected = np.logaddexp.reduce(scores, axis=-1)
            assert np.abs(run.recording.lse(site.name, 1) - expected).max() <= 2e-5


def check_word_maps(account: Account) -> None:
    """The stored word maps are head means of the probabilities, token by token, over text and picture together."""
    for picture, run in enumerate(account.runs):
        tokens = max(token.index for token in run.tokens if token.kind != "padding") + 1
        for step in run.steps:
            for site in [site for site in run.sites if site.kind == "joint"]:
                whole = account.probabilities(site.module, account.conditional(step.index), picture)
                text, image = account.parts(site.module)
                expected = whole[:, image, text].mean(axis=0).T[:tokens]
                found = run.recording.word_maps(site.name, step.index)
                assert found.dtype == np.float32
                assert agrees(found, expected), f"{site.name}, step {step.index}"


def check_words(account: Account) -> None:
    """Every word is found by its label, with its own tokens in each text encoder."""
    for run in account.runs:
        expected = words_of(account)
        assert [word.label for word in run.words] == list(expected)
        for label, tokens in expected.items():
            assert run.word(label).tokens == tokens, label
        assert run.manifest.text.length == account.text


def words_of(account: Account) -> dict[str, tuple[int, ...]]:
    """Label of each word to its tokens: those by which the prompt up to its end is longer than up to its beginning."""
    pipe = account.pipe
    readers = (
        [(pipe.tokenizer_2, 0)]
        if account.family == "flux"
        else [(pipe.tokenizer, 0), (pipe.tokenizer_3, pipe.tokenizer.model_max_length)]
    )
    found: dict[str, tuple[int, ...]] = {}
    for match in re.finditer(r"\w+", PROMPT):
        tokens: list[int] = []
        for reader, first in readers:
            room = pipe.tokenizer.model_max_length if first == 0 and len(readers) == 2 else T5
            # Without the end token.
            before, after = (len(reader(PROMPT[:at]).input_ids) - 1 for at in match.span())
            if after < room:
                tokens += range(first + before, first + after)
        number = 1 + sum(label.split("#")[0] == match[0] for label in found)
        found[match[0] if number == 1 else f"{match[0]}#{number}"] = tuple(tokens)
    return found


def check_maps(account: Account) -> None:
    """Maps of words are means over heads, then sites, then steps, of the probability at the word's keys."""
    words = words_of(account)
    every = [site for site in account.runs[0].sites if site.kind == "joint"]
    last = every[-1].name
    for picture, run in enumerate(account.runs):
        for label, asked, sites, steps, heads in (
            ("cat", {}, every, range(account.steps), slice(None)),
            ("red", {"sites": last, "steps": 1}, every[-1:], [1], slice(None)),
            ("cattle", {"heads": 1, "steps": [0]}, every, [0], slice(1, 2)),
        ):
            expected = np.mean(
                [
                    account.probabilities(site.module, account.conditional(step), picture)[
                        heads, account.parts(site.module)[1], account.parts(site.module)[0]
                    ][:, :, list(words[label])]
                    .sum(axis=2)
                    .mean(axis=0)
                    for site in sites
                    for step in steps
                ],
                axis=0,
            ).reshape(account.grid)
            assert agrees(run.word(label).map(**asked).array, expected), (label, asked)


def check_self(account: Account) -> None:
    """What cells look at, and who looks at them: the picture's block of the probabilities, both ways."""
    cells = [0, 5, account.grid[0] * account.grid[1] - 1]
    for picture, run in enumerate(account.runs):
        attention = SelfAttention(run.recording)
        for site in run.sites:
            image = account.parts(site.module)[1]
            whole = account.probabilities(site.module, account.conditional(1), picture)[:, image, image]
            mean = whole.mean(axis=0)
            assert agrees(attention.looks_at(site.name, 1, cells), mean[cells]), site.name
            # With a log-sum-exp that the kernel rounded to float32, columns are good to 1e-5 relative.
            for heads, expected in ((None, mean), ([1], whole[1])):
                found = attention.looked_at_by(site.name, 1, cells, heads=heads)
                assert np.allclose(found, expected[:, cells].T, rtol=1e-5, atol=1e-30), site.name


CHECKS: dict[str, Callable[[Account], None]] = {
    "undisturbed": check_undisturbed,
    "sites": check_sites,
    "steps": check_steps,
    "clean latent": check_clean,
    "attention": check_attention,
    "log-sum-exp": check_lse,
    "word maps": check_word_maps,
    "words": check_words,
    "maps": check_maps,
    "self maps": check_self,
}


def failing(account: Account) -> list[str]:
    """Names of the checks that do not hold."""
    fresh = replace(account, computed={}, runs=tuple(Run.open(run.path) for run in account.runs))
    found = []
    for name, check in CHECKS.items():
        try:
            check(fresh)
        except Exception:
            found.append(name)
    return found
