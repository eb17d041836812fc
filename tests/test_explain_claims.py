"""Claims from maps that are known: leaks, colours on the wrong noun, who leads, where a map is, what is suspected."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from synthetic_run import make_run

from diffuscope.analysis.cause.faithfulness import DeletionCurve, Faithfulness, Trial, keep
from diffuscope.explain import collect, collect_words, recompute, recompute_beside
from diffuscope.explain.evidence import Evidence, Phrase
from diffuscope.explain.statistics import STATISTICS, computed, find_statistic
from diffuscope.run import Run
from diffuscope.selection import Selection

SIDE = 8
CIRCLE, SQUARE = np.zeros((SIDE, SIDE), bool), np.zeros((SIDE, SIDE), bool)
CIRCLE[1:3, 1:3] = True
SQUARE[5:7, 5:7] = True
REGIONS = {
    "red circle": CIRCLE,
    "circle": CIRCLE,
    "red": CIRCLE,
    "blue square": SQUARE,
    "square": SQUARE,
    "blue": SQUARE,
}


def on(*where: tuple[np.ndarray, float]) -> np.ndarray:
    """A map of 0.01 everywhere and more on some regions."""
    found = np.full((SIDE, SIDE), 0.01)
    for mask, value in where:
        found[mask] += value
    return found


class Known:
    """Evidence whose maps and regions a test gives; what statistics ask of `Evidence`."""

    def __init__(self, maps: dict[str, np.ndarray], *, regions: bool = True, steps: int = 10) -> None:
        self.maps, self.steps = maps, tuple(range(steps))
        self.labels = ("red", "circle", "blue", "square")
        self.texts = {label: label for label in self.labels}
        self.content = self.labels
        self.objects = (Phrase("red circle", "circle", ("red",)), Phrase("blue square", "square", ("blue",)))
        self.world = SimpleNamespace() if regions else None
        self.sites = ("cross:mid",)
        self._regions = REGIONS if regions else {}

    def map(self, at: Selection) -> np.ndarray:
        found = self.maps.get(f"{at.word}@{at.steps}")
        return self.maps[at.word or ""] if found is None else found

    def every_word(self, at: Selection) -> np.ndarray:
        return np.sum([self.map(Selection(at.steps, word=label)) for label in self.labels], axis=0)

    def region(self, label: str) -> np.ndarray | None:
        return self._regions.get(label)

    def cover(self, label: str, shape: tuple[int, ...]) -> np.ndarray | None:
        found = self.region(label)
        return None if found is None else found.astype(float)

    def phrase_of(self, label: str) -> Phrase | None:
        return next(
            (each for each in self.objects if label in (each.head, *each.attributes, each.label)), None
        )


def right() -> dict[str, np.ndarray]:
    """Every map on its own thing."""
    return {
        "red": on((CIRCLE, 0.1)),
        "circle": on((CIRCLE, 0.2)),
        "blue": on((SQUARE, 0.1)),
        "square": on((SQUARE, 0.2)),
        "red circle": on((CIRCLE, 0.3)),
        "blue square": on((SQUARE, 0.3)),
    }


def test_maps_on_their_own_things_leak_nowhere() -> None:
    assert list(collect_words.leaks(Known(right()))) == []  # type: ignore[arg-type]


def test_a_noun_on_another_thing_is_a_leak() -> None:
    evidence: Any = Known({**right(), "circle": on((CIRCLE, 0.02), (SQUARE, 0.2))})
    (claim,) = collect_words.leaks(evidence)
    assert (claim.kind, claim.words) == ("leak", ("circle", "blue square"))
    mean = evidence.maps["circle"].mean()
    assert claim.number == pytest.approx(evidence.maps["circle"][SQUARE].mean() / mean)
    assert claim.beside is not None
    assert claim.beside.value == pytest.approx(evidence.maps["circle"][CIRCLE].mean() / mean)


def test_a_colour_on_another_thing_is_bound_wrongly() -> None:
    evidence: Any = Known({**right(), "red": on((SQUARE, 0.1))})
    (claim,) = collect_words.leaks(evidence)
    assert (claim.kind, claim.words) == ("binding", ("red", "blue square"))


def test_without_known_pixels_a_colour_is_held_against_the_maps_of_nouns() -> None:
    evidence: Any = Known({**right(), "red": on((SQUARE, 0.1))}, regions=False)
    (claim,) = collect_words.leaks(evidence)
    assert (claim.kind, claim.statistic, claim.words) == ("binding", "similarity", ("red", "square"))
    expected = np.corrcoef(evidence.maps["red"].ravel(), evidence.maps["square"].ravel())[0, 1]
    assert claim.number == pytest.approx(expected) and claim.certainty <= 0.5
    assert list(collect_words.leaks(Known(right(), regions=False))) == []  # type: ignore[arg-type]


def test_who_leads_first_and_last() -> None:
    maps = {**right(), "circle@0:2": on((CIRCLE, 2.0)), "blue@8:10": on((SQUARE, 3.0))}
    first, last = collect.first_look(Known(maps))  # type: ignore[arg-type]
    assert (first.words, first.steps()) == (("circle",), (0, 1))
    assert (last.words, last.steps()) == (("blue",), (8, 9))
    assert last.surprise > first.surprise, "a change of the leader is the more surprising"
    every = sum(
        Known(maps).map(Selection("0:2", word=label)).mean() for label in ("red", "circle", "blue", "square")
    )
    assert first.number == pytest.approx(maps["circle@0:2"].mean() / every)


def test_nobody_leads_where_shares_are_alike() -> None:
    same = {label: on((CIRCLE, 0.1)) for label in (*right(),)}
    assert list(collect.first_look(Known(same))) == []  # type: ignore[arg-type]


def test_a_word_with_far_less_attention_than_others_is_suspected() -> None:
    maps = {**right(), "square": on() / 5}
    assert collect_words.suspected_words(Known(maps, regions=False)) == ["square"]  # type: ignore[arg-type]
    assert collect_words.suspected_words(Known(right(), regions=False)) == []  # type: ignore[arg-type]


def test_the_ninth_of_a_map() -> None:
    evidence: Any = Known({"circle": on((CIRCLE, 5.0))})
    assert computed("ninth", Selection(word="circle"), None, evidence) == "upper left"
    share = computed("ninth_share", Selection(word="circle"), None, evidence)
    assert isinstance(share, float) and 1 / 9 < share <= 1


def test_an_unknown_statistic_is_an_error_that_lists_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no statistic 'mas'; there are: mass"):
        find_statistic("mas")
    assert all(name == each.name for name, each in STATISTICS.items())


def made_test(word: str, *, noticed: float, shifted: float, without: float = 0.3) -> Faithfulness:
    """A causal check as `lens.faithfulness` keeps it."""

    def trial(edit: str, share: float) -> Trial:
        return Trial(edit, 5.0, share, 0.31, 0.14, shifted, 0.2, "a", 0.1)

    ordered = (0.0, 3.0, 4.0, 5.0)
    curve = DeletionCurve((0.0, 0.25, 0.5, 1.0), ordered, ((0.0, 1.0, 2.0, 5.0), (0.0, 1.2, 2.2, 5.0)))
    tests = trial("silences", noticed), trial("without", without), trial("control", 0.02)
    return Faithfulness(word, (8, 8), *tests, curve)


@pytest.mark.parametrize(
    ("noticed", "shifted", "verdict", "said"),
    [
        (0.25, 0.01, "supported", "the map of “zeppelin” holds:"),
        (0.25, 0.5, "in part", "the map of “zeppelin” holds in part:"),
        (0.001, 0.5, "no effect", "changes 0.1% of the picture"),
    ],
)
def test_a_causal_check_that_was_made_is_told(
    tmp_path: Path, noticed: float, shifted: float, verdict: str, said: str
) -> None:
    run = Run.open(make_run(tmp_path / "run", steps=6))
    before = run.explain()
    assert not any(each.kind == "cause" for each in before.claims)
    keep(run.recording, made_test("zeppelin", noticed=noticed, shifted=shifted))
    found = run.explain()
    claims = {each.statistic: each for each in found.claims if each.kind == "cause"}
    assert claims["cause_verdict"].value == verdict
    assert claims["cause_noticed"].value == noticed
    assert claims["cause_noticed"].beside is not None and claims["cause_noticed"].beside.value == 0.02
    assert said in found.insight and "“zeppelin”" in found.insight
    assert not found.checked.failed
    evidence = Evidence(run)
    assert all(recompute(each, evidence) == each.value for each in claims.values())
    assert recompute_beside(claims["cause_noticed"], evidence) == 0.02
