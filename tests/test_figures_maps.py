"""Figures of several maps: every panel is the map it says, in the colours that the scale says."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_run import make_run

from diffuscope.errors import NotKeptError, SelectionError
from diffuscope.figures.animation import write_animation
from diffuscope.figures.atlas import atlas, head_atlas, step_atlas
from diffuscope.figures.overlays import overlays
from diffuscope.figures.relief import relief
from diffuscope.figures.strip import strip
from diffuscope.maps import picture
from diffuscope.maps.colormap import DisplayScale, colormap
from diffuscope.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run.open(make_run(tmp_path_factory.mktemp("runs") / "plain", steps=4))


@pytest.fixture
def said(monkeypatch):
    """Everything that is written into figures."""
    written = []
    plain = picture.ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        picture.ImageDraw.ImageDraw,
        "text",
        lambda self, at, text, *rest, **options: (
            written.append(text),
            plain(self, at, text, *rest, **options),
        ),
    )
    return written


def count(image, colour):
    return int((np.asarray(image) == np.asarray(colour)).all(axis=-1).sum())


@pytest.mark.parametrize("scale", ["word", "shared", "raw"])
def test_overlays_say_what_their_colours_mean(run, said, scale):
    names = ["circle", "blue zeppelin", "<start>"]
    image = overlays(run, names, scale=scale, alpha=1.0, side=96)
    everything = " ".join(said)
    for name in names:
        assert name in everything
    assert "attention probability" in everything
    origin = {"word": picture.EACH, "shared": "min-max over these 3 maps", "raw": "raw, 0 to 1"}[scale]
    assert f"colours: {origin}" in said
    maps = [run.map(f'word="{name}"').array for name in names]
    brightest = colormap("magma")[255]
    cell = (96 // 16) ** 2
    if scale == "word":
        assert all(f"{each.min():.3g} to {each.max():.3g}" in everything for each in maps)
        assert count(image, brightest) >= 3 * cell
    elif scale == "shared":
        assert cell <= count(image, brightest) < 3 * cell


def test_all_words_are_shown_where_none_is_named(run, said):
    overlays(run)
    assert all(any(text.startswith(f"{word.label}  ") for text in said) for word in run.words)


@pytest.mark.parametrize("options", [{"scale": "wide"}, {"columns": 0}, {"alpha": 2.0}, {"names": []}])
def test_overlays_refuse_what_cannot_be_shown(run, options):
    with pytest.raises(SelectionError):
        overlays(run, **{"names": ["circle"], **options})


def test_an_atlas_has_a_panel_for_each_head_that_there_is(run, said):
    image = atlas(run.word("circle"), steps=2, side=64)
    for site in run.sites:
        assert any(text.startswith(site.name) for text in said)
    assert [text for text in said if text.startswith("head ")] == [f"head {head}" for head in range(8)]
    assert "Each head by itself, step 2." in said
    maps = run.word("circle").heads(steps=2)
    scale = DisplayScale.of(*maps.per_site.values())
    panel = np.asarray(image)
    for name, values in maps.per_site.items():
        for own in values[0]:
            colours = scale.colours(own.astype(np.float64))
            height = 64 // own.shape[0]
            assert found(panel, np.repeat(np.repeat(colours, height, 0), height, 1)), name


def found(image, part):
    """Whether a picture stands in another, pixel for pixel."""
    height, width = part.shape[:2]
    first = np.argwhere((image == part[0, 0]).all(axis=-1))
    return any(
        (image[y : y + height, x : x + width] == part).all()
        for y, x in first
        if y + height <= image.shape[0] and x + width <= image.shape[1]
    )


def test_an_atlas_over_the_steps_needs_word_maps_alone(tmp_path, said):
    run = Run.open(make_run(tmp_path / "small", steps=6, level="maps"))
    step_atlas(run.word("circle"), most=3)
    assert [text for text in said if text.isdigit()][:3] == ["0", "2", "5"]
    assert "Mean over all heads. 3 of 6 steps, evenly spaced." in " ".join(said)
    with pytest.raises(NotKeptError, match="keep='cross'"):
        atlas(run.word("circle"))
    with pytest.raises(SelectionError):
        step_atlas(run.word("circle"), scale="own")
    with pytest.raises(SelectionError):
        head_atlas(Run.open(make_run(tmp_path / "more", steps=1)).word("circle").heads(), scale="own")


def test_a_relief_is_highest_where_the_map_is(run):
    heatmap = run.word("circle").map()
    image = relief(heatmap, run.image, turn=0)
    assert image.width > 2 * 420
    flat = relief(run.word("circle").map(), turn=0, height=0.01)
    assert image.height > flat.height
    for wrong in ({"height": 0.0}, {"turn": 80.0}):
        with pytest.raises(SelectionError):
            relief(heatmap, **wrong)


def test_strips_and_animations_take_every_option_of_the_map(run, said, tmp_path):
    strip(run.word("circle"), weights="16x16=2", scale="step")
    assert any("weighed 16x16=2" in text for text in said) and f"colours: {picture.EACH}" in said
    said.clear()
    write_animation(run.word("circle"), tmp_path / "a.gif", combine="sum", scale="shared")
    assert "attention probability, summed" in said
    for wrong in ({"scale": "wide"}, {"weights": "7x7=1"}):
        with pytest.raises(SelectionError):
            strip(run.word("circle"), **wrong)
    with pytest.raises(SelectionError, match=r"\.mp4"):
        write_animation(run.word("circle"), tmp_path / "a.avi")
