"""The head atlas holds each head's own map, to the byte that was promised, against explicit computations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_run import Layout, Tensors, layouts, make_run, tensors

from diffuscope.analysis.atlas import MEAN, Atlas, Cells, CellSite, Content, content_of, survey
from diffuscope.analysis.atlas.plates import SIDES, cell_bytes, plates_of, side_for, smaller
from diffuscope.errors import InputError, NotKeptError, SelectionError, UnknownWordError
from diffuscope.figures.layers import FRAME, layers
from diffuscope.maps.cache import RunCache
from diffuscope.maps.resize import resize
from diffuscope.recording import Recording, Site
from diffuscope.run import Run

SITES = [*layouts(self_sites=True), Layout("self:up.0.0", (16, 16), 3, 16, kind="self")]
STEPS = 3


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.open(make_run(tmp_path / "whole", steps=STEPS, level="qk", sites=SITES))


@pytest.fixture(scope="module")
def truth() -> Tensors:
    return tensors(steps=STEPS, sites=SITES)


def site(name: str, module: str, kind: str = "cross") -> Site:
    spans: dict[str, Any] = {"text_keys": [0, 4], "image_keys": [4, 8]} if kind == "joint" else {}
    return Site(
        name=name, module=module, kind=kind, grid=[2, 2], heads=2, head_dim=4, scale=0.5, keys=8, **spans
    )


def test_cells_are_numbered_in_the_order_of_the_data(run: Run) -> None:
    cells = run.atlas.cells
    assert list(cells)[:4] == [
        ("cross:down.0.0", 0),
        ("cross:down.0.0", 1),
        ("cross:down.0.0", 2),
        ("cross:mid", 0),
    ]
    assert [cells.numbers[cell] for cell in cells] == list(range(3 + 8 + 3 + 8 + 3)) and len(cells) == 25
    assert cells.shape == "u" and cells.grids == ((16, 16), (8, 8))
    told = {each.name: (each.stage, each.block, each.column, each.depth) for each in cells.sites}
    assert told["cross:mid"] == ("mid", "mid", 1, 1) and told["self:mid"] == ("mid", "mid", 1, 1)
    assert told["self:up.0.0"] == ("up", "up.0.0", 2, 0) and told["cross:down.0.0"][0] == "down"


def test_stages_of_transformers() -> None:
    class Pretended:
        def __init__(self, sites: list[Site]) -> None:
            keep = type("Keep", (), {"sites": [each.name for each in sites]})
            self.manifest = type("Manifest", (), {"sites": sites, "keep": keep})

        def heads(self, name: str) -> tuple[int, ...]:
            return (0, 1)

    flux = Pretended(
        [
            site("joint:0", "transformer_blocks.0.attn", "joint"),
            site("joint:1", "single_transformer_blocks.0.attn", "joint"),
        ]
    )
    found = Cells.of(flux)  # type: ignore[arg-type]
    assert found.shape == "rows" and [each.stage for each in found.sites] == ["double", "single"]
    pixart = Pretended(
        [site("self:0", "transformer_blocks.0.attn1", "self"), site("cross:0", "transformer_blocks.0.attn2")]
    )
    found = Cells.of(pixart)  # type: ignore[arg-type]
    assert found.shape == "rows" and [(each.stage, each.column) for each in found.sites] == [("block", 0)] * 2


def test_a_word_at_every_head_is_its_own_softmax(run: Run, truth: Tensors) -> None:
    for label, tokens in (("zeppelin", [8, 9]), ("red circle", [2, 3])):
        found = run.atlas.at(Content("word", label), 1)
        assert list(found) == ["cross:down.0.0", "cross:mid", "cross:up.0.0"]
        for name, maps in found.items():
            own = truth.probabilities(name, 1)[:, :, tokens].sum(axis=-1).reshape(maps.shape)
            np.testing.assert_allclose(maps, own, rtol=1e-4, atol=1e-6)
    mean = run.atlas.mean(content_of("circle"))
    each = [run.atlas.at(content_of("circle"), step) for step in range(STEPS)]
    for name, maps in mean.items():
        np.testing.assert_allclose(maps, np.mean([one[name] for one in each], axis=0), rtol=1e-5, atol=1e-7)


def test_self_attention_is_looked_at_and_looks(run: Run, truth: Tensors) -> None:
    received, focus = (run.atlas.at(Content(family), 2) for family in ("received", "focus"))
    assert list(received) == list(focus) == ["self:mid", "self:up.0.0"]
    for name in received:
        rows = truth.probabilities(name, 2)
        np.testing.assert_allclose(
            received[name].reshape(len(rows), -1), rows.mean(axis=1), rtol=1e-4, atol=1e-7
        )
        entropy = -(rows * np.log(np.clip(rows, 1e-300, None))).sum(axis=-1)
        expected = 1 - entropy / np.log(rows.shape[-1])
        np.testing.assert_allclose(focus[name].reshape(len(rows), -1), expected, rtol=1e-4, atol=1e-5)


def test_at_many_patches_some_queries_stand_for_all(
    run: Run, truth: Tensors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "QUERIES", 64)
    assert run.atlas.stride(Content("received")) | {"self:mid": 1, "self:up.0.0": 2} == run.atlas.stride(
        Content("received")
    )
    rows = truth.probabilities("self:up.0.0", 0)
    sampled = np.arange(256).reshape(16, 16)[::2, ::2].ravel()
    received = run.atlas.at(Content("received"), 0)["self:up.0.0"]
    np.testing.assert_allclose(received.reshape(3, -1), rows[:, sampled].mean(axis=1), rtol=1e-4, atol=1e-7)
    assert run.atlas.at(Content("focus"), 0)["self:up.0.0"].shape == (3, 8, 8)


def test_an_overview_is_within_half_a_level_of_the_exact_maps(run: Run) -> None:
    content = content_of("circle")
    plates = run.atlas.overview(content)
    assert plates.slots == (MEAN, 0, 1, 2) and plates.native
    exact = [run.atlas.mean(content), *(run.atlas.at(content, step) for step in range(STEPS))]
    for name, stored in plates.maps.items():
        assert stored.dtype == np.uint8
        whole = np.stack([each[name] for each in exact])
        first = plates.first(name)
        at = slice(first, first + whole.shape[1])
        np.testing.assert_allclose(plates.min[:, at], whole.min(axis=(2, 3)), rtol=1e-6)
        np.testing.assert_allclose(plates.max[:, at], whole.max(axis=(2, 3)), rtol=1e-6)
        np.testing.assert_allclose(plates.mean[:, at], whole.mean(axis=(2, 3)), rtol=1e-5)
        room = (plates.max - plates.min)[:, at, None, None] / 510 * 1.001 + 1e-7
        assert (np.abs(plates.values(name) - whole) <= room).all()
    detail = run.atlas.detail(content, 1)
    assert detail.slots == (1,) and np.array_equal(
        detail.values("cross:mid"), plates.values("cross:mid")[2:3]
    )
    mean = run.atlas.detail(content, MEAN)
    assert np.array_equal(mean.values("cross:mid"), plates.values("cross:mid")[:1])


def test_large_models_are_brought_down_by_area_in_the_range_of_the_whole(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    sites = run.atlas.sites(content_of("circle"))
    monkeypatch.setattr(survey, "OVERVIEW_BYTES", 4 * cell_bytes(sites, 8))
    plates = run.atlas.overview(content_of("circle"))
    assert plates.bytes == 4 * cell_bytes(sites, 8) and not plates.native
    assert plates.maps["cross:down.0.0"].shape == (4, 3, 8, 8) and plates.maps["cross:mid"].shape == (
        4,
        8,
        8,
        8,
    )
    exact = run.atlas.at(content_of("circle"), 0)["cross:down.0.0"]
    small = resize(exact, (8, 8), "area")
    assert np.abs(plates.values("cross:down.0.0")[1] - small).max() <= np.ptp(exact) / 500
    assert plates.max[1, :3] == pytest.approx(exact.max(axis=(1, 2)))
    # In full where one slot is asked for.
    assert run.atlas.detail(content_of("circle"), 0).native


def test_the_level_of_detail_keeps_any_model_within_its_bytes() -> None:
    def pretended(count: int, heads: int, grid: tuple[int, int]) -> CellSite:
        return CellSite(
            0, "cross:0", "cross", grid, tuple(range(count * heads)), count * heads, "up", "0", 0, 0, 0
        )

    sd15 = [
        pretended(5, 8, (64, 64)),
        pretended(5, 8, (32, 32)),
        pretended(5, 8, (16, 16)),
        pretended(1, 8, (8, 8)),
    ]
    sdxl = [pretended(10, 10, (64, 64)), pretended(60, 20, (32, 32))]
    flux = [pretended(57, 24, (64, 64))]
    for sites, cells, side in ((sd15, 128, 32), (sdxl, 1300, 8), (flux, 1368, 8)):
        assert sum(len(each.heads) for each in sites) == cells
        assert side_for(sites, 51, survey.OVERVIEW_BYTES) == side
        assert 51 * cell_bytes(sites, side) <= survey.OVERVIEW_BYTES
        assert side_for(sites, 1, survey.DETAIL_BYTES) == 0 and cell_bytes(sites, 0) <= survey.DETAIL_BYTES
    assert side_for(flux, 10**6, survey.OVERVIEW_BYTES) == SIDES[-1]
    assert smaller((96, 64), 32) == (32, 21) and smaller((8, 8), 32) == (8, 8)


def test_all_words_are_surveyed_at_once_and_kept(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    slots, masses = run.atlas.masses(["circle", "<start>"])
    for step, found in enumerate(masses[0, 1:]):
        heads = run.word("circle").heads(step).mass()
        assert found == pytest.approx(np.concatenate([each[0] for each in heads.values()]), rel=1e-5)
    assert slots == (MEAN, 0, 1, 2) and masses.shape == (2, 4, 14)
    again = Atlas(Recording.open(run.path))
    monkeypatch.setattr(again, "_made", lambda *given: pytest.fail("it was there"))
    assert np.array_equal(again.masses(["circle", "<start>"])[1], masses)
    assert again.masses()[1].shape == (len(again.words), 4, 14)
    # What was tampered with is made anew.
    key = {"content": "word:circle", "what": "all", "form": "1"}
    stored = RunCache(run.recording).read("atlas", key)
    assert stored is not None
    for wrong in ({**stored, "maps/1": stored["maps/1"][:, :3]}, {"min": stored["min"]}):
        RunCache(run.recording).write("atlas", key, wrong)
        fresh = Atlas(Recording.open(run.path)).overview(content_of("circle"))
        assert np.array_equal(
            fresh.maps["cross:mid"], run.atlas.overview(content_of("circle")).maps["cross:mid"]
        )
    assert np.array_equal(
        again.overview(content_of("red")).maps["cross:mid"],
        run.atlas.overview(content_of("red")).maps["cross:mid"],
    )


def test_a_run_that_cannot_be_written_is_surveyed_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunCache, "write", lambda *given: None)
    atlas, made = run.atlas, []
    real = atlas._made
    monkeypatch.setattr(atlas, "_made", lambda *given: made.append(given) or real(*given))
    first = atlas.masses()[1]
    assert len(made) == 3 * STEPS and np.array_equal(atlas.masses()[1], first)
    assert atlas.detail(content_of("circle"), MEAN).native and len(made) == 3 * STEPS


def test_a_survey_of_self_attention_takes_the_steps_that_it_can_afford(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    cost = 8 * 64**2 + 3 * 256**2
    monkeypatch.setattr(survey, "PRODUCTS", 2.5 * cost)
    plates = run.atlas.overview(Content("received"))
    assert plates.slots == (MEAN, 0, 2)
    mean = run.atlas.mean(Content("received"), [0, 2])
    assert plates.mean[0] == pytest.approx(np.concatenate([each.mean(axis=(1, 2)) for each in mean.values()]))
    monkeypatch.setattr(survey, "PRODUCTS", 1.0)
    assert run.atlas.overview_slots(Content("focus"), run.atlas.sites(Content("focus"))) == (MEAN, 0)


def test_constant_maps_and_their_values() -> None:
    sites = (CellSite(0, "cross:0", "cross", (2, 2), (0, 1), 2, "up", "0", 0, 0, 0),)
    maps = {"cross:0": np.array([np.full((2, 2), 0.25), [[-1, 0], [0, 1]]], np.float32)}
    plates = plates_of(Content("signed"), sites, (7,), [maps], 100)
    assert plates.values("cross:0")[0, 0] == pytest.approx(np.full((2, 2), 0.25), abs=0)
    assert plates.values("cross:0")[0, 1] == pytest.approx(np.array([[-1, 0], [0, 1]]), abs=1 / 254)
    assert plates.min.tolist() == [[0.25, -1]] and plates.mean.tolist() == [[0.25, 0]]


def test_what_a_recording_lacks_is_said(tmp_path: Path, run: Run) -> None:
    small = Run.open(make_run(tmp_path / "small", steps=2, level="maps")).atlas
    assert "keep='maps'" in str(small.why_not(content_of("circle")))
    assert "no self or joint" in str(small.why_not(Content("received")))
    assert run.atlas.why_not(content_of("circle")) is None
    with pytest.raises(NotKeptError, match="output projection"):
        run.atlas.overview(Content("contribution"))
    with pytest.raises(NotKeptError, match="output projections"):
        run.atlas.at(Content("signed"), 0)
    with pytest.raises(UnknownWordError):
        run.atlas.overview(content_of("dog"))
    with pytest.raises(SelectionError, match="step 9"):
        run.atlas.at(content_of("circle"), 9)
    with pytest.raises(SelectionError, match="self:mid has no circle"):
        run.atlas.at(content_of("circle"), 0, ["self:mid"])
    stopped = Run.open(make_run(tmp_path / "stopped", steps=2, stop_after=0)).atlas
    assert "stopped" in str(stopped.why_not(content_of("circle")))


def test_contents_read_as_they_are_written() -> None:
    for text in (
        "word:circle",
        "received",
        "focus",
        "contribution",
        "contribution:red circle",
        "signed:circle",
    ):
        assert content_of(text).text == text
    assert content_of("circle") == Content("word", "circle") and content_of(" signed ").signed
    for wrong in ("", "word:", "received:circle", "norm:circle", "signed:"):
        with pytest.raises(InputError):
            content_of(wrong)


def test_the_figure_has_a_cell_for_every_head(run: Run) -> None:
    content = content_of("circle")
    sites, maps = run.atlas.sites(content), run.atlas.mean(content)
    drawn = layers(maps, sites, content, said="Mean over 3 steps.", framed=[("cross:mid", 5)], why="one head")
    seen = np.asarray(drawn)
    assert (seen == FRAME).all(axis=-1).sum() > 2 * 4 * 70  # the frame
    brightest = max(float(each.max()) for each in maps.values())
    assert brightest > 0.5 and len(np.unique(seen.reshape(-1, 3), axis=0)) > 100
    narrow = layers(maps, sites, content, said="", side=12)
    assert narrow.height < drawn.height
    with pytest.raises(SelectionError, match="scale="):
        layers(maps, sites, content, said="", scale="log")  # type: ignore[arg-type]
    signed = {name: each - each.mean() for name, each in maps.items()}
    for scale in ("map", "shared"):
        seen = np.asarray(layers(signed, sites, Content("signed"), said="Step 0.", scale=scale)).astype(int)  # type: ignore[arg-type]
        blue, red = seen[..., 2] - seen[..., 0] > 60, seen[..., 0] - seen[..., 2] > 60
        assert blue.any() and red.any()
