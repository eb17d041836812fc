"""What to try where a word was ignored: edits and prompts that one command applies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from diffuscope import scenes
from diffuscope.edits import Edit, Reweight, Steer
from diffuscope.explain.evidence import Evidence
from diffuscope.explain.reference import reference_of
from diffuscope.scenes.grammar import mirrored
from diffuscope.scenes.vocabulary import LIGHTS, PLACES, STYLES

What = Literal["reweight", "steer", "order", "word", "seed"]
ODDS = 3.0
"""Factor of a word's odds against all other keys."""
NEXT_SEED = 1000
"""What is added to the seed for another picture of the same prompt."""


@dataclass(frozen=True)
class Remedy:
    """Something to try. Either edits of the run, or a prompt and seed for a new one.

    Attributes:
        what: its name, as `diffuscope explain --try` takes it.
        title: what it does, a clause.
        edits: for `Lens.edit`, applied to the run.
        prompt: to record instead; None keeps the run's own.
        seed: to record with; None keeps the run's own.
        tried: runs of the reference in which it was tried, and in how many the word then came true; None where that
            was not measured on the model.
    """

    what: What
    title: str
    edits: tuple[Edit, ...] = ()
    prompt: str | None = None
    seed: int | None = None
    tried: tuple[int, int] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "what": self.what,
            "title": self.title,
            "edits": [each.to_json() for each in self.edits],
            "prompt": self.prompt,
            "seed": self.seed,
            "tried": None if self.tried is None else {"runs": self.tried[0], "helped": self.tried[1]},
        }


SHORT: dict[What, str] = {
    "reweight": "more weight for it",
    "steer": "a steer",
    "order": "another order of words",
    "word": "another word",
    "seed": "another seed",
}
"""What sentences call a remedy."""


def with_counts(evidence: Evidence, label: str) -> list[Remedy]:
    """`remedies`, with how often each helped words of that role in the reference runs, the most helpful first."""
    reference, found = reference_of(evidence.run), remedies(evidence, label)
    if reference is None or label not in evidence.labels:
        return found
    counts = {each.what: reference.tried(evidence.role(label), each.what) for each in found}
    out = [
        each if (counted := counts[each.what]) is None else replace(each, tried=(counted.n, counted.helped))
        for each in found
    ]
    return sorted(out, key=lambda each: -_rate(each))


def most_helpful(evidence: Evidence, label: str) -> Remedy | None:
    """What helped words of a role most often; None where nothing was measured."""
    measured = [each for each in with_counts(evidence, label) if each.tried is not None]
    return measured[0] if measured else None


def _rate(remedy: Remedy) -> float:
    return remedy.tried[1] / remedy.tried[0] if remedy.tried else -1.0


def remedies(evidence: Evidence, label: str) -> list[Remedy]:
    """What to try for a word, in no order of merit."""
    replaced = _replaced(evidence, label)
    if replaced is not None:
        return [replaced]
    if label not in evidence.labels or label in evidence.unknown:
        return []
    phrase = evidence.phrase_of(label)
    whole = label if phrase is None or evidence.role(label) == "attribute" else phrase.label
    found = [
        Remedy(
            "reweight", f"multiply the odds of “{whole}” by {ODDS:g}", (Reweight(whole, ODDS, of="odds"),)
        ),
        *_steered(evidence, label),
        *_reordered(evidence, label),
    ]
    seed = evidence.run.manifest.sampling.seed
    if seed is not None:
        found.append(Remedy("seed", "draw it again from another seed", seed=seed + NEXT_SEED))
    return found


def _replaced(evidence: Evidence, label: str) -> Remedy | None:
    """Another word for one that the shipped model does not know."""
    if label not in evidence.unknown:
        return None
    text = evidence.texts[label]
    near = dict(scenes.near_words(evidence.run.prompt)).get(text.casefold(), ())
    if not near:
        return None
    word = next(each for each in evidence.run.words if each.label == label)
    prompt = evidence.run.prompt[: word.start] + near[0] + evidence.run.prompt[word.end :]
    return Remedy("word", f"say “{near[0]}”, which the model knows", prompt=prompt)


def _steered(evidence: Evidence, label: str) -> list[Remedy]:
    """The embedding of the word's noun, moved toward its own phrase and away from what was drawn; where nothing was
    drawn for it, guidance toward the phrase."""
    role, phrase = evidence.role(label), evidence.phrase_of(label)
    if phrase is None or role not in ("noun", "attribute", "place"):
        return []
    toward = " ".join(evidence.texts[each] for each in (*phrase.attributes, phrase.head))
    seen = evidence.found(label) if role != "place" else None
    # As the phrase itself stands, without an article; a shape that the judge cannot name is no direction.
    away = "" if seen is None or seen.noun is None else " ".join(filter(None, [seen.colour, seen.noun]))
    if away.casefold() == toward.casefold():
        return []
    if away:
        said = f"steer “{evidence.texts[phrase.head]}” toward “{toward}” and away from “{away}”"
        return [Remedy("steer", said, (Steer(toward, away, phrase.head),))]
    said = f"steer the whole picture toward “{toward}”"
    return [Remedy("steer", said, (Steer(toward, "", strength=0.5, space="guidance"),))]


def _reordered(evidence: Evidence, label: str) -> list[Remedy]:
    """The same said in another order, the word nearer to the front."""
    if evidence.world is None:
        phrase = evidence.phrase_of(label)
        front = label if phrase is None else phrase.label
        text = " ".join(evidence.texts.get(each, each) for each in front.split(" + "))
        return [Remedy("order", "say it first", prompt=f"{text}, {evidence.run.prompt}")]
    description = evidence.world.description
    part = evidence.part(label)
    if part == "place" and description.place is not None:
        prompt = f"{PLACES[description.place]}, {replace(description, place=None).caption()}"
    elif part == "light" and description.light is not None:
        prompt = f"{LIGHTS[description.light]}, {replace(description, light=None).caption()}"
    elif part == "style" and description.style is not None:
        prompt = f"{STYLES[description.style][1]} {replace(description, style=None).caption()}"
    elif mirrored(description) != description:
        prompt = mirrored(description).caption()
    else:
        return []
    if prompt.casefold() == evidence.run.prompt.casefold():
        return []
    return [Remedy("order", f"say it the other way round: “{prompt}”", prompt=prompt)]
