"""Regions of the picture and their maps, against shares of cells and softmaxes computed here, independently."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic_run import Layout, make_run, tensors

import diffuscope as ds
from diffuscope.errors import CorruptRecordingError, NotKeptError, RecordingError, RegionError, SelectionError
from diffuscope.maps import regions
from diffuscope.maps.resize import resize
from diffuscope.selection import Selection

IMAGE = (96, 64)
SITES = [
    Layout("self:down.0", (24, 16), 3, 16, kind="self"),
    Layout("self:mid", (12, 8), 8, 8, kind="self"),
    Layout("cross:mid", (12, 8), 2, 8),
]
STEPS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "run", tall=True, sites=SITES, level="qk", steps=STEPS)


@pytest.fixture
def run(folder: Path) -> ds.Run:
    return ds.open(folder)


MADE = tensors(sites=SITES, steps=STEPS)
PICTURE = (192, 128)


def counted(inside: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Share of each cell that is inside, by counting fine squares."""
    down, across = inside.shape[0] // grid[0], inside.shape[1] // grid[1]
    return inside.reshape(grid[0], down, grid[1], across).mean(axis=(1, 3))


def expected(inside: np.ndarray, direction: str, steps=range(STEPS), heads=None) -> np.ndarray:
    """The map of the pixels that are inside, ``[24, 16]``, from float64 softmaxes and by the definitions alone."""
    maps = []
    for layout in SITES[:2]:
        weights = counted(inside, layout.grid).ravel()
        weights = weights / weights.sum()
        per_step = []
        for step in steps:
            p = MADE.probabilities(layout.name, step)
            p = p[list(heads)] if heads is not None else p
            p = p.mean(axis=0)
            per_step.append(weights @ p if direction == "from" else p @ weights)
        own = np.mean(per_step, axis=0).reshape(layout.grid)
        maps.append(resize(own, (24, 16)) * (len(own.ravel()) / (24 * 16)))
    return np.mean(maps, axis=0)


def drawn_box(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    inside = np.zeros(PICTURE)
    inside[y0 : y1 + 1, x0 : x1 + 1] = 1
    return inside


# Shares of cells.


def test_a_box_covers_cells_by_area_with_both_corners_included():
    region = regions.box(3, 5, 17, 40, IMAGE)
    inside = np.zeros(IMAGE)
    inside[5:41, 3:18] = 1
    for grid in [(96, 64), (12, 8), (24, 16), (3, 2)]:
        np.testing.assert_allclose(region.cover(grid), counted(inside, grid), atol=1e-12)
    assert region.area == pytest.approx(inside.mean())


def test_a_range_runs_in_reading_order_over_the_ends_of_rows():
    inside = np.zeros(IMAGE[0] * IMAGE[1])
    inside[5 * 64 + 60 : 8 * 64 + 3 + 1] = 1
    region = regions.span((60, 5), (3, 8), IMAGE)
    np.testing.assert_allclose(region.cover(IMAGE), inside.reshape(IMAGE), atol=1e-12)
    one_row = regions.span((4, 5), (9, 5), IMAGE)
    np.testing.assert_allclose(one_row.cover(IMAGE), regions.box(4, 5, 9, 5, IMAGE).cover(IMAGE))


def test_pixels_count_once_each():
    region = regions.pixels([(3, 4), (60, 90), (3, 4)], IMAGE)
    inside = np.zeros(IMAGE)
    inside[4, 3] = inside[90, 60] = 1
    np.testing.assert_allclose(region.cover((12, 8)), counted(inside, (12, 8)), atol=1e-12)


def fine_inside(ring: list, image: tuple[int, int], times: int) -> np.ndarray:
    """Whether the middle of each of times x times squares of a pixel is inside: by counting crossings of a ray."""
    y, x = np.mgrid[: image[0] * times, : image[1] * times]
    y, x = (y + 0.5) / times, (x + 0.5) / times
    crossings = np.zeros(x.shape, int)
    for (ax, ay), (bx, by) in zip(ring, [*ring[1:], ring[0]], strict=True):
        if ay != by:
            spans = (np.minimum(ay, by) <= y) & (y < np.maximum(ay, by))
            crossings += spans & (ax + (y - ay) * (bx - ax) / (by - ay) > x)
    return crossings % 2


@pytest.mark.parametrize(
    "ring",
    [
        [[2.25, 3], [60, 10.5], [33, 90]],
        [[0, 0], [64, 0], [64, 96], [0, 96]],
        [[10, 10], [50, 10], [50, 50], [30, 22], [10, 50]],  # not convex
        [[10, 50], [30, 22], [50, 50], [50, 10], [10, 10]],  # the other way round
        [[4, 4], [4, 8], [8, 8], [8, 4]],
    ],
)
def test_a_polygon_covers_cells_by_area(ring):
    region = regions.contour(ring, IMAGE)
    for grid in [(24, 16), (12, 8)]:
        counted_by_points = counted(fine_inside(ring, IMAGE, 8).astype(float), grid)
        np.testing.assert_allclose(region.cover(grid), counted_by_points, atol=0.02)
    x, y = np.array(ring).T
    shoelace = abs(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2
    assert region.cover((24, 16)).mean() * 96 * 64 == pytest.approx(shoelace, rel=1e-12)


def test_holes_are_left_out_and_overlapping_contours_count_once():
    outline = [[8, 8], [56, 8], [56, 56], [8, 56]]
    hole = [[16, 16], [16, 32], [32, 32], [32, 16]]
    region = regions.contour({"type": "Polygon", "coordinates": [outline, hole]}, IMAGE)
    assert region.area * 96 * 64 == pytest.approx(48 * 48 - 16 * 16)
    two = regions.contour([outline, [[40, 40], [60, 40], [60, 60], [40, 60]]], IMAGE)
    assert two.area * 96 * 64 == pytest.approx(48 * 48 + 20 * 20 - 16 * 16)
    assert regions.parse(region.text, IMAGE) == region and "/" in region.text
    np.testing.assert_array_equal(regions.parse(two.text, IMAGE).cover((24, 16)), two.cover((24, 16)))


@pytest.mark.parametrize("wrapped", ["geometry", "feature", "collection", "points", "several", "file"])
def test_contours_are_read_from_points_and_from_geojson(wrapped, tmp_path):
    ring = [[8, 8], [40, 8], [24, 60]]
    geometry = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    feature = {"type": "Feature", "properties": {}, "geometry": geometry}
    given = {
        "geometry": geometry,
        "feature": feature,
        "collection": {"type": "FeatureCollection", "features": [feature]},
        "points": np.array(ring, float),
        "several": [ring],
        "file": tmp_path / "contour.geojson",
    }[wrapped]
    (tmp_path / "contour.geojson").write_text(json.dumps(feature))
    assert regions.contour(given, IMAGE).text == "contour:8,8;40,8;24,60"


def test_a_mask_counts_by_area_and_levels_are_weights(tmp_path):
    values = np.random.default_rng(0).random(IMAGE)
    region = regions.mask(values, IMAGE)
    np.testing.assert_allclose(region.cover((12, 8)), counted(values / values.max(), (12, 8)), atol=1e-5)
    Image.fromarray(((values > 0.5) * 255).astype(np.uint8)).save(tmp_path / "mask.png")
    assert regions.mask(tmp_path / "mask.png", IMAGE) == regions.mask(values > 0.5, IMAGE)
    # Labels of 0 and 1 are a mask too.
    assert regions.mask((values > 0.5).astype(np.uint8), IMAGE) == regions.mask(values > 0.5, IMAGE)


def test_guide_weights_multiply_the_region():
    guide = np.random.default_rng(1).random((12, 8))
    box = regions.box(8, 8, 47, 71, IMAGE)
    weighed = regions.guided(box, guide).cover((12, 8))
    by_hand = counted(box.cover(IMAGE) * resize(guide, IMAGE), (12, 8))
    np.testing.assert_allclose(weighed / weighed.sum(), by_hand / by_hand.sum(), atol=1e-5)


# Text forms.


@pytest.mark.parametrize(
    "region",
    [
        regions.pixel(3, 4, IMAGE),
        regions.pixels([(5, 6), (3, 4)], IMAGE),
        regions.span((60, 5), (3, 8), IMAGE),
        regions.box(3, 5, 17, 40, IMAGE),
        regions.contour([[2.25, 3], [60, 10.5], [33, 90.125]], IMAGE),
    ],
    ids=str,
)
def test_a_text_form_makes_the_region_again(region):
    again = regions.parse(region.text, IMAGE)
    assert again == region and Selection(region=region.text).region == region.text
    assert Selection.parse(str(Selection(region=region.text))).region == region.text
    np.testing.assert_array_equal(again.cover((12, 8)), region.cover((12, 8)))


def test_large_regions_are_kept_once_by_their_content(folder, run):
    many = run.region(pixels=[(x, y) for x in range(20) for y in range(10)]).region
    as_mask = np.zeros(PICTURE, bool)
    as_mask[:10, :20] = True
    same = run.region(mask=as_mask).region
    assert many.text == same.text and many.text.startswith("mask:")
    stored = folder / "regions" / f"{many.text.removeprefix('mask:')}.png"
    assert stored.is_file()
    again = ds.open(folder).region(many.text)
    np.testing.assert_array_equal(again.region.cover((24, 16)), many.cover((24, 16)))
    np.testing.assert_array_equal(again.map().array, run.region(box=(0, 0, 19, 9)).map().array)
    turn = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    circle = run.region(contour=np.stack([64 + 40 * np.cos(turn), 96 + 40 * np.sin(turn)], axis=1))
    assert circle.region.text.startswith("mask:") and circle.region.area * 192 * 128 == pytest.approx(
        np.pi * 1600, rel=1e-3
    )
    stored.write_bytes(Image.new("L", (128, 192), 9).tobytes())
    with pytest.raises(CorruptRecordingError):
        run.region(many.text)
    stored.unlink()
    with pytest.raises(RegionError, match="give the mask itself"):
        run.region(many.text)


def test_masks_that_were_asked_about_are_no_part_of_the_recording(folder, run):
    from diffuscope.recording.verify import verify

    run.region(mask=np.ones(PICTURE))
    assert verify(folder).whole and verify(folder).unnamed == ()


# Maps.


@pytest.mark.parametrize("direction", ["to", "from"])
def test_the_map_of_a_box_is_that_of_its_cells_by_area(run, direction):
    inside = drawn_box(20, 30, 90, 101)
    found = run.region(box=(20, 30, 90, 101)).map(direction=direction)
    assert found.array.shape == (24, 16)
    np.testing.assert_allclose(found.array, expected(inside, direction), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("direction", ["to", "from"])
def test_the_map_of_one_pixel_is_that_of_its_cell(run, direction):
    found = run.region(pixel=(127, 8)).map(steps=1, sites="self:down.0", direction=direction)
    p = MADE.probabilities("self:down.0", 1).mean(axis=0)
    cell = 1 * 16 + 15
    np.testing.assert_allclose(
        found.array.ravel(), p[cell] if direction == "from" else p[:, cell], rtol=1e-4, atol=1e-8
    )


def test_to_and_from_are_not_the_same(run):
    view = run.region(pixel=(40, 60))
    assert np.abs(view.map().array - view.map(direction="from").array).max() > 0.01
    np.testing.assert_array_equal(view.map().array, view.map(direction="to").array)


def test_from_is_a_probability_over_the_finest_grid_at_any_site(run):
    for sites in ("self:mid", "self:down.0", None):
        assert run.region(box=(20, 30, 90, 101)).map(
            sites=sites, direction="from"
        ).array.sum() == pytest.approx(1, abs=1e-5)


def test_steps_heads_and_sites_are_chosen(run):
    view = run.region(contour=[[20, 20], [100, 30], [60, 150]])
    inside = fine_inside([[20, 20], [100, 30], [60, 150]], PICTURE, 4)
    assert inside.shape == (768, 512)
    found = view.map(steps="1:3", heads=[2, 0])
    np.testing.assert_allclose(
        found.array, expected(inside, "to", steps=[1, 2], heads=[0, 2]), rtol=0.02, atol=1e-6
    )
    series = view.steps()
    assert series.steps == (0, 1, 2)
    np.testing.assert_allclose(series.mean().array, view.map().array, atol=1e-7)
    np.testing.assert_allclose(series[2].array, view.map(steps=2).array, atol=1e-7)


def test_each_site_and_each_head_have_maps_of_their_own(run):
    view = run.region(box=(0, 0, 31, 31))
    per_site, heads = view.per_site(steps=[0, 2]), view.heads(direction="from")
    weights = np.zeros((12, 8))
    weights[:2, :2] = 0.25
    p = np.mean([MADE.probabilities("self:mid", step).mean(axis=0) for step in (0, 2)], axis=0)
    np.testing.assert_allclose(per_site["self:mid"].array.ravel(), p @ weights.ravel(), rtol=1e-4, atol=1e-8)
    one = weights.ravel() @ MADE.probabilities("self:mid", 1)[5]
    assert str(heads.at(1, "self:mid", 5).selection) == "steps=1 sites=self:mid heads=5 region=box:0,0,31,31"
    np.testing.assert_allclose(heads.at(1, "self:mid", 5).array.ravel(), one, rtol=1e-4, atol=1e-8)


def test_cells_of_the_latent_are_squares_of_the_picture(folder, run):
    # The latent of this run has 2x2 cells.
    assert run.region(pixel=(1, 0), latent=True).region.text == "box:64,0,127,95"
    assert run.region(box=(0, 0, 1, 0), latent=True).region.text == "box:0,0,127,95"
    assert run.region(contour=[[0, 0], [2, 0], [2, 1]], latent=True).region.text == "contour:0,0;128,0;128,96"
    mask = np.array([[0, 1], [1, 0]])
    expected_mask = np.kron(mask, np.ones((96, 64)))
    np.testing.assert_array_equal(run.region(mask=mask, latent=True).region.cover(PICTURE), expected_mask)
    assert run.region(range=((1, 0), (0, 1)), latent=True).region.cover(PICTURE).sum() == expected_mask.sum()


def test_a_selection_with_a_region_is_its_map(run):
    found = run.region(box=(20, 30, 90, 101)).map(steps="0:2", sites="self:mid")
    assert str(found.selection) == "steps=0:2 sites=self:mid region=box:20,30,90,101"
    np.testing.assert_array_equal(run.map(str(found.selection)).array, found.array)


def test_the_log_sum_exp_is_computed_once_and_kept_in_the_runs_cache(tmp_path):
    folder = make_run(tmp_path / "run", sites=SITES, level="qk", steps=1, tall=True)
    first = ds.open(folder).region(pixel=(3, 4)).map()
    kept = sorted(path.name for path in (folder / "cache").glob("lse-*"))
    assert len(kept) == 2
    np.testing.assert_array_equal(ds.open(folder).region(pixel=(3, 4)).map().array, first.array)


# Diffused.


@pytest.mark.parametrize("direction", ["to", "from"])
@pytest.mark.parametrize("sites", ["self:down.0", None])
def test_a_diffused_map_follows_the_iteration_as_it_is_defined(run, direction, sites):
    # H_p of every patch of the finest grid, by the definition and not by matrices.
    one_site = sites is not None
    maps = {}
    for layout in SITES[:2]:
        p = np.mean([MADE.probabilities(layout.name, step).mean(axis=0) for step in range(STEPS)], axis=0)
        maps[layout.name] = p if direction == "to" else p.T

    def h(y: int, x: int) -> np.ndarray:
        fine = maps["self:down.0"][:, y * 16 + x].reshape(24, 16)
        if one_site:
            return fine
        coarse = maps["self:mid"][:, (y // 2) * 8 + x // 2].reshape(12, 8)
        return (fine + resize(coarse, (24, 16)) * 0.25) / 2

    every = [[h(y, x) for x in range(16)] for y in range(24)]
    g = every[7][5].copy()
    for _ in range(3):
        g = np.where(g < g.min() + 0.2 * (g.max() - g.min()), 0, g)
        g = sum(g[y, x] * every[y][x] for y in range(24) for x in range(16)) / g.sum()
    found = run.region(pixel=(5 * 8 + 3, 7 * 8 + 1)).diffused(
        sites=sites, direction=direction, iterations=3, threshold=0.2
    )
    np.testing.assert_allclose(found.array, g, rtol=1e-3, atol=1e-8)


def test_no_iteration_leaves_the_regions_own_map(run):
    view = run.region(box=(20, 30, 90, 101))
    for direction in ("to", "from"):
        own = view.map(direction=direction).array
        np.testing.assert_allclose(
            view.diffused(iterations=0, direction=direction).array, own, rtol=1e-4, atol=1e-8
        )


# Bad input.


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({}, "none was given"),
        ({"pixel": (1, 2), "box": (1, 2, 3, 4)}, "pixel and box"),
        ({"pixel": (128, 4)}, "outside the picture"),
        ({"pixel": (-1, 4)}, "outside the picture"),
        ({"pixel": (1.5, 4)}, "whole numbers"),
        ({"pixel": 7}, "no pixel"),
        ({"pixels": []}, "empty"),
        ({"range": ((5, 5), (4, 5))}, "empty"),
        ({"box": (30, 10, 20, 40)}, "empty"),
        ({"box": (0, 0, 128, 40)}, "outside the picture"),
        ({"box": (1, 2, 3)}, "x0, y0, x1, y1"),
        ({"contour": [[1, 1], [5, 5]]}, "at least three"),
        ({"contour": [[0, 0], [40, 40], [40, 0], [0, 40]]}, "crosses or touches itself"),
        ({"contour": [[0, 0], [40, 0], [20, 0], [20, 30]]}, "crosses or touches itself"),
        ({"contour": [[0, 0], [40, 0], [40, 40], [20, 0], [0, 40]]}, "crosses or touches itself"),
        ({"contour": [[0, 0], [40, 0], [400, 40]]}, "outside the picture"),
        ({"contour": [[0, 0], [40, float("nan")], [40, 40]]}, "list of points"),
        ({"contour": {"type": "Point", "coordinates": [1, 2]}}, "no area"),
        ({"contour": "missing.geojson"}, "cannot be read"),
        ({"contour": []}, "list of points"),
        ({"mask": np.zeros(PICTURE)}, "empty"),
        ({"mask": np.ones((64, 64))}, "192x128"),
        ({"mask": np.full(PICTURE, np.nan)}, "NaN"),
        ({"mask": "missing.png"}, "cannot be read"),
        ({"box": (1, 2, 3, 4), "guide": np.zeros((4, 4))}, "guide weights"),
        ({"circle": (1, 2, 3)}, "no circle"),
    ],
)
def test_a_region_that_cannot_be_is_an_error_that_says_so(run, named, said):
    with pytest.raises(RegionError, match=said):
        run.region(**named)


def test_a_crossing_hole_is_refused():
    outline = [[8, 8], [56, 8], [56, 56], [8, 56]]
    with pytest.raises(RegionError, match="hole"):
        regions.contour({"type": "Polygon", "coordinates": [outline, [[40, 40], [60, 40], [50, 50]]]}, IMAGE)


def test_wrong_directions_steps_heads_and_sites_are_refused(run):
    view = run.region(pixel=(3, 4))
    for options, said in (
        ({"direction": "both"}, "'to'"),
        ({"steps": 9}, "out of range"),
        ({"heads": 3}, "self:down.0"),
        ({"sites": "cross:mid"}, "keys are text"),
        ({"sites": "self:up"}, "self:down.0"),
    ):
        with pytest.raises(SelectionError, match=said):
            view.map(**options)
    for options in ({"iterations": -1}, {"threshold": 1.0}, {"threshold": float("nan")}):
        with pytest.raises(SelectionError):
            view.diffused(**options)


def test_what_was_not_kept_is_named_with_the_level_that_keeps_it(tmp_path):
    less = ds.open(make_run(tmp_path / "less", sites=SITES, level="cross", steps=1))
    with pytest.raises(NotKeptError, match=r"keep='cross'.*keep='qk'"):
        less.region(pixel=(3, 4)).map()
    some = ds.open(
        make_run(tmp_path / "some", sites=SITES, level="qk", steps=1, keep_sites=["self:mid", "cross:mid"])
    )
    with pytest.raises(NotKeptError, match=r"self:down\.0.*keep='qk'"):
        some.region(pixel=(3, 4)).map(sites="self:*,self:down.0")
    assert some.region(pixel=(3, 4)).map().array.shape == (12, 8)
    none = ds.open(make_run(tmp_path / "none", sites=SITES, level="qk", steps=1, keep_sites=["cross:mid"]))
    with pytest.raises(NotKeptError, match="keep='qk'"):
        none.region(pixel=(3, 4)).map()


def test_nan_from_the_model_is_an_error_in_both_directions(tmp_path, monkeypatch):
    run = ds.open(make_run(tmp_path / "run", sites=SITES, level="qk", steps=1))
    found = np.array(run.recording.query("self:mid", 0), dtype=np.float32)
    found[1, 40] = np.nan
    monkeypatch.setattr(run.recording, "query", lambda *_: found)
    # A recorded log-sum-exp of a row of NaN is NaN as well.
    monkeypatch.setattr(
        run.recording,
        "lse",
        lambda *_: np.where(np.isnan(found).any(axis=-1), np.nan, 1.0).astype(np.float32),
    )
    for direction in ("to", "from"):
        with pytest.raises(RecordingError, match="NaN"):
            run.region(mask=np.ones((128, 128))).map(sites="self:mid", direction=direction)
