"""What of a prompt can be steered: which word "blue" would act on, and what else there is to say.

Grammar decides: a colour acts on a thing and takes the place of its colour, a noun takes the place of a noun, a style
or a time of day is about the whole picture. In the drawn world its own tables decide. Where grammar leaves several, or
does not know the word, similarity of the text encoder's embeddings does, which only a model gives (`Lens.targets`);
without it they stand in the prompt's order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from diffuscope.analysis.objects.prompts import NounPhrase, read_prompt, word_labels
from diffuscope.analysis.objects.prompts_lexicon import (
    ADJECTIVES,
    ATTRIBUTE_NOUNS,
    COLOURS,
    MATERIALS,
    MEDIA,
    SHADES,
    STYLE_WORDS,
    TIMES,
    words_of,
)
from diffuscope.edits import Steer
from diffuscope.errors import InputError
from diffuscope.scenes import parse, vocabulary

if TYPE_CHECKING:
    from diffuscope.run import Run

Role = Literal["colour", "size", "material", "attribute", "noun", "style", "time"]

SIZES = words_of("big small large little tiny huge giant tall short long wide narrow thin thick fat high low")
SAME, FREE, ALREADY = 1.0, 0.5, 0.0
"""Scores of grammar: takes the place of its like; joins what has none; is there already."""

COMMON: dict[Role, tuple[str, ...]] = {
    "colour": ("red", "blue", "green", "golden"),
    "size": ("tiny", "huge"),
    "material": ("wooden", "glass"),
    "style": ("an oil painting", "a pencil sketch", "a photograph"),
    "time": ("at night", "at sunset"),
}
"""What is suggested for models whose words nobody knows."""


@dataclass(frozen=True)
class Target:
    """Where in a prompt a concept would act.

    Attributes:
        concept: as it was asked for.
        role: what kind of word it is.
        word: label of the word that it acts on; None for the whole prompt.
        phrase: what stands there now.
        replaces: the word of its own kind whose place it takes; None where there is none.
        toward: what the phrase becomes.
        score: from 0 (says nothing new) to 1, by which targets are ranked; of one prompt and concept only.
        similarity: cosine of the embeddings of the concept and of what it replaces or acts on; None without a model.
        why: in words.
    """

    concept: str
    role: Role
    word: str | None
    phrase: str
    replaces: str | None
    toward: str
    score: float
    similarity: float | None
    why: str

    def edit(self, **options: Any) -> Steer:
        """The edit that steers there; `options` are those of `Steer` (`strength`, `steps`, `space`)."""
        return Steer(self.toward, word=self.word, **options)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def targets(run: Run, concept: str, *, similarity: Mapping[str, float] | None = None) -> tuple[Target, ...]:
    """Where in a run's prompt a concept would act, the likeliest first.

    Args:
        run: a recorded run.
        concept: a word or a few.
        similarity: text to cosine, of what `asked` names.

    Raises:
        InputError: the concept says nothing, or the prompt names nothing that it could act on.
    """
    concept = " ".join(concept.split())
    if not concept:
        raise InputError("the concept is empty; say a word, for example 'blue'")
    prompt = run.prompt
    reading, near = read_prompt(prompt), similarity or {}
    known = _roles_of_scenes() if _of_scenes(run) else {}
    role = known.get(concept.casefold()) or role_of(concept)
    if role is None:
        role = _role_by_likeness(run, near)
    if role in ("style", "time"):
        there = reading.styles if role == "style" else reading.times
        old = there[0] if there else None
        why = f"a {role} is about the whole picture" + (f"; the prompt's is {old!r}" if old else "")
        return (Target(concept, role, None, prompt, old, concept, SAME, near.get(old or ""), why),)
    found = []
    for phrase in reading.objects:
        labels = word_labels(run.manifest.text, phrase.head_spans)
        if labels:
            found.append(_on_object(prompt, phrase, labels[-1], concept, role, near, known))
    if not found:
        raise InputError(
            f"the prompt {prompt!r} names no object that {concept!r} could act on; steer the whole prompt, without a "
            "word"
        )
    return tuple(sorted(found, key=lambda each: (-each.score, -(each.similarity or 0.0))))


def asked(run: Run) -> tuple[str, ...]:
    """The texts whose similarity to a concept `targets` wants to know: what its objects are called and their
    attributes, styles and times."""
    reading = read_prompt(run.prompt)
    texts = [text for each in reading.objects for text in (*each.adjectives, each.category)]
    return tuple(dict.fromkeys([*texts, *reading.styles, *reading.times]))


def suggestions(run: Run) -> tuple[Target, ...]:
    """What can be steered in a run: for each object other colours, sizes and materials, then style and time. In the
    drawn world, whose words are known, its own paints, patterns, sizes, nouns, lights and styles.

    Raises:
        InputError: nothing can: the prompt names no object.
    """
    words = (
        list(_roles_of_scenes()) if _of_scenes(run) else [each for role in COMMON.values() for each in role]
    )
    found = [each for word in words for each in targets(run, word) if each.score > ALREADY]
    if _of_scenes(run) and parse(run.prompt) is not None:
        found = [each for each in found if _can_be_drawn(run.prompt, each)]
    order = {each.word: at for at, each in reversed(list(enumerate(found)))}
    return tuple(sorted(found, key=lambda each: (each.word is None, order[each.word])))


def _of_scenes(run: Run) -> bool:
    return run.manifest.model.id == "scenes"


@cache
def _roles_of_scenes() -> dict[str, Role]:
    """What can be said in the drawn world, by its tables: there "wooden" stands in a colour's place, and "as a neon
    sign" is a style."""
    roles: dict[str, Role] = dict.fromkeys(vocabulary.PAINTS, "colour")
    roles |= dict.fromkeys(vocabulary.PATTERNS, "attribute")
    roles |= dict.fromkeys(vocabulary.SIZE_WORDS, "size")
    roles |= dict.fromkeys(vocabulary.NOUNS, "noun")
    roles |= dict.fromkeys(vocabulary.LIGHTS.values(), "time")
    roles |= dict.fromkeys((said for said, _ in vocabulary.STYLES.values()), "style")
    return roles


def _can_be_drawn(prompt: str, target: Target) -> bool:
    """Whether the drawn world can show what a target asks for: no brass cats, no striped trees."""
    if target.word is None:
        return True
    description = parse(prompt.replace(target.phrase, target.toward, 1))
    return description is not None and all(
        thing.pattern is None or thing.noun in vocabulary.PATTERNED for thing in description.things
    )


def role_of(concept: str) -> Role | None:
    """What kind of word a concept is, by its last word; None where the lexicon does not know."""
    words = re.findall(r"[\w'-]+", concept.casefold())
    if not words:
        return None
    last = words[-1]
    if set(words) & (MEDIA | STYLE_WORDS) or last in ATTRIBUTE_NOUNS:
        return "style"
    if last in TIMES:
        return "time"
    roles: tuple[tuple[Role, frozenset[str]], ...] = (
        ("colour", COLOURS),
        ("size", SIZES),
        ("material", MATERIALS | {"wooden"}),
        ("attribute", ADJECTIVES | SHADES),
    )
    for role, known in roles:
        if last in known:
            return role
    if last in vocabulary.NOUNS or len(words) > 1:
        return "noun"
    # A word by itself reads as a noun; before one it shows what it is, as far as its form tells.
    return "attribute" if any(each.adjectives for each in read_prompt(f"a {concept} box").objects) else None


def _role_by_likeness(run: Run, near: Mapping[str, float]) -> Role:
    """The kind of the word in the prompt that a concept is most like; a noun where no model says."""
    if not near:
        return "noun"
    nearest = max(near, key=lambda text: near[text])
    attributes = [text for each in read_prompt(run.prompt).objects for text in each.adjectives]
    if nearest not in attributes:
        return "noun"
    return role_of(nearest) or "attribute"


def _on_object(
    prompt: str,
    phrase: NounPhrase,
    label: str,
    concept: str,
    role: Role,
    near: Mapping[str, float],
    known: Mapping[str, Role],
) -> Target:
    start = min(span[0] for span in phrase.spans)
    end = max(span[1] for span in phrase.spans)
    now = prompt[start:end]
    if role == "noun":
        first, last = phrase.head_spans[0][0], phrase.head_spans[-1][1]
        old = prompt[first:last]
        score = ALREADY if old.casefold() == concept.casefold() else SAME
        alike, toward = near.get(phrase.category), f"{prompt[start:first]}{concept}{prompt[last:end]}"
        if read_prompt(concept).objects and len(concept.split()) > 1:
            toward = _bare(concept)
        why = f"takes the place of {old!r}" if score else f"it is {old!r} already"
        return Target(concept, role, label, now, old, toward, score, alike, why)
    old_like = next((each for each in phrase.adjectives if _like(each, known) == role), None)
    if old_like is not None and old_like == concept.casefold():
        why = f"the {phrase.category} is {old_like} already"
        return Target(concept, role, label, now, old_like, now, ALREADY, near.get(old_like), why)
    if old_like is not None:
        toward = re.sub(rf"\b{re.escape(old_like)}\b", lambda _: concept, now, count=1, flags=re.IGNORECASE)
        why = f"takes the place of {old_like!r}, which is a {role} too"
        return Target(concept, role, label, now, old_like, toward, SAME, near.get(old_like), why)
    why = f"the {phrase.category} has no {role} yet"
    return Target(concept, role, label, now, None, f"{concept} {now}", FREE, near.get(phrase.category), why)


def _like(adjective: str, known: Mapping[str, Role]) -> Role | None:
    role = known.get(adjective) or role_of(adjective)
    return role if role != "noun" else "attribute"


def _bare(concept: str) -> str:
    """A noun phrase without its determiner."""
    (first, *_) = read_prompt(concept).objects
    start = min(span[0] for span in first.spans)
    end = max(span[1] for span in first.spans)
    return concept[start:end]


def by_word(found: Sequence[Target], word: str | None) -> Target | None:
    """The target at a word; None where there is none."""
    return next((each for each in found if each.word == word), None)
