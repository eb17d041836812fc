"""The judge reads drawn scenes back, also through noise, and says so where it cannot."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from diffuscope.errors import SizeError
from diffuscope.scenes.grammar import Placed, Scene, lay_out, sample_split
from diffuscope.scenes.judge import Found, Reading, read, relation_of
from diffuscope.scenes.judge_regions import components
from diffuscope.scenes.renderer import Rendered, backdrop, render
from diffuscope.scenes.vocabulary import BACKDROPS, COLOURS, NOUNS

Picture = NDArray[np.uint8]


def draw(*things: tuple[str, str, float, float, float], place: str = "plain") -> Rendered:
    """Things as (noun, colour, x, y, radius); the size word is not looked at."""
    return render(Scene(tuple(Placed(n, c, "medium", x, y, r) for n, c, x, y, r in things), place, None))


def sample(number: int, seed: int) -> list[Rendered]:
    rng = np.random.default_rng(seed)
    return [render(lay_out(sample_split(rng, "held-out" if i % 2 else "train"), rng)) for i in range(number)]


def degrade(image: Picture, rng: np.random.Generator) -> Picture:
    blurred = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(0.7)), np.float32)
    noisy = blurred + rng.normal(0, 4, image.shape) + rng.uniform(-4, 4, 3)
    file = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=60)
    return np.asarray(Image.open(file))


def wrong(drawn: Rendered, reading: Reading) -> list[str]:
    """The parts that were misread, with what was read."""
    faults = []
    if reading.place != drawn.scene.place:
        faults.append(f"place {reading.place}")
    if len(reading.objects) != len(drawn.scene.things):
        return [*faults, f"count {len(reading.objects)}"]
    for thing in drawn.scene.things:
        seen = min(reading.objects, key=lambda o: (o.x - thing.x) ** 2 + (o.y - thing.y) ** 2)
        faults += [
            f"{p} {getattr(seen, p)}"
            for p in ("noun", "colour", "size")
            if getattr(seen, p) != getattr(thing, p)
        ]
    return faults


def test_clean_renders_are_read_right() -> None:
    misread = [(d.scene, w) for d in sample(120, 21) if (w := wrong(d, read(d.image)))]
    assert len(misread) <= 1, misread


def test_degraded_renders_are_read_right() -> None:
    rng = np.random.default_rng(22)
    misread = [(d.scene, w) for d in sample(120, 23) if (w := wrong(d, read(degrade(d.image, rng))))]
    assert len(misread) <= 3, misread


def test_masks_centres_and_radii_match_the_truth() -> None:
    overlaps = []
    for drawn in sample(40, 24):
        reading = read(drawn.image)
        for index, thing in enumerate(drawn.scene.things):
            seen = reading.find(thing.noun, thing.colour)
            assert seen is not None
            assert abs(seen.x - thing.x) < 0.6
            assert abs(seen.y - thing.y) < 0.6
            assert abs(seen.radius - thing.radius) < 0.6
            truth = drawn.masks[index] >= 0.5
            overlaps.append((seen.mask & truth).sum() / (seen.mask | truth).sum())
            assert float(np.abs(seen.cover - drawn.masks[index]).mean()) < 0.005
    assert np.mean(overlaps) > 0.98


@pytest.mark.parametrize("place", list(BACKDROPS))
def test_an_empty_place_holds_nothing(place: str) -> None:
    reading = read(np.clip(backdrop(place, 0.79, 1.0) + 0.5, 0, 255).astype(np.uint8))
    assert reading.place == place
    assert reading.objects == ()


def test_noise_is_no_place() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (128, 128, 3), np.uint8)
    reading = read(picture)
    assert reading.place is None
    assert reading.place_confidence == 0
    assert reading.notes


def test_a_third_and_a_doubled_thing_are_reported() -> None:
    drawn = draw(
        ("circle", "red", 26, 30, 18),
        ("circle", "red", 98, 30, 18),
        ("star", "blue", 64, 96, 19),
        place="snow",
    )
    reading = read(drawn.image)
    assert Counter((o.colour, o.noun) for o in reading.objects) == {("red", "circle"): 2, ("blue", "star"): 1}


def test_touching_things_of_different_colours_are_two() -> None:
    reading = read(draw(("square", "green", 40, 60, 20), ("circle", "orange", 77, 60, 20)).image)
    assert {(o.colour, o.noun) for o in reading.objects} == {("green", "square"), ("orange", "circle")}


def test_a_thing_of_uneven_colour_is_one() -> None:
    picture = draw(("circle", "pink", 64, 60, 24), place="sea").image.copy()
    patch = picture[:, 64:]
    patch[(patch == COLOURS["pink"]).all(axis=-1)] = COLOURS["orange"]
    reading = read(picture)
    assert [o.noun for o in reading.objects] == ["circle"]


def test_a_thing_may_be_cut_off_by_the_frame() -> None:
    reading = read(draw(("circle", "red", 10, 64, 20)).image)
    assert [(o.noun, o.colour) for o in reading.objects] == [("circle", "red")]


def test_a_size_between_two_is_ambiguous() -> None:
    found = read(draw(("circle", "red", 64, 64, 16.25)).image).objects[0]
    assert found.size is None
    assert found.ambiguous == {"size"}


def test_a_colour_between_two_is_ambiguous() -> None:
    drawn = draw(("square", "red", 64, 60, 20))
    between = (np.array(COLOURS["yellow"]) * 0.5 + np.array(COLOURS["orange"]) * 0.5).astype(np.uint8)
    picture = drawn.image.copy()
    picture[(picture == COLOURS["red"]).all(axis=-1)] = between
    found = read(picture).objects[0]
    assert found.noun == "square"
    assert found.colour in (None, "yellow", "orange")
    assert (found.colour is None) == ("colour" in found.ambiguous)


def test_a_colour_of_no_name_is_not_found() -> None:
    picture = draw(("square", "red", 64, 60, 20)).image.copy()
    picture[(picture == COLOURS["red"]).all(axis=-1)] = (110, 120, 120)
    reading = read(picture)
    assert reading.objects[0].noun == "square"
    assert reading.objects[0].colour is None
    assert "colour" not in reading.objects[0].ambiguous
    assert any("no known colour" in note for note in reading.notes)


def test_a_shape_of_no_name_is_not_found() -> None:
    image = Image.fromarray(draw(place="plain").image)
    pen = ImageDraw.Draw(image)
    pen.rectangle((10, 60, 118, 66), fill=COLOURS["blue"])
    found = read(image).objects[0]
    assert found.noun is None
    assert found.colour == "blue"
    assert found.confidence < 0.72


def test_specks_are_noted_and_not_counted() -> None:
    image = Image.fromarray(draw(("circle", "red", 64, 50, 20)).image)
    ImageDraw.Draw(image).ellipse((100, 100, 107, 107), fill=COLOURS["blue"])
    reading = read(image)
    assert len(reading.objects) == 1
    assert any("speck" in note for note in reading.notes)


@pytest.mark.parametrize("noun", NOUNS)
@pytest.mark.parametrize("radius", [12.5, 31.0])
def test_every_noun_is_told_apart_at_the_ends_of_the_range_of_sizes(noun: str, radius: float) -> None:
    for colour, place in (("white", "snow"), ("white", "plain"), ("purple", "night"), ("orange", "desert")):
        found = read(draw((noun, colour, 60, 66, radius), place=place).image).objects
        assert [(o.noun, o.colour) for o in found] == [(noun, colour)], (place, found)


def test_mask_of_picks_by_noun_and_colour() -> None:
    drawn = draw(("heart", "red", 30, 64, 20), ("heart", "blue", 96, 64, 20))
    reading = read(drawn.image)
    blue = reading.mask_of("heart", "blue")
    assert blue is not None
    assert blue[:, 64:].any()
    assert not blue[:, :64].any()
    assert reading.mask_of("star") is None


def test_images_and_arrays_read_alike_and_other_sizes_are_refused() -> None:
    image = draw(("moon", "yellow", 64, 60, 20), place="night").image
    assert str(read(Image.fromarray(image))) == str(read(image))
    wrong_ones: list[Any] = [image[:64], image[..., 0], image.astype(np.float32), Image.new("RGB", (64, 64))]
    for wrong_one in wrong_ones:
        with pytest.raises(SizeError, match="128"):
            read(wrong_one)


def test_relations_are_read_from_the_greater_offset() -> None:
    def at(x: float, y: float) -> Found:
        nothing = np.zeros((128, 128))
        return Found("circle", "red", "small", x, y, 13.0, nothing > 0, nothing.astype(np.float32), 1.0)

    middle = at(64, 64)
    assert relation_of(at(20, 70), middle) == "left of"
    assert relation_of(at(100, 60), middle) == "right of"
    assert relation_of(at(60, 20), middle) == "above"
    assert relation_of(at(70, 110), middle) == "below"
    assert relation_of(at(30, 30), middle) is None


def test_components_join_equal_labels_through_edges_only() -> None:
    labels = np.array([[1, 0, 1, 1], [1, 1, 1, 0], [0, 2, 0, 1], [2, 2, 1, 1]], np.int32)
    numbered = components(labels)
    assert numbered[0, 0] == numbered[0, 3] == numbered[1, 2]
    assert numbered[2, 1] == numbered[3, 0]
    assert numbered[2, 3] == numbered[3, 2] != numbered[0, 0]
    assert set(np.unique(numbered)) == {0, 1, 2, 3}
    assert np.array_equal(numbered == 0, labels == 0)


def test_components_agree_with_flood_fill_on_random_fields() -> None:
    rng = np.random.default_rng(9)
    for _ in range(20):
        labels = rng.integers(0, 3, (12, 17)).astype(np.int32)
        numbered, seen = components(labels), np.zeros(labels.shape, bool)
        for start in zip(*np.nonzero(labels), strict=True):
            if seen[start]:
                continue
            area, front = set(), [start]
            while front:
                y, x = front.pop()
                inside = 0 <= y < labels.shape[0] and 0 <= x < labels.shape[1]
                if inside and (y, x) not in area and labels[y, x] == labels[start]:
                    area.add((y, x))
                    front += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
            expected = np.zeros(labels.shape, bool)
            expected[tuple(np.array(list(area)).T)] = True
            seen |= expected
            assert np.array_equal(numbered == numbered[start], expected)
