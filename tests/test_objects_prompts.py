"""Reading prompts: measured on a written set, and what must hold of any text."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_run import make_run

import diffuscope as ds
from diffuscope.analysis.objects.prompts import read_prompt, word_labels
from diffuscope.analysis.objects.prompts_lexicon import lemma_of
from diffuscope.errors import InputError

FILE = Path(__file__).parent / "data" / "prompts_objects.txt"
PIECES = (
    *("a", "the", "two", "red", "cat", "cats", "of", "in", "style", "painting", ",", "."),
    *("and", "another", "left", "to", "by", "3", "that", "is", "no"),
)
DEVELOPED, KEPT_BACK = "developed on", "kept back"


@dataclass(frozen=True)
class Expected:
    part: str
    prompt: str
    objects: tuple[tuple[str, frozenset[str], int | None], ...]
    styles: tuple[str, ...]


def expected() -> list[Expected]:
    """The written set."""
    found, part = [], ""
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            part = line[3:]
        elif line.strip() and not line.startswith("#"):
            prompt, _, rest = line.partition(" =>")
            objects, _, styles = rest.partition("~")
            named = []
            for each in filter(None, map(str.strip, objects.split(","))):
                match = re.fullmatch(r"([^\[*]+)(?:\[([^\]]*)\])?(?:\*(\d+))?", each)
                assert match is not None, each
                named.append(
                    (
                        match[1].strip(),
                        frozenset((match[2] or "").split()),
                        int(match[3]) if match[3] else None,
                    )
                )
            found.append(
                Expected(part, prompt, tuple(named), tuple(filter(None, map(str.strip, styles.split(";")))))
            )
    return found


def shares(right: int, told: int, there: int) -> tuple[float, float]:
    """Precision and recall."""
    return right / told, right / there


def measured(reader: str, part: str) -> dict[str, tuple[float, float]]:
    """Precision and recall of objects and of pairs (attribute, object); of counts the share that is right, twice."""
    sums = {name: [0, 0, 0] for name in ("objects", "attributes")}
    right = asked = 0
    for each in expected():
        if each.part != part:
            continue
        reading = read_prompt(each.prompt, reader)
        pairs = {
            "objects": (
                Counter(o.category for o in reading.objects),
                Counter(name for name, _, _ in each.objects),
            ),
            "attributes": (
                Counter(
                    (word, o.category) for o in reading.objects for a in o.adjectives for word in a.split()
                ),
                Counter((word, name) for name, words, _ in each.objects for word in words),
            ),
        }
        for name, (told, there) in pairs.items():
            sums[name][0] += sum((told & there).values())
            sums[name][1] += sum(told.values())
            sums[name][2] += sum(there.values())
        counted = {o.category: o.count for o in reading.objects}
        for name, _, count in each.objects:
            if count is not None:
                asked += 1
                right += counted.get(name) == count
    return {name: shares(*each) for name, each in sums.items()} | {"counts": (right / asked, right / asked)}


def test_the_set_is_large_and_in_two_parts() -> None:
    parts = Counter(each.part for each in expected())
    assert sum(parts.values()) >= 200 and min(parts[DEVELOPED], parts[KEPT_BACK]) >= 100
    assert len({each.prompt for each in expected()}) == sum(parts.values())


@pytest.mark.parametrize(
    ("reader", "objects", "attributes", "counts"),
    [("textblob", (0.96, 0.97), (0.98, 0.95), 0.9), ("rules", (0.95, 0.94), (0.97, 0.89), 0.9)],
)
def test_objects_of_prompts_that_were_kept_back_are_found(
    reader: str, objects: tuple[float, float], attributes: tuple[float, float], counts: float
) -> None:
    found = measured(reader, KEPT_BACK)
    assert found["objects"][0] >= objects[0] and found["objects"][1] >= objects[1], found
    assert found["attributes"][0] >= attributes[0] and found["attributes"][1] >= attributes[1], found
    assert found["counts"][0] >= counts, found


def test_the_readers_own_example() -> None:
    reading = read_prompt("a red car in a watercolor painting")
    assert [(each.category, each.adjectives, each.determiner, each.count) for each in reading.objects] == [
        ("car", ("red",), "a", 1)
    ]
    assert reading.styles == ("watercolor painting",) and reading.attributes == (("red", "car"),)
    assert reading.reader == "textblob"


def test_counts_and_repeated_categories() -> None:
    assert read_prompt("two cats").expected("cat") == 2
    assert read_prompt("several cats").expected("cat") is None
    twice = read_prompt("a black cat and another cat")
    assert twice.same("cat") == (0, 1) and twice.expected("cat") == 2 and twice.categories == ("cat",)
    assert read_prompt("a pair of ducks on a pond").objects[0].count == 2


def test_relations_stand_apart_from_objects() -> None:
    reading = read_prompt("a man riding a horse to the left of a tree")
    assert [(each.subject, each.words, each.object, each.kind) for each in reading.relations] == [
        (0, "riding", 1, "action"),
        (1, "to the left of", 2, "place"),
    ]
    assert read_prompt("a cup of tea").relations[0].kind == "of"
    assert "left" not in read_prompt("the left side of a house").categories


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        *(("cats", "cat"), ("boxes", "box"), ("cities", "city"), ("women", "woman"), ("glass", "glass")),
        *(
            ("knives", "knife"),
            ("sheep", "sheep"),
            ("geese", "goose"),
            ("buses", "bus"),
            ("brushes", "brush"),
        ),
        *(("people", "person"), ("shoes", "shoe"), ("walrus", "walrus"), ("scissors", "scissors")),
    ],
)
def test_lemmas(plural: str, singular: str) -> None:
    assert lemma_of(plural) == singular


def test_spans_lead_to_the_words_of_a_run(tmp_path: Path) -> None:
    run = ds.open(make_run(tmp_path / "run", steps=1))
    reading = read_prompt(run.prompt)
    labels = [word_labels(run.manifest.text, each.spans) for each in reading.objects]
    assert labels == [["red", "circle"], ["blue", "zeppelin"], ["circle#2"]]
    for each in reading.objects:
        assert run.prompt[each.start : each.end] == each.text


@pytest.mark.parametrize(
    "prompt", ["", "   ", "of the and", "running", "!!!", "4k, 8k", "\n\t", "🙂", "a" * 500]
)
def test_awkward_prompts_are_read(prompt: str) -> None:
    reading = read_prompt(prompt)
    assert reading.prompt == prompt
    if not reading.objects:
        assert "names no object" in reading.warnings[0]


@given(st.text(max_size=60) | st.lists(st.sampled_from(PIECES)).map(" ".join))
@settings(max_examples=150, deadline=None)
def test_any_text_is_read_and_spans_lie_in_it(prompt: str) -> None:
    for reader in ("textblob", "rules"):
        for each in read_prompt(prompt, reader).objects:
            assert 0 <= each.start < each.end <= len(prompt)
            assert each.category and each.head in each.text
            assert all(each.start <= start < end <= each.end for start, end in each.spans)
            assert set(each.head_spans) <= set(each.spans)


def test_what_is_no_prompt_is_refused() -> None:
    with pytest.raises(InputError, match="20001 characters"):
        read_prompt("a" * 20_001)
    with pytest.raises(InputError, match="not int"):
        read_prompt(7)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="there are auto, spacy, textblob, rules"):
        read_prompt("a cat", "nobody")


def test_a_reader_that_is_not_installed_says_what_to_do() -> None:
    with pytest.raises(
        InputError, match="en_core_web_sm is installed; install one, or read prompts with 'textblob'"
    ):
        read_prompt("a cat", "spacy")
