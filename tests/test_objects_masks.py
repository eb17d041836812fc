"""Masks from maps, stage by stage, against computations made here; polygons and run lengths."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from diffuscope.analysis.objects.chain import CHAINS, PRESETS, Chain
from diffuscope.analysis.objects.masks import (
    above,
    assigned,
    box_of,
    components,
    exclusive,
    instances,
    merged,
    otsu,
    scaled,
    split,
)
from diffuscope.datasets.polygons import outlines
from diffuscope.datasets.records import Annotation, decode, encode
from diffuscope.errors import InputError
from diffuscope.studies.map_accuracy.samples import _from_rle

RNG = np.random.default_rng(0)


def disc(size: tuple[int, int], y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[: size[0], : size[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def ragged(seed: int, size: tuple[int, int] = (24, 31)) -> np.ndarray:
    """A mask with holes, specks and pixels that touch at corners."""
    return np.random.default_rng(seed).random(size) > 0.45


def flooded(mask: np.ndarray) -> list[frozenset[tuple[int, int]]]:
    """Components by flooding, neighbours at corners included."""
    left, found = set(zip(*map(np.ndarray.tolist, np.nonzero(mask)), strict=True)), []
    while left:
        front, part = [left.pop()], set()
        while front:
            y, x = front.pop()
            part.add((y, x))
            for dy, dx in product((-1, 0, 1), repeat=2):
                if (y + dy, x + dx) in left:
                    left.remove((y + dy, x + dx))
                    front.append((y + dy, x + dx))
        found.append(frozenset(part))
    return found


def test_otsu_makes_the_variance_between_the_sides_largest() -> None:
    plane = scaled(np.concatenate([RNG.normal(0.2, 0.05, 900), RNG.normal(0.7, 0.1, 300)]).reshape(30, 40))
    binned = (np.floor(plane * 256).clip(0, 255) + 0.5) / 256

    def spread(cut: float) -> float:
        low, high = binned[binned <= cut], binned[binned > cut]
        if not len(low) or not len(high):
            return -1.0
        return len(low) * len(high) * (low.mean() - high.mean()) ** 2

    best = max(spread(edge / 256) for edge in range(1, 256))
    assert spread(otsu(plane)) == pytest.approx(best)
    assert 0.3 < otsu(plane) < 0.6


def test_thresholds() -> None:
    plane = scaled(np.arange(20.0).reshape(4, 5))
    mask, cut = above(plane, 0.5)
    assert cut == 0.5 and mask.sum() == 10
    assert not above(np.zeros((4, 5)), "otsu")[0].any()
    bump = scaled(np.exp(-(((np.mgrid[:40, :40] - 20) / 5.0) ** 2).sum(axis=0)))
    near, _ = above(bump, "adaptive")
    assert near[20, 20] and not near[0, 0] and near.sum() < 400
    assert not scaled(np.full((3, 3), 7.0)).any()


@pytest.mark.parametrize("seed", range(4))
def test_components_are_those_of_a_flood_less_the_specks(seed: int) -> None:
    mask = ragged(seed) & ragged(seed + 9)
    parts = flooded(mask)
    largest = max(map(len, parts))
    for specks in (0.0, 0.2, 0.5):
        found = components(mask, specks)
        assert sorted(each.sum() for each in found) == sorted(
            len(p) for p in parts if len(p) >= specks * largest
        )
        assert all(one.sum() >= other.sum() for one, other in pairwise(found))
    assert components(np.zeros((3, 3), bool), 0.1) == []


def test_holes_are_kept_unless_they_are_to_be_filled() -> None:
    ring = disc((40, 40), 20, 20, 15) & ~disc((40, 40), 20, 20, 6)
    assert not components(ring, 0)[0][20, 20] and components(ring, 0, filled=True)[0][20, 20]


def test_fragments_whose_boxes_overlap_are_one() -> None:
    mask = np.zeros((20, 40), bool)
    mask[2:12, 2:4] = mask[2:12, 14:16] = True  # two posts
    mask[5:8, 7:11] = True  # between them, in no box of theirs
    mask[2:4, 20:38] = True
    parts = components(mask, 0)
    assert len(parts) == 4 and len(merged(parts, 0.5)) == 4
    inside = [disc((40, 40), 20, 20, 15) & ~disc((40, 40), 20, 20, 9), disc((40, 40), 20, 20, 4)]
    assert len(merged(inside, 0.5)) == 1 and len(merged(inside, 0.0)) == 2
    assert box_of(mask) == (2, 2, 36, 10)


def test_two_discs_that_touch_are_cut_at_their_neck() -> None:
    one, other = disc((40, 70), 20, 20, 12), disc((40, 70), 20, 43, 12)
    found = split(one | other, 2)
    assert (
        len(found) == 2 and not (found[0] & found[1]).any() and ((found[0] | found[1]) == (one | other)).all()
    )
    centres = sorted(float(np.nonzero(each)[1].mean()) for each in found)
    assert centres == pytest.approx([20, 43], abs=1.5)
    assert len(split(np.eye(2, dtype=bool), 5)) == 2 and split(np.zeros((2, 2), bool), 3) == []


def test_as_many_instances_as_the_prompt_says() -> None:
    parts = [disc((60, 60), 15, 15, 9), disc((60, 60), 45, 45, 7), disc((60, 60), 15, 45, 4)]
    plane = np.where(parts[2], 9.0, 1.0)  # the smallest holds most of the map
    assert len(instances(parts, plane, None)) == 3
    kept = instances(parts, plane, 2)
    assert len(kept) == 2 and any((each == parts[2]).all() for each in kept)
    assert len(instances(parts[:1], plane, 3)) == 3
    assert instances([], plane, 2) == []


def test_instances_go_to_the_phrase_whose_map_they_hold() -> None:
    left, right = disc((30, 60), 15, 15, 8), disc((30, 60), 15, 45, 8)
    first, second = np.where(right, 1.0, 0.1), np.where(left, 1.0, 0.2)
    assert [each.phrase for each in assigned([left, right], [first, second], [1, 1])] == [1, 0]
    # One phrase of two: both places are its own.
    assert [each.phrase for each in assigned([left, right], [first, np.zeros_like(first)], [2, 0])] == [0, 0]


def test_overlaps() -> None:
    wide, small = np.ones((10, 10), bool), np.zeros((10, 10), bool)
    small[3:6, 3:6] = True
    planes = [np.full((10, 10), 0.9), np.where(small, 0.8, 0.0)]
    both = exclusive([wide, small], planes, "argmax")
    assert not (both[0] & both[1]).any() and (both[1] == small).all()  # the concentrated map marks it more
    assert (exclusive([wide, small], planes, "smaller")[1] == small).all()
    assert (exclusive([wide, small], planes, "keep")[0] == wide).all()


@pytest.mark.parametrize("seed", range(6))
def test_outlines_filled_by_pycocotools_are_the_mask_and_its_holes(seed: int) -> None:
    mask = ragged(seed)
    flat = [[float(value) for value in outline] for outline in outlines(mask)]
    filled = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(flat, *mask.shape))).astype(bool)
    outside = flooded_outside(mask)
    assert (filled == ~outside).all()


def flooded_outside(mask: np.ndarray) -> np.ndarray:
    """Pixels that the border reaches without crossing the mask, corners included: what lies in no outline."""
    free = np.pad(~mask, 1, constant_values=True)
    parts = flooded(free)
    outer = next(part for part in parts if (0, 0) in part)
    found = np.zeros(free.shape, bool)
    for y, x in outer:
        found[y, x] = True
    return found[1:-1, 1:-1]


@pytest.mark.parametrize("seed", range(3))
def test_run_lengths_come_back_and_are_read_by_others(seed: int) -> None:
    mask = ragged(seed)
    coded = encode(mask)
    assert (decode(coded) == mask).all() and (_from_rle(coded) == mask).all()
    note = Annotation.of("thing", mask, 0.5)
    assert note.area == mask.sum() and list(note.box) == list(coco_mask.toBbox(coded)) == list(box_of(mask))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"threshold": "ots"}, "it is 'otsu', 'adaptive', or a share"),
        ({"threshold": 1.5}, "out of range"),
        ({"map": "words"}, "phrase, word, daam"),
        ({"specks": 2}, "from 0 to 1"),
        ({"overlap": "none"}, "argmax, smaller, keep"),
        ({"treshold": 0.4}, "no option 'treshold'; its options: threshold"),
    ],
)
def test_a_wrong_option_of_a_chain_is_refused(options: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Chain.of(None, **options)
    with pytest.raises(InputError, match="there is no chain 'titn'; there are: titan"):
        Chain.of("titn")


def test_chains_are_values() -> None:
    chain = Chain.of("titan", threshold="0.3")
    assert chain.threshold == 0.3 and Chain.of(chain.plain()) == chain and "map=daam" in str(chain)
    assert str(CHAINS["default"]) == "default"
    auto = Chain.of(None, overlap="keep")
    assert auto.resolved("scenes") == Chain.of(PRESETS["scenes"], overlap="keep")
    assert auto.resolved("another/model") == Chain.of("default", overlap="keep")
    assert CHAINS["titan"].resolved("scenes") == CHAINS["titan"]
