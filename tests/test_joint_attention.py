"""Joint attention as recordings hold it: planted faults are found, and everything that reads a run reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import joint_checks  # noqa: E402
from joint_checks import PROMPT, SIZE, T5, Account, failing, observe, softmax  # noqa: E402

from diffuscope.cli.app import main  # noqa: E402
from diffuscope.engine import Lens  # noqa: E402
from diffuscope.engine.capture import joint, kept, session, tap, watch  # noqa: E402
from diffuscope.engine.capture.tap import Attended  # noqa: E402
from diffuscope.engine.models import flux, stable_diffusion_3  # noqa: E402
from diffuscope.engine.rerun import rerun  # noqa: E402
from diffuscope.errors import (  # noqa: E402
    CoverageError,
    DiffuscopeError,
    NotKeptError,
    SelectionError,
    UnsupportedAttentionError,
)
from diffuscope.maps.self_attention import SelfAttention  # noqa: E402
from diffuscope.recording import Pruning, Recording, Site  # noqa: E402
from diffuscope.run import Run  # noqa: E402
from diffuscope.testing import random_pipeline  # noqa: E402

KINDS: dict[str, dict[str, Any]] = {
    "sd3": {"guidance": "batched", "images": 2},
    "sd35": {"guidance": "batched"},
    "flux": {"guidance": "separate"},
}


@pytest.fixture(scope="module")
def pipes() -> dict[str, Any]:
    return {family: random_pipeline(family) for family in KINDS}


@pytest.fixture(scope="module")
def right(pipes: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Account]:
    return {
        family: observe(family, pipes[family], tmp_path_factory.mktemp(family), **KINDS[family])
        for family in KINDS
    }


# Planted faults: each is a slip that could have been made, and each is found.


def _other_order(patch: pytest.MonkeyPatch) -> None:
    """Text and picture in the other order."""
    true = joint.parts
    patch.setattr(
        watch,
        "parts",
        lambda name, seen, *, text_first, **sizes: true(name, seen, text_first=not text_first, **sizes),
    )


def _text_length(patch: pytest.MonkeyPatch) -> None:
    """The text is taken to be one token shorter, and the picture to begin there."""
    true = joint.parts

    def parts(name: str, seen: Attended, **sizes: Any) -> Any:
        text, image = true(name, seen, **sizes)
        if text[0] == 0:
            return [0, text[1] - 1], [text[1] - 1, image[1] - 1]
        return [text[0] + 1, text[1]], [image[0] + 1, image[1] + 1]

    patch.setattr(watch, "parts", parts)


def _text_cut(patch: pytest.MonkeyPatch) -> None:
    """The text keys are found one place later than they are."""
    true = joint.part

    def part(seen: Attended, queries: slice, keys: slice) -> Attended:
        moved = keys if keys == slice(None) else slice(keys.start + 1, keys.stop + 1)
        return true(seen, queries, moved)

    patch.setattr(joint, "part", part)


def _heads_swapped(patch: pytest.MonkeyPatch) -> None:
    """Keys are those of the next head."""
    true = tap._attended

    def attended(*args: Any, **kwargs: Any) -> Attended:
        seen = true(*args, **kwargs)
        return replace(seen, key=seen.key.roll(1, dims=1))

    patch.setattr(tap, "_attended", attended)


def _text_alone(patch: pytest.MonkeyPatch) -> None:
    """Word maps are renormalised over the text."""

    def word_map(seen: Attended, row: int, site: Site, tokens: int, **_: Any) -> torch.Tensor:
        assert site.text_keys is not None and site.image_keys is not None
        asked = joint.part(seen, slice(*site.image_keys), slice(*site.text_keys))
        return joint.logits(asked, row).softmax(dim=-1).mean(dim=0)[:, :tokens].T.float()

    patch.setattr(session, "joint_word_map", word_map)


def _other_row(patch: pytest.MonkeyPatch) -> None:
    """Word maps are those of the first row of the batch."""
    true = joint.joint_word_map
    patch.setattr(session, "joint_word_map", lambda seen, row, *args, **rest: true(seen, 0, *args, **rest))


def _negative(patch: pytest.MonkeyPatch) -> None:
    """The negative prompt is taken for the prompt."""
    for family in (flux.Flux, stable_diffusion_3.StableDiffusion3):
        true = family.embeddings
        last: list[Any] = []

        def embeddings(self: Any, made: Any, true: Any = true, last: list[Any] = last) -> Any:
            conditional, unconditional = true(self, made)
            if unconditional is not None:
                return unconditional, conditional
            # Encoded one by one: the later call wins.
            last.append(conditional)
            return (conditional, last[0]) if len(last) > 1 else (conditional, None)

        patch.setattr(family, "embeddings", embeddings)


def _encoder_offset(patch: pytest.MonkeyPatch) -> None:
    """T5's tokens are counted from where CLIP's begin."""
    true = stable_diffusion_3.appended

    def appended(texts: Any) -> Any:
        text, first = true(texts), texts["clip"].length
        words = [
            word.model_copy(update={"tokens": [token % first for token in word.tokens]})
            for word in text.words
        ]
        return text.model_copy(update={"words": words})

    patch.setattr(stable_diffusion_3, "appended", appended)


def _packed_wrongly(patch: pytest.MonkeyPatch) -> None:
    """Packed latents are unfolded with their patches on their sides."""
    true = joint.unpacked

    def unpacked(latents: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        rows, patches, channels = latents.shape
        turned = latents.reshape(rows, patches, channels // 4, 2, 2).transpose(-1, -2)
        return true(turned.reshape(rows, patches, channels), grid)

    patch.setattr(session, "unpacked", unpacked)


def _next_noise(patch: pytest.MonkeyPatch) -> None:
    """A step's noise is that of the next one."""
    true = session.noise_level
    patch.setattr(
        session, "noise_level", lambda scheduler, timestep, entry: true(scheduler, timestep, entry + 1)
    )


def _wide_grid(patch: pytest.MonkeyPatch) -> None:
    """Height and width of a grid are exchanged."""
    true = watch.SiteWatch.describe

    def describe(self: Any, call: Any) -> list[Site]:
        return [site.model_copy(update={"grid": site.grid[::-1]}) for site in true(self, call)]

    patch.setattr(watch.SiteWatch, "describe", describe)


FAULTS: dict[Callable[[pytest.MonkeyPatch], None], tuple[str, ...]] = {
    _other_order: ("sd3", "flux"),
    _text_length: ("sd3", "flux"),
    _text_cut: ("sd3", "flux"),
    _heads_swapped: ("sd35", "flux"),
    _text_alone: ("sd3", "flux"),
    _other_row: ("sd3",),
    _negative: ("sd3", "flux"),
    _encoder_offset: ("sd3",),
    _packed_wrongly: ("flux",),
    _next_noise: ("sd3", "flux"),
    _wide_grid: ("sd3", "flux"),
}


def test_without_a_fault_every_check_holds(right: dict[str, Account]) -> None:
    assert {family: failing(account) for family, account in right.items()} == {family: [] for family in right}


@pytest.mark.parametrize(
    ("plant", "family"), [(plant, family) for plant, families in FAULTS.items() for family in families]
)
def test_a_planted_fault_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], family: str, pipes: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        try:
            account = observe(family, pipes[family], tmp_path, **KINDS[family])
        except (DiffuscopeError, ValueError):
            # Refused as it was recorded, which is better still.
            return
        assert failing(account)


def test_a_fault_in_reading_is_found(right: dict[str, Account]) -> None:
    """The reader forgets that the model has the picture first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("diffuscope.recording.reader._text_first", lambda sequence, site, axis: sequence)
        assert {"attention", "maps"} <= set(failing(right["sd3"]))
        # Flux has the text first already.
        assert failing(right["flux"]) == []


# What a recording says and holds.


def test_the_manifest_says_where_text_and_picture_are(right: dict[str, Account]) -> None:
    cells = 4 * 12
    for family, text, image in (("sd3", [48, 92], [0, 48]), ("flux", [0, T5], [T5, T5 + cells])):
        run = right[family].runs[0]
        plain = json.loads((run.path / "manifest.json").read_text())
        assert all(site["text_keys"] == text and site["image_keys"] == image for site in plain["sites"])
        # Enough for a reader in another language: raw tensors, spans, and nothing of the model.
        raw = Recording.open(run.path)
        site = run.sites[0]
        q = raw._of_site("q", raw.site(site.name), 1, None, site.keys)
        k = raw._of_site("k", raw.site(site.name), 1, None, site.keys)
        table = softmax(q, k, site.scale)[:, slice(*image), slice(*text)].mean(axis=0).T
        maps = run.recording.word_maps(site.name, 1)
        assert np.abs(table[: len(maps)] - maps).max() <= joint_checks.ABSOLUTE


@pytest.mark.parametrize(
    "change",
    [
        {"text_keys": None},
        {"image_keys": [0, 47]},
        {"text_keys": [49, 92]},
        {"image_keys": [0, 48], "text_keys": [0, 48]},
        {"kind": "self", "name": "self:0"},
        {"grid": [4, 11]},
    ],
)
def test_a_site_whose_parts_do_not_fit_is_refused(right: dict[str, Account], change: dict[str, Any]) -> None:
    site = right["sd3"].runs[0].sites[0]
    with pytest.raises(ValueError, match=r"joint:0|self:0"):
        Site.model_validate({**site.model_dump(), **change})


def test_a_words_map_is_part_of_the_whole_and_renormalised_on_request(right: dict[str, Account]) -> None:
    for family in ("sd3", "flux"):
        account = right[family]
        run = account.runs[0]
        site = run.sites[-1]
        whole = account.probabilities(site.module, account.conditional(1), 0)
        text, image = account.parts(site.module)
        tokens = list(run.word("cat").tokens)
        plain = run.word("cat").map(1, site.name).array.ravel()
        assert np.allclose(plain, whole[:, image, text][:, :, tokens].sum(axis=2).mean(axis=0), atol=1e-6)
        alone = whole[:, image, text] / whole[:, image, text].sum(axis=2, keepdims=True)
        expected = alone[:, :, tokens].sum(axis=2).mean(axis=0)
        found = run.word("cat").map(1, site.name, renormalise=True)
        assert np.allclose(found.array.ravel(), expected, atol=1e-6, rtol=1e-4)
        assert found.array.mean() > plain.mean() and "text's keys alone" in found.aggregation


def test_text_and_picture_together_are_one(right: dict[str, Account]) -> None:
    for account in right.values():
        run = account.runs[0]
        for site in [site for site in run.sites if site.kind == "joint"]:
            every = sum(run.token(token.index).map(0, site.name).array for token in run.tokens)
            seen = SelfAttention(run.recording).looks_at(site.name, 0, range(4 * 12)).sum(axis=1)
            assert np.allclose(every.ravel() + seen, 1, atol=1e-5)


# Levels, limits and rounding.


def test_word_maps_are_kept_at_every_level_and_are_the_same(pipes: dict[str, Any], tmp_path: Path) -> None:
    runs = {
        level: Lens(pipes["flux"]).record(
            PROMPT, steps=2, keep=level, out=tmp_path, max_sequence_length=T5, **SIZE
        )
        for level in ("maps", "cross", "qk")
    }
    maps = {level: run.word("cat").map().array for level, run in runs.items()}
    assert np.array_equal(maps["maps"], maps["qk"]) and np.array_equal(maps["cross"], maps["qk"])
    for level in ("maps", "cross"):
        with pytest.raises(NotKeptError, match="keep='qk'"):
            runs[level].word("cat").map(heads=0)
        with pytest.raises(NotKeptError):
            runs[level].word("<padding>").map()
    Pruning.plan(runs["qk"].path, keep="maps").apply()
    pruned = Run.open(runs["qk"].path)
    assert np.array_equal(pruned.word("cat").map().array, maps["qk"])
    with pytest.raises(NotKeptError):
        pruned.recording.query("joint:0", 0)


def test_the_estimate_is_near_what_is_written(pipes: dict[str, Any], tmp_path: Path) -> None:
    for family in ("sd35", "flux"):
        for level in ("maps", "qk"):
            run = Lens(pipes[family]).record(
                PROMPT,
                steps=3,
                keep=level,
                out=tmp_path,
                previews=False,
                values=level == "qk",
                max_sequence_length=T5,
                **SIZE,
            )
            estimated = run.manifest.keep.estimate
            written = sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file())
            assert estimated is not None and 0.75 * written <= estimated <= 1.25 * written, (family, level)


def test_limits_on_sites_steps_and_heads(pipes: dict[str, Any], tmp_path: Path) -> None:
    run = Lens(pipes["sd35"]).record(
        PROMPT,
        steps=3,
        keep="qk",
        sites="joint:1,self:*",
        keep_steps="1:",
        keep_heads="2",
        values=True,
        out=tmp_path,
        max_sequence_length=T5,
        **SIZE,
    )
    assert run.manifest.keep.sites == ["self:0", "joint:1", "self:1"]
    assert run.recording.keys("joint:1", 1).shape == (1, 20 + T5 + 48, 8)
    assert run.recording.values("joint:1", 2).shape == (1, 20 + T5 + 48, 8)
    assert run.word("cat").map(heads=2).array.shape == (4, 12)
    with pytest.raises(NotKeptError, match="joint:0"):
        run.word("cat").map(sites="joint:0")
    with pytest.raises(SelectionError, match="keys are no text"):
        run.word("cat").map(sites="self:0")


def test_storage_in_float16_says_what_it_cost(pipes: dict[str, Any], tmp_path: Path) -> None:
    run = Lens(pipes["flux"]).record(
        PROMPT, steps=1, keep="qk", store="float16", out=tmp_path, max_sequence_length=T5, **SIZE
    )
    rounding = run.steps[0].rounding
    assert rounding is not None and 0 < rounding < 0.05
    q, k = run.recording.query("joint:0", 0), run.recording.keys("joint:0", 0)
    assert q.dtype == np.float16
    mean = softmax(q, k, run.sites[0].scale)[:, :, :T5].mean(axis=0).T
    maps = run.recording.word_maps("joint:0", 0)
    # Word maps are made before anything is rounded.
    assert 0 < np.abs(maps - mean[: len(maps)]).max() <= 10 * rounding


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_kept_to_the_bit_and_mapped_exactly(dtype: Any, tmp_path: Path) -> None:
    for family in ("sd35", "flux"):
        pipe = random_pipeline(family, dtype=dtype)
        run = Lens(pipe).record(PROMPT, steps=2, keep="qk", out=tmp_path, max_sequence_length=T5, **SIZE)
        assert run.manifest.keep.dtype == str(dtype).removeprefix("torch.")
        assert [step.timestep for step in run.steps] == [float(each) for each in pipe.scheduler.timesteps]
        for site in [site for site in run.sites if site.kind == "joint"]:
            q, k = run.recording.query(site.name, 1), run.recording.keys(site.name, 1)
            assert q.dtype.name == run.manifest.keep.dtype
            text = run.manifest.text.length
            mean = softmax(q, k, site.scale)[:, :, :text].mean(axis=0).T
            maps = run.recording.word_maps(site.name, 1)
            assert np.allclose(maps, mean[: len(maps)], rtol=1e-4, atol=1e-6)


# The kernel, in whatever form it is called.


def _sequence(heads: int = 2, text: int = 3, cells: int = 6, dim: int = 4) -> Attended:
    generator = torch.Generator().manual_seed(1)
    q, k, v = (
        3 * torch.randn(1, heads, text + cells, dim, generator=generator, dtype=torch.float64)
        for _ in range(3)
    )
    return Attended(q, k, v, None, False, dim**-0.5)


def _site(seen: Attended, *, text_first: bool, text: int = 3) -> Site:
    cells = seen.key.shape[-2] - text
    spans = joint.parts("joint:0", seen, text=text, cells=cells, text_first=text_first)
    return Site(
        name="joint:0",
        module="blocks.0.attn",
        kind="joint",
        grid=[2, cells // 2],
        heads=seen.query.shape[1],
        head_dim=seen.query.shape[-1],
        scale=seen.scale,
        keys=seen.key.shape[-2],
        text_keys=spans[0],
        image_keys=spans[1],
    )


@pytest.mark.parametrize("text_first", [True, False])
@pytest.mark.parametrize("kind", ["boolean", "additive", "one row", "none"])
def test_word_maps_under_masks_are_those_of_the_masked_softmax(text_first: bool, kind: str) -> None:
    seen = _sequence()
    length = seen.key.shape[-2]
    allowed = torch.rand(1, 1, length, length, generator=torch.Generator().manual_seed(2)) > 0.3
    allowed |= torch.eye(length, dtype=torch.bool)
    if kind == "boolean":
        seen = replace(seen, mask=allowed)
    elif kind == "additive":
        seen = replace(seen, mask=torch.where(allowed, 0.0, -2.5).double())
    elif kind == "one row":
        # Padding of the text left out for every query.
        seen = replace(seen, mask=allowed[:, :, :1] | (torch.arange(length) == 0))
    site = _site(seen, text_first=text_first)
    assert site.text_keys is not None and site.image_keys is not None
    scores = (seen.query @ seen.key.transpose(-1, -2) * seen.scale)[0].numpy()
    if seen.mask is not None:
        mask = np.broadcast_to(seen.mask[0].numpy(), scores.shape)
        scores = np.where(mask, scores, -np.inf) if mask.dtype == np.bool_ else scores + mask
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    whole = powers / powers.sum(axis=-1, keepdims=True)
    expected = whole[:, slice(*site.image_keys), slice(*site.text_keys)].mean(axis=0).T
    lse = torch.from_numpy(np.logaddexp.reduce(scores, axis=-1))[None].float()
    for given in (seen, replace(seen, lse=lse)):
        holds = given.lse is not None
        found = joint.joint_word_map(given, 0, site, 3, lse_holds=holds).numpy()
        assert np.abs(found - expected).max() <= joint_checks.ABSOLUTE


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_at_half_precision_the_kernels_sums_are_enough(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Word maps of whole sequences cost no second pass, and are exact to what is promised of them relatively."""
    torch.manual_seed(4)
    given: list[Attended] = []
    q, k, v = (2 * torch.randn(1, 2, 1003, 64).to(dtype) for _ in range(3))

    class Module(torch.nn.Module):
        def forward(self) -> torch.Tensor:
            return torch.nn.functional.scaled_dot_product_attention(q, k, v)

    module = Module()
    with session.Patches() as patches:
        tap.tap(patches, module, "joint:0", lambda _, each: given.append(each), lse=True)
        module()
    (seen,) = given
    assert kept.lse_error(seen, 0) <= kept.LSE_ERROR_HALF
    whole = (q.double() @ k.double().mT * seen.scale).softmax(dim=-1)
    expected = whole[0, :, 3:, :3].mean(dim=0).T
    monkeypatch.delattr(joint, "log_sum_exp")
    found = joint.joint_word_map(seen, 0, _site(seen, text_first=True), 3, lse_holds=True).double()
    assert ((found - expected).abs() <= joint_checks.RELATIVE * expected).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_runs_sum_no_row_anew(
    dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a second pass over the sequence")

    monkeypatch.setattr(joint, "log_sum_exp", refuse)
    pipe = random_pipeline("sd3", size="tiny").to(dtype)
    run = Lens(pipe).record("a red cat", seed=1, steps=1, keep="maps", out=tmp_path / "run", **SIZE)
    assert 0 < run.word("cat").map().array.max() < 1


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, 0.5])
def test_a_kernels_wrong_sum_is_not_believed(wrong: float) -> None:
    seen = _sequence()
    right = joint.log_sum_exp(seen, 0)[None].float()
    assert kept.lse_error(replace(seen, lse=right), 0) < kept.LSE_ERROR
    off = right.clone()
    off[:, -1, -1] = wrong
    assert not kept.lse_error(replace(seen, lse=off), 0) <= kept.LSE_ERROR_HALF
    assert kept.lse_error(seen, 0) == float("inf")


def test_a_large_sum_is_as_exact_as_its_type() -> None:
    """Single precision cannot say a log-sum-exp near 100 to 1e-5; one that is two steps of it off is still believed,
    and one that is off by more than maps may be is not."""
    seen = _sequence()
    seen = replace(seen, scale=seen.scale * 100 / float(joint.log_sum_exp(seen, 0).abs().max()))
    right = joint.log_sum_exp(seen, 0)[None].float()
    assert 60 < float(right.abs().max()) < 150
    near, wrong = right.clone(), right.clone()
    for _ in range(2):
        near = torch.nextafter(near, torch.full_like(near, torch.inf))
    assert float((near - right).max()) > kept.LSE_ERROR
    assert kept.lse_error(replace(seen, lse=near), 0) < kept.LSE_ERROR
    assert kept.lse_error(replace(seen, lse=wrong + 1e-4), 0) > kept.LSE_ERROR


def test_a_log_sum_exp_is_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = _sequence()
    whole = joint.log_sum_exp(seen, 0)
    monkeypatch.setattr(joint, "BLOCK", 40)
    assert torch.equal(joint.log_sum_exp(seen, 0), whole)
    assert torch.equal(joint.log_sum_exp(seen, 0, torch.tensor([4, 1])), whole[:, [4, 1]])


def test_the_kernel_is_seen_through_both_ways_of_calling_it(tmp_path: Path) -> None:
    """`F.scaled_dot_product_attention` has heads before positions; diffusers' dispatcher has them after."""
    from diffusers.models.attention_dispatch import dispatch_attention_fn

    seen: list[Attended] = []
    q, k, v = (torch.randn(1, 2, 9, 4) for _ in range(3))

    class Module(torch.nn.Module):
        def forward(self, dispatched: bool) -> torch.Tensor:
            if dispatched:
                return dispatch_attention_fn(*(each.transpose(1, 2) for each in (q, k, v))).transpose(1, 2)
            return torch.nn.functional.scaled_dot_product_attention(q, k, v)

    module = Module()
    with session.Patches() as patches:
        tap.tap(patches, module, "joint:0", lambda _, each: seen.append(each), lse=True)
        outputs = [module(True), module(False)]
    assert torch.equal(*outputs) and len(seen) == 2
    for each in seen:
        assert torch.equal(each.query, q) and torch.equal(each.key, k) and torch.equal(each.value, v)
        assert each.lse is not None and each.lse.shape == (1, 2, 9)


def test_sequences_that_are_not_text_and_one_picture_are_refused() -> None:
    seen = _sequence()
    with pytest.raises(UnsupportedAttentionError, match="4 text tokens and 6 cells"):
        joint.parts("joint:0", seen, text=4, cells=6, text_first=True)
    with pytest.raises(UnsupportedAttentionError, match="causal"):
        joint.parts("joint:0", replace(seen, causal=True), text=3, cells=6, text_first=True)
    grid = torch.tensor([[0, y, x] for y in range(2) for x in range(3)])
    assert joint.grid_of(grid) == (2, 3)
    # A reference picture beside the one that is drawn, as Flux Kontext has it.
    with pytest.raises(UnsupportedAttentionError, match="reference"):
        joint.grid_of(torch.cat([grid, grid + torch.tensor([1, 0, 0])]))


# What else reads a recording.


def test_concepts_are_refused_and_the_reason_is_given(
    right: dict[str, Account], pipes: dict[str, Any]
) -> None:
    for family in ("sd3", "flux"):
        with pytest.raises(SelectionError, match="do not depend on the picture"):
            Lens(pipes[family]).concept(right[family].runs[0], "roof")


@pytest.mark.parametrize("family", ["sd35", "flux"])
def test_a_run_is_drawn_again_from_its_manifest(
    family: str, right: dict[str, Account], pipes: dict[str, Any]
) -> None:
    again = rerun(right[family].runs[0].recording, Lens(pipes[family]))
    assert again.identical, again.difference


@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_from_a_folder_to_maps_by_the_command_line(
    family: str, tmp_path: Path, pipes: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    pipes[family].save_pretrained(tmp_path / "model")
    record = ["record", "a red cat", "--model", str(tmp_path / "model"), "--steps", "2", "--width", "48"]
    assert main([*record, "--height", "16", "--out", str(tmp_path / "runs")]) == 0
    (run,) = (tmp_path / "runs").glob("2*")
    capsys.readouterr()
    assert main(["info", str(run), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [site["kind"] for site in told["sites"]] == ["joint"] * len(Lens(pipes[family]).sites)
    assert main(["heatmap", str(run), "--word", "cat", "--npy", str(tmp_path / "cat.npy")]) == 0
    assert np.array_equal(np.load(tmp_path / "cat.npy"), Run.open(run).word("cat").map().array)
    assert main(["steps", str(run), "--word", "red cat", "--out", str(tmp_path / "steps")]) == 0
    assert len(list((tmp_path / "steps").glob("*.png"))) >= 2
    capsys.readouterr()
    assert main(["verify", str(run), "--rerun", "--json"]) == 0
    assert "identical" in capsys.readouterr().out
    assert (run / "previews/0001.png").exists()
    assert Run.open(run).preview(1).size == (48, 16)


def test_an_attention_that_goes_around_the_kernel_is_named(pipes: dict[str, Any], tmp_path: Path) -> None:
    pipe = pipes["flux"]
    blind = pipe.transformer.single_transformer_blocks[1].attn
    processor = blind.processor

    class Own(type(processor)):  # type: ignore[misc]
        def __call__(self, attn: Any, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            return hidden_states

    blind.set_processor(Own())
    try:
        with pytest.raises(CoverageError, match="joint:3"):
            Lens(pipe).record("a cat", steps=1, out=tmp_path, max_sequence_length=T5, **SIZE)
    finally:
        blind.set_processor(processor)


def test_the_three_lines_of_the_page_record_every_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).resolve().parent.parent / "docs/joint-attention.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "docs/joint-attention.md", "exec"), {})
    told = [line.split()[:2] for line in capsys.readouterr().out.splitlines() if "Heatmap" in line]
    assert [family for family, _ in told] == ["sd15", "sdxl", "sd3", "flux"]
    assert [site.split(":")[0] for _, site in told][2:] == ["joint", "joint"]
    assert len(list(tmp_path.glob("runs/*/2*/image.png"))) == 4


def test_an_unknown_size_or_family_of_random_pipelines_is_refused() -> None:
    from diffuscope.testing.random_joint import random_joint

    for make in (partial(random_joint, "sd9"), partial(random_joint, "flux", "huge")):
        with pytest.raises(ValueError, match=r"sd9|huge"):
            make()
