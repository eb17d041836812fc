"""Heatmaps: the array is never scaled, pictures say what their colours mean."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageFont

from diffuscope.errors import RunFolderError, SelectionError, SizeError
from diffuscope.maps import picture
from diffuscope.maps.colormap import NAMES, DisplayScale, colormap
from diffuscope.maps.heatmap import Heatmap, HeatmapSeries
from diffuscope.selection import Selection

ARRAY = np.random.default_rng(0).random((12, 8)).astype(np.float32) * 0.01
ARRAY[9, 2] = 0.08
SELECTION = Selection.of(word="circle", steps="0:10")


def heatmap(array=ARRAY, **options) -> Heatmap:
    return Heatmap(array, SELECTION, "circle", aggregation="Mean over all heads.", **options)


def series(steps: int = 6) -> HeatmapSeries:
    stack = np.stack([ARRAY * (1 + step) for step in range(steps)])
    return HeatmapSeries(stack, SELECTION, "circle", aggregation="Each step by itself.")


def scene() -> Image.Image:
    return Image.effect_noise((64, 96), 60).convert("RGB")


def test_no_picture_changes_the_array():
    before = ARRAY.copy()
    shown = heatmap()
    shown.figure()
    shown.overlay(scene(), scale=(0.0, 1.0), smooth=True)
    shown._repr_png_()
    assert (shown.array == before).all() and shown.array.dtype == np.float32
    with pytest.raises(ValueError):
        shown.array[0, 0] = 1


def test_the_given_array_may_change_afterwards():
    source = ARRAY.copy()
    shown = heatmap(source)
    source[:] = 0
    assert (shown.array == ARRAY).all()


def test_peak_centroid_and_mean():
    spot = np.zeros((12, 8), np.float32)
    spot[9, 2], spot[9, 4] = 0.3, 0.1
    shown = heatmap(spot)
    assert shown.size == (12, 8)
    assert shown.peak == (9, 2)
    assert shown.centroid == pytest.approx((9.0, 2.5))
    assert shown.mean == pytest.approx(0.4 / 96)
    assert heatmap(np.zeros((3, 5), np.float32)).centroid == (1.0, 2.0)


def test_points_are_carried_to_the_picture_by_cell_centres():
    assert heatmap().on((9, 2), (96, 64)) == pytest.approx((75.5, 19.5))
    assert heatmap().on((9, 2), (12, 8)) == pytest.approx((9, 2))


def test_npy_holds_the_exact_values(tmp_path):
    path = heatmap().save(tmp_path / "new folder" / "map.npy")
    loaded = np.load(path, allow_pickle=False)
    assert loaded.dtype == np.float32 and (loaded == ARRAY).all()
    assert (np.load(series().save(tmp_path / "steps.npy")) == series().array).all()


def test_png_is_a_picture_with_a_scale_below_the_map(tmp_path):
    image = Image.open(heatmap().save(tmp_path / "map.png")).convert("RGB")
    rows = np.asarray(image).reshape(image.height, -1, 3)
    ramp = colormap("magma")
    ends = [tuple(ramp[0]), tuple(ramp[-1])]
    bars = [y for y in range(len(rows)) if tuple(rows[y, 24]) == ends[0] and tuple(rows[y, -25]) == ends[1]]
    assert len(bars) >= 10, "a colour scale from the first to the last colour spans the figure"


def test_the_legend_names_range_unit_and_origin(monkeypatch):
    said = []
    plain = picture.ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        picture.ImageDraw.ImageDraw,
        "text",
        lambda self, at, text, *rest, **options: (said.append(text), plain(self, at, text, *rest, **options)),
    )
    heatmap().overlay(scene(), smooth=True)
    everything = " ".join(said)
    for part in (
        "circle",
        str(SELECTION),
        "attention probability",
        "min-max of this map",
        "0.08",
        "Mean over all",
    ):
        assert part in everything
    assert "Smoothed" in everything
    said.clear()
    heatmap().figure(scale=(0.0, 0.5))
    assert "fixed range" in " ".join(said) and "0.5" in said and "Smoothed" not in " ".join(said)


def test_raw_cells_are_flat_and_smoothing_is_a_choice():
    raw = np.asarray(heatmap().overlay(Image.new("RGB", (80, 120)), alpha=1.0, legend=False))
    blocks = raw.reshape(12, 10, 8, 10, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    smooth = np.asarray(heatmap().overlay(Image.new("RGB", (80, 120)), alpha=1.0, legend=False, smooth=True))
    assert (smooth != raw).any()


def test_overlay_without_legend_has_the_pictures_size_and_puts_the_peak_where_it_is():
    image = scene()
    over = heatmap().overlay(image, alpha=1.0, legend=False)
    assert over.size == image.size and over.mode == "RGB"
    pixels = np.asarray(over).astype(int)
    y, x = np.unravel_index((pixels == colormap("magma")[255]).all(axis=2).argmax(), (96, 64))
    assert (y // 8, x // 8) == (9, 2)
    clear = np.asarray(heatmap().overlay(image, alpha=0.0, legend=False))
    assert (clear == clear[..., :1]).all(), "nothing but the picture, in grey"


def test_scales_can_be_shared_between_maps():
    shared = DisplayScale.of(ARRAY, 2 * ARRAY, origin="min-max of both maps")
    ours = np.asarray(heatmap().overlay(scene(), alpha=1, scale=shared, legend=False))
    twice = np.asarray(heatmap(2 * ARRAY).overlay(scene(), alpha=1, scale=shared, legend=False))
    assert (ours != twice).any()
    alone = [np.asarray(heatmap(k * ARRAY).overlay(scene(), alpha=1, legend=False)) for k in (1, 2)]
    assert (alone[0] == alone[1]).all()


def test_a_constant_map_is_drawn():
    image = heatmap(np.full((4, 4), 0.02, np.float32)).figure()
    assert image.width > 100


@pytest.mark.parametrize(
    "options",
    [{"alpha": 1.5}, {"alpha": -0.1}, {"colormap": "jet"}, {"scale": (1.0, 1.0)}, {"scale": (2.0, 1.0)}],
)
@pytest.mark.parametrize("legend", [True, False])
def test_impossible_display_options_are_refused(options, legend):
    with pytest.raises(SelectionError):
        heatmap().overlay(scene(), legend=legend, **options)


def test_other_file_types_are_refused(tmp_path):
    with pytest.raises(SelectionError, match="npy"):
        heatmap().save(tmp_path / "map.jpg")


def test_an_unwritable_place_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError):
        heatmap().save(tmp_path / "file" / "map.png")


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4), (0, 4)])
def test_a_heatmap_has_two_axes(shape):
    with pytest.raises(SizeError):
        heatmap(np.zeros(shape, np.float32))


def test_a_series_gives_heatmaps_that_know_their_step():
    steps = HeatmapSeries(series().array, SELECTION, "circle", steps=(0, 2, 4, 6, 8, 9))
    assert len(steps) == 6
    assert steps[2].selection.steps == "4" and (steps[2].array == series().array[2]).all()
    assert [each.selection.steps for each in steps[4:]] == ["8", "9"]
    assert steps[-1].label == "circle" and steps[-1].selection.word == "circle"
    np.testing.assert_allclose(steps.mass, series().array.mean(axis=(1, 2), dtype=np.float64))
    np.testing.assert_allclose(steps.mean().array, series().array.mean(axis=0), rtol=1e-6)
    with pytest.raises(SelectionError):
        steps[10:]
    with pytest.raises(IndexError):
        steps[6]
    with pytest.raises(SizeError):
        HeatmapSeries(series().array, SELECTION, steps=(0, 1))


def test_a_series_shares_one_scale_over_its_steps():
    scale = series().scale
    assert (scale.low, scale.high) == (series().array.min(), series().array.max())
    image = series().figure(scene())
    assert image.width > image.height


@pytest.mark.parametrize(
    "shown", [heatmap(), series(), heatmap(background=scene), heatmap(background=lambda: None)]
)
def test_notebooks_get_a_png(shown):
    image = Image.open(io.BytesIO(shown._repr_png_()))
    image.load()
    assert image.format == "PNG"


def test_very_flat_and_very_tall_maps_are_drawn():
    for shape in ((1, 1), (1, 40), (40, 1), (3, 5)):
        assert heatmap(np.ones(shape, np.float32)).figure(scene()).width > 200


def test_long_names_are_wrapped_inside_the_figure():
    name = "antidisestablishmentarianism " * 4 + "x" * 300
    image = Heatmap(ARRAY, Selection.of(word=name), name, aggregation="word " * 200).figure()
    right = np.asarray(image)[:, -20:]
    assert (right == 255).all(), "nothing is drawn into the margin"


def test_pillow_without_freetype_still_draws(monkeypatch):
    bitmap = getattr(ImageFont, "load_default_imagefont", None)
    if bitmap is None:
        pytest.skip("this pillow has no separate bitmap font")

    def without(size=None):
        if size is not None:
            raise ImportError("The _imagingft C module is not installed")
        return bitmap()

    picture._font.cache_clear()
    monkeypatch.setattr(picture.ImageFont, "load_default", without)
    image = Heatmap(ARRAY, SELECTION, "круг " * 60 + "…").figure()
    picture._font.cache_clear()
    assert image.width > 400


@pytest.mark.parametrize("name", NAMES)
def test_colormaps_grow_in_lightness(name):
    table = colormap(name).astype(float) / 255
    linear = np.where(table <= 0.04045, table / 12.92, ((table + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    # Eight-bit colours wobble a little from one entry to the next; over four of them lightness only grows.
    assert (np.diff(luminance[::4]) > 0).all()
    assert colormap(name).shape == (256, 3) and not colormap(name).flags.writeable


def test_known_colours_of_viridis_and_magma():
    assert tuple(colormap("viridis")[0]) == (68, 1, 84) and tuple(colormap("viridis")[255]) == (253, 231, 37)
    assert tuple(colormap("magma")[0]) == (0, 0, 4) and tuple(colormap("magma")[255]) == (252, 253, 191)


def test_scale_clips_outside_and_is_flat_without_extent():
    scale = DisplayScale(0.0, 2.0)
    np.testing.assert_allclose(scale.unit_interval(np.array([-1.0, 0.5, 9.0])), [0, 0.25, 1])
    assert (DisplayScale(1.0, 1.0).unit_interval(np.array([0.0, 1.0, 5.0])) == 0).all()
