"""The words of the drawn world and what each of them looks like.

Everything that the grammar can say and the renderer can draw is listed here once: nouns, colours, sizes, places
and relations. Colours are sRGB triples (0 to 255), chosen so that any two stay at least 20 CIE76 units apart, and
so does any colour from any place, but for white: it is 8 to 16 units from the plain, snowy and sky backdrops.
"""

from __future__ import annotations

NOUNS: tuple[str, ...] = (
    "circle",
    "square",
    "triangle",
    "star",
    "heart",
    "cross",
    "ring",
    "moon",
    "house",
    "tree",
    "flower",
)

RGB = tuple[int, int, int]

COLOURS: dict[str, RGB] = {
    "red": (214, 36, 40),
    "orange": (246, 132, 20),
    "yellow": (250, 216, 24),
    "green": (26, 130, 56),
    "blue": (36, 76, 220),
    "purple": (128, 46, 168),
    "pink": (246, 130, 184),
    "white": (253, 253, 253),
}

SIZES: dict[str, tuple[float, float]] = {
    # Half the height of an object in pixels of a 128-pixel picture, lowest and highest. The ranges do not touch,
    # so that a size can be read back from the picture.
    "small": (12.5, 14.5),
    "medium": (18.0, 21.5),
    "big": (26.0, 31.0),
}
SIZE_WORDS: tuple[str, ...] = ("small", "big")
"""Sizes that a caption names. A thing without a size word is of medium size."""

PLAIN = "plain"
PLACES: dict[str, str] = {
    "sky": "in the sky",
    "desert": "in the desert",
    "sea": "in the sea",
    "snow": "in the snow",
    "meadow": "in a meadow",
    "night": "at night",
}
"""Place and the words that name it. A caption without a place is drawn on plain paper (`PLAIN`)."""

BACKDROPS: dict[str, tuple[RGB, RGB, RGB | None]] = {
    # Colour at the top, colour at the horizon or bottom, colour of the hill or wave in front (None: none).
    PLAIN: ((236, 232, 224), (226, 221, 212), None),
    "sky": ((120, 186, 240), (206, 232, 250), None),
    "desert": ((250, 228, 186), (240, 206, 150), (216, 164, 96)),
    "sea": ((118, 198, 204), (60, 150, 170), (24, 96, 128)),
    "snow": ((178, 196, 220), (206, 218, 234), (226, 233, 243)),
    "meadow": ((186, 222, 236), (206, 232, 206), (128, 190, 92)),
    "night": ((16, 18, 54), (46, 42, 98), (12, 14, 36)),
}

RELATIONS: dict[str, tuple[str, ...]] = {
    # Relation and the phrasings that express it, between the first thing named and the second.
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "above": ("above",),
    "below": ("below",),
    "and": ("and",),
}

OPENINGS: tuple[str, ...] = ("", "", "", "a picture of ", "a drawing of ", "there is ")

FUNCTION_WORDS: tuple[str, ...] = (
    "a",
    "an",
    "the",
    "of",
    "in",
    "at",
    "to",
    "and",
    "on",
    "with",
    "is",
    "there",
    "picture",
    "drawing",
    ",",
    ".",
)


def known_words() -> tuple[str, ...]:
    """Every word that a caption of the drawn world can contain, each once, in a fixed order."""
    words: dict[str, None] = {}
    phrases = [*FUNCTION_WORDS, *NOUNS, *COLOURS, *SIZE_WORDS, *PLACES.values(), *PLACES]
    phrases += [phrase for phrasings in RELATIONS.values() for phrase in phrasings]
    for phrase in phrases:
        for word in phrase.split():
            words.setdefault(word)
    return tuple(words)
