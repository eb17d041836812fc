"""The words of the drawn world.

Everything that the grammar can say and the renderer can draw is listed here once: nouns with what can be said of them,
colours and materials, patterns, sizes, places, lights, styles and relations. How a noun looks is in `shapes`, how a
place looks in `backdrops`, a light or a style in `styles`.
"""

from __future__ import annotations

FORMS: tuple[str, ...] = ("circle", "square", "triangle", "heart", "cross", "ring")
"""Plain shapes."""

SKY: tuple[str, ...] = ("sun", "moon", "star")
BUILT: tuple[str, ...] = ("house", "building", "tree", "flower", "car", "boat")
EQUINES: tuple[str, ...] = ("horse", "unicorn", "pegasus")
"""The same drawing but for horn and wings, so that single features can be found and moved."""

ANIMALS: tuple[str, ...] = ("cat", "dog", "bird", "fish", *EQUINES)
STILL_LIFE: tuple[str, ...] = ("apple", "pear", "bowl", "pitcher", "table", "cloth")

NOUNS: tuple[str, ...] = (*FORMS, *SKY, *BUILT, *ANIMALS, *STILL_LIFE)

PLURALS: dict[str, str] = {
    "building": "buildings",
    "house": "houses",
    "tree": "trees",
    "flower": "flowers",
    "apple": "apples",
    "pear": "pears",
    "star": "stars",
    "bird": "birds",
    "fish": "fishes",
}
"""Nouns that may stand in the plural: two of them are drawn, side by side."""

RGB = tuple[int, int, int]

COLOURS: dict[str, RGB] = {
    "red": (214, 36, 40),
    "orange": (246, 132, 20),
    "yellow": (250, 216, 24),
    "green": (26, 130, 56),
    "blue": (36, 76, 220),
    "purple": (128, 46, 168),
    "pink": (246, 130, 184),
    "brown": (122, 74, 38),
    "black": (30, 30, 34),
    "white": (252, 252, 252),
}

MATERIALS: dict[str, RGB] = {"wooden": (186, 132, 76), "brass": (190, 148, 44)}
"""Materials stand where a colour stands in a caption, and only with the nouns of `MADE_OF`."""

MADE_OF: dict[str, tuple[str, ...]] = {
    "wooden": ("table", "bowl", "boat"),
    "brass": ("pitcher", "bowl", "ring"),
}

PAINTS: dict[str, RGB] = {**COLOURS, **MATERIALS}
"""Everything that can stand in a thing's place for a colour."""

PATTERNS: tuple[str, ...] = ("striped", "dotted")
"""Patterns that a caption names. A thing without one is plain."""

PATTERNED: tuple[str, ...] = (
    *FORMS,
    "house",
    "car",
    "boat",
    "fish",
    "bowl",
    "pitcher",
    "cloth",
    "cat",
    "dog",
    "bird",
)
"""Nouns that can be striped or dotted."""

PLAIN = "plain"
"""The name of what is not said: a plain pattern, plain light, plain style, plain paper for a place."""

SIZE_WORDS: tuple[str, ...] = ("small", "big")
"""Sizes that a caption names. A thing without a size word is of medium size."""

SIZES: dict[int, dict[str, tuple[float, float]]] = {
    # Half of a thing's longer side in pixels of a 128-pixel picture, lowest and highest, by the number of things that
    # are drawn (3: or more). The ranges of one number do not touch, so that a size can be read back from the picture.
    1: {"small": (15.0, 18.0), "medium": (24.0, 29.0), "big": (37.0, 44.0)},
    2: {"small": (12.0, 14.0), "medium": (18.5, 21.5), "big": (26.0, 29.0)},
    3: {"small": (10.5, 12.0), "medium": (15.5, 18.0), "big": (22.0, 24.0)},
}

PLACES: dict[str, str] = {
    "sky": "in the sky",
    "desert": "in the desert",
    "sea": "in the sea",
    "snow": "in the snow",
    "meadow": "in a meadow",
    "street": "on a street",
    "living room": "in a living room",
}
"""Place and the words that name it. A caption without a place is drawn on plain paper (`PLAIN`)."""

LIGHTS: dict[str, str] = {"morning": "in morning light", "night": "at night"}

STYLES: dict[str, tuple[str, str]] = {
    # Style, the words after the things, and the opening that says the same before them.
    "watercolor": ("in a watercolor painting", "a watercolor painting of"),
    "neon": ("as a neon sign", "a neon sign of"),
    "pencil": ("as a pencil sketch", "a pencil sketch of"),
}

DETAILS: dict[str, tuple[str, ...]] = {
    # Parts with masks of their own, and the nouns that have them.
    "door": ("house", "building"),
    "window": ("house", "building", "car"),
    "horn": ("unicorn",),
    "wings": ("pegasus",),
    "leaf": ("apple", "pear", "flower"),
}

RELATIONS: dict[str, tuple[str, ...]] = {
    # Relation and the phrasings that express it, between the first thing named (or the first two) and the last.
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "above": ("above",),
    "below": ("below",),
    "on": ("on",),
    "in": ("in",),
    "under": ("under",),
    "next to": ("next to", "beside"),
    "and": ("and",),
}

SUPPORTS: dict[str, tuple[str, ...]] = {
    # What something can be on, in or under. The rest of the relations hold between any two things.
    "on": ("table", "boat", "car"),
    "in": ("bowl", "boat", "pitcher"),
    "under": ("cloth", "table"),
}

HELD: dict[str, tuple[str, ...]] = {
    # What can stand on each of them, lie in it or be under it.
    "table": ("apple", "pear", "bowl", "pitcher", "cat", "dog", "bird", "flower", *FORMS),
    "car": ("cat", "dog", "bird", "star", "heart"),
    "boat": ("cat", "dog", "bird", "apple", "pear", "tree", "house"),
    "bowl": ("apple", "pear", "fish", "flower", "circle", "heart", "star"),
    "pitcher": ("flower", "star", "heart"),
    "cloth": ("apple", "pear", "bowl", "pitcher", "car", "circle", "square", "heart"),
}

NATURAL: dict[str, tuple[str, ...]] = {
    # What a thing looks like when its caption names no colour; nouns that are not listed take any colour.
    "sun": ("yellow", "orange"),
    "moon": ("yellow", "white"),
    "star": ("yellow", "white"),
    "house": ("red", "white", "brown"),
    "building": ("blue", "brown", "white"),
    "tree": ("green",),
    "flower": ("red", "pink", "yellow"),
    "car": ("red", "blue", "yellow"),
    "boat": ("wooden", "white", "red"),
    "cat": ("orange", "black", "white"),
    "dog": ("brown", "white", "black"),
    "bird": ("blue", "yellow", "red"),
    "fish": ("orange", "blue"),
    **dict.fromkeys(EQUINES, ("white", "brown", "black")),
    "apple": ("red", "green"),
    "pear": ("yellow", "green"),
    "bowl": ("blue", "white", "wooden"),
    "pitcher": ("brass", "white", "blue"),
    "table": ("wooden", "brown"),
    "cloth": ("white", "red", "blue"),
}

OPENINGS: tuple[str, ...] = ("", "", "", "", "a picture of ", "a drawing of ", "there is ")
STILL_LIFE_OPENING = "a still life of "
"""Opens captions whose things are all of `STILL_LIFE`."""

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
    "as",
    "with",
    "is",
    "there",
    "picture",
    "drawing",
    "still",
    "life",
    "under",
    "next",
    "beside",
    *DETAILS,
    ",",
    ".",
)


def known_words() -> tuple[str, ...]:
    """Every word that a caption of the drawn world can contain, each once, in a fixed order."""
    words: dict[str, None] = {}
    phrases = [
        *FUNCTION_WORDS,
        *NOUNS,
        *PLURALS.values(),
        *PAINTS,
        *PATTERNS,
        *SIZE_WORDS,
        *PLACES.values(),
        *PLACES,
    ]
    phrases += [*LIGHTS.values(), *(phrase for pair in STYLES.values() for phrase in pair)]
    phrases += [phrase for phrasings in RELATIONS.values() for phrase in phrasings]
    for phrase in phrases:
        for word in phrase.split():
            words.setdefault(word)
    return tuple(words)
