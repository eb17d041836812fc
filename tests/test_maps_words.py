"""Finding words: whole labels, any case, repeated words, phrases, special tokens."""

from __future__ import annotations

import pytest
from synthetic_run import text_info

from diffuscope.errors import SelectionError, UnknownWordError
from diffuscope.maps.words import find, find_phrase, find_token, find_word
from diffuscope.recording import TextInfo

# start a red circle left of a blue zep pelin , and a circle end padding
#   0   1  2    3     4   5  6  7    8    9   10 11 12  13   14   15...
TEXT = TextInfo(**text_info("A red Circle left of a blue zeppelin, and a circle"))
CATEGORY = TextInfo(**text_info("a category with a red ring and a red category"))


@pytest.mark.parametrize(
    ("asked", "label", "tokens"),
    [
        ("circle", "circle", (3,)),
        ("CIRCLE", "circle", (3,)),
        (" circle ", "circle", (3,)),
        ("circle#1", "circle", (3,)),
        ("circle#2", "circle#2", (13,)),
        ("Circle#2", "circle#2", (13,)),
        ("a#3", "a#3", (12,)),
        ("zeppelin", "zeppelin", (8, 9)),
        ("<start>", "<start>", (0,)),
        ("<END>", "<end>", (14,)),
        ("<padding>", "<padding>", (15, 16, 17, 18, 19)),
        ("<token 9>", "<token 9>", (9,)),
    ],
)
def test_words_are_found_by_their_label(asked, label, tokens):
    for term in (find_word(TEXT, asked), find(TEXT, asked)):
        assert (term.label, term.tokens) == (label, tokens)
        assert find(TEXT, term.label) == term


@pytest.mark.parametrize(
    "asked", ["circ", "ircle", "circles", "zep", "circle#3", "circle#0", "circle#", "#2", "", ",", "<x>"]
)
def test_parts_of_words_and_missing_words_are_refused(asked):
    with pytest.raises(UnknownWordError):
        find_word(TEXT, asked)


@pytest.mark.parametrize("asked", ["cat", "in", "go"])
def test_a_word_inside_another_is_not_found(asked):
    with pytest.raises(UnknownWordError):
        find(CATEGORY, asked)


def test_the_error_lists_the_words_there_are():
    with pytest.raises(UnknownWordError) as caught:
        find_word(TEXT, "sircle")
    assert "circle" in str(caught.value) and "zeppelin" in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "label", "groups"),
    [
        ("red circle", "red Circle", ((2,), (3,))),
        ("RED circle", "red Circle", ((2,), (3,))),
        ("blue zeppelin", "blue zeppelin", ((7,), (8, 9))),
        ("a circle", "a#3 circle#2", ((12,), (13,))),
        ("a circle#2", "a#3 circle#2", ((12,), (13,))),
        ("a red", "A red", ((1,), (2,))),
        ("big + red", None, None),
        ("red + circle#2", "red + circle#2", ((2,), (13,))),
        (["red", "circle#2"], "red + circle#2", ((2,), (13,))),
        (["red", "RED"], "red", ((2,),)),
        (["zeppelin"], "zeppelin", ((8, 9),)),
        ("circle", "Circle", ((3,),)),
    ],
)
def test_phrases(asked, label, groups):
    if label is None:
        with pytest.raises(UnknownWordError):
            find_phrase(TEXT, asked)
        return
    term = find_phrase(TEXT, asked)
    assert term.groups == groups
    assert find(TEXT, term.label).groups == groups, "the label leads back to the same words"


@pytest.mark.parametrize(
    "asked", ["red zeppelin", "circle red", "red left", "red circle right", "   ", "", []]
)
def test_words_that_do_not_stand_side_by_side_are_no_phrase(asked):
    with pytest.raises(UnknownWordError):
        find_phrase(TEXT, asked)


def test_a_repeated_adjective_belongs_to_the_phrase_it_stands_in():
    assert find(CATEGORY, "red category").groups == ((9,), (10,))
    assert find(CATEGORY, "red ring").groups == ((5,), (6,))


def test_reduce_weighs_the_sub_tokens_of_a_word_and_sums_the_words():
    term = find_phrase(TEXT, "blue zeppelin")
    assert term.weights("sum") == {7: 1.0, 8: 1.0, 9: 1.0}
    assert term.weights("mean") == {7: 1.0, 8: 0.5, 9: 0.5}
    with pytest.raises(SelectionError, match="max"):
        term.weights("max")


def test_a_prompt_without_padding_has_none():
    full = text_info()
    full["tokens"] = [token for token in full["tokens"] if token.kind != "padding"]
    with pytest.raises(UnknownWordError):
        find_word(TextInfo(**full), "<padding>")


@pytest.mark.parametrize("index", [-1, 20, 999])
def test_a_token_outside_the_prompt_is_refused(index):
    with pytest.raises(SelectionError, match="0 to 19"):
        find_token(TEXT, index)
