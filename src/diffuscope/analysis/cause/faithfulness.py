"""Faithfulness: does the picture change where a word's map is bright when the word is taken away?

A map says where the model looked for a word. Whether that is where the word does its work is another question, and
the answer comes from edits: silence the word's tokens, leave the word out of the prompt, silence it patch by patch.
What is drawn is drawn by `engine.cause`; here is what is made of it, and how it is kept in the run's cache.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.analysis.cause.chance import shift_test
from diffuscope.analysis.comparing import correlation, resized, sf_iou
from diffuscope.errors import InputError, NotKeptError
from diffuscope.maps.cache import RunCache

if TYPE_CHECKING:
    from diffuscope.recording import Recording

Floats = NDArray[np.float64]

CACHE_NAME = "faithfulness"
NOTICED = 2.3
"""CIE76 delta-E that is just noticed."""
LEAST_CHANGE = 0.01
"""Share of pixels that must change noticeably before there is anything that a map could have pointed at."""
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Trial:
    """One edit of the word, and how the word's map goes with what it changed.

    Attributes:
        edit: what was done, one line of English.
        change: mean CIE76 delta-E of the picture to the unedited one.
        noticed: share of pixels whose delta-E is above 2.3.
        iou: SF-IoU, of (map > its 75th percentile) with (change > its own), on the map's grid.
        chance: IoU of two independent masks of these sizes.
        shifted: share of all moved places of the map whose IoU is no smaller (`chance.shift_test`).
        correlation: Pearson's, of map and change over patches; None where either does not vary.
        random_word, random_iou: another word of the prompt drawn at random, and its map's IoU; None where there is
            none.
    """

    edit: str
    change: float
    noticed: float
    iou: float
    chance: float
    shifted: float
    correlation: float | None
    random_word: str | None
    random_iou: float | None


@dataclass(frozen=True)
class DeletionCurve:
    """What silencing a word in ever more patches does to the picture. (Deletion metric; Petsiuk et al. 2018, section 4,
    with the picture's change in place of a class score, so that higher is better.)

    Attributes:
        shares: of patches silenced, ascending from 0 to 1.
        ordered: ``[share]`` mean delta-E, patches in the order of the map, brightest first.
        random: ``[order, share]`` the same in random orders.
    """

    shares: tuple[float, ...]
    ordered: tuple[float, ...]
    random: tuple[tuple[float, ...], ...]

    @property
    def area(self) -> float:
        """Area between the map's curve and the mean of the random ones, as a share of the change that silencing
        everywhere makes: above 0 the map finds the patches that count. 0 where silencing changes nothing."""
        return self._area(self.ordered, self.random)

    @property
    def random_areas(self) -> tuple[float, ...]:
        """The same of each random order against the mean of the others: what chance gives."""
        orders = self.random
        if len(orders) < 2:
            return ()
        return tuple(self._area(each, [*orders[:at], *orders[at + 1 :]]) for at, each in enumerate(orders))

    def _area(self, one: Sequence[float], others: Sequence[Sequence[float]]) -> float:
        whole = self.ordered[-1]
        if not whole or not others:
            return 0.0
        above = np.asarray(one) - np.mean(np.asarray(others), axis=0)
        return float(((above[1:] + above[:-1]) / 2 * np.diff(self.shares)).sum() / whole)


@dataclass(frozen=True)
class Faithfulness:
    """A word's map put to the test.

    Attributes:
        word: its label.
        grid: height and width of its map, in patches.
        silence: its tokens' probability set to 0, everywhere and at all steps.
        reprompt: the prompt without it.
        control: a random change with the norm of `silence`, at each step and site.
        curve: silenced patch by patch.
        seed: of the control, the random word and the random orders.
    """

    word: str
    grid: tuple[int, int]
    silence: Trial
    reprompt: Trial
    control: Trial
    curve: DeletionCurve
    seed: int = 0

    @property
    def verdict(self) -> str:
        """``supported``: silencing acts where the map is bright, by the overlap (better than 95% of its moved places)
        and by the curve (better than every random order); ``in part``: by one of the two; ``not supported``: by
        neither; ``no effect``: silencing changes less than 1% of the pixels noticeably."""
        if self.silence.noticed < LEAST_CHANGE:
            return "no effect"
        areas = self.curve.random_areas
        passed = (self.silence.shifted <= SIGNIFICANT) + (self.curve.area > max(areas, default=0.0))
        return ("not supported", "in part", "supported")[passed]

    def sentence(self) -> str:
        """The result in words, chance beside every number."""
        one, two = self.silence, self.reprompt
        parts = [
            f"Silencing {self.word} changes {one.noticed:.0%} of the picture noticeably",
            f"(a random change of equal norm: {self.control.noticed:.0%}).",
            f"Map and change overlap by {one.iou:.2f} (chance {one.chance:.2f}"
            + (
                ""
                if one.random_iou is None
                else f"; the map of a random word, {one.random_word}: {one.random_iou:.2f}"
            )
            + ");",
            f"without the word in the prompt by {two.iou:.2f} (chance {two.chance:.2f}).",
            f"Deletion in the map's order: area {self.curve.area:+.2f} over random order"
            + (
                ""
                if not self.curve.random_areas
                else f" (random orders: up to {max(self.curve.random_areas):+.2f})"
            )
            + ".",
        ]
        return " ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            **asdict(self),
            "grid": list(self.grid),
            "area": self.curve.area,
            "random_areas": list(self.curve.random_areas),
            "verdict": self.verdict,
        }

    @classmethod
    def of_json(cls, given: dict[str, Any]) -> Faithfulness:
        """What `to_json` made these values of."""
        curve = given["curve"]
        return cls(
            word=given["word"],
            grid=(int(given["grid"][0]), int(given["grid"][1])),
            silence=Trial(**given["silence"]),
            reprompt=Trial(**given["reprompt"]),
            control=Trial(**given["control"]),
            curve=DeletionCurve(
                tuple(curve["shares"]),
                tuple(curve["ordered"]),
                tuple(tuple(each) for each in curve["random"]),
            ),
            seed=int(given["seed"]),
        )


def trial(edit: str, found: Floats, change: Floats, other: tuple[str, Floats] | None = None) -> Trial:
    """What an edit's change says of a map.

    Args:
        edit: what was done.
        found: the word's map ``[y, x]``.
        change: delta-E ``[y, x]`` of the picture, in pixels.
        other: label and map of a random word.
    """
    change = change.astype(np.float64)
    iou, chance = sf_iou(found, change)
    return Trial(
        edit=edit,
        change=float(change.mean()),
        noticed=float((change > NOTICED).mean()),
        iou=iou,
        chance=chance,
        shifted=shift_test(found, change),
        correlation=correlation(found, resized(change, found.shape)),
        random_word=None if other is None else other[0],
        random_iou=None if other is None else sf_iou(other[1], change)[0],
    )


def deletion_masks(
    found: Floats, shares: Sequence[float], order: NDArray[np.intp]
) -> list[NDArray[np.bool_]]:
    """For each share, the mask ``[y, x]`` of the first patches of an order; at least one patch.

    Raises:
        InputError: a share that is not between 0 and 1.
    """
    if any(not 0 < share < 1 for share in shares):
        raise InputError(f"shares of patches lie between 0 and 1, ends left out; got {list(shares)}")
    masks = []
    for share in shares:
        mask = np.zeros(found.size, bool)
        mask[order[: max(1, round(share * found.size))]] = True
        masks.append(mask.reshape(found.shape))
    return masks


def map_order(found: Floats) -> NDArray[np.intp]:
    """Patches of a map, the brightest first; equal ones in reading order."""
    return np.argsort(-found.ravel(), kind="stable")


def keep(recording: Recording, found: Faithfulness) -> None:
    """Put a result into the run's cache, where `kept` and the report find it."""
    said = np.frombuffer(json.dumps(found.to_json(), sort_keys=True).encode(), np.uint8)
    RunCache(recording).write(CACHE_NAME, {"word": found.word}, {"json": said})


def kept(recording: Recording, word: str) -> Faithfulness:
    """The result that was made for a word last.

    Raises:
        NotKeptError: none was made of this recording.
    """
    entry = RunCache(recording).read(CACHE_NAME, {"word": word})
    if entry is None:
        raise NotKeptError(
            f"the map of {word!r} was not put to the test in this run yet; lens.faithfulness(run, {word!r}) or "
            f"`diffuscope faithfulness RUN --word {word}` does it"
        )
    return Faithfulness.of_json(json.loads(entry["json"].tobytes().decode()))


def all_kept(recording: Recording) -> dict[str, Faithfulness]:
    """Every result that the run's cache holds, by word."""
    found = {}
    for key, tensors in RunCache(recording).entries(CACHE_NAME):
        found[key["word"]] = Faithfulness.of_json(json.loads(tensors["json"].tobytes().decode()))
    return found
