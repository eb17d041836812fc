"""The head atlas of real architectures: contributions with and without their sign, and joint attention."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from diffuscope.analysis.atlas import Content  # noqa: E402
from diffuscope.analysis.atlas.survey import keep_projections  # noqa: E402
from diffuscope.analysis.cause.importance import HeadRanking  # noqa: E402
from diffuscope.engine import Lens  # noqa: E402
from diffuscope.errors import NotKeptError  # noqa: E402
from diffuscope.run import Run  # noqa: E402
from diffuscope.testing import random_pipeline  # noqa: E402

PROMPT = "a cat by a tree"


def recorded(family: str, out: Path, **options: Any) -> tuple[Lens, Run]:
    lens = Lens(random_pipeline(family))
    run = lens.record(PROMPT, seed=5, steps=2, width=32, height=32, previews=False, out=out, **options)
    assert isinstance(run, Run)
    return lens, run


def test_contributions_with_and_without_their_sign(tmp_path: Path) -> None:
    lens, run = recorded("sd15", tmp_path, keep="cross")
    for content, exact in (
        (Content("contribution"), run.contributions()),
        (Content("contribution", "cat"), run.word("cat").contributions()),
    ):
        for step in (0, 1):
            for name, maps in run.atlas.at(content, step).items():
                np.testing.assert_allclose(maps, exact.per_site[name][step], rtol=1e-6)
    picked = run.pick("top 1 for cat by contribution").heads[0]
    means = {
        site: each.mean(axis=(0, 2, 3)) for site, each in run.word("cat").contributions().per_site.items()
    }
    assert picked.value == pytest.approx(max(each.max() for each in means.values()), rel=1e-4)
    assert means[picked.site][picked.head] == pytest.approx(picked.value, rel=1e-4)

    assert "output projections" in str(run.atlas.why_not(Content("signed")))
    keep_projections(run.recording, lens.output_projections(run))
    reopened = Run.open(run.path)
    whole = run.contributions(projections=lens.output_projections(run))
    word = run.word("cat").contributions(projections=lens.output_projections(run))
    for content, exact in ((Content("signed"), whole), (Content("signed", "cat"), word)):
        found = reopened.atlas.at(content, 1)
        assert set(found) == set(exact.per_site)
        for name, maps in found.items():
            np.testing.assert_allclose(maps, exact.per_site[name][1], rtol=1e-5, atol=1e-6)
    plates = reopened.atlas.overview(Content("signed"))
    assert plates.min.min() < 0 < plates.max.max()
    with pytest.raises(NotKeptError):
        run.atlas.at(Content("received"), 0)  # self-attention was not kept


@pytest.mark.parametrize("family", ["flux", "sd3"])
def test_words_at_joint_attention_are_those_of_the_whole_softmax(family: str, tmp_path: Path) -> None:
    _, run = recorded(family, tmp_path, keep="qk")
    atlas = run.atlas
    assert atlas.cells.shape == "rows"
    stages = [site.stage for site in atlas.cells.sites]
    assert set(stages) == ({"double", "single"} if family == "flux" else {"double"})
    for label in ("cat", "<end>") if family == "sd3" else ("cat",):
        exact = run.word(label).heads()
        for step in (0, 1):
            for name, maps in atlas.at(Content("word", label), step).items():
                np.testing.assert_allclose(maps, exact.per_site[name][step], rtol=1e-4, atol=1e-6)
    received = atlas.at(Content("received"), 0)
    for site in atlas.cells.sites:
        for place, head in enumerate(site.heads):
            rows = run._self_attention.matrix(site.name, 0, heads=[head]).astype(np.float64)
            np.testing.assert_allclose(
                received[site.name][place].ravel(), rows.mean(axis=0), rtol=1e-4, atol=1e-7
            )
            share = rows / rows.sum(axis=1, keepdims=True)
            entropy = -(share * np.log(np.clip(share, 1e-300, None))).sum(axis=1)
            focus = atlas.at(Content("focus"), 0, [site.name])[site.name][place].ravel()
            np.testing.assert_allclose(focus, 1 - entropy / np.log(rows.shape[1]), rtol=1e-4, atol=1e-5)
    assert len(run.pick("top 3 for cat").heads) == 3


def test_a_search_that_is_broken_off_leaves_what_it_found(tmp_path: Path) -> None:
    lens, run = recorded("sd15", tmp_path, keep="maps")
    seen: list[tuple[str, int, int]] = []

    def stop(found: HeadRanking) -> None:
        raise KeyboardInterrupt

    asked: dict[str, Any] = {"region": "box:0,0,15,31", "sites": "cross:mid", "seeds": [5, 6], "per_round": 2}
    with pytest.raises(KeyboardInterrupt):
        lens.heads(run, **asked, on_effect=lambda *given: seen.append(given[:3]), on_ranking=stop)
    (partial,) = Run.open(run.path).rankings
    heads = next(site.heads for site in run.sites if site.name == "cross:mid")
    assert partial.seeds == (5,) and partial.where == "box:0,0,15,31" and len(partial.heads) == heads
    assert sorted(seen) == [("cross:mid", head, 5) for head in range(heads)]
    whole = lens.heads(run, **asked)
    (kept,) = Run.open(run.path).rankings
    assert kept.seeds == (5, 6) and kept.heads == whole.heads
