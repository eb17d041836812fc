"""The page of the drawn world lists exactly the words that there are."""

from __future__ import annotations

import re
from pathlib import Path

from diffuscope.scenes.split import UNSEEN_PAIRS, unseen_pair
from diffuscope.scenes.vocabulary import (
    ANIMALS,
    BUILT,
    COLOURS,
    DETAILS,
    FORMS,
    LIGHTS,
    MADE_OF,
    NOUNS,
    PATTERNS,
    PLACES,
    PLURALS,
    RELATIONS,
    SIZE_WORDS,
    SKY,
    STILL_LIFE,
    STYLES,
)

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "scenes.md").read_text(encoding="utf-8")


def test_the_table_of_words_is_the_vocabulary() -> None:
    _, words = PAGE.split("## Words\n")
    table, *_ = words.split("![Every noun]")
    rows = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", table, flags=re.MULTILINE))
    expected = {
        "what": ("words",),
        "forms": FORMS,
        "in the sky": SKY,
        "built and grown": BUILT,
        "animals": ANIMALS,
        "still life": STILL_LIFE,
        "plurals (two are drawn)": tuple(PLURALS.values()),
        "colours": tuple(COLOURS),
        "materials": tuple(f"{name} ({', '.join(nouns)})" for name, nouns in MADE_OF.items()),
        "patterns": PATTERNS,
        "sizes": SIZE_WORDS,
        "places": tuple(PLACES.values()),
        "light": tuple(LIGHTS.values()),
        "styles": tuple(phrase for phrase, _ in STYLES.values()),
        "relations": tuple(phrase for phrasings in RELATIONS.values() for phrase in phrasings),
        "details with masks": tuple(DETAILS),
    }
    assert rows == {name: ", ".join(each) for name, each in expected.items()}
    assert (*FORMS, *SKY, *BUILT, *ANIMALS, *STILL_LIFE) == NOUNS


def test_what_the_page_says_is_held_out_is() -> None:
    assert f"{len(UNSEEN_PAIRS)} of {len(COLOURS) * len(NOUNS)} pairs" in PAGE
    named = re.search(r"never seen together, in any picture: (.+?) \|", PAGE)
    assert named is not None
    for pair in re.findall(r"\*(\w+) (\w+)\*", named[1]):
        assert unseen_pair(*pair), pair
