"""Sentences that may stand, and sentences that may not: numbers, steps, sites, words, quotes, causes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from diffuscope.explain import Beside, Claim, Sentence
from diffuscope.explain.checking import LONGEST, faults
from diffuscope.explain.numbers import numbers_in, percent, said
from diffuscope.selection import Selection
from diffuscope.testing.writers import brief

BRIEF = brief(pair=True)
ID = {each.statistic: each.id for each in BRIEF.claims}


def found(text: str, *cites: str, part: str = "insight") -> list[str]:
    return faults(Sentence(part, text, tuple(ID.get(each, each) for each in cites)), BRIEF)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "cites"),
    [
        ("“square” got 3.1% of all attention.", ("mass",)),
        ("“square” got 3% of all attention.", ("mass",)),
        ("“square” got 0.031 of all attention, where 4.5% to 24% is usual.", ("mass",)),
        ("“square” got less than the 76 nouns that came true.", ("mass",)),
        ("In steps 0 to 4 “circle” had 24% of the attention.", ("share",)),
        ("In steps 0–4 “circle” had about a quarter.", ("share",)),
        ("In step 4 “circle” still led with 24.4%.", ("share",)),
        ("“circle” led “square”, 24% to 12%.", ("share",)),
        ("Attention to “circle” fell by 100% in steps 10 to 14.", ("acs",)),
        ("The judge sees a red circle and a blue star.", ("seen",)),
        ("The edit silences 'circle' (at steps 10:15) and changed 41% of it.", ("noticed", "edits_made")),
        ("The change was caused by one edit.", ("noticed", "edits_made")),
        ("“square” is missing.", ("judged",)),
    ],
)
def test_what_may_stand(text: str, cites: tuple[str, ...]) -> None:
    assert found(text, *cites) == []


@pytest.mark.parametrize(
    ("text", "cites", "fault"),
    [
        ("“square” got 3.2% of all attention.", ("mass",), "3.2% is no number"),
        ("“square” got 3.10% of all attention.", ("mass",), "3.10% is no number"),
        ("“square” got 31% of all attention.", ("mass",), "31% is no number"),
        ("“square” got 3% of it, twice what is usual.", ("mass",), "twice is no number"),
        ("“square” got 3% of it in 40 runs.", ("mass",), "40 is no number"),
        ("“square” got 3% of it, half of the usual.", ("mass",), "half is no number"),
        ("“square” got a third of it.", ("mass",), "a third is no number"),
        ("“square” got 3e-2 more, 1e9 in all.", ("mass",), "1e9 is no number"),
        ("In steps 0 to 5 “circle” had 24%.", ("share",), "no range of steps"),
        ("In steps 10 to 14 “circle” had 24%.", ("share",), "no range of steps"),
        ("In step 9 “circle” had 24%.", ("share",), "names a step"),
        ("At cross:mid “square” got 3.1%.", ("mass",), "cross:mid is no site"),
        ("“circle” got 3.1% of all attention.", ("mass",), "“circle” is no word"),
        ("“square” got 3.1%, as the “oracle” says.", ("mass",), "“oracle” is no word"),
        ('"PWNED" got 3.1%.', ("mass",), "“PWNED” is no word"),
        ("“square” got 3.1% because it stands last.", ("mass",), "speaks of causes"),
        ("“circle” led with 24%, and another was ignored.", ("share",), "speaks of a failure"),
        ("“square” got <b>3.1%</b>.", ("mass",), "markup"),
        ("“square” got 3.1%, see https://example.org.", ("mass",), "markup"),
        ("It is a nice picture.", ("mass",), "says nothing"),
        ("“square” got 3.1%.", (), "cites nothing"),
        ("“square” got 3.1%.", ("c99",), "cites no claim: c99"),
        ("", ("mass",), "one line"),
        ("“square”\ngot 3.1%.", ("mass",), "one line"),
        ("“square” " * LONGEST, ("mass",), "one line"),
    ],
)
def test_what_may_not(text: str, cites: tuple[str, ...], fault: str) -> None:
    assert any(fault in each for each in found(text, *cites)), found(text, *cites)


def test_a_part_that_is_not_wanted() -> None:
    alone = replace(BRIEF, parts=("setup", "insight"))
    sentence = Sentence("comparison", "41% of it changed.", (ID["noticed"],))
    assert faults(sentence, BRIEF) == [] and faults(sentence, alone) != []


def test_a_prompt_is_quoted_whatever_it_says() -> None:
    wild = replace(BRIEF, prompt="17 ducks, because 99% <b> of “cross:mid” & [x](http://y)")
    text = f"The model drew “{wild.prompt}” in 25 steps."
    assert faults(Sentence("setup", text, (ID["steps_drawn"],)), wild) == []
    assert faults(Sentence("setup", text.replace("17", "18"), (ID["steps_drawn"],)), wild) != []


@pytest.mark.parametrize(
    "value", [0.0, 0.00004, 0.00349, 0.0351, 0.0996, 0.0951, 0.1249, 0.5, 0.999, 1.0, 3.7]
)
@pytest.mark.parametrize(
    "unit", ["share", "probability", "times", "delta-E", "correlation", "step", "count", "number"]
)
def test_a_number_as_it_is_written_is_a_number_of_its_claim(value: float, unit: str) -> None:
    value = round(value) if unit in ("step", "count") else value
    claim = Claim("attention", "x", "mass", Selection(word="square"), float(value), unit, id="c1")
    sentence = Sentence("insight", f"“square” has {said(float(value), unit)}.", ("c1",))
    assert faults(sentence, replace(BRIEF, claims=(claim,))) == []


def test_numbers_are_read_as_they_stand() -> None:
    text = "From 1,200 to .5, -3.25% or 7 per cent; two thirds, a fifth"
    assert [(each.value, each.percent) for each in numbers_in(text)][:4] == [
        (1200, False),
        (0.5, False),
        (pytest.approx(0.0325), True),
        (pytest.approx(0.07), True),
    ]
    assert [round(each.value, 2) for each in numbers_in(text)][4:] == [2, 0.33, 0.2]
    assert percent(0.0995) == "10%" and percent(0.0949) == "9.5%" and percent(0.00123) == "0.12%"


def test_an_interval_and_what_stands_beside_are_numbers_of_a_claim() -> None:
    beside = Beside("chance", 0.143, 0.1, 0.2, 12)
    claim = Claim(
        "cause", "x", "sf_iou", Selection("3:7", word="w"), 0.31, "share", beside=beside, interval=(0.25, 0.4)
    )
    units = {(round(each.value, 3), each.unit) for each in claim.numbers()}
    assert units == {
        (0.31, "share"),
        (0.25, "share"),
        (0.4, "share"),
        (0.143, "share"),
        (0.1, "share"),
        (0.2, "share"),
    } | {
        (12, "count"),
        (3, "step"),
        (6, "step"),
    }
    assert Claim.from_json(claim.to_json()) == claim
