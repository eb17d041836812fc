"""The recording engine on a small random Stable Diffusion: exact, complete, and leaving no trace."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from explicit_attention import explicit, watched_projections
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from diffuscope.engine import Lens
from diffuscope.engine.capture.patches import Patches
from diffuscope.engine.capture.rows import RowReader
from diffuscope.engine.capture.steps import steps_of
from diffuscope.engine.capture.tap import SDPA, Attended, tap
from diffuscope.errors import (
    CaptureError,
    CoverageError,
    InputError,
    PromptError,
    RunFolderError,
    SelectionError,
    SizeError,
)
from diffuscope.maps.attention import probabilities
from diffuscope.recording import TensorFile, layout
from diffuscope.run import Run
from diffuscope.testing import random_pipeline

PROMPT = "a red cat and a dog"
SMALL: dict[str, Any] = {"steps": 3, "width": 40, "height": 24}


@pytest.fixture(scope="module")
def pipe() -> Any:
    return random_pipeline("sd15")


@pytest.fixture(scope="module")
def lens(pipe: Any) -> Lens:
    return Lens(pipe)


def plain(pipe: Any, seed: int = 0, **options: Any) -> np.ndarray:
    """The picture as the pipeline draws it by itself."""
    settings = {"num_inference_steps": 3, "width": 40, "height": 24, "guidance_scale": 5.0, **options}
    made = pipe(PROMPT, generator=torch.Generator("cpu").manual_seed(seed), **settings)
    return np.asarray(made.images[0])


def replaced(pipe: Any) -> list[str]:
    """Every place where something of a recording could have stayed installed."""
    left = [f"unet.{name}" for name, module in pipe.unet.named_modules() if "forward" in vars(module)]
    left += [name for name in ("encode_prompt",) if name in vars(pipe)]
    left += ["scheduler.step"] if "step" in vars(pipe.scheduler) else []
    left += [] if functional.scaled_dot_product_attention is SDPA else ["scaled_dot_product_attention"]
    left += [thread.name for thread in threading.enumerate() if thread.name.startswith("diffuscope writer")]
    return left


@pytest.mark.parametrize("keep", ["maps", "cross", "qk"])
def test_picture_is_bit_identical_at_every_level(lens: Lens, pipe: Any, tmp_path: Path, keep: Any) -> None:
    before = plain(pipe)
    run = lens.record(PROMPT, keep=keep, guidance_scale=5.0, out=tmp_path, **SMALL)
    assert np.array_equal(np.asarray(run.image), before)
    assert np.array_equal(plain(pipe), before)
    assert replaced(pipe) == []


@pytest.mark.parametrize(
    ("options", "conditional"),
    [
        ({"guidance_scale": 5.0}, 1),
        ({"guidance_scale": 1.0}, 0),
        ({"guidance_scale": 5.0, "negative_prompt": "a dog"}, 1),
        ({"guidance_scale": 5.0, "negative_prompt": PROMPT}, 1),
    ],
)
def test_attention_equals_an_explicit_softmax(
    lens: Lens, pipe: Any, tmp_path: Path, options: dict[str, Any], conditional: int
) -> None:
    with watched_projections(pipe.unet) as seen:
        run = lens.record(PROMPT, out=tmp_path, **SMALL, **options)
    compared = 0
    for step in run.steps:
        for call in step.calls:
            for site in run.sites:
                inputs = seen[site.module][call.index]
                expected = explicit(inputs["q"][conditional], inputs["k"][conditional], site.heads)
                query = run.recording.query(site.name, step.index, call.index)
                keys = run.recording.keys(site.name, step.index, call.index)
                found = probabilities(query, keys, site.scale)
                np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-4, err_msg=site.name)
                if site.kind == "cross":
                    stored = run.recording.word_maps(site.name, step.index, call.index)
                    np.testing.assert_allclose(
                        stored, expected.mean(axis=0).T[: len(stored)], atol=1e-6, rtol=1e-4
                    )
                compared += 1
    assert compared == 3 * 14
    # The comparison means something only on peaked attention: an even map hides a wrong head or row.
    sharpest = max(run.recording.word_maps(site.name, 0).max() for site in run.sites if site.kind == "cross")
    assert sharpest > 0.3


def test_wrong_half_would_be_caught(lens: Lens, pipe: Any, tmp_path: Path) -> None:
    """The unconditional row's attention is far from the recorded one, so taking it by mistake cannot pass."""
    with watched_projections(pipe.unet) as seen:
        run = lens.record(PROMPT, guidance_scale=5.0, out=tmp_path, **SMALL)
    site = next(site for site in run.sites if site.kind == "cross")
    inputs = seen[site.module][0]
    wrong = explicit(inputs["q"][0], inputs["k"][0], site.heads)
    found = probabilities(run.recording.query(site.name, 0), run.recording.keys(site.name, 0), site.scale)
    assert np.abs(found - wrong).max() > 1e-2


def test_embeddings_that_were_never_encoded_are_refused() -> None:
    """Otherwise every call would pass as one without a conditional row, and the recording would be empty."""
    rows = RowReader(pictures=1)
    rows.conditional, rows.unconditional = torch.ones(1, 4, 8), torch.zeros(1, 4, 8)
    assert rows.read(torch.cat([torch.ones(1, 4, 8), torch.zeros(1, 4, 8)])) == (["cond", "uncond"], [0])
    assert rows.read(torch.zeros(1, 4, 8)) == (["uncond"], [])
    with pytest.raises(CaptureError, match="alters embeddings"):
        rows.read(torch.full((2, 4, 8), 0.5))


def test_several_pictures_get_a_run_each(lens: Lens, pipe: Any, tmp_path: Path) -> None:
    with watched_projections(pipe.unet) as seen:
        runs = lens.record(PROMPT, images_per_prompt=2, seed=5, guidance_scale=5.0, out=tmp_path, **SMALL)
    assert [run.manifest.sampling.seed for run in runs] == [5, 6]
    assert [run.manifest.sampling.image_index for run in runs] == [0, 1]
    for picture, run in enumerate(runs):
        site = next(site for site in run.sites if site.kind == "cross")
        inputs = seen[site.module][2]
        expected = explicit(inputs["q"][2 + picture], inputs["k"][2 + picture], site.heads)
        found = probabilities(run.recording.query(site.name, 2), run.recording.keys(site.name, 2), site.scale)
        np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-4)
        assert run.recording.output(0).shape[0] == 2
    assert not np.array_equal(np.asarray(runs[0].image), np.asarray(runs[1].image))


def test_grids_are_those_of_the_feature_maps(lens: Lens, tmp_path: Path) -> None:
    run = lens.record(PROMPT, out=tmp_path, **SMALL)
    grids = {site.name: tuple(site.grid) for site in run.sites}
    assert grids["cross:down.0.0"] == (12, 20)
    assert grids["self:mid"] == (6, 10)
    assert [site.heads for site in run.sites if site.name in ("cross:down.0.0", "cross:mid")] == [2, 4]


def test_predicted_clean_latent_ends_at_the_picture(lens: Lens, pipe: Any, tmp_path: Path) -> None:
    run = lens.record(PROMPT, out=tmp_path, **SMALL)
    last = np.asarray(run.preview(2), np.int16)
    # The last DDIM step lands on a latent at the schedule's smallest noise: close to its own prediction.
    assert np.abs(last - np.asarray(run.image, np.int16)).mean() < 4
    assert [step.log_snr for step in run.steps] == sorted(step.log_snr for step in run.steps)


def test_unseen_attention_stops_the_run_with_an_error(lens: Lens, pipe: Any, tmp_path: Path) -> None:
    pipe.enable_attention_slicing("max")
    try:
        with pytest.raises(CoverageError, match="cross:down"):
            lens.record(PROMPT, out=tmp_path, **SMALL)
    finally:
        pipe.disable_attention_slicing()
    assert replaced(pipe) == []


@pytest.mark.parametrize("error", [RuntimeError("the model broke"), KeyboardInterrupt()])
def test_a_stopped_run_keeps_its_whole_steps(
    lens: Lens, pipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    forward, calls = pipe.unet.forward, []

    def breaks(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise error
        return forward(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(pipe.unet, "forward", breaks)
        with pytest.raises(type(error)):
            lens.record(PROMPT, out=tmp_path, **SMALL)
    assert replaced(pipe) == []
    run = Run.open(next(tmp_path.iterdir()))
    assert not run.complete and len(run.steps) == 2
    assert type(error).__name__ in (run.manifest.stopped or "")
    assert run.word("cat").mass().shape == (2,)


def test_two_stage_schedulers_count_steps_and_calls_apart() -> None:
    def of(timesteps, steps=None, runge_kutta=None):
        return steps_of(SimpleNamespace(num_inference_steps=steps, prk_timesteps=runge_kutta), timesteps)

    assert of([9, 7, 7, 5, 5, 3, 3], 4) == [0, 0, 1, 1, 2, 2, 3]  # Heun
    assert of([9, 8, 7, 6, 5, 4, 3], 4) == [0, 0, 1, 1, 2, 2, 3]  # KDPM2, whose second call is between
    assert of([9, 7, 7, 5, 3], 4) == [0, 0, 1, 2, 3]  # PNDM
    assert of([9, 8, 8, 7] * 3 + [3, 1], 5, [9, 8, 8, 7] * 3) == [0] * 4 + [1] * 4 + [2] * 4 + [3, 4]
    assert of([9, 7, 5], 3) == [0, 1, 2]
    assert of([9, 5, 5], 3) == [0, 1, 2]  # Two steps that round to one timestep
    assert of([9, 7, 7, 5, 5]) == [0, 0, 1, 1, 2]  # A scheduler that does not say


@pytest.mark.parametrize(
    ("name", "calls"), [("PNDMScheduler", [2, 1, 1, 1]), ("HeunDiscreteScheduler", [2, 2, 2, 1])]
)
def test_calls_of_two_stage_schedulers_are_recorded(tmp_path: Path, name: str, calls: list[int]) -> None:
    import diffusers

    pipe = random_pipeline("sd15")
    pipe.scheduler = getattr(diffusers, name).from_config(pipe.scheduler.config, skip_prk_steps=True)
    run = Lens(pipe).record(PROMPT, steps=4, width=32, height=32, keep="maps", out=tmp_path)
    assert [len(step.calls) for step in run.steps] == calls


def test_words_are_read_from_the_tokenizer(lens: Lens, tmp_path: Path) -> None:
    run = lens.record("Red cat, red dog", out=tmp_path, **SMALL)
    assert [word.label for word in run.words] == ["red", "cat", "red#2", "dog"]
    assert [len(word.tokens) for word in run.words] == [1, 1, 1, 3]
    kinds = [token.kind for token in run.tokens]
    assert kinds[0] == "start" and kinds.count("end") == 1 and kinds[-1] == "padding"


def test_what_did_not_fit_is_said(lens: Lens, tmp_path: Path) -> None:
    run = lens.record("a cat " * 12 + "zebra", out=tmp_path, **SMALL)
    assert run.manifest.text.cut is not None and run.manifest.text.cut.endswith("zebra")
    assert lens.warnings and "zebra" in lens.warnings[0]
    assert "zebra" not in [word.text for word in run.words]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"prompt": "  "}, PromptError),
        ({"prompt": PROMPT, "width": 41}, SizeError),
        ({"prompt": PROMPT, "steps": 0}, InputError),
        ({"prompt": PROMPT, "sites": "cross:side.*"}, SelectionError),
        ({"prompt": PROMPT, "keep": "all"}, InputError),
        ({"prompt": PROMPT, "out": "/proc/nowhere"}, RunFolderError),
    ],
)
def test_bad_input_is_refused_before_anything_runs(
    lens: Lens, tmp_path: Path, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        lens.record(**{"out": tmp_path, **options})
    assert list(tmp_path.iterdir()) == []


def test_chosen_sites_only_are_kept(lens: Lens, tmp_path: Path) -> None:
    run = lens.record(PROMPT, sites="cross:mid", out=tmp_path, **SMALL)
    assert run.manifest.keep.sites == ["cross:mid"]
    assert run.word("cat").map().array.shape == (6, 10)


# The tap by itself.


class Attention(torch.nn.Module):
    """A module that attends once, whatever else its forward does first."""

    def __init__(self, first: Any = None) -> None:
        super().__init__()
        self.first = first
        self.query, self.key, self.value = (torch.randn(1, 2, 5, 4) for _ in range(3))

    def forward(self) -> torch.Tensor:
        if self.first is not None:
            self.first()
        return functional.scaled_dot_product_attention(self.query, self.key, self.value)


def tapped(patches: Patches, module: Attention, **options: Any) -> list[torch.Tensor]:
    """The queries that a tap on a module sees, as it sees them."""
    seen: list[torch.Tensor] = []

    def see(_: str, attended: Attended) -> None:
        seen.append(attended.query)

    tap(patches, module, "self:mid", see, **options)
    return seen


def same(tensors: list[torch.Tensor], expected: list[torch.Tensor]) -> bool:
    return [id(tensor) for tensor in tensors] == [id(tensor) for tensor in expected]


@pytest.mark.parametrize("lse", [False, True])
def test_attention_outside_the_module_and_on_other_threads_passes_by(lse: bool) -> None:
    def elsewhere() -> None:
        thread = threading.Thread(target=Attention())
        thread.start()
        thread.join()

    module, other = Attention(elsewhere), Attention()
    with Patches() as patches:
        seen = tapped(patches, module, lse=lse)
        assert torch.equal(other(), SDPA(other.query, other.key, other.value))
        assert torch.equal(module(), SDPA(module.query, module.key, module.value))
    assert same(seen, [module.query])


def test_two_recordings_at_a_time_are_told_apart_and_the_last_one_puts_the_function_back() -> None:
    one, other = Attention(), Attention()
    first, second = Patches(), Patches()
    seen = tapped(first, one), tapped(second, other)
    one(), other()
    first.__exit__(None, None, None)
    one(), other()
    assert functional.scaled_dot_product_attention is not SDPA
    second.__exit__(None, None, None)
    one(), other()
    assert functional.scaled_dot_product_attention is SDPA
    assert same(seen[0], [one.query]) and same(seen[1], [other.query] * 2)


def test_two_taps_on_one_module_both_see_it() -> None:
    module = Attention()
    with Patches() as patches:
        seen = tapped(patches, module, lse=True), tapped(patches, module)
        module()
    assert same(seen[0], [module.query]) and same(seen[1], [module.query])


class Skips(TorchFunctionMode):
    """Knows the function by its name and answers in its place, as diffusers' `AttentionScoreSkipFunctionMode` does."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is functional.scaled_dot_product_attention:
            return args[2]
        return func(*args, **(kwargs or {}))


class Passes(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def test_a_mode_that_waits_for_the_function_finds_it() -> None:
    """What it answers is no attention: then there is nothing to see, and the recording will say so."""

    class Within(Attention):
        def forward(self) -> torch.Tensor:
            with Skips():
                return super().forward()

    module = Within()
    with Patches() as patches:
        seen = tapped(patches, module)
        assert module() is module.value
        assert seen == []


def test_attention_is_seen_through_modes_that_are_on_already() -> None:
    module = Attention()
    with Patches() as patches, Passes():
        seen = tapped(patches, module, lse=True)
        assert torch.equal(module(), SDPA(module.query, module.key, module.value))
    assert same(seen, [module.query])
    assert functional.scaled_dot_product_attention is SDPA


def test_attention_is_seen_through_a_function_that_somebody_put_in_place_of_torchs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def counted(*args: Any, **kwargs: Any) -> torch.Tensor:
        return SDPA(*args, **kwargs)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", counted)
    module = Attention()
    with Patches() as patches:
        seen = tapped(patches, module)
        module()
        assert functional.scaled_dot_product_attention is counted
    assert same(seen, [module.query])
    assert functional.scaled_dot_product_attention is counted


def test_an_error_inside_the_module_leaves_no_tap_on() -> None:
    def fails() -> None:
        raise KeyboardInterrupt

    module, other = Attention(fails), Attention()
    with Patches() as patches:
        seen = tapped(patches, module)
        with pytest.raises(KeyboardInterrupt):
            module()
        other()
    assert seen == []


# Text that changes.


def test_text_that_changes_during_the_run_is_stored_in_versions(tmp_path: Path) -> None:
    pipe = random_pipeline("sd15")
    site = next(site for site in Lens(pipe).sites if site.name == "cross:mid")

    def changes(step: int, of: int) -> None:
        if step == 2:
            with torch.no_grad():
                site.module.to_k.weight.mul_(0.5)

    with watched_projections(pipe.unet) as seen:
        run = Lens(pipe).record(PROMPT, keep="cross", out=tmp_path, progress=changes, **{**SMALL, "steps": 4})
    keys = [run.recording.keys("cross:mid", step) for step in range(4)]
    for step, found in enumerate(keys):
        expected = seen[site.path][step]["k"][1].reshape(found.shape[1], found.shape[0], -1).swapaxes(0, 1)
        assert np.array_equal(found, expected.astype(np.float32))
    assert not np.array_equal(keys[1], keys[2])
    files = [path.name for path in (run.path / "text").iterdir()]
    assert files == ["0001.safetensors"], "one version more, and of what changed alone"
    names = {layout.split_call(name) for name in TensorFile(run.path / "text" / files[0]).keys()}  # noqa: SIM118
    assert names == {("k/cross:mid", 2)}
