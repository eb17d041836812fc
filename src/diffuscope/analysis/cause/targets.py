"""Where on the picture an effect is looked for: a given region, or the thing that a word of the drawn world names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope import scenes
from diffuscope.analysis.comparing import PERCENTILE
from diffuscope.analysis.timeline.judges import LITTLE
from diffuscope.errors import SizeError
from diffuscope.scenes.vocabulary import PLACES, PLURALS

Mask = NDArray[np.bool_]
How = Literal["judge", "given", "change"]


@dataclass(frozen=True, eq=False)
class Target:
    """A part of one picture: bool ``[y, x]`` in pixels, and how it was found."""

    mask: Mask
    how: How


def named_in_scene(image: Image.Image, prompt: str, words: str) -> Mask | None:
    """The pixels of what some words of a prompt of the drawn world name, as the judge sees them; empty where it does
    not see it. None where the judge cannot know: another world's prompt or picture, or words that name nothing there.

    A noun, or an attribute of it, names its thing (a phrase, the thing that all of its words fit); words of the place
    name what no thing covers.
    """
    description = scenes.parse(prompt)
    if description is None:
        return None
    asked = {word for word in words.lower().replace("#", " ").replace("+", " ").split() if not word.isdigit()}
    try:
        reading = scenes.read(image)
    except SizeError:
        return None
    fitting = [
        at
        for at, thing in enumerate(description.things)
        if asked & _words(thing) and asked <= {*_words(thing), "a", "an", "the"}
    ]
    if fitting:
        score = scenes.score(reading, description)
        found = [score.shown(reading, at) for at in fitting]
        empty = np.zeros((scenes.SIDE, scenes.SIDE), bool)
        if not all(found):
            return empty
        return np.asarray(np.logical_or.reduce([empty, *(each.mask for group in found for each in group)]))
    if description.place is not None and asked & (set(PLACES[description.place].split()) - LITTLE):
        things = [each.mask for each in reading.objects]
        return np.asarray(~np.logical_or.reduce([np.zeros((scenes.SIDE, scenes.SIDE), bool), *things]))
    return None


def _words(thing: scenes.Thing) -> set[str]:
    """Words of a caption that name a thing."""
    noun = PLURALS[thing.noun] if thing.plural else thing.noun
    return {word for word in (noun, thing.colour, thing.size, thing.pattern) if word}


def where_changed(change: NDArray[np.floating]) -> Mask:
    """The quarter of a picture that changed most; empty where nothing did."""
    return np.asarray(change > np.percentile(change, PERCENTILE))


def inside_and_outside(change: NDArray[np.floating], mask: Mask) -> tuple[float, float]:
    """Mean of a change ``[y, x]`` inside a mask and outside; 0 of no pixels."""
    return tuple(float(change[part].mean()) if part.any() else 0.0 for part in (mask, ~mask))  # type: ignore[return-value]
