"""What the page's masks are held to is what the engine applies; recordings of the size of published models."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import atlas_fixture  # noqa: E402

from diffuscope.analysis.atlas import Content, survey  # noqa: E402
from diffuscope.edits import PatchChoice, Scale  # noqa: E402
from diffuscope.engine import Lens  # noqa: E402
from diffuscope.run import Run  # noqa: E402
from diffuscope.server import atlas as files  # noqa: E402
from diffuscope.testing import random_pipeline  # noqa: E402
from diffuscope.testing.sized_run import make_sized_run  # noqa: E402


def test_the_pages_fixture_is_current() -> None:
    kept = json.loads(atlas_fixture.FIXTURE.read_text(encoding="utf-8"))
    now = json.loads(json.dumps(atlas_fixture.contents()))
    assert (
        kept["aims"] == now["aims"]
        and kept["errors"] == now["errors"]
        and kept["strengths"] == now["strengths"]
    )
    assert [each["name"] for each in kept["cases"]] == [each["name"] for each in now["cases"]]
    for one, other in zip(kept["cases"], now["cases"], strict=True):
        assert one["normal"] == other["normal"] and one["says"] == other["says"]
        for mine, theirs in zip(one["grids"], other["grids"], strict=True):
            np.testing.assert_allclose(mine["cover"], theirs["cover"], atol=1e-12)


def test_every_case_is_what_its_words_say() -> None:
    kept = json.loads(atlas_fixture.FIXTURE.read_text(encoding="utf-8"))
    cases = {each["name"]: each for each in kept["cases"]}
    stroke = cases["a stroke on a grid"]
    mask = np.zeros((16, 16))
    at, inside = 0, 0
    for count in stroke["patches"]["rle"]["counts"]:
        for cell in range(at, at + count):
            mask[cell % 16, cell // 16] = inside
        at, inside = at + count, 1 - inside
    own, half, _, double = (np.array(each["cover"]) for each in stroke["grids"])
    np.testing.assert_array_equal(own, mask)
    np.testing.assert_allclose(half, mask.reshape(8, 2, 8, 2).mean(axis=(1, 3)), atol=1e-12)
    np.testing.assert_allclose(double, np.kron(mask, np.ones((2, 2))), atol=1e-12)
    one = np.array(cases["one patch of a coarse grid"]["grids"][0]["cover"])
    assert one.sum() == 16 and (one[8:12, 4:8] == 1).all()
    for case in kept["cases"]:
        means = [np.mean(each["cover"]) for each in case["grids"]]
        np.testing.assert_allclose(means, means[0], rtol=1e-9)  # the same share of the picture on every grid


def test_an_edit_acts_on_the_painted_patches_alone(tmp_path: Path) -> None:
    """The first site that is edited puts out what it did, but in the patches whose cover is above 0."""
    lens = Lens(random_pipeline("sd15"))
    run = lens.record("a cat by a tree", seed=5, steps=1, width=32, height=32, previews=False, out=tmp_path)
    assert isinstance(run, Run)
    site = next(each for each in run.sites if each.kind == "cross")
    mask = np.zeros(tuple(site.grid))
    mask[1, 2] = mask[2, 0] = 1
    patches = PatchChoice.mask(mask, grid=tuple(site.grid))
    outputs: list[torch.Tensor] = []
    module = next(each.module for each in lens.sites if each.name == site.name)
    hook = module.to_out[0].register_forward_pre_hook(
        lambda _, given: outputs.append(given[0].detach().clone())
    )
    try:
        lens.edit(run, Scale(0.0, sites=site.name, heads="1", patches=patches), full=True, out=tmp_path)
        lens.edit(run, Scale(1.0, sites=site.name, heads="1", patches=patches), full=True, out=tmp_path)
    finally:
        hook.remove()
    edited, plain = outputs[0], outputs[1]
    heads = [each.unflatten(-1, (site.heads, -1))[-1] for each in (edited, plain)]
    moved = (heads[0] != heads[1]).any(dim=-1).numpy()  # [query, head]
    assert np.array_equal(moved[:, 1].reshape(mask.shape), mask > 0) and not moved[:, 0].any()


@pytest.mark.parametrize(("model", "sites", "cells"), [("sd15", 16, 128), ("sdxl", 70, 1300)])
def test_recordings_of_published_sizes_stay_within_their_bytes(
    tmp_path: Path, model: str, sites: int, cells: int
) -> None:
    run = Run.open(make_sized_run(tmp_path / model, model, steps=1))  # type: ignore[arg-type]
    assert len(run.atlas.cells.sites) == sites and len(run.atlas.cells) == cells
    exact = run.atlas.at(Content("word", "horn"), 0)
    content = files.file(run, "word-5", "all")
    assert len(content) < survey.OVERVIEW_BYTES + 2 * cells * 12 + 20_000
    assert len(files.file(run, "word-5", "0000")) < survey.DETAIL_BYTES
    # Words are told apart: each gathers elsewhere.
    horn, meadow = (run.word(word).map().array for word in ("horn", "meadow"))
    assert np.abs(horn - meadow).max() > 0.05 and all(np.isfinite(each).all() for each in exact.values())


def test_the_benchmark_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(__file__).resolve().parent.parent / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    for name in ("atlas", "measuring"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    file = tmp_path / "told.json"
    monkeypatch.setattr(sys, "argv", ["atlas.py", "--quick", "--json", str(file)])
    importlib.import_module("atlas").main()
    for name in ("atlas", "measuring"):
        sys.modules.pop(name, None)
    (found,) = json.loads(file.read_text("utf-8"))["results"].values()
    assert found["cells"] == 128 and found["promises"]["overview"] and found["promises"]["step in full"]
    assert all(one["seconds"].keys() == {"cold", "from the cache", "warm"} for one in found["files"].values())
