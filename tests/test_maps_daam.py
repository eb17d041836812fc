"""The DAAM preset gives the numbers of DAAM's published algorithm, written down here a second time with torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
from synthetic_run import Layout, make_run, tensors

from diffuscope.errors import NotKeptError, SelectionError
from diffuscope.maps import daam as preset
from diffuscope.run import Run

torch = pytest.importorskip("torch")

SITES = [
    Layout("cross:down.0.0", (16, 16), 3, 16),
    Layout("cross:down.1.0", (8, 8), 8, 8),
    Layout("cross:down.2.0", (2, 2), 4, 8),
    Layout("cross:mid", (8, 8), 8, 8),
    Layout("cross:up.0.0", (16, 16), 3, 16),
]
"""With latents of 16x16: factors 1, 2, 8 (skipped), a middle block (not hooked), 1."""


def published(probabilities, sites, latent, tokens):
    """DAAM: `probabilities(site, call)` is ``[head, query, token]``; calls are counted through the whole run."""
    side = latent[0] * latent[1]
    collected = {}
    for layer, (name, calls) in enumerate(sites):
        if name.startswith("cross:mid"):
            continue
        for call in calls:
            table = torch.from_numpy(probabilities(name, call)).float()
            factor = int(math.sqrt(side // table.shape[1]))
            if factor == 8:
                continue
            height = int(math.sqrt(table.shape[1] * latent[0] / latent[1]))
            for head, own in enumerate(table):
                maps = own.T.reshape(-1, height, table.shape[1] // height)
                key = (factor, layer, head)
                collected[key] = collected.get(key, 0) + maps
    merged = [
        torch.nn.functional.interpolate(maps[:, None], size=latent, mode="bicubic").clamp(min=0)
        for maps in collected.values()
    ]
    return torch.stack(merged).mean(0)[:, 0][tokens].mean(0).numpy()


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(preset, "latent_size", lambda recording: (16, 16))
    return Run.open(make_run(tmp_path / "run", sites=SITES, steps=3, calls=2))


@pytest.mark.parametrize(
    ("label", "tokens"),
    [("circle", [3]), ("zeppelin", [8, 9]), ("blue zeppelin", [7, 8, 9]), ("<start>", [0])],
)
def test_the_preset_is_daam_on_shared_tensors(run, label, tokens):
    truth = tensors(sites=SITES, steps=3, calls=2)
    sites = [(layout.name, [(step, call) for step in range(3) for call in range(2)]) for layout in SITES]
    expected = published(lambda name, at: truth.probabilities(name, *at), sites, (16, 16), tokens)
    view = run.phrase(label) if " " in label else run.word(label)
    ours = view.daam()
    np.testing.assert_allclose(ours.array, expected, rtol=1e-4, atol=1e-6)
    again = Run.open(run.path).map(f'word="{label}"')
    assert not np.allclose(ours.array / ours.array.sum(), again.array / again.array.sum(), rtol=1e-2)
    assert "DAAM" in ours.unit and "clamped" in ours.aggregation


def test_every_rule_of_daam_shows_in_its_numbers(run, monkeypatch):
    ours = run.word("zeppelin").daam().array
    one = run.word("zeppelin").daam(sites="cross:down.0.0,cross:up.0.0").array
    assert not np.allclose(ours, one, rtol=1e-3)
    monkeypatch.setattr(preset, "SKIPPED_FACTOR", 99)
    assert not np.allclose(ours, run.word("zeppelin").daam().array, rtol=1e-3)


def test_it_is_daam_on_a_recorded_pipeline(tmp_path):
    from explicit_attention import explicit, watched_projections

    from diffuscope.engine.lens import Lens
    from diffuscope.testing import random_pipeline

    pipe = random_pipeline("sd15", "tiny")
    lens = Lens(pipe)
    with watched_projections(pipe.unet) as seen:
        run = lens.record("a red cat", steps=2, out=tmp_path, seed=1, guidance_scale=3.0)
    modules = {site.name: site for site in run.sites if site.kind == "cross"}
    latent = run.recording.latent(0).shape[-2:]

    def probabilities(name, call):
        site = modules[name]
        noted = seen[site.module][call]
        return explicit(noted["q"][1], noted["k"][1], site.heads)

    sites = [(name, range(len(seen[site.module]))) for name, site in modules.items()]
    tokens = next(list(word.tokens) for word in run.words if word.label == "cat")
    expected = published(probabilities, sites, tuple(latent), tokens)
    np.testing.assert_allclose(run.word("cat").daam().array, expected, rtol=1e-4, atol=1e-6)


def test_a_second_question_is_read_from_the_runs_cache(run, monkeypatch):
    first = run.word("circle").daam().array
    monkeypatch.setattr(preset, "daam_maps", None)
    np.testing.assert_array_equal(Run.open(run.path).word("circle").daam().array, first)


def test_sites_that_daam_leaves_out_are_refused(run):
    with pytest.raises(SelectionError, match="DAAM leaves out"):
        run.word("circle").daam(sites="cross:mid")


def test_word_maps_alone_do_not_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(preset, "latent_size", lambda recording: (16, 16))
    run = Run.open(make_run(tmp_path / "small", sites=SITES, steps=2, level="maps"))
    with pytest.raises(NotKeptError, match="keep='cross'"):
        run.word("circle").daam()
