"""Run: maps of a recording equal an independent float64 softmax; bad questions get clear answers."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from synthetic_run import Layout, make_run, tensors

from diffuscope.errors import (
    InputError,
    NotKeptError,
    RunNotFoundError,
    SelectionError,
    SizeError,
    UnknownWordError,
)
from diffuscope.recording import Recording
from diffuscope.run import Run, open
from diffuscope.selection import Selection

CIRCLE, ZEPPELIN = [3], [8, 9]
GRIDS = {"cross:down.0.0": (16, 16), "cross:mid": (8, 8), "cross:up.0.0": (16, 16)}
HEADS = {"cross:down.0.0": 3, "cross:mid": 8, "cross:up.0.0": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "plain")


@pytest.fixture(scope="module")
def run(folder):
    return Run.open(folder)


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """The same recording without word maps: everything is computed from queries and keys."""
    return Run.open(make_run(tmp_path_factory.mktemp("runs") / "slow", maps=False))


@pytest.fixture(scope="module")
def truth():
    return tensors()


def grow(array, size):
    """Bilinear growth with clamped edges by `np.interp`: independent of the package's matrices."""
    at = [(np.arange(new) + 0.5) * old / new - 0.5 for old, new in zip(array.shape, size, strict=True)]
    wide = np.array([np.interp(at[1], np.arange(array.shape[1]), row) for row in array])
    return np.array([np.interp(at[0], np.arange(array.shape[0]), column) for column in wide.T]).T


def expected(
    truth,
    tokens,
    *,
    steps=range(5),
    sites=tuple(GRIDS),
    heads=None,
    reduce="sum",
    size=(16, 16),
    call=-1,
    grids=GRIDS,
):
    """Heads, then sites, then steps, in float64 and one after the other."""
    per_step = []
    for step in steps:
        per_site = []
        for site in sites:
            table = truth.probabilities(site, step, call)
            table = table[list(heads) if heads is not None else slice(None)].mean(axis=0)
            word = table[:, tokens].sum(axis=1) if reduce == "sum" else table[:, tokens].mean(axis=1)
            per_site.append(grow(word.reshape(grids[site]), size))
        per_step.append(np.mean(per_site, axis=0))
    return np.mean(per_step, axis=0)


def agrees(ours, theirs) -> bool:
    error = np.abs(np.asarray(ours, np.float64) - theirs)
    return bool((error <= 1e-6).all() and (error <= 1e-4 * np.abs(theirs)).all())


def test_the_recorded_attention_is_peaked(truth):
    for site in GRIDS:
        table = truth.probabilities(site, 4)
        assert np.median(table.max(axis=-1)) > 0.5
        assert table[:, :, CIRCLE].max() > 0.8


SELECTIONS = [
    {},
    {"steps": "0:2"},
    {"steps": [4, 1]},
    {"steps": 4},
    {"sites": "cross:mid"},
    {"sites": "cross:up.*,cross:mid"},
    {"heads": [2, 0]},
    {"heads": 1, "sites": "cross:down.*", "steps": 3},
    {"heads": "5:", "sites": "cross:mid"},
    {"reduce": "mean"},
    {"heads": "0:2", "reduce": "mean", "steps": slice(2, 4)},
]


def independent(truth, tokens, *, steps=None, sites=None, heads=None, reduce="sum"):
    chosen_steps = {None: range(5), "0:2": [0, 1], 4: [4], 3: [3]}.get(
        steps if not isinstance(steps, list | slice) else "", [1, 4] if isinstance(steps, list) else [2, 3]
    )
    chosen_sites = {
        None: tuple(GRIDS),
        "cross:mid": ("cross:mid",),
        "cross:up.*,cross:mid": ("cross:mid", "cross:up.0.0"),
        "cross:down.*": ("cross:down.0.0",),
    }[sites]
    chosen_heads = {None: None, 1: [1], "5:": [5, 6, 7], "0:2": [0, 1]}.get(
        heads if not isinstance(heads, list) else "", [0, 2] if isinstance(heads, list) else None
    )
    return expected(truth, tokens, steps=chosen_steps, sites=chosen_sites, heads=chosen_heads, reduce=reduce)


@pytest.mark.parametrize("options", SELECTIONS, ids=str)
@pytest.mark.parametrize(("word", "tokens"), [("circle", CIRCLE), ("zeppelin", ZEPPELIN)])
@pytest.mark.parametrize("which", ["run", "slow"])
def test_maps_equal_an_independent_softmax(request, truth, which, word, tokens, options):
    ours = request.getfixturevalue(which).word(word).map(**options)
    assert ours.array.dtype == np.float32 and ours.size == (16, 16)
    assert agrees(ours.array, independent(truth, tokens, **options))


def test_stored_maps_and_queries_and_keys_agree(run, slow):
    for label in ("circle", "zeppelin", "<start>", "<end>", "circle#2"):
        fast, computed = run.word(label).steps().array, slow.word(label).steps().array
        np.testing.assert_allclose(fast, computed, atol=1e-6, rtol=1e-4)


FAULTS = [
    "wrong head",
    "one head off",
    "shifted grid",
    "transposed grid",
    "wrong scale",
    "wrong token",
    "mean for sum",
    "heads of all sites pooled",
    "wrong step",
]


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(run, truth, fault):
    """What `agrees` compares with is so peaked and so varied that no mistake of this kind passes."""
    head = run.word("zeppelin").map(heads=1, sites="cross:mid", steps=2)
    whole = run.word("zeppelin").map()
    right = expected(truth, ZEPPELIN, heads=[1], sites=["cross:mid"], steps=[2])
    assert agrees(head.array, right) and agrees(whole.array, expected(truth, ZEPPELIN))
    one = {"sites": ["cross:mid"], "steps": [2], "heads": [1]}
    if fault == "wrong head":
        wrong, ours = expected(truth, ZEPPELIN, **{**one, "heads": [2]}), head
    elif fault == "one head off":
        wrong, ours = expected(truth, ZEPPELIN, heads=[0, 1], sites=["cross:mid"], steps=[2]), head
    elif fault == "shifted grid":
        wrong, ours = np.roll(right, 1, axis=1), head
    elif fault == "transposed grid":
        wrong, ours = right.T, head
    elif fault == "wrong scale":
        scaled = type(truth)(
            truth.sites, {site: q * np.float32(1.05) for site, q in truth.q.items()}, truth.k
        )
        wrong, ours = expected(scaled, ZEPPELIN), whole
    elif fault == "wrong token":
        wrong, ours = expected(truth, [9, 10]), whole
    elif fault == "mean for sum":
        wrong, ours = expected(truth, ZEPPELIN, reduce="mean"), whole
    elif fault == "wrong step":
        wrong, ours = expected(truth, ZEPPELIN, **{**one, "steps": [3]}), head
    else:
        weights = np.array([HEADS[site] for site in GRIDS]) / sum(HEADS.values())
        wrong = sum(
            w * expected(truth, ZEPPELIN, sites=[site]) for w, site in zip(weights, GRIDS, strict=True)
        )
        ours = whole
    assert not agrees(ours.array, wrong)


def test_a_phrase_is_the_sum_of_its_words(run, truth):
    ours = run.phrase("blue zeppelin").map(steps="1:")
    assert agrees(ours.array, expected(truth, [7, 8, 9], steps=range(1, 5)))
    assert agrees(run.phrase(["red", "circle#2"]).map().array, expected(truth, [2, 13]))
    mean = run.phrase("blue zeppelin").map(reduce="mean").array
    assert agrees(mean, expected(truth, [7]) + expected(truth, ZEPPELIN, reduce="mean"))


def test_special_tokens_and_single_tokens(run, slow, truth):
    for each in (run, slow):
        assert agrees(each.word("<start>").map().array, expected(truth, [0]))
        assert agrees(each.word("<end>").map().array, expected(truth, [14]))
        assert agrees(each.word("<padding>").map().array, expected(truth, list(range(15, 20))))
        assert agrees(each.token(9).map().array, expected(truth, [9]))
        assert agrees(each.token(17).map().array, expected(truth, [17]))


def test_everything_together_is_one(run):
    total = sum(run.token(token.index).map().array.astype(np.float64) for token in run.tokens)
    np.testing.assert_allclose(total, 1, atol=1e-5)


def test_grids_that_are_not_square(tmp_path):
    run, truth = Run.open(make_run(tmp_path / "tall", tall=True)), tensors(tall=True)
    grids = {"cross:down.0.0": (24, 16), "cross:mid": (12, 8), "cross:up.0.0": (24, 16)}
    ours = run.word("circle").map()
    assert ours.size == (24, 16)
    assert agrees(ours.array, expected(truth, CIRCLE, size=(24, 16), grids=grids))
    assert run.word("circle").map(size="image").size == (192, 128)
    assert run.word("circle").map(size=48).size == (48, 32)
    assert run.image.size == (128, 192)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_what_was_stored_is_what_is_computed_from(tmp_path, dtype):
    kind = np.float16
    if dtype == "bfloat16":
        kind = pytest.importorskip("ml_dtypes").bfloat16
    run, truth = Run.open(make_run(tmp_path / dtype, dtype=kind, maps=False)), tensors(dtype=kind)
    assert agrees(run.word("circle").map().array, expected(truth, CIRCLE))


def test_a_step_of_several_calls_shows_its_last(tmp_path):
    run, truth = Run.open(make_run(tmp_path / "calls", calls=2)), tensors(calls=2)
    assert agrees(run.word("circle").map().array, expected(truth, CIRCLE, call=1))
    assert agrees(run.word("circle").map(heads=1).array, expected(truth, CIRCLE, heads=[1], call=1))
    assert not agrees(run.word("circle").map().array, expected(truth, CIRCLE, call=0))


def test_the_default_size_is_the_finest_kept_grid_whatever_is_chosen(run):
    word = run.word("circle")
    assert word.map(sites="cross:mid").size == (16, 16)
    assert word.map(sites="cross:mid", size="native").size == (8, 8)
    assert word.map(size="image").size == (128, 128)
    assert word.map(size=(5, 7)).size == (5, 7)
    native = word.map(sites="cross:mid", size="native")
    assert "brought to" not in native.aggregation and "brought to 16x16" in word.map().aggregation


def test_steps_are_the_maps_of_single_steps(run):
    word = run.word("circle")
    series = word.steps("1:4")
    assert series.steps == (1, 2, 3) and series.array.shape == (3, 16, 16)
    for step, each in zip(series.steps, series, strict=True):
        np.testing.assert_allclose(each.array, word.map(step).array, rtol=1e-5)
        assert str(each.selection) == str(word.map(step).selection)
    np.testing.assert_allclose(series.mean().array, word.map("1:4").array, rtol=1e-5)


def test_mass_is_the_mean_over_patches_and_share_is_of_the_words(run, truth):
    mass = run.word("circle").mass()
    by_hand = [
        np.mean([truth.probabilities(site, step)[:, :, 3].mean() for site in GRIDS]) for step in range(5)
    ]
    assert mass.dtype == np.float64
    np.testing.assert_allclose(mass, by_hand, rtol=1e-5)
    masses = run.masses()
    assert list(masses)[:3] == ["a", "red", "circle"] and list(masses)[-2:] == ["<start>", "<end>"]
    np.testing.assert_allclose(masses["circle"], mass)
    shares = sum(run.word(word.label).share() for word in run.words)
    np.testing.assert_allclose(shares, 1)
    assert run.word("<start>").share().shape == (5,)


def test_a_heatmaps_selection_makes_it_again(run):
    for first in (
        run.word("circle#2").map(steps=[0, 3], sites="cross:up.*", heads=[0, 2]),
        run.phrase("red circle").map("2:"),
        run.phrase(["red", "circle#2"]).map(),
        run.word("<end>").map(),
        run.token(9).map(),
    ):
        again = run.map(first.selection)
        from_text = run.map(str(first.selection))
        assert (again.array == first.array).all() and (from_text.array == first.array).all()
        assert again.selection == first.selection and again.aggregation == first.aggregation


def test_reading_a_word_twice_gives_the_same_numbers_in_another_order_too(run):
    word = run.word("red")
    whole = word.steps().array
    assert (word.steps([3, 1]).array == whole[[1, 3]]).all()
    assert (word.steps().array == whole).all()


def test_level_maps_answers_words_and_refuses_heads(tmp_path, truth):
    run = Run.open(make_run(tmp_path / "maps", level="maps"))
    assert agrees(run.word("circle").map().array, expected(truth, CIRCLE))
    np.testing.assert_allclose(
        run.word("<padding>").map().array, expected(truth, list(range(15, 20))), atol=1e-6
    )
    assert agrees(
        run.word("circle").map(sites="cross:mid", heads="0:8").array,
        expected(truth, CIRCLE, sites=["cross:mid"]),
    )
    for ask in (lambda: run.word("circle").map(heads=0), lambda: run.token(17).map()):
        with pytest.raises(NotKeptError, match="cross"):
            ask()


def test_only_kept_sites_are_averaged(tmp_path, truth):
    run = Run.open(make_run(tmp_path / "some", keep_sites=["cross:mid"]))
    assert agrees(run.word("circle").map().array, expected(truth, CIRCLE, sites=["cross:mid"], size=(8, 8)))
    with pytest.raises(InputError, match="cross:mid"):
        run.word("circle").map(sites="cross:up.0.0")


def test_self_attention_sites_have_no_words(tmp_path):
    run = Run.open(make_run(tmp_path / "self", self_sites=True, level="qk"))
    assert "self:mid" in [site.name for site in run.sites]
    assert run.word("circle").map().array.shape == (16, 16)
    with pytest.raises(SelectionError):
        run.word("circle").map(sites="self:mid")


def test_a_run_without_cross_attention_says_so(tmp_path):
    only = [Layout("self:mid", (8, 8), 2, 8, kind="self")]
    run = Run.open(make_run(tmp_path / "none", sites=only, level="qk", maps=False))
    with pytest.raises(NotKeptError, match="keep="):
        run.word("circle").map()


def test_an_interrupted_run_opens_up_to_its_last_whole_step(tmp_path, truth):
    run = Run.open(make_run(tmp_path / "stopped", stop_after=2))
    assert not run.complete and len(run.steps) == 2
    assert agrees(run.word("circle").map().array, expected(truth, CIRCLE, steps=[0, 1]))
    with pytest.raises(SelectionError):
        run.word("circle").map(steps=2)
    with pytest.raises(InputError):
        _ = run.image
    assert "Incomplete" in run._repr_html_() and run.word("circle").map()._repr_png_()
    run.preview(1).load()


def test_a_run_stopped_before_its_first_step_has_nothing_to_show(tmp_path):
    run = Run.open(make_run(tmp_path / "empty", stop_after=0))
    with pytest.raises(SelectionError, match="before its first step"):
        run.word("circle").map()


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 5},
        {"steps": "5:9"},
        {"steps": "x"},
        {"steps": []},
        {"sites": "cross:nowhere"},
        {"heads": 8},
        {"heads": 5},
        {"heads": "3:3"},
        {"reduce": "max"},
    ],
    ids=str,
)
def test_bad_selections_are_one_clear_line(run, options):
    with pytest.raises(SelectionError) as caught:
        run.word("circle").map(**options)
    assert "\n" not in str(caught.value)
    with pytest.raises(SelectionError):
        run.word("circle").steps(**options)


def test_bad_sizes_and_words(run):
    with pytest.raises(SizeError):
        run.word("circle").map(size=0)
    for label in ("square", "circ", "circle#3", "red circle"):
        with pytest.raises(UnknownWordError, match="circle"):
            run.word(label)
    with pytest.raises(UnknownWordError):
        run.phrase("blue circle")
    with pytest.raises(SelectionError, match="names no word"):
        run.map(Selection.of(steps=1))
    with pytest.raises(SelectionError):
        run.preview(99)
    with pytest.raises(SelectionError):
        run.token(99)


def test_a_missing_folder(tmp_path):
    with pytest.raises(RunNotFoundError):
        open(tmp_path / "nothing")


def test_a_run_shows_what_it_is(run, folder):
    assert (run.prompt, run.complete, run.path, run.id) == (
        run.manifest.sampling.prompt,
        True,
        folder,
        "plain",
    )
    assert run.image.size == (128, 128)
    assert [word.label for word in run.words][-1] == "circle#2"
    assert [token.kind for token in run.tokens][:2] == ["start", "content"]
    assert [step.index for step in run.steps] == [0, 1, 2, 3, 4]
    assert run.preview(0).size == (128, 128)
    assert "plain" in repr(run) and "'circle'" in repr(run.word("circle"))
    png = re.search(r"data:image/png;base64,([^\"]+)", run._repr_html_())
    assert Image.open(io.BytesIO(base64.b64decode(png[1]))).size == (128, 128)
    assert run.word("circle")._repr_png_().startswith(b"\x89PNG")


def test_prompts_are_data_in_a_notebook(tmp_path):
    run = Run.open(make_run(tmp_path / "script", prompt='a <script>alert("x")</script> & circle'))
    shown = run._repr_html_()
    assert "<script" not in shown and "&lt;script&gt;" in shown and "&amp;" in shown


def test_a_word_of_a_large_recording_is_quick_the_second_time(tmp_path):
    """Far below what a person notices; the bound is loose, since machines that run tests are busy."""
    sites = [Layout(f"cross:up.{index}", (16, 16), 2, 4) for index in range(16)]
    run = Run.open(make_run(tmp_path / "large", steps=50, sites=sites, previews=False))
    run.word("circle").map()
    best = min(_seconds(lambda: run.word("circle").map("10:40")) for _ in range(5))
    assert best < 0.05


def _seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def test_opening_and_mapping_needs_no_torch(folder):
    code = (
        "import sys, json; sys.modules['torch'] = None\n"
        "from diffuscope.run import Run\n"
        f"run = Run.open({str(folder)!r}); peak = run.word('circle').map().peak\n"
        "run.word('circle').map()._repr_png_()\n"
        "print(json.dumps([peak, sorted(m for m in sys.modules if m.split('.')[0] in "
        "('torch', 'diffusers', 'transformers', 'scipy', 'matplotlib') and sys.modules[m])]))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    peak, loaded = json.loads(out.stdout)
    assert loaded == [] and peak == list(Run.open(folder).word("circle").map().peak)


def test_steps_that_were_not_recorded_are_named_and_never_skipped(run, truth):
    kept = [step for step in run.steps if step.index in (0, 2, 4)]
    some = Run(Recording(run.path, run.manifest.model_copy(update={"steps": kept})))
    assert some.word("circle").steps().steps == (0, 2, 4)
    assert agrees(some.word("circle").map([2, 4]).array, expected(truth, CIRCLE, steps=[2, 4]))
    with pytest.raises(SelectionError, match="1, 3"):
        some.word("circle").map("0:5")
