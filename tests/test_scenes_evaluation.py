"""An evaluation asks fixed, held-out prompts and counts what it says that it counts."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from diffuscope.scenes.evaluation import (
    FAMILY,
    UNSEEN,
    Case,
    Line,
    Outcome,
    as_json,
    cases,
    confusion,
    family_prompts,
    fit,
    rendered,
    share,
    table,
    told,
)
from diffuscope.scenes.grammar import parse
from diffuscope.scenes.layout import SIDE
from diffuscope.scenes.prompts import Prompt, standard_prompts
from diffuscope.scenes.scoring import PARTS, Score, wilson
from diffuscope.scenes.split import reasons, split_of
from diffuscope.scenes.vocabulary import EQUINES


def prompt(text: str) -> Prompt:
    description = parse(text)
    assert description is not None, text
    return Prompt(text, description)


def outcome(
    text: str, score: Score, *seen: tuple[str | None, str | None] | None, kind: str = "standard"
) -> Outcome:
    """One thing seen, or nothing, for each thing that the caption names."""
    return Outcome(Case(prompt(text), 0, kind), score, tuple((one,) for one in seen))  # type: ignore[arg-type]


def find(lines: list[Line], label: str, part: str) -> Line:
    (line,) = [line for line in lines if (line.label, line.part) == (label, part)]
    return line


def test_the_cases_are_held_out_fixed_and_each_has_its_own_noise() -> None:
    chosen = cases(12, seeds=2)
    assert chosen == cases(12, seeds=2)
    assert len({case.seed for case in chosen}) == len(chosen) == 2 * (12 + 4 + 4 + 4)
    first = chosen[:24]
    assert [case.prompt for case in first[:12]] == list(standard_prompts(12))
    assert [case.prompt for case in chosen[24:]] == [case.prompt for case in first]
    assert len({case.prompt.text for case in first}) == 24
    assert all((split_of(case.prompt.description) == "train") == (case.kind == "train") for case in chosen)
    assert all(reasons(case.prompt.description) == {"pair"} for case in first if case.kind == "pairs")
    assert Counter(case.kind for case in first) == {"standard": 12, "pairs": 4, "family": 4, "train": 4}


def test_the_family_is_asked_for_one_at_a_time_and_in_turn() -> None:
    prompts = family_prompts(12)
    named = [[t.noun for t in p.description.things if t.noun in EQUINES] for p in prompts]
    assert named == [[EQUINES[index % 3]] for index in range(12)]
    assert Counter(len(p.description.things) for p in prompts) == {1: 6, 2: 6}
    assert not set(prompts[:5]) & set(family_prompts(12, {p.text for p in prompts[:5]}))


def test_renders_are_pictures_and_the_same_every_time() -> None:
    chosen = cases(2)
    first, second = list(rendered(chosen)), list(rendered(chosen))
    assert all(image.shape == (SIDE, SIDE, 3) and image.dtype == np.uint8 for image in first)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_with_one_picture_of_each_prompt_the_interval_is_wilson_s() -> None:
    outcomes = [(f"prompt {index}", index < 36) for index in range(40)]
    line = share("x", "bound", [*outcomes, ("another", None)])
    assert (line.n, line.prompts, line.right, line.rate) == (40, 40, 36, 0.9)
    assert (line.low, line.high) == pytest.approx(wilson(36, 40))


def test_pictures_that_succeed_and_fail_together_count_as_one() -> None:
    together = share("x", "all", [(f"p{index}", index % 4 > 0) for index in range(20) for _ in range(5)])
    alone = wilson(15, 20)
    assert (together.n, together.prompts) == (100, 20)
    assert (together.low, together.high) == pytest.approx(alone)
    # Right and wrong within every prompt alike: nothing hangs together, and every picture counts.
    apart = share("x", "all", [(f"p{index}", seed > 0) for index in range(20) for seed in range(4)])
    assert (apart.low, apart.high) == pytest.approx(wilson(60, 80))
    certain = share("x", "all", [(f"p{index}", True) for index in range(20) for _ in range(5)])
    assert (certain.low, certain.high) == pytest.approx(wilson(20, 20))


def test_intervals_over_clusters_cover_as_often_as_they_say() -> None:
    """500 evaluations of 40 prompts with 4 seeds each, whose chances differ from prompt to prompt: about 95 in 100 of
    the intervals hold the true share, where Wilson's own, for 160 pictures, would hold it far less often."""
    rng = np.random.default_rng(3)
    held = naive = 0
    for _ in range(500):
        chances = rng.beta(1.6, 0.4, 40)
        right = rng.random((40, 4)) < chances[:, None]
        line = share("x", "all", [(str(at), bool(one)) for at, row in enumerate(right) for one in row])
        held += line.low <= 0.8 <= line.high
        low, high = wilson(int(right.sum()), 160)
        naive += low <= 0.8 <= high
    assert 0.92 <= held / 500 <= 0.98
    assert naive / 500 < 0.85


def test_nothing_to_count_is_said_as_nothing() -> None:
    line = share("x", "light", [("a", None)])
    assert (line.n, line.prompts, line.rate, line.low, line.high) == (0, 0, 0.0, 0.0, 1.0)


def test_the_table_counts_every_part_where_captions_name_it() -> None:
    right = Score(nouns=True, colours=True, relation=True)
    swapped = Score(nouns=True, colours=False, relation=False)
    lines = table(
        [
            outcome("a red circle left of a blue square", right, ("circle", "red"), ("square", "blue")),
            outcome("a red circle above a blue square", swapped, ("circle", "blue"), ("square", "red")),
            outcome("a heart at night", Score(nouns=True, light=True), ("heart", "green")),
            outcome(
                "a red circle on a table",
                Score(nouns=True, colours=True, relation=True),
                ("circle", "red"),
                None,
            ),
        ]
    )
    assert [line.part for line in lines[: len(PARTS)]] == list(PARTS)
    assert {line.label for line in lines[: len(PARTS)]} == {"every prompt"}
    counts = {line.part: (line.right, line.n) for line in lines[: len(PARTS)]}
    assert counts["nouns"] == (4, 4)
    assert counts["colours"] == (2, 3)
    assert counts["bound"] == (3, 4)
    assert counts["light"] == (1, 1)
    assert counts["style"] == (0, 0)
    assert counts["relation"] == (2, 3)
    assert counts["all"] == (3, 4)
    assert (find(lines, "one thing", "bound").right, find(lines, "one thing", "bound").n) == (1, 1)
    assert (find(lines, "two things", "bound").right, find(lines, "two things", "bound").n) == (2, 3)
    assert find(lines, "three things", "bound").n == 0
    sides, supported = (
        find(lines, "left of, right of, above, below", "relation"),
        find(lines, "on, in, under", "relation"),
    )
    assert (sides.right, sides.n, supported.right, supported.n) == (1, 2, 1, 1)
    assert len(as_json(lines)) == len(lines)


def test_unseen_pairs_and_the_family_are_counted_thing_by_thing_over_all_prompts() -> None:
    fine = Score(nouns=True, colours=True)
    lines = table(
        [
            outcome(
                "a yellow horse and a red circle", fine, ("horse", "yellow"), ("circle", "blue"), kind="pairs"
            ),
            outcome("a brown pegasus", fine, ("horse", "brown"), kind="family"),
            outcome("a unicorn", fine, None),
        ]
    )
    unseen, family = find(lines, UNSEEN, "bound"), find(lines, FAMILY, "nouns")
    assert (unseen.right, unseen.n) == (1, 2)
    assert (family.right, family.n) == (1, 3)
    assert find(lines, "every prompt", "nouns").n == 1, "added prompts do not count among the standard ones"


def test_the_family_s_confusion_says_what_was_seen_in_whose_place() -> None:
    fine = Score(nouns=True)
    outcomes = [
        outcome("a unicorn", fine, ("horse", "white")),
        outcome("a unicorn", fine, ("unicorn", "white")),
        outcome("a unicorn", fine, ("horse", None)),
        outcome("a pegasus and a cat", fine, None, ("cat", "black")),
    ]
    assert confusion(outcomes) == {"horse": {}, "unicorn": {"horse": 2, "unicorn": 1}, "pegasus": {"-": 1}}


def test_clip_scores_are_summed_up_over_prompts() -> None:
    scores = np.array([[40.0, 10.0], [20.0, 30.0], [50.0, 5.0], [10.0, 34.0]])
    found = fit(scores, [0, 0, 0, 1], ["a", "b"])
    # 40, 20 and 50 for the first caption, 34 for the second; the second picture fits the other caption better.
    assert found.mean == pytest.approx(36.0)
    assert (found.own_caption_first.right, found.own_caption_first.n) == (3, 4)
    means = np.array([110 / 3, 34.0])
    spread = 1.959964 * means.std(ddof=1) / np.sqrt(2)
    assert (found.low, found.high) == pytest.approx((36.0 - spread, 36.0 + spread))


def test_a_picture_tells_its_prompt_and_what_is_wrong() -> None:
    one = outcome("a yellow horse", Score(nouns=True, colours=False), ("horse", "red"), kind="pairs")
    said = told(one)
    assert (said["prompt"], said["kind"], said["wrong"]) == ("a yellow horse", "pairs", ["colours"])
    assert "pair" in said["held_out_for"]
