"""The standard held-out prompts, and words that the drawn world does not know.

The prompts come from the held-out side of the split, by a fixed seed, so that every evaluation asks the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from diffuscope.scenes.grammar import Description
from diffuscope.scenes.split import Reason, Split, sample_split
from diffuscope.scenes.vocabulary import (
    NOUNS,
    PAINTS,
    PATTERNS,
    PLACES,
    RELATIONS,
    SIZE_WORDS,
    known_words,
)

STANDARD_SEED = 20_240_601
PATIENCE = 1000
"""Draws in a row that bring nothing new, after which there are no more prompts of the kind asked for."""


@dataclass(frozen=True)
class Prompt:
    """A caption and what it means."""

    text: str
    description: Description


def standard_prompts(
    number: int = 200,
    *,
    split: Split = "held-out",
    count: int | None = None,
    reason: Reason | None = None,
    places: bool = False,
    seed: int = STANDARD_SEED,
) -> tuple[Prompt, ...]:
    """Distinct prompts, the same for the same arguments; the first k of a longer list are the shorter list.

    They are held out unless `split` says "train"; `reason` asks for those held out for that reason alone (see
    `split.reasons`); `places` for those that name a place. One, two and three things in turn, or `count` of them; two
    things stand in the relations in turn.
    Raises `ValueError` for a number below 0, a count other than 1, 2 or 3, or more prompts than there are.
    """
    if number < 0 or count not in (None, 1, 2, 3):
        raise ValueError(f"number must be at least 0 and count 1, 2, 3 or None, got {number} and {count}")
    rng = np.random.default_rng(seed)
    relations = list(RELATIONS)
    # Which relations are held out is chance: some may have none, and one thing alone stands in none.
    in_turn, counts = reason != "relation", (2, 3) if reason == "relation" else (1, 2, 3)
    prompts: dict[str, Prompt] = {}
    seen: set[Description] = set()
    pairs = misses = 0
    while len(prompts) < number:
        things = count or counts[len(prompts) % len(counts)]
        description = sample_split(rng, split, count=things, reason=reason)
        text = description.caption(rng)
        fresh = text not in prompts and description not in seen and not (places and description.place is None)
        if not fresh or (
            in_turn and things == 2 and description.relation != relations[pairs % len(relations)]
        ):
            misses += 1
            if misses > PATIENCE:
                raise ValueError(f"there are fewer than {number} {split} prompts of this kind")
            continue
        seen.add(description)
        prompts[text] = Prompt(text, description)
        pairs += things == 2
        misses = 0
    return tuple(prompts.values())


_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")

# What people write for the world's own words and spelling alone would not find.
_SYNONYMS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("ball", "disc", "disk", "dot", "sphere", "round", "oval"), ("circle",)),
    **dict.fromkeys(("box", "cube", "rectangle"), ("square",)),
    **dict.fromkeys(("pyramid", "cone", "wedge"), ("triangle",)),
    **dict.fromkeys(("plus",), ("cross",)),
    **dict.fromkeys(("donut", "doughnut", "hoop", "wheel", "torus"), ("ring",)),
    **dict.fromkeys(("crescent",), ("moon",)),
    **dict.fromkeys(("home", "hut", "cottage", "cabin", "barn"), ("house",)),
    **dict.fromkeys(("tower", "skyscraper", "office"), ("building",)),
    "block": ("square", "building"),
    **dict.fromkeys(("pine", "fir", "oak", "plant", "bush"), ("tree",)),
    **dict.fromkeys(("rose", "daisy", "tulip", "blossom"), ("flower",)),
    **dict.fromkeys(("automobile", "truck", "bus", "taxi", "van"), ("car",)),
    **dict.fromkeys(("ship", "sailboat", "yacht", "canoe"), ("boat",)),
    **dict.fromkeys(("kitten", "tiger", "lion"), ("cat",)),
    **dict.fromkeys(("puppy", "wolf", "hound"), ("dog",)),
    **dict.fromkeys(("pony", "foal", "mare", "donkey", "zebra"), ("horse",)),
    **dict.fromkeys(("sparrow", "eagle", "duck", "parrot"), ("bird",)),
    **dict.fromkeys(("jug", "vase", "jar", "kettle", "teapot"), ("pitcher",)),
    **dict.fromkeys(("plate", "dish", "cup", "basket"), ("bowl",)),
    **dict.fromkeys(("desk", "bench"), ("table",)),
    **dict.fromkeys(("blanket", "towel", "sheet", "tablecloth", "fabric"), ("cloth",)),
    **dict.fromkeys(("orange-coloured", "peach"), ("orange",)),
    **dict.fromkeys(("crimson", "scarlet", "ruby", "maroon"), ("red",)),
    **dict.fromkeys(("gold", "golden", "amber"), ("yellow", "brass")),
    **dict.fromkeys(("emerald", "lime", "olive"), ("green",)),
    **dict.fromkeys(("navy", "azure", "cyan", "teal", "turquoise"), ("blue",)),
    **dict.fromkeys(("violet", "lilac", "indigo"), ("purple",)),
    **dict.fromkeys(("magenta", "rose-coloured"), ("pink",)),
    **dict.fromkeys(("metal", "copper", "bronze", "metallic"), ("brass",)),
    **dict.fromkeys(("wood", "oaken"), ("wooden",)),
    **dict.fromkeys(("stripy", "stripes", "lined"), ("striped",)),
    **dict.fromkeys(("spotted", "polka", "dots", "speckled"), ("dotted",)),
    **dict.fromkeys(("little", "tiny", "mini", "short"), ("small",)),
    **dict.fromkeys(("large", "huge", "giant", "great", "tall", "enormous"), ("big",)),
    **dict.fromkeys(("ocean", "water", "beach", "lake"), ("sea",)),
    **dict.fromkeys(("grass", "field", "lawn", "garden", "park"), ("meadow",)),
    **dict.fromkeys(("sand", "dune", "dunes"), ("desert",)),
    **dict.fromkeys(("winter", "ice", "snowy"), ("snow",)),
    **dict.fromkeys(("road", "city", "town"), ("street",)),
    **dict.fromkeys(("house-room", "lounge", "parlour", "kitchen", "bedroom"), ("living", "room")),
    **dict.fromkeys(("dark", "evening", "midnight"), ("night",)),
    **dict.fromkeys(("sunrise", "dawn", "sunny"), ("morning", "light")),
    **dict.fromkeys(("clouds", "air"), ("sky",)),
    **dict.fromkeys(("over",), ("above",)),
    **dict.fromkeys(("beneath", "underneath"), ("under", "below")),
    **dict.fromkeys(("inside", "into"), ("in",)),
    **dict.fromkeys(("near", "by", "alongside"), ("beside",)),
    **dict.fromkeys(("aquarelle", "watercolour"), ("watercolor",)),
    **dict.fromkeys(("drawn", "crayon"), ("pencil",)),
}


def near_words(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """The words of `text` that the drawn world does not know, each once and in order, with known words near them.

    Near is a listed synonym, else up to three words of similar spelling; the tuple is empty where nothing is near.
    """
    known = known_words()
    telling = [
        *NOUNS,
        *PAINTS,
        *PATTERNS,
        *SIZE_WORDS,
        *PLACES,
        "left",
        "right",
        "above",
        "below",
        "under",
        "and",
    ]
    unknown: dict[str, tuple[str, ...]] = {}
    for word in _WORD.findall(text.lower()):
        if word in known or word in unknown:
            continue
        single = word.removesuffix("s")
        meant = _SYNONYMS.get(word) or _SYNONYMS.get(single)
        unknown[word] = meant or tuple(get_close_matches(single, telling, n=3, cutoff=0.65))
    return list(unknown.items())
