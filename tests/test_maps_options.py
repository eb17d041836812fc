"""Every option of a word's map: weights, sums, special tokens, the global stack, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_run import Layout, make_run, tensors, text_info

from diffuscope.errors import NotKeptError, RecordingError, SelectionError, UnknownWordError
from diffuscope.maps.resize import resize
from diffuscope.maps.weights import SiteWeights
from diffuscope.maps.words import find_word
from diffuscope.recording import TextInfo
from diffuscope.run import Run

GRIDS = {"cross:down.0.0": (16, 16), "cross:mid": (8, 8), "cross:up.0.0": (16, 16)}
HEADS = {"cross:down.0.0": 3, "cross:mid": 8, "cross:up.0.0": 3}
STEPS = 3


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run.open(make_run(tmp_path_factory.mktemp("runs") / "plain", steps=STEPS))


@pytest.fixture(scope="module")
def truth():
    return tensors(steps=STEPS)


def site_map(truth, site, step, tokens, heads=slice(None)):
    """``[head, y, x]`` of one site in one step, float64."""
    table = truth.probabilities(site, step)[heads][:, :, tokens].sum(axis=-1)
    return table.reshape(-1, *GRIDS[site])


def expected(truth, tokens, weights, combine="mean"):
    total = np.zeros((16, 16))
    for step in range(STEPS):
        for site, weight in weights.items():
            heads = resize(site_map(truth, site, step, tokens), (16, 16))
            total += weight * (heads.sum(axis=0) if combine == "sum" else heads.mean(axis=0))
    return total if combine == "sum" else total / sum(weights.values()) / STEPS


@pytest.mark.parametrize(
    ("given", "weights"),
    [
        (None, (1, 1, 1)),
        ("16x16=2", (2, 1, 2)),
        ({(8, 8): 0, "cross:up.*": 3}, (1, 0, 3)),
        ("*=0,cross:mid=5", (0, 5, 0)),
        ({"cross:*": 0.25, "cross:down.0.0": 1}, (1, 0.25, 0.25)),
    ],
)
@pytest.mark.parametrize("combine", ["mean", "sum"])
def test_weights_and_sums(run, truth, given, weights, combine):
    by_site = dict(zip(GRIDS, weights, strict=True))
    ours = run.word("zeppelin").map(weights=given, combine=combine)
    np.testing.assert_allclose(
        ours.array,
        expected(truth, [8, 9], by_site, combine),
        rtol=1e-4,
        atol=1e-6 if combine == "mean" else 1e-5,
    )
    assert ("summed" in ours.unit) == (combine == "sum")
    assert ("weighed" in ours.aggregation) == (given is not None)
    series = run.word("zeppelin").steps(weights=given, combine=combine)
    whole = series.array.sum(axis=0) if combine == "sum" else series.array.mean(axis=0)
    np.testing.assert_allclose(whole, ours.array, rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("32x32=1", "16x16"),
        ("cross:side=1", "cross:mid"),
        ("16x16=-1", "weight of 0 or more"),
        ("16x16", "reads like"),
        ("16x16=much", "reads like"),
        ({"16x16": float("nan")}, "weight of 0 or more"),
        ("*=0", "all sites have weight 0"),
        (3, "dictionary"),
    ],
)
def test_weights_that_fit_nothing_are_refused(run, given, said):
    with pytest.raises(SelectionError, match=said):
        run.word("circle").map(weights=given)


def test_weights_read_as_they_were_written(run):
    sites = [site for site in run.sites if site.kind == "cross"]
    text = "16x16=2,cross:mid=0.5"
    assert SiteWeights.of(text, sites).text == text
    assert SiteWeights.of({(16, 16): 2, "cross:mid": 0.5}, sites).text == text


def test_an_unknown_way_to_combine_is_refused(run):
    with pytest.raises(SelectionError, match="'mean' or 'sum'"):
        run.word("circle").map(combine="max")


def test_the_stack_holds_every_tokens_map(run, truth):
    stack = run.stack()
    names = [token.text for token in run.tokens if token.kind != "padding"]
    assert stack.names == tuple(f"{index} {name}" for index, name in enumerate(names))
    np.testing.assert_allclose(stack["3 circle"].array, run.word("circle").map().array, rtol=1e-5)
    np.testing.assert_allclose(
        stack.array[8] + stack.array[9], run.word("zeppelin").map().array, rtol=1e-5, atol=1e-7
    )
    whole = run.stack(padding=True, steps="1:", sites="cross:up.*")
    assert len(whole) == len(run.tokens)
    np.testing.assert_allclose(whole.array.sum(axis=0), 1, atol=1e-5)
    table = np.mean([truth.probabilities("cross:up.0.0", step).mean(axis=0) for step in (1, 2)], axis=0)
    np.testing.assert_allclose(whole.array[17], table[:, 17].reshape(16, 16), rtol=1e-4, atol=1e-6)
    with pytest.raises(SelectionError, match="3 circle"):
        stack["square"]


@pytest.mark.parametrize("level", ["cross", "maps"])
def test_shares_part_every_patch_among_kinds_of_tokens(tmp_path, truth, level):
    run = Run.open(make_run(tmp_path / "run", steps=STEPS, level=level))
    shares = run.shares()
    np.testing.assert_allclose(shares.array.sum(axis=0), 1, atol=1e-5)
    kinds = {token.index: token.kind for token in run.tokens}
    words = sorted({token for word in run.words for token in word.tokens})
    comma = [index for index, kind in kinds.items() if kind == "content" and index not in words]
    padding = [index for index, kind in kinds.items() if kind == "padding"]
    assert len(comma) == 1 and len(padding) > 1
    equal = dict.fromkeys(GRIDS, 1)
    for name, tokens in (("words", words), ("other", comma), ("start", [0]), ("padding", padding)):
        np.testing.assert_allclose(shares[name].array, expected(truth, tokens, equal), rtol=1e-3, atol=2e-6)


def test_special_tokens_have_maps_on_request(run, truth):
    equal = dict.fromkeys(GRIDS, 1)
    end = next(token.index for token in run.tokens if token.kind == "end")
    for label, tokens in (("<start>", [0]), ("<end>", [end]), ("<padding>", list(range(end + 1, 20)))):
        np.testing.assert_allclose(
            run.word(label).map().array, expected(truth, tokens, equal), rtol=1e-4, atol=1e-6
        )


def test_a_word_of_the_negative_prompt_is_refused_with_what_comes_nearest(run):
    with pytest.raises(NotKeptError, match=r"branch='uncond'.*lens\.concept"):
        run.negative_word("dog")


def test_a_word_that_was_cut_off_is_told_from_one_that_was_never_there():
    info = text_info()
    text = TextInfo(**{**info, "cut": "beside a green category"})
    with pytest.raises(UnknownWordError, match="cut off") as caught:
        find_word(text, "green")
    assert "20 tokens" in str(caught.value) and "circle" in str(caught.value)
    for never in ("cat", "grin", "pink"):
        with pytest.raises(UnknownWordError, match="no word"):
            find_word(text, never)


def test_words_spelled_alike_come_first():
    with pytest.raises(UnknownWordError) as caught:
        find_word(TextInfo(**text_info()), "zepelin")
    assert str(caught.value).split("its words are: ")[1].startswith("zeppelin")


def test_a_site_that_was_not_kept_is_refused_with_the_level_that_keeps_it(tmp_path):
    run = Run.open(make_run(tmp_path / "run", steps=2, keep_sites=["cross:mid"]))
    with pytest.raises(NotKeptError, match=r"keep='maps'.*keep='cross'.*cross:mid"):
        run.word("circle").map(sites="cross:up.*")


def test_nan_in_the_recording_is_an_error_wherever_it_is_read(tmp_path):
    from synthetic_run import site_tensors

    layout = Layout("cross:mid", (8, 8), 2, 8)
    made = make_run(tmp_path / "whole", steps=2, sites=[layout], maps=False)
    assert Run.open(made).word("circle").map().array.max() > 0
    queries, _ = site_tensors(layout, 2, 20, 0)
    assert np.isfinite(queries).all()
    import synthetic_run

    original = synthetic_run.site_tensors

    def broken(*args):
        q, k = original(*args)
        q[1, 0, 5] = np.nan
        return q, k

    synthetic_run.site_tensors = broken
    try:
        run = Run.open(make_run(tmp_path / "nan", steps=2, sites=[layout], maps=False))
    finally:
        synthetic_run.site_tensors = original
    for question in (
        lambda: run.word("circle").map(),
        lambda: run.word("circle").heads(),
        lambda: run.stack(),
        lambda: run.shares(),
    ):
        with pytest.raises(RecordingError, match="NaN"):
            question()
    assert run.word("circle").map(steps=0).array.max() > 0, "the steps before are whole"


def test_words_of_the_negative_prompt_have_maps_where_their_row_was_kept(tmp_path):
    pytest.importorskip("torch")
    from explicit_attention import explicit, watched_projections

    from diffuscope.engine.lens import Lens
    from diffuscope.testing import random_pipeline

    pipe = random_pipeline("sd15", "tiny")
    asked = {"negative_prompt": "a blue cat", "steps": 1, "guidance_scale": 3.0, "branch": "uncond"}
    with watched_projections(pipe.unet) as seen:
        run = Lens(pipe).record("a red dog", out=tmp_path, **asked)
    ours = run.negative_word("cat").map()
    assert "Unconditional branch" in ours.aggregation
    tokens = list(run.word("cat").tokens)
    size = max(tuple(site.grid) for site in run.sites)
    maps = []
    for site in run.sites:
        if site.kind == "cross":
            noted = seen[site.module][0]
            table = explicit(noted["q"][0], noted["k"][0], site.heads).mean(axis=0)[:, tokens].sum(axis=1)
            maps.append(resize(table.reshape(site.grid), size))
    np.testing.assert_allclose(ours.array, np.mean(maps, axis=0), rtol=1e-4, atol=1e-6)
    with pytest.raises(UnknownWordError):
        run.negative_word("dog")
