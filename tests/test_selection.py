"""Selection: one value, one text form, and nothing out of range that goes unsaid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffuscope.errors import SelectionError
from diffuscope.selection import Selection

SITES = ("cross:down.0.0", "self:down.0.0", "cross:mid", "self:mid", "cross:up.2.0", "cross:up.10.0")
SHA = "0123456789abcdef" * 4

# Text forms, all of them, with blanks and repetitions thrown in.
number = st.integers(0, 30)
interval = st.tuples(number, st.integers(1, 30)).map(lambda pair: f"{pair[0]}:{pair[0] + pair[1]}")
part = (
    number.map(str) | interval | number.map("{}:".format) | number.map(lambda n: f":{n + 1}") | st.just(" 3 ")
)
ranges = st.just("all") | st.lists(part, min_size=1, max_size=5).map(",".join)
pattern = st.text("crosfupmid:.*?[]0123456789", min_size=1, max_size=12)
sites = st.just("all") | st.lists(pattern, min_size=1, max_size=4).map(",".join)
words = st.none() | st.text(min_size=1).filter(str.strip)
boxes = st.tuples(number, number, number, number).map(
    lambda at: f"box:{at[0]},{at[1]},{at[0] + at[2]},{at[1] + at[3]}"
)
regions = st.none() | boxes | st.just("pixel:3,4") | st.just(f"mask:{SHA}")
selections = st.builds(
    Selection, steps=ranges, sites=sites, heads=ranges, word=words, region=regions, concept=words
)


@given(selections)
def test_the_text_form_leads_back_to_the_same_selection(selection):
    assert Selection.parse(str(selection)) == selection
    assert str(Selection.parse(str(selection))) == str(selection)
    assert hash(Selection.parse(str(selection))) == hash(selection)


@given(ranges)
def test_normal_form_selects_the_same_numbers_as_what_was_written(text):
    n = 70
    expected = set()
    for each in text.split(","):
        start, colon, stop = each.strip().partition(":")
        if each == "all":
            expected |= set(range(n))
        elif colon:
            expected |= set(range(int(start or 0), int(stop or n)))
        else:
            expected.add(int(each))
    assert Selection(steps=text).resolve_steps(n) == tuple(sorted(expected))


@given(st.text())
def test_any_text_is_a_selection_or_a_selection_error(text):
    try:
        selection = Selection.parse(text)
    except SelectionError as error:
        assert "\n" not in str(error)
    else:
        assert Selection.parse(str(selection)) == selection


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        (None, "all"),
        ("all", "all"),
        ("0:", "all"),
        (":", "all"),
        (slice(None), "all"),
        (7, "7"),
        (np.int64(7), "7"),
        ("7:8", "7"),
        (slice(0, 10), "0:10"),
        (slice(5, None), "5:"),
        (slice(None, 10, 1), "0:10"),
        (":10", "0:10"),
        (range(10), "0:10"),
        (range(0, 6, 2), "0,2,4"),
        (range(4, -1, -2), "0,2,4"),
        ([3, 0, 8, 9, 10, 11], "0,3,8:12"),
        (np.array([1, 2, 3]), "1:4"),
        ((5, 3, 5), "3,5"),
        ({4}, "4"),
        ("8:12, 0,3", "0,3,8:12"),
        ("0:5,3:8", "0:8"),
        ("5:,2,9", "2,5:"),
        (range(10**15), f"0:{10**15}"),
    ],
)
def test_every_spelling_of_steps_and_heads_has_one_normal_form(given, normal):
    assert Selection.of(steps=given).steps == normal
    assert Selection.of(heads=given).heads == normal


@pytest.mark.parametrize(
    "wrong",
    [
        -1,
        [0, -1],
        [],
        range(0),
        range(5, 3),
        range(-2, 3),
        slice(-3, None),
        slice(0, -1),
        slice(3, 3),
        slice(0, 10, 2),
        True,
        [True],
        1.5,
        ["1"],
        object(),
        "",
        ",",
        "3,",
        "-1",
        "3:1",
        "3:3",
        "0:10:2",
        "a",
        "1.5",
        "١",
        "9" * 30,
    ],
)
def test_steps_that_cannot_be_are_refused_and_the_message_says_which(wrong):
    with pytest.raises(SelectionError, match="steps"):
        Selection.of(steps=wrong)


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        (None, "all"),
        ("*", "all"),
        ("cross:mid,*", "all"),
        ("cross:up.*", "cross:up.*"),
        ("cross:up.* , cross:mid,cross:mid", "cross:mid,cross:up.*"),
        (["cross:up.*", "cross:mid,self:mid"], "cross:mid,cross:up.*,self:mid"),
    ],
)
def test_every_spelling_of_sites_has_one_normal_form(given, normal):
    assert Selection.of(sites=given).sites == normal


@pytest.mark.parametrize("wrong", ["", " , ", "cross:mid,", [], [3], 3])
def test_sites_that_cannot_be_are_refused(wrong):
    with pytest.raises(SelectionError, match="sites"):
        Selection.of(sites=wrong)


def test_the_text_form_names_what_is_not_all_in_a_fixed_order():
    selection = Selection.of(heads=[3, 5], sites="cross:up.*", word="circle#2", steps="0:10")
    assert str(selection) == "steps=0:10 sites=cross:up.* heads=3,5 word=circle#2"
    assert str(Selection()) == "all"
    assert Selection.parse("") == Selection.parse("all") == Selection()


def test_values_with_blanks_and_quotes_are_quoted():
    selection = Selection.of(word='red "big"  circle\\', region="box:0,0,3,4", concept="a\nroof")
    assert selection.word == 'red "big" circle\\'
    assert str(selection) == r'word="red \"big\" circle\\" region=box:0,0,3,4 concept="a roof"'
    assert Selection.parse(str(selection)) == selection


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("step=3", "it has: steps"),
        ("steps=3 steps=4", "stands twice"),
        ('word="a', "it reads like"),
        ('word="a"b', "it reads like"),
        ("word=", "it reads like"),
        ('word=""', "empty"),
        ("circle", "it reads like"),
        ("steps=3;heads=4", "bad steps"),
        ("region=circle:3", "it reads pixel:x,y"),
        ("region=pixel:1", "it reads pixel:x,y"),
        ("region=pixel:-1,2", "it reads pixel:x,y"),
        ("region=box:5,0,3,4", "x0 <= x1"),
        ("region=mask:abc", "sha256"),
    ],
)
def test_bad_text_says_what_would_be_right(text, says):
    with pytest.raises(SelectionError, match=says):
        Selection.parse(text)


def test_steps_resolve_against_the_run_and_are_never_clipped():
    assert Selection.of(steps="0,3,8:").resolve_steps(10) == (0, 3, 8, 9)
    with pytest.raises(SelectionError, match=r"steps=0:50 is out of range: the run has steps 0 to 24"):
        Selection.of(steps="0:50").resolve_steps(25)
    with pytest.raises(SelectionError, match="only step 0"):
        Selection.of(steps=1).resolve_steps(1)
    with pytest.raises(SelectionError, match="out of range"):
        Selection.of(steps="7:").resolve_steps(7)
    with pytest.raises(SelectionError, match="no steps"):
        Selection().resolve_steps(0)


def test_heads_resolve_against_each_site_and_the_message_names_it():
    assert Selection.of(heads=[7, 0]).resolve_heads(8, "cross:mid") == (0, 7)
    with pytest.raises(SelectionError, match="heads=8 is out of range: cross:mid has heads 0 to 7"):
        Selection.of(heads=8).resolve_heads(8, "cross:mid")


def test_sites_resolve_in_the_order_of_the_model_and_not_of_the_text():
    assert Selection.of(sites="cross:up.*").resolve_sites(SITES) == ("cross:up.2.0", "cross:up.10.0")
    assert Selection.of(sites="self:mid,cross:mid").resolve_sites(SITES) == ("cross:mid", "self:mid")
    assert Selection().resolve_sites(SITES) == SITES


def test_sites_of_another_kind_are_not_selected():
    assert Selection().resolve_sites(SITES, "self") == ("self:down.0.0", "self:mid")
    assert Selection.of(sites="*:mid").resolve_sites(SITES, "cross") == ("cross:mid",)
    with pytest.raises(SelectionError, match=r"no cross-attention site matches 'self:\*'"):
        Selection.of(sites="self:*").resolve_sites(SITES, "cross")
    with pytest.raises(SelectionError, match="no joint-attention site"):
        Selection().resolve_sites(SITES, "joint")


def test_a_pattern_that_matches_nothing_is_an_error_even_beside_one_that_does():
    with pytest.raises(SelectionError, match=r"'cross:upp\.\*'; there are: cross:up"):
        Selection.of(sites="cross:mid,cross:upp.*").resolve_sites(SITES)


def test_site_patterns_mind_case():
    with pytest.raises(SelectionError, match="no site matches"):
        Selection.of(sites="CROSS:mid").resolve_sites(SITES)


def test_selections_are_values():
    one, other = Selection(steps="3,1,2", word="a"), Selection.of(steps=range(1, 4), word=" a ")
    assert one == other
    assert {one: 1}[other] == 1
    with pytest.raises(AttributeError):
        one.steps = "all"  # type: ignore[misc]
