"""Maps of single heads, and what each head adds to the picture, against explicit computations."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_run import make_run, tensors

from diffuscope.errors import NotKeptError, SelectionError
from diffuscope.run import Run

GRIDS = {"cross:down.0.0": (16, 16), "cross:mid": (8, 8), "cross:up.0.0": (16, 16)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run.open(make_run(tmp_path_factory.mktemp("runs") / "plain", steps=3))


@pytest.fixture(scope="module")
def truth():
    return tensors(steps=3)


def test_every_heads_map_is_its_own_softmax(run, truth):
    maps = run.word("zeppelin").heads(steps="1:")
    assert maps.steps == (1, 2) and maps.sites == tuple(GRIDS)
    for site, grid in GRIDS.items():
        for at, step in enumerate(maps.steps):
            own = truth.probabilities(site, step)[:, :, [8, 9]].sum(axis=-1)
            np.testing.assert_allclose(maps.per_site[site][at], own.reshape(-1, *grid), rtol=1e-4, atol=1e-6)
    one = maps.at(2, "cross:mid", 5)
    assert str(one.selection) == "steps=2 sites=cross:mid heads=5 word=zeppelin"
    np.testing.assert_array_equal(run.map(one.selection, size="native").array, one.array)
    np.testing.assert_allclose(maps.mass()["cross:mid"][1, 5], one.mean, rtol=1e-6)


def test_stacked_heads_share_a_grid_and_lack_what_a_site_lacks(run):
    maps = run.word("circle").heads(steps=0)
    stacked = maps.stacked()
    assert stacked.shape == (1, 3, 8, 16, 16)
    assert np.isnan(stacked[0, 0, 3:]).all() and np.isfinite(stacked[0, 1]).all()
    np.testing.assert_array_equal(stacked[0, 2, 1], maps.per_site["cross:up.0.0"][0, 1])
    chosen = run.word("circle").heads(heads=[0, 2], sites="cross:mid")
    assert chosen.numbers == (0, 2) and chosen.stacked().shape == (3, 1, 2, 8, 8)


def test_heads_that_are_not_there_are_refused(run):
    maps = run.word("circle").heads(steps=0)
    for place in ((1, "cross:mid", 0), (0, "cross:side", 0), (0, "cross:up.0.0", 3)):
        with pytest.raises(SelectionError, match="there is no map"):
            maps.at(*place)
    with pytest.raises(SelectionError, match="head"):
        run.word("circle").heads(heads=7)


def test_word_maps_alone_have_no_heads(tmp_path):
    run = Run.open(make_run(tmp_path / "small", steps=2, level="maps"))
    for question in (run.word("circle").heads, run.contributions, run.word("circle").contributions):
        with pytest.raises(NotKeptError, match="keep='cross'"):
            question()


# Contributions, on a pipeline with weights of its own.


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    pytest.importorskip("torch")
    from diffuscope.engine.lens import Lens
    from diffuscope.testing import random_pipeline

    lens = Lens(random_pipeline("sd15", "tiny"))
    run = lens.record("a red cat", steps=2, out=tmp_path_factory.mktemp("runs"), guidance_scale=3.0)
    return lens, run


def added(lens, run, site, step, tokens=slice(None)):
    """``[head, query, channel]``: what each head adds, in float64, from the weight itself."""
    module = dict(lens.pipe.unet.named_modules())[site.module]
    weight = module.to_out[0].weight.detach().double().numpy()
    q = run.recording.query(site.name, step).astype(np.float64)
    k = run.recording.keys(site.name, step).astype(np.float64)
    v = run.recording.values(site.name, step).astype(np.float64)
    found = []
    for head in range(site.heads):
        scores = q[head] @ k[head].T * site.scale
        table = np.exp(scores - scores.max(axis=1, keepdims=True))
        table /= table.sum(axis=1, keepdims=True)
        columns = weight[:, head * site.head_dim : (head + 1) * site.head_dim]
        found.append(table[:, tokens] @ v[head][tokens] @ columns.T)
    return np.stack(found)


@pytest.mark.parametrize("word", [None, "cat"])
def test_a_contribution_is_the_norm_of_what_the_head_adds(recorded, word):
    lens, run = recorded
    tokens = slice(None) if word is None else list(run.word(word).tokens)
    ours = run.contributions(steps=1) if word is None else run.word(word).contributions(steps=1)
    for site in run.sites:
        if site.kind != "cross":
            continue
        norms = np.linalg.norm(added(lens, run, site, 1, tokens), axis=-1).reshape(-1, *site.grid)
        np.testing.assert_allclose(ours.per_site[site.name][0], norms, rtol=2e-4, atol=1e-7)
        swapped = np.roll(norms, 1, axis=0)
        assert not np.allclose(ours.per_site[site.name][0], swapped, rtol=1e-2)


def test_signed_projections_of_all_heads_make_up_the_whole_output(recorded):
    lens, run = recorded
    ours = run.contributions(steps=0, projections=lens.output_projections(run))
    for site in run.sites:
        if site.kind != "cross":
            continue
        parts = added(lens, run, site, 0)
        whole = parts.sum(axis=0)
        length = np.linalg.norm(whole, axis=-1)
        expected = (parts * (whole / length[:, None])).sum(axis=-1).reshape(-1, *site.grid)
        np.testing.assert_allclose(ours.per_site[site.name][0], expected, rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(
            ours.per_site[site.name][0].sum(axis=0), length.reshape(site.grid), rtol=1e-3, atol=1e-6
        )
    assert "along" in ours.unit


def test_projections_of_another_shape_are_refused(recorded):
    lens, run = recorded
    weights = lens.output_projections(run)
    name = next(iter(name for name in weights if name.startswith("cross:")))
    for wrong in ({}, {**weights, name: weights[name][:1]}):
        with pytest.raises(SelectionError, match="output projection"):
            run.contributions(projections=wrong)
