"""What `diffuscope evaluate` measures: how often pictures show what their captions ask for, part by part.

The same captions are drawn three ways, and the judge reads all of them without the captions: by the model; by the
renderer, which draws them right, so that what is misread there is the judge's own error; and by the renderer followed
by the autoencoder, so that what is lost there no denoiser could have shown. Model and pictures come from elsewhere:
this module only chooses captions, and counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from diffuscope.scenes.grammar import Description
from diffuscope.scenes.judge import Reading
from diffuscope.scenes.layout import lay_out
from diffuscope.scenes.prompts import STANDARD_SEED, Prompt, standard_prompts
from diffuscope.scenes.renderer import render
from diffuscope.scenes.scoring import PARTS, Score, score, wilson
from diffuscope.scenes.split import reasons, sample_split, unseen_pair
from diffuscope.scenes.vocabulary import EQUINES

Kind = Literal["standard", "pairs", "family", "train"]

SIDES: tuple[str, ...] = ("left of", "right of", "above", "below")
SUPPORTED: tuple[str, ...] = ("on", "in", "under")
NUMBERS: tuple[str, ...] = ("one thing", "two things", "three things")

UNSEEN = "unseen pairs"
TRAINED = "training prompts"
FAMILY = ", ".join(EQUINES)


@dataclass(frozen=True)
class Case:
    """A prompt to draw, with the seed of its noise. `kind`: one of the standard held-out prompts, or one that was
    added so that there are enough unseen pairs of colour and noun, or of horses and their kin, to count; or one of the
    training side, which shows how much of what is wrong comes from being held out."""

    prompt: Prompt
    seed: int
    kind: Kind = "standard"


@dataclass(frozen=True)
class Outcome:
    """A picture, judged. `seen` holds for each thing named, for each of it that is asked for (two in the plural), the
    noun and colour that were seen in its place; None where nothing was."""

    case: Case
    score: Score
    seen: tuple[tuple[tuple[str | None, str | None] | None, ...], ...]


@dataclass(frozen=True)
class Line:
    """One measured share. Of `n` judgements over `prompts` prompts `right` were right; `low` to `high` is the 95 per
    cent interval of the share `rate` (see `share`). With n = 0 the rate is 0 and the interval 0 to 1."""

    label: str
    part: str
    n: int
    prompts: int
    right: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Fit:
    """What the CLIP pair says: the mean CLIP score of `n` pictures with their own captions, its 95 per cent interval,
    and how often a picture fits its own caption best of all captions asked for."""

    n: int
    mean: float
    low: float
    high: float
    own_caption_first: Line


# Which captions.


def cases(number: int, seeds: int = 1) -> tuple[Case, ...]:
    """The standard held-out prompts, `number` of them, then a third as many with an unseen pair, as many with one of
    the horse's family and as many of the training side; all of them once for each seed, each with its own noise."""
    extra = max(1, number // 3)
    chosen: list[tuple[Kind, Prompt]] = [("standard", prompt) for prompt in standard_prompts(number)]
    known = {prompt.text for _, prompt in chosen}
    # Some more than needed, in place of those that are among the standard prompts already.
    pairs = standard_prompts(2 * extra + 10, reason="pair", seed=STANDARD_SEED + 1)
    chosen += [("pairs", prompt) for prompt in pairs if prompt.text not in known][:extra]
    known |= {prompt.text for _, prompt in chosen}
    chosen += [("family", prompt) for prompt in family_prompts(extra, known)]
    chosen += [("train", prompt) for prompt in standard_prompts(extra, split="train")]
    return tuple(
        Case(prompt, seed=100_000 * k + index, kind=kind)
        for k in range(seeds)
        for index, (kind, prompt) in enumerate(chosen)
    )


def family_prompts(number: int, known: Iterable[str] = ()) -> tuple[Prompt, ...]:
    """Held-out prompts, none of `known`, that name exactly one of horse, unicorn and pegasus, in turn; one thing and
    two things."""
    rng = np.random.default_rng(STANDARD_SEED + 2)
    taken = set(known)
    found: list[Prompt] = []
    while len(found) < number:
        noun = EQUINES[len(found) % len(EQUINES)]
        description = sample_split(rng, "held-out", count=1 + len(found) // len(EQUINES) % 2)
        named = [thing.noun for thing in description.things if thing.noun in EQUINES]
        if named == [noun] and (text := description.caption(rng)) not in taken:
            taken.add(text)
            found.append(Prompt(text, description))
    return tuple(found)


def rendered(chosen: Sequence[Case]) -> Iterator[NDArray[np.uint8]]:
    """A drawing of each case by the renderer, uint8 sRGB `[y, x, channel]`: what a faultless model might draw."""
    for case in chosen:
        rng = np.random.default_rng([STANDARD_SEED, case.seed])
        yield render(lay_out(case.prompt.description, rng)).image


def judged(case: Case, reading: Reading) -> Outcome:
    """Hold what the judge read in a case's picture against its caption."""
    found = score(reading, case.prompt.description)
    seen = tuple(
        tuple(None if at is None else (reading.objects[at].noun, reading.objects[at].colour) for at in group)
        for group in found.matched
    )
    return Outcome(case, found, seen)


# Counting.


def share(label: str, part: str, outcomes: Iterable[tuple[str, bool | None]]) -> Line:
    """The share that is right of pairs (prompt, right or wrong); those that are None do not count.

    The interval is Wilson's (1927) with the effective number of judgements: pictures of one prompt succeed and fail
    together, so several seeds say less than as many prompts would (Korn and Graubard 1998, Survey Methodology 24:193).
    The variance is that of a ratio over clusters; the effective number lies between those of prompts and of judgements,
    and is that of prompts where all or none are right, which tells nothing of how alike they are.
    """
    counted = [(prompt, right) for prompt, right in outcomes if right is not None]
    n, right = len(counted), sum(one for _, one in counted)
    rate = right / n if n else 0.0
    off: dict[str, float] = {}
    for prompt, one in counted:
        off[prompt] = off.get(prompt, 0.0) + one - rate
    prompts = len(off)
    effective = float(prompts)
    if 0 < right < n and prompts > 1:
        variance = prompts / (prompts - 1) * sum(value * value for value in off.values()) / n**2
        # Nothing is left of the variance where every prompt has the same share: the most that there can be.
        effective = float(np.clip(rate * (1 - rate) / variance, prompts, n)) if variance > 1e-12 else float(n)
    low, high = wilson(rate * effective, effective)
    return Line(label, part, n, prompts, right, rate, low, high)


def table(outcomes: Sequence[Outcome]) -> list[Line]:
    """All shares, in the order of the printed tables.

    Every part over the standard prompts; nouns and colours bound, and all parts, by number of things, by reason held
    out and on the training side; relations by kind; unseen pairs; the horse's family told apart. A picture counts where
    its caption names the part. The last two count things, not pictures, of all held-out prompts.
    """
    by_kind = {kind: [one for one in outcomes if one.case.kind == kind] for kind in ("standard", "train")}

    def line(label: str, part: str, among: Callable[[Description], bool], kind: Kind = "standard") -> Line:
        chosen = [one for one in by_kind[kind] if among(one.case.prompt.description)]
        return share(label, part, ((one.case.prompt.text, getattr(one.score, part)) for one in chosen))

    lines = [line("every prompt", part, lambda _: True) for part in PARTS]
    for part in ("bound", "all"):
        for count, label in enumerate(NUMBERS, start=1):
            lines.append(line(label, part, lambda d, count=count: len(d.things) == count))  # type: ignore[misc]
    for part in ("bound", "all"):
        for reason in ("pair", "relation", "prompt"):
            label = f"held out: {reason}"
            lines.append(line(label, part, lambda d, reason=reason: reason in reasons(d)))  # type: ignore[misc]
        lines.append(line(TRAINED, part, lambda _: True, kind="train"))
    for label, kinds in (
        (", ".join(SIDES), SIDES),
        (", ".join(SUPPORTED), SUPPORTED),
        ("next to", ("next to",)),
    ):
        lines.append(line(label, "relation", lambda d, kinds=kinds: d.relation in kinds))  # type: ignore[misc]
    held_out = [one for one in outcomes if one.case.kind != "train"]
    lines.append(share(UNSEEN, "bound", _each(held_out, _unseen_pair_right)))
    lines.append(share(FAMILY, "nouns", _each(held_out, _family_right)))
    return lines


Seen = tuple[str | None, str | None] | None


def _each(
    outcomes: Iterable[Outcome], judge: Callable[[str, str | None, Seen], bool | None]
) -> Iterator[tuple[str, bool | None]]:
    """A judgement of every thing asked for, by its noun, its colour and what was seen in its place."""
    for one in outcomes:
        for thing, group in zip(one.case.prompt.description.things, one.seen, strict=True):
            for seen in group:
                yield one.case.prompt.text, judge(thing.noun, thing.colour, seen)


def _unseen_pair_right(noun: str, colour: str | None, seen: Seen) -> bool | None:
    return seen == (noun, colour) if unseen_pair(colour, noun) else None


def _family_right(noun: str, _: str | None, seen: Seen) -> bool | None:
    return (seen is not None and seen[0] == noun) if noun in EQUINES else None


def confusion(outcomes: Iterable[Outcome]) -> dict[str, dict[str, int]]:
    """For horse, unicorn and pegasus in held-out prompts: what was seen in their place, and how
    often; "-" is nothing that has a name."""
    counts: dict[str, dict[str, int]] = {noun: {} for noun in EQUINES}
    for one in outcomes:
        if one.case.kind == "train":
            continue
        for thing, group in zip(one.case.prompt.description.things, one.seen, strict=True):
            for seen in group if thing.noun in EQUINES else ():
                name = (seen[0] if seen else None) or "-"
                counts[thing.noun][name] = counts[thing.noun].get(name, 0) + 1
    return {noun: dict(sorted(seen.items(), key=lambda item: -item[1])) for noun, seen in counts.items()}


def fit(scores: NDArray[np.floating], own: Sequence[int], prompts: Sequence[str]) -> Fit:
    """Sum up CLIP scores.

    Args:
        scores: `[picture, caption]`, of every picture with every caption, 0 to 100.
        own: the caption of each picture.
        prompts: the captions.

    The interval of the mean is normal, over prompts; with a single prompt it is the mean alone.
    """
    each = scores[np.arange(len(own)), list(own)]
    means = np.array([each[np.array(own) == index].mean() for index in dict.fromkeys(own)])
    spread = 1.959964 * float(means.std(ddof=1)) / sqrt(len(means)) if len(means) > 1 else 0.0
    first = scores.argmax(axis=1) == np.array(own)
    line = share(
        "CLIP", "own caption first", ((prompts[at], bool(one)) for at, one in zip(own, first, strict=True))
    )
    mean = float(each.mean())
    return Fit(len(own), mean, mean - spread, mean + spread, line)


def told(outcome: Outcome) -> dict[str, Any]:
    """One picture for `--json`: its prompt, seed and kind, why it is held out, and the parts that are wrong."""
    description = outcome.case.prompt.description
    return {
        "prompt": outcome.case.prompt.text,
        "seed": outcome.case.seed,
        "kind": outcome.case.kind,
        "held_out_for": sorted(reasons(description)),
        "wrong": list(outcome.score.wrong()),
    }


def as_json(lines: Iterable[Line]) -> list[dict[str, Any]]:
    """Lines as plain values."""
    return [asdict(line) for line in lines]
