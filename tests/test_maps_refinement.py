"""Parts by self-attention, and refined maps, against explicit computations."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic_run import Layout, make_run, tensors

import diffuscope as ds
from diffuscope.errors import NotKeptError, RecordingError, SelectionError, SizeError
from diffuscope.maps import self_matrix
from diffuscope.maps.edges import along_edges
from diffuscope.maps.refinement import UNTUNED, Refinement, late_steps, model_of, named
from diffuscope.maps.resize import resize
from diffuscope.maps.segmentation import merge

SITES = [
    Layout("self:down.0", (16, 16), 3, 16, kind="self"),
    Layout("self:mid", (8, 8), 8, 8, kind="self"),
    Layout("cross:down.0", (16, 16), 3, 16),
    Layout("cross:mid", (8, 8), 8, 8),
]
STEPS = 2
MADE = tensors(sites=SITES, steps=STEPS)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ds.Run:
    return ds.open(make_run(tmp_path_factory.mktemp("runs") / "run", sites=SITES, level="qk", steps=STEPS))


def mean_matrix(site: str, steps=range(STEPS)) -> np.ndarray:
    return np.mean([MADE.probabilities(site, step).mean(axis=0) for step in steps], axis=0)


def common_matrix() -> np.ndarray:
    """Both sites on 16x16, entry by entry: queries interpolated as maps are, a key's share divided by its 4 patches."""
    fine, coarse = mean_matrix("self:down.0"), mean_matrix("self:mid")
    keys = np.zeros((64, 256))
    for y in range(16):
        for x in range(16):
            keys[:, y * 16 + x] = coarse[:, (y // 2) * 8 + x // 2] / 4
    queries = np.stack([resize(keys[:, cell].reshape(8, 8), (16, 16)).ravel() for cell in range(256)], axis=1)
    return (fine + queries) / 2


# All against all.


def test_the_common_matrix_holds_probabilities_of_both_grids(run):
    from diffuscope.maps.region_view import ask

    found = self_matrix.self_matrices(run._self_attention, ask(run.recording, None, None, None, None))
    np.testing.assert_allclose(found.on((16, 16)), common_matrix(), atol=1e-6)
    np.testing.assert_allclose(found.on((16, 16)).sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(found.on((4, 4)).sum(axis=1), 1, atol=1e-5)
    plane = np.random.default_rng(0).random((16, 16))
    np.testing.assert_allclose(found.apply(plane).ravel(), common_matrix() @ plane.ravel(), rtol=1e-4)
    transposed = found.apply(plane, transposed=True)
    assert transposed.sum() == pytest.approx(plane.sum(), rel=1e-4)


def test_a_large_matrix_is_kept_in_the_runs_cache_and_read_from_there(tmp_path, monkeypatch):
    sites = [Layout("self:fine", (32, 32), 1, 8, kind="self"), Layout("cross:fine", (32, 32), 1, 8)]
    folder = make_run(tmp_path / "run", sites=sites, level="qk", steps=1)
    first = ds.open(folder).refined("circle", "spread").array
    assert len(list((folder / "cache").glob("self-matrix-*"))) == 1
    again = ds.open(folder)
    monkeypatch.setattr(again._self_attention, "matrix", None)
    np.testing.assert_array_equal(again.refined("circle", "spread").array, first)


def test_a_grid_with_too_many_patches_is_refused(run, monkeypatch):
    monkeypatch.setattr(self_matrix, "MOST_CELLS", 100)
    with pytest.raises(SizeError, match="sites="):
        run.parts()
    assert run.parts(3, sites="self:mid").number == 3


def test_nan_in_the_matrix_is_an_error(tmp_path, monkeypatch):
    run = ds.open(make_run(tmp_path / "run", sites=SITES, level="qk", steps=1))
    monkeypatch.setattr(run.recording, "query", lambda *_: np.full((8, 64, 8), np.nan, np.float32))
    with pytest.raises(RecordingError, match="NaN"):
        run.parts(2, sites="self:mid")


# Parts.


def blocks(noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Distributions of 40 patches in groups of 20, 12 and 8, each looking mostly at its own group; and the groups."""
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat([0, 1, 2], [20, 12, 8]))
    table = (group[:, None] == group[None]) + noise * rng.random((40, 40))
    return table / table.sum(axis=1, keepdims=True), group


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(((one[:, None] == one[None]) == (other[:, None] == other[None])).all())


def test_what_looks_alike_is_one_part_and_their_number_is_found():
    table, group = blocks(0.2)
    found, divergence = merge(table)
    assert same_partition(found, group)
    assert same_partition(merge(table, 3)[0], group)
    assert divergence[3] > 5 * divergence[4]
    assert len(set(merge(table, 7)[0])) == 7 and len(set(merge(table, 1)[0])) == 1


def test_merging_takes_the_two_parts_with_the_smallest_divergence_each_time():
    table, _ = blocks(3.0, seed=4)
    table = (table + 1e-9) / (table + 1e-9).sum(axis=1, keepdims=True)
    parts = [[patch] for patch in range(len(table))]

    def apart(one: list[int], other: list[int]) -> float:
        p, q = table[one].mean(axis=0), table[other].mean(axis=0)
        return float((np.sum(p * np.log(p / q)) + np.sum(q * np.log(q / p))) / 2)

    while len(parts) > 6:
        pairs = [(apart(parts[i], parts[j]), i, j) for i in range(len(parts)) for j in range(i)]
        _, i, j = min(pairs)
        parts[j] += parts[i]
        del parts[i]
    expected = np.empty(len(table), int)
    for number, members in enumerate(parts):
        expected[members] = number
    assert same_partition(merge(table, 6)[0], expected)


def test_parts_of_a_run_are_numbered_by_size_and_drawn(run, tmp_path):
    parts = run.parts(5, steps=1, sites="self:down.0")
    assert parts.labels.shape == (16, 16) and parts.number == 5
    assert parts.areas == sorted(parts.areas, reverse=True) and sum(parts.areas) == pytest.approx(1)
    assert str(parts.selection) == "steps=1 sites=self:down.0"
    expected = merge(mean_matrix("self:down.0", [1]), 5)[0]
    assert same_partition(parts.labels.ravel(), expected)
    assert parts.mask(0).mean() == parts.areas[0]
    with Image.open(parts.save(tmp_path / "parts.png", run.image)) as picture:
        assert min(picture.size) > 400
    np.testing.assert_array_equal(np.load(parts.save(tmp_path / "parts.npy")), parts.labels)


def test_impossible_parts_are_refused(run, tmp_path):
    for number in (0, 257, True, 2.0):
        with pytest.raises(SelectionError, match="number"):
            run.parts(number)
    with pytest.raises(SelectionError, match="no part 3"):
        run.parts(3).mask(3)
    with pytest.raises(SelectionError, match="png"):
        run.parts(3).save(tmp_path / "parts.jpg")
    less = ds.open(make_run(tmp_path / "less", sites=SITES, level="cross", steps=1))
    with pytest.raises(NotKeptError, match="keep='qk'"):
        less.parts()


# Refined maps.


def test_no_refinement_is_the_map_itself(run):
    plain, same = run.word("circle").map(), run.refined("circle", Refinement())
    np.testing.assert_array_equal(plain.array, same.array)
    assert (same.unit, same.aggregation) == (plain.unit, plain.aggregation)


def test_spreading_takes_powers_of_the_row_stochastic_matrix(run):
    plain = run.phrase("red circle").map().array.astype(np.float64)
    powers = np.linalg.matrix_power(common_matrix(), 3) @ plain.ravel()
    found = run.refined("red circle", Refinement(spread=3))
    np.testing.assert_allclose(found.array.ravel(), powers, rtol=1e-3)
    assert found.unit == "refined attention probability" and "spread 3 times" in found.aggregation


def test_spreading_keeps_a_share_and_sharpens_on_request(run):
    plain = run.phrase("red circle").map().array.astype(np.float64)
    start = plain.ravel() - plain.min()
    table = mean_matrix("self:down.0") ** 2
    table /= table.sum(axis=1, keepdims=True)
    once = 0.4 * start + 0.6 * table @ start
    twice = 0.4 * start + 0.6 * table @ once
    how = Refinement(floor=True, spread=2, keep=0.4, sharpen=2.0, spread_sites="self:down.0")
    np.testing.assert_allclose(
        run.refined("red circle", how).array.ravel(), twice - twice.min(), rtol=1e-3, atol=1e-7
    )


def test_single_heads_weights_steps_and_sites_are_chosen(run):
    how = Refinement(steps="1", heads={"cross:down.0": [2, 0], "cross:mid": [5]})
    view = run.word("circle")
    fine = view.map(1, "cross:down.0", [0, 2]).array * 2 + view.map(1, "cross:mid", [5]).array
    np.testing.assert_allclose(run.refined("circle", how).array, fine / 3, rtol=1e-5)
    weighed = run.refined("circle", Refinement(weights="16x16=3", sites="cross:*"))
    np.testing.assert_array_equal(weighed.array, view.map(weights="16x16=3").array)


def test_a_words_share_is_of_what_all_words_get(run):
    words = [word.label for word in run.words]
    apart = [run.word(label).map(1, "cross:down.0").array.astype(np.float64) for label in words]
    expected = apart[words.index("circle")] / np.sum(apart, axis=0)
    found = run.refined("circle", Refinement(share=True, steps="1", sites="cross:down.0"))
    np.testing.assert_allclose(found.array, expected, rtol=1e-5)
    assert "share of what all words get" in found.aggregation
    heads = Refinement(share=True, heads={"cross:mid": [1, 3]})
    of_heads = [run.word(label).map(None, "cross:mid", [1, 3]).array.astype(np.float64) for label in words]
    expected = of_heads[words.index("circle")] / np.sum(of_heads, axis=0)
    np.testing.assert_allclose(run.refined("circle", heads).array, expected, rtol=1e-5)
    for view in (run.region(pixel=(3, 3)), run.word("<end>"), run.phrase(words)):
        with pytest.raises(SelectionError, match="share"):
            run.refined(view, Refinement(share=True))


def test_late_steps_and_the_finest_grid_are_found_in_any_run(run, tmp_path):
    assert late_steps(run) == "1:2"
    how = Refinement(steps="late", sites="finest", share=True, floor=True, spread=1, spread_sites="finest")
    exact = Refinement(
        steps="1:2", sites="cross:down.0", share=True, floor=True, spread=1, spread_sites="self:down.0"
    )
    np.testing.assert_array_equal(run.refined("circle", how).array, run.refined("circle", exact).array)
    assert "steps late" in run.refined("circle", how).aggregation
    assert run.refined("circle", "object").size == (128, 128)
    less = ds.open(make_run(tmp_path / "less", sites=SITES, level="cross", steps=1))
    assert late_steps(less) == "0:1"
    assert less.refined("circle", Refinement(steps="late", sites="finest", share=True)).size == (16, 16)
    assert less.refined("circle", "object").size == (128, 128)
    with pytest.raises(NotKeptError):
        less.refined("circle", Refinement(spread=1, spread_sites="finest"))


def test_regions_are_refined_too(run):
    view = run.region(pixel=(40, 40))
    found = run.refined(view, Refinement(floor=True, steps="0"))
    expected = view.map(0).array
    np.testing.assert_allclose(found.array, expected - expected.min(), atol=1e-9)


def test_edges_bring_the_map_to_the_pictures_pixels(run):
    found = run.refined("circle", "edges")
    assert found.size == (128, 128) and found.array.min() == 0


def explicit_guided_filter(values: np.ndarray, guide: np.ndarray, radius: int, softness: float) -> np.ndarray:
    """The filter window by window, by least squares."""
    height, width = values.shape
    slopes, offsets = np.zeros((height, width, 3)), np.zeros((height, width))

    def window(y: int, x: int) -> tuple[slice, slice]:
        return slice(max(0, y - radius), y + radius + 1), slice(max(0, x - radius), x + radius + 1)

    for y in range(height):
        for x in range(width):
            colours, wanted = guide[window(y, x)].reshape(-1, 3), values[window(y, x)].ravel()
            centred = colours - colours.mean(axis=0)
            penalty = centred.T @ centred / len(wanted) + softness * np.eye(3)
            slopes[y, x] = np.linalg.inv(penalty) @ (centred.T @ (wanted - wanted.mean()) / len(wanted))
            offsets[y, x] = wanted.mean() - slopes[y, x] @ colours.mean(axis=0)
    out = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            out[y, x] = (
                slopes[window(y, x)].reshape(-1, 3).mean(axis=0) @ guide[y, x] + offsets[window(y, x)].mean()
            )
    return out


def test_the_guided_filter_is_that_of_its_paper():
    rng = np.random.default_rng(3)
    picture = Image.fromarray(rng.integers(0, 256, (18, 24, 3), dtype=np.uint8))
    values = rng.random((18, 24)) + 5
    expected = explicit_guided_filter(values, np.asarray(picture) / 255, 3, 0.01)
    np.testing.assert_allclose(
        along_edges(values, picture, 3 / 24, 0.01), np.maximum(expected, values.min()), rtol=1e-9
    )


def test_a_coarse_map_takes_the_pictures_edge():
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, 27:] = (200, 60, 40)
    coarse = resize((picture[..., 0] > 0).astype(float), (4, 4), "area")
    found = along_edges(coarse, Image.fromarray(picture), 1 / 4, 1e-4)
    truth, smooth = picture[..., 0] > 0, resize(coarse, (64, 64), "bilinear")
    assert ((found > 0.5) != truth).mean() < 0.02 < ((smooth > 0.55) != truth).mean()


# Presets.


def test_a_preset_is_kept_in_a_file_and_bound_to_its_model(run, tmp_path):
    how = Refinement(
        steps="1:", heads={"cross:mid": [1, 3]}, floor=True, spread=1, model=model_of(run.recording)
    )
    path = how.save(tmp_path / "mine.json")
    assert named(path) == how
    np.testing.assert_array_equal(run.refined("circle", str(path)).array, run.refined("circle", how).array)
    with pytest.raises(SelectionError, match="tuned on the model 'other'"):
        run.refined("circle", Refinement(floor=True, model="other abc"))
    with pytest.raises(SelectionError, match="other weights"):
        run.refined("circle", Refinement(floor=True, model=f"{run.manifest.model.id} abc"))


def test_refinements_that_ship_are_not_bound_or_say_so():
    assert all(not how.model for how in UNTUNED.values())
    assert str(Refinement()) == "as it is"
    for path in Path(ds.__file__).parent.glob("maps/presets/*.json"):
        assert named(path.stem).model


def test_wrong_refinements_are_refused(run, tmp_path):
    (tmp_path / "no.json").write_text('{"glow": 3}')
    for how in ("blurr", tmp_path / "no.json"):
        with pytest.raises(SelectionError):
            named(how)
    for wrong in ({"spread": -1}, {"keep": 1.0}, {"sharpen": 0.0}, {"edges": 2.0}, {"softness": 0.0}):
        with pytest.raises(SelectionError, match=next(iter(wrong))):
            Refinement(**wrong)
    with pytest.raises(SelectionError):
        run.refined("circle", Refinement(heads={"cross:mid": [9]}))
