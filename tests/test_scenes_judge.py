"""The judge reads drawn scenes back, also through noise, and says so where it cannot."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from diffuscope.errors import SizeError
from diffuscope.scenes import judge_network
from diffuscope.scenes.grammar import parse
from diffuscope.scenes.judge import Found, read, size_of
from diffuscope.scenes.judge_network import CELL, CLASSES, Evidence, forward, look
from diffuscope.scenes.judge_relations import edges, relation_of, relations_of, stands
from diffuscope.scenes.judge_things import find_things
from diffuscope.scenes.layout import SIDE, Placed, Scene, lay_out
from diffuscope.scenes.renderer import Rendered, render
from diffuscope.scenes.scoring import Row, tally
from diffuscope.scenes.split import sample_split
from diffuscope.scenes.vocabulary import COLOURS, LIGHTS, NOUNS, PAINTS, PLACES, SIZES, STYLES

Picture = NDArray[np.uint8]


def draw(*things: tuple[str, str, float, float, float], **setting: Any) -> Rendered:
    """Things as (noun, colour, x, y, radius), plain and in the plain, unless `setting` says otherwise."""
    placed = tuple(
        Placed(n, c, "plain", "medium", x, y, r, False, i) for i, (n, c, x, y, r) in enumerate(things)
    )
    return render(Scene(placed, **setting))


def sample(number: int, seed: int) -> list[Rendered]:
    rng = np.random.default_rng(seed)
    return [render(lay_out(sample_split(rng, "held-out" if i % 2 else "train"), rng)) for i in range(number)]


def degrade(image: Picture, rng: np.random.Generator) -> Picture:
    blurred = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(0.7)), np.float32)
    noisy = blurred + rng.normal(0, 4, image.shape) + rng.uniform(-4, 4, 3)
    file = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=60)
    return np.asarray(Image.open(file))


def parts_right(drawings: list[Rendered], images: list[Picture]) -> dict[str, Row]:
    """How often each part is read right."""
    outcomes: dict[str, list[bool]] = {}
    for drawn, image in zip(drawings, images, strict=True):
        reading = read(image)
        for part in ("place", "light", "style"):
            outcomes.setdefault(part, []).append(getattr(reading, part) == getattr(drawn.scene, part))
        outcomes.setdefault("count", []).append(len(reading.objects) == len(drawn.scene.things))
        for thing in drawn.scene.things:
            seen = min(reading.objects, key=lambda o, t=thing: np.hypot(o.x - t.x, o.y - t.y), default=None)
            for part in ("noun", "colour", "pattern"):
                outcomes.setdefault(part, []).append(getattr(seen, part, None) == getattr(thing, part))
    return {part: tally(part, values) for part, values in outcomes.items()}


def test_no_part_of_clean_renders_is_read_worse_than_99_per_cent() -> None:
    drawings = sample(100, 21)
    rows = parts_right(drawings, [drawn.image for drawn in drawings])
    assert {part: row for part, row in rows.items() if row.high < 0.99} == {}


def test_no_part_of_degraded_renders_is_read_worse_than_97_per_cent() -> None:
    rng = np.random.default_rng(22)
    drawings = sample(100, 23)
    rows = parts_right(drawings, [degrade(drawn.image, rng) for drawn in drawings])
    assert {part: row for part, row in rows.items() if row.high < 0.97} == {}


def test_masks_centres_and_radii_match_the_truth() -> None:
    overlaps, misses = [], []
    for drawn in sample(40, 24):
        reading = read(drawn.image)
        for index, thing in enumerate(drawn.scene.things):
            seen = min(reading.objects, key=lambda o: np.hypot(o.x - thing.x, o.y - thing.y))
            misses.append((abs(seen.x - thing.x), abs(seen.y - thing.y), abs(seen.radius - thing.radius)))
            truth = drawn.masks[index] >= 0.5
            overlaps.append((seen.mask & truth).sum() / (seen.mask | truth).sum())
    assert np.median(overlaps) > 0.85
    assert (np.median(misses, axis=0) < 1.5).all()


@pytest.mark.parametrize("place", CLASSES["place"])
def test_an_empty_place_holds_nothing(place: str) -> None:
    reading = read(draw(place=place).image)
    assert reading.place == place
    assert reading.objects == ()


@pytest.mark.parametrize("style", CLASSES["style"])
def test_lights_and_styles_are_told_apart(style: str) -> None:
    for light in CLASSES["light"]:
        reading = read(draw(("house", "red", 64, 84, 26), place="meadow", light=light, style=style).image)
        assert (reading.light, reading.style) == (light, style)


def test_noise_holds_nothing() -> None:
    reading = read(np.random.default_rng(1).integers(0, 256, (128, 128, 3), np.uint8))
    assert [found.noun for found in reading.objects if found.noun] == []
    assert reading.place is None
    assert reading.notes


def test_two_of_a_kind_are_two() -> None:
    drawn = draw(("apple", "red", 36, 60, 18), ("apple", "red", 92, 64, 18), ("star", "blue", 64, 24, 14))
    seen = Counter((o.colour, o.noun) for o in read(drawn.image).objects)
    assert seen == {("red", "apple"): 2, ("blue", "star"): 1}


def test_a_thing_partly_hidden_keeps_its_size() -> None:
    description = parse("a red apple under a blue cloth")
    assert description is not None
    for seed in range(3):
        scene = lay_out(description, np.random.default_rng(seed))
        found = read(render(scene).image).find("apple")
        assert found is not None
        truth = next(thing for thing in scene.things if thing.noun == "apple")
        assert found.radius == pytest.approx(truth.radius, rel=0.12)
        assert found.y == pytest.approx(truth.y, abs=4)


def test_horse_unicorn_and_pegasus_are_told_apart_with_their_details() -> None:
    for noun, detail in (("horse", None), ("unicorn", "horn"), ("pegasus", "wings")):
        found = read(draw((noun, "white", 64, 76, 27), place="meadow").image).objects
        assert [o.noun for o in found] == [noun]
        assert set(found[0].parts) == ({detail} if detail else set())


def test_a_thing_half_of_each_colour_is_ambiguous() -> None:
    red, blue = (draw(("square", colour, 64, 64, 26)).image for colour in ("red", "blue"))
    (found,) = read(np.concatenate([red[:, :64], blue[:, 64:]], axis=1)).objects
    assert found.noun == "square"
    assert found.colour is None
    assert "colour" in found.ambiguous


def test_mask_of_picks_by_noun_and_colour() -> None:
    reading = read(draw(("heart", "red", 34, 64, 20), ("heart", "blue", 96, 64, 20)).image)
    blue = reading.mask_of("heart", "blue")
    assert blue is not None
    assert blue[:, 70:].any()
    assert not blue[:, :60].any()
    assert reading.mask_of("star") is None


def test_images_and_arrays_read_alike_and_other_sizes_are_refused() -> None:
    image = draw(("moon", "yellow", 64, 60, 20), place="sky").image
    assert str(read(Image.fromarray(image))) == str(read(image))
    wrong_ones: list[Any] = [image[:64], image[..., 0], image.astype(np.float32), Image.new("RGB", (64, 64))]
    for wrong_one in wrong_ones:
        with pytest.raises(SizeError, match="128"):
            read(wrong_one)


def test_weights_for_another_vocabulary_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "judge.json").write_text('{"classes": {"noun": ["zebra"]}}')
    monkeypatch.setattr(judge_network, "FOLDER", tmp_path)
    judge_network.weights.cache_clear()
    with pytest.raises(ValueError, match="another vocabulary"):
        look(np.zeros((SIDE, SIDE, 3), np.uint8))
    judge_network.weights.cache_clear()


def test_the_network_s_convolutions_are_convolutions() -> None:
    rng = np.random.default_rng(3)
    states = rng.normal(size=(6, 8, 3)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 3, 5)).astype(np.float32)
    bias = rng.normal(size=5).astype(np.float32)
    for stride in (1, 2):
        result = judge_network._convolve(states, kernel.reshape(27, 5), bias, stride, bend=False)
        for row, column in ((0, 0), (1, 2), (2, 3)):
            expected = bias.astype(np.float64)
            for y in range(3):
                for x in range(3):
                    at = (row * stride + y - 1, column * stride + x - 1)
                    if 0 <= at[0] < 6 and 0 <= at[1] < 8:
                        expected = expected + states[at] @ kernel[y, x]
            assert np.allclose(result[row, column], expected, atol=1e-4)


def evidence(owners: NDArray[np.int64], votes: list[tuple[int, float, float, float]]) -> Evidence:
    """Perfect evidence: cells of owner k vote for (noun, x, y, radius) k; red and plain, on plain paper."""
    rows, columns = owners.shape
    noun = np.zeros((rows, columns, len(NOUNS) + 2), np.float32)
    noun[..., 0] = owners == 0
    x, y, radius = (np.full(owners.shape, 20.0, np.float32) for _ in range(3))
    for number, vote in enumerate(votes, start=1):
        mine = owners == number
        noun[mine, 1 + vote[0]] = 1
        x[mine], y[mine], radius[mine] = vote[1:]

    def first(name: str, *shape: int) -> NDArray[np.float32]:
        values = np.zeros((*shape, len(CLASSES[name])), np.float32)
        values[..., 0] = 1
        return values

    return Evidence(
        noun=noun,
        paint=first("paint", rows, columns),
        pattern=first("pattern", rows, columns),
        detail=np.zeros((rows, columns, len(CLASSES["detail"])), np.float32),
        x=x,
        y=y,
        radius=radius,
        cover=np.kron(owners > 0, np.ones((CELL, CELL))).astype(np.float32),
        place=first("place"),
        light=first("light"),
        style=first("style"),
    )


def test_cells_are_put_together_by_what_they_vote_for() -> None:
    owners = np.zeros((32, 32), np.int64)
    owners[4:12, 4:12], owners[4:12, 12:20], owners[20:26, 4:10] = 1, 2, 3
    owners[20:26, 14:20] = 3  # the other side of something that stands in front
    clumps, specks = find_things(evidence(owners, [(0, 32, 32, 16), (0, 64, 32, 16), (5, 48, 92, 34)]))
    assert specks == 0
    assert sorted((round(c.x), round(c.radius), int(c.cells.sum())) for c in clumps) == [
        (32, 16, 64),
        (48, 34, 72),
        (64, 16, 64),
    ]
    halves = next(c for c in clumps if round(c.x) == 48)
    assert np.array_equal(halves.cells, owners == 3)
    assert np.array_equal(halves.mask, np.kron(owners == 3, np.ones((CELL, CELL))) > 0)


def test_two_nouns_at_one_place_are_one_thing_of_no_sure_noun() -> None:
    owners = np.zeros((32, 32), np.int64)
    owners[8:20, 8:14], owners[8:20, 14:20] = 1, 2
    clumps, _ = find_things(evidence(owners, [(3, 56, 56, 24), (7, 56, 56, 24)]))
    assert len(clumps) == 1
    assert clumps[0].noun[3] == pytest.approx(0.5, abs=0.05)


def test_specks_are_no_things() -> None:
    owners = np.zeros((32, 32), np.int64)
    owners[8:20, 8:20], owners[28, 28:31] = 1, 2
    clumps, specks = find_things(evidence(owners, [(0, 56, 56, 24), (4, 118, 114, 9)]))
    assert (len(clumps), specks) == (1, 1)


def test_nothing_is_found_where_nothing_votes() -> None:
    assert find_things(evidence(np.zeros((32, 32), np.int64), [])) == ([], 0)


def test_sizes_are_read_by_the_number_of_things() -> None:
    for number, sizes in SIZES.items():
        for word, (low, high) in sizes.items():
            assert {size_of(radius, number) for radius in (low, (low + high) / 2, high)} == {word}
    assert size_of(21.0, 1) is None
    assert size_of(14.0, 7) == size_of(14.0, 3)


def test_relations_hold_for_what_is_drawn_in_them() -> None:
    rng = np.random.default_rng(5)
    asked: Counter[str] = Counter()
    held: Counter[str] = Counter()
    while sum(asked.values()) < 600:
        description = sample_split(rng, "train")
        relation = description.relation
        if relation in (None, "and"):
            continue
        things = lay_out(description, rng).things
        groups = [[t for t in things if t.thing == one] for one in range(len(description.things))]
        asked[relation] += 1
        held[relation] += all(stands(group, groups[-1], relation) for group in groups[:-1])
    assert {name: held[name] / asked[name] for name in asked if held[name] < 0.98 * asked[name]} == {}


def test_a_relation_does_not_hold_the_other_way_round() -> None:
    rng = np.random.default_rng(6)
    turned = {"left of": "right of", "above": "below", "on": "under", "in": "on", "under": "on"}
    for _ in range(300):
        description = sample_split(rng, "train", count=2)
        if description.relation not in turned:
            continue
        things = lay_out(description, rng).things
        first, second = ([t for t in things if t.thing == one] for one in (0, 1))
        assert not stands(second, first, description.relation)
        assert not stands(first, second, turned[description.relation])


def test_relations_are_read_from_the_greater_offset() -> None:
    def at(x: float, y: float) -> Found:
        nothing = np.zeros((128, 128))
        return Found(
            "circle", "red", "plain", "small", x, y, 13.0, nothing > 0, nothing.astype(np.float32), 1.0
        )

    middle = at(64, 64)
    assert relation_of(at(20, 70), middle) == "left of"
    assert relation_of(at(100, 60), middle) == "right of"
    assert relation_of(at(60, 20), middle) == "above"
    assert relation_of(at(70, 110), middle) == "below"
    assert relation_of(at(30, 30), middle) is None
    assert relations_of(at(30, 64), middle) == {"left of", "next to"}
    assert relations_of(at(-10, 64), middle) == {"left of"}
    assert not stands([at(20, 70)], [middle], "above")
    assert not stands([], [middle], "above")


def test_boxes_come_from_the_noun_s_drawing() -> None:
    thing = Placed("circle", "red", "plain", "medium", 60, 50, 20)
    assert edges(thing) == (40, 30, 80, 70)
    flat = replace(thing, noun="table")
    left, top, right, bottom = edges(flat)
    assert right - left == pytest.approx(2 * flat.width)
    assert bottom - top == pytest.approx(2 * flat.height)


def test_every_class_is_of_the_vocabulary() -> None:
    assert set(CLASSES["paint"]) == set(PAINTS) >= set(COLOURS)
    assert CLASSES["place"] == ("plain", *PLACES)
    assert CLASSES["light"] == ("plain", *LIGHTS)
    assert CLASSES["style"] == ("plain", *STYLES)
    grid, settings = forward(judge_network.weights(), np.zeros((SIDE, SIDE, 3), np.float32))
    assert grid.shape == (SIDE // CELL, SIDE // CELL, sum(judge_network.CHANNELS.values()))
    assert settings.shape == (sum(len(CLASSES[name]) for name in ("place", "light", "style")),)


def test_a_mirrored_picture_is_read_mirrored() -> None:
    image = draw(("car", "red", 34, 50, 20), ("tree", "blue", 96, 84, 24), place="meadow").image
    one, other = look(image), look(np.ascontiguousarray(image[:, ::-1]))
    assert np.allclose(one.noun, other.noun[:, ::-1], atol=1e-3)
    assert np.allclose(one.x, SIDE - other.x[:, ::-1], atol=1e-2)
    assert np.allclose(one.radius, other.radius[:, ::-1], rtol=1e-3)
    assert np.allclose(one.cover, other.cover[:, ::-1], atol=1e-3)
    assert np.allclose(one.place, other.place, atol=1e-3)


def test_materials_are_read_on_what_is_made_of_them() -> None:
    (table,) = read(draw(("table", "wooden", 64, 80, 30)).image).objects
    assert table.colour == "wooden"
    (cat,) = read(draw(("cat", "wooden", 64, 70, 28)).image).objects
    assert (cat.noun, cat.colour in COLOURS or cat.colour is None) == ("cat", True)
