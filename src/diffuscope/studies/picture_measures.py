"""Measures of the finished picture alone: they need no recording, so a study of them keeps nothing on disk."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from diffuscope import scenes
from diffuscope.errors import InputError
from diffuscope.studies.measuring import Drawn, Quantity, Value, register

JUDGE = "the judge of the drawn world (docs/scenes.md)"


def _score(drawn: Drawn) -> scenes.Score:
    description = scenes.parse(drawn.prompt)
    if description is None:
        raise InputError(
            f"the judge of the drawn world cannot read the prompt {drawn.prompt!r}: it is "
            f"for prompts of the scenes model"
        )
    return scenes.score(scenes.read(drawn.image), description)


def _part(part: str) -> Callable[[Drawn, str | None, str | None], list[Value]]:
    def compute(drawn: Drawn, word: str | None, steps: str | None) -> list[Value]:
        right = getattr(_score(drawn), part)
        return [] if right is None else [Value(float(right))]  # None: the prompt does not name that part

    return compute


for _name, _said in (
    ("all", "every named part is right, and the number of things"),
    ("nouns", "every named noun is seen"),
    ("bound", "every named noun is seen, and in the colour that was named for it"),
    ("relation", "the two things stand to each other as was said"),
    ("place", "the place is the one that was named"),
):
    register(
        Quantity(
            name=f"judge_{_name}",
            title=f"the judge finds it right: {_name}",
            unit="1 right, 0 wrong",
            definition=f"The judge reads the picture back: 1 where {_said}, else 0. No value where the prompt does "
            "not name it.",
            source=JUDGE,
            scope="picture",
            compute=_part(_name),
            bounds=(0.0, 1.0),
        )
    )


def _brightness(drawn: Drawn, word: str | None, steps: str | None) -> list[Value]:
    red, green, blue = np.asarray(drawn.image.convert("RGB"), np.float64).reshape(-1, 3).mean(axis=0) / 255
    return [Value(float(0.299 * red + 0.587 * green + 0.114 * blue))]


register(
    Quantity(
        name="brightness",
        title="brightness",
        unit="0 black to 1 white",
        definition="Mean luma of the finished picture: 0.299 R + 0.587 G + 0.114 B.",
        source="ITU-R BT.601",
        scope="picture",
        compute=_brightness,
        bounds=(0.0, 1.0),
    )
)
