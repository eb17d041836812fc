"""Claims about single words: those that were ignored, leaked or bound wrongly, and values unlike the usual."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from diffuscope.explain.claim import Beside, Claim, Kind
from diffuscope.explain.evidence import Evidence, Phrase
from diffuscope.explain.reference import OUTLIER, Reference, Usual
from diffuscope.explain.statistic import CORRELATION, COUNT, PROBABILITY, RATIO, SHARE, STEP, TEXT, TRUTH
from diffuscope.explain.statistics import computed
from diffuscope.selection import Selection

LITTLE = 0.5
"""A word got little attention where its share is below this part of the median of the prompt's content words."""
LEAKS = 1.2
"""A map favours a thing where this many times the share that an even map has lies on it."""
ALIKE = 0.15
"""By how much an attribute's map must be more like another noun's than like its own."""
FEW_TRIES = 5
"""Tries of a remedy below which nothing is said of how often it helps."""
MOST_UNUSUAL = 3
"""Unusual values that are told of one run."""


def _number(evidence: Evidence, name: str, at: Selection, against: Selection | None = None) -> float | None:
    found = computed(name, at, against, evidence)
    return found if isinstance(found, float) else None


def failed_words(evidence: Evidence) -> list[str]:
    """Words that the judge does not find true of the picture, each failure once: an attribute or a relation of a
    thing that is not there is lost with it, and of "neon sign" the first word stands for both."""
    if evidence.world is None or evidence.score is None:
        return []
    world, score = evidence.world, evidence.score
    failed = [label for label in evidence.labels if world.holds(label) is False]
    gone = {at for at, group in enumerate(score.matched) if None in group}
    misshapen = {world.meanings[label][1] for label in failed if world.meanings[label][0] == "noun"}
    lost: list[str] = []
    told: set[str] = set()
    for label in failed:
        part, about = world.meanings[label]
        if isinstance(about, str):
            if about in told:
                continue
            told.add(about)
        if part in ("colour", "pattern", "size") and about in gone:
            continue
        if part in ("pattern", "size") and about in misshapen:
            continue
        if part == "relation" and (gone or len(score.matched) < 2):
            continue
        lost.append(label)
    return lost


def suspected_words(evidence: Evidence) -> list[str]:
    """Where there is no judge: content words with far less attention than the others."""
    if evidence.world is not None or len(evidence.content) < 2:
        return []
    shares = {label: _number(evidence, "share", Selection(word=label)) or 0.0 for label in evidence.content}
    return [
        label
        for label, own in shares.items()
        if own < LITTLE * median(value for other, value in shares.items() if other != label)
    ]


def ignored(
    evidence: Evidence, reference: Reference | None, asked: str | None = None, *, quick: bool = True
) -> Iterator[Claim]:
    """Words that the picture lacks, or that got little attention; and `asked` for, whatever became of it. `quick`: the
    predicted pictures are not judged."""
    for label in evidence.unknown:
        yield Claim(
            "ignored",
            f"ignored/{label}",
            "known",
            Selection(word=label),
            0.0,
            TRUTH,
            surprise=0.95,
            certainty=1.0,
            trouble=True,
        )
    cut = evidence.run.manifest.text.cut
    if cut:
        yield Claim(
            "ignored",
            "ignored/cut",
            "words_cut",
            Selection(),
            _number(evidence, "words_cut", Selection()),
            COUNT,
            surprise=0.95,
            certainty=1.0,
            trouble=True,
        )
    wrong = failed_words(evidence)
    for label in suspected_words(evidence):
        usual = None if reference is None else reference.usual("mass", evidence.role(label))
        # Where it is known what is usual, that decides.
        if usual is None or (_number(evidence, "mass", Selection(word=label)) or 0.0) < usual.low:
            wrong.append(label)
    wrong += [asked] if asked is not None and asked not in wrong else []
    for label in wrong:
        if label not in evidence.unknown:
            yield from _account(evidence, reference, label)
            if not quick:
                yield from _when(evidence, label)


def _account(evidence: Evidence, reference: Reference | None, label: str) -> Iterator[Claim]:
    """What happened to one word: whether it came true, its attention, where that went, what was unusual."""
    at, group, role = Selection(word=label), f"ignored/{label}", evidence.role(label)
    holds = _number(evidence, "judged", at)
    lost = holds == 0.0
    if holds is not None:
        yield Claim(
            "ignored",
            group,
            "judged",
            at,
            holds,
            TRUTH,
            surprise=1.0 if lost else 0.1,
            certainty=0.95,
            trouble=lost,
        )
        if lost and role in ("noun", "attribute", "place", "look"):
            seen = computed("seen", at, None, evidence)
            yield Claim("ignored", group, "seen", at, seen, TEXT, surprise=0.9, certainty=0.9, trouble=True)
    yield from _borrowed(evidence, label, group)
    mass, usual = _number(evidence, "mass", at), None
    if reference is not None:
        usual = reference.usual("mass", role)
    held = None if usual is None else usual.beside(_of_role(role))
    surprise = 0.8 if usual is not None and usual.outlier(mass or 0.0) else 0.5
    yield Claim(
        "ignored", group, "mass", at, mass, PROBABILITY, beside=held, surprise=surprise, certainty=0.9
    )
    if reference is None:
        yield from _against_others(evidence, label, suspected=holds is None)
    yield from _went(evidence, label, group)
    if reference is not None:
        strange = sorted(_strange(evidence, reference, label, "ignored", group), key=lambda each: -each.rank)
        yield from strange[:2]
    if lost:
        yield from _helps(evidence, at, group)


def _when(evidence: Evidence, label: str) -> Iterator[Claim]:
    """At which steps the predicted picture had what a word says that the finished one has not."""
    at, group = Selection(word=label), f"ignored/{label}"
    if _number(evidence, "judged", at) != 0.0:
        return
    times, last = _number(evidence, "times_true", at), _number(evidence, "last_true", at)
    if times is None:
        return
    drawn = Selection()
    held = Beside("the steps drawn", float(len(evidence.run.steps)), statistic="steps_drawn", selection=drawn)
    surprise = 0.7 if times > 0 else 0.4
    yield Claim(
        "ignored", group, "times_true", at, times, COUNT, beside=held, surprise=surprise, certainty=0.85
    )
    if last is not None:
        yield Claim("ignored", group, "last_true", at, last, STEP, surprise=surprise, certainty=0.85)


def _borrowed(evidence: Evidence, label: str, group: str) -> Iterator[Claim]:
    """A colour that a thing took from what the prompt says of another."""
    found = evidence.found(label)
    if evidence.part(label) != "colour" or found is None or found.colour is None or found.noun is None:
        return
    own = evidence.phrase_of(label)
    for other in evidence.objects:
        for each in other.attributes:
            if other != own and evidence.texts[each].casefold() == found.colour:
                at = Selection(word=label)
                seen = computed("colour_seen", at, None, evidence)
                yield Claim(
                    "binding",
                    group,
                    "colour_seen",
                    at,
                    seen,
                    TEXT,
                    against=Selection(word=each),
                    surprise=0.95,
                    certainty=0.9,
                    trouble=True,
                )


def _helps(evidence: Evidence, at: Selection, group: str) -> Iterator[Claim]:
    """What made such words come true most often."""
    what, often = computed("helps_most", at, None, evidence), _number(evidence, "helped", at)
    times = _number(evidence, "tried", at)
    if what is None or often is None or times is None or times < FEW_TRIES:
        return
    held = Beside("the reference runs in which it was tried", times, statistic="tried", selection=at)
    yield Claim("ignored", group, "helps_most", at, what, TEXT, surprise=0.4, certainty=0.7)
    yield Claim("ignored", group, "helped", at, often, COUNT, beside=held, surprise=0.4, certainty=0.7)


def _of_role(role: str) -> str:
    nouns = {
        "noun": "nouns",
        "attribute": "attributes",
        "place": "places",
        "look": "lights and styles",
        "relation": "relations",
    }
    return f"{nouns.get(role, 'words')} that came true"


def _against_others(evidence: Evidence, label: str, *, suspected: bool) -> Iterator[Claim]:
    rest = [each for each in evidence.content if each != label]
    if not rest:
        return
    others = [_number(evidence, "share", Selection(word=each)) or 0.0 for each in rest]
    own, middle = _number(evidence, "share", Selection(word=label)), float(median(others))
    little = own is not None and own < LITTLE * middle
    yield Claim(
        "ignored",
        f"ignored/{label}",
        "share",
        Selection(word=label),
        own,
        SHARE,
        beside=Beside("the median of the prompt's other content words", middle, n=len(rest)),
        surprise=0.6 if little else 0.2,
        certainty=0.5,
        trouble=little and suspected,
    )


def _went(evidence: Evidence, label: str, group: str) -> Iterator[Claim]:
    """Where a word's attention went: on which of the things that are there, else in which part of the picture. A light
    or a style has no place of its own to miss."""
    if evidence.role(label) == "look":
        return
    at = Selection(word=label)
    own = evidence.phrase_of(label)
    on = []
    for phrase in evidence.objects:
        where = Selection(word=phrase.label)
        if phrase != own and evidence.region(phrase.label) is not None:
            found = _number(evidence, "inside", at, where)
            covered = _number(evidence, "area", where)
            if found is not None and covered:
                on.append((found / covered, found, covered, where))
    if on and evidence.region(own.label if own else label) is None:
        ratio, found, covered, where = max(on, key=lambda each: each[0])
        if ratio > LEAKS:
            yield Claim(
                "ignored",
                group,
                "inside",
                at,
                found,
                SHARE,
                against=where,
                beside=Beside(
                    "the share of the picture that it covers", covered, statistic="area", selection=where
                ),
                surprise=min(1.0, 0.4 + 0.15 * ratio),
                certainty=0.7,
            )
            return
    place = computed("ninth", at, None, evidence)
    part = _number(evidence, "ninth_share", at)
    yield Claim("ignored", group, "ninth", at, place, TEXT, surprise=0.3, certainty=0.6)
    yield Claim(
        "ignored",
        group,
        "ninth_share",
        at,
        part,
        SHARE,
        beside=Beside("an even spread", 1 / 9),
        surprise=0.3,
        certainty=0.6,
    )


def leaks(evidence: Evidence) -> Iterator[Claim]:
    """Words whose attention lies on another thing more than on their own."""
    things = evidence.objects
    for phrase in things:
        for other in things:
            if other is phrase or _same_words(evidence, phrase, other):
                continue
            for label in (phrase.head, *phrase.attributes):
                kind: Kind = "leak" if label == phrase.head else "binding"
                yield from _leak(evidence, label, phrase, other, kind)


def _same_words(evidence: Evidence, one: Phrase, other: Phrase) -> bool:
    """Two phrases of the same words, whose maps cannot be told apart by them."""
    return evidence.texts[one.head].casefold() == evidence.texts[other.head].casefold()


def _leak(evidence: Evidence, label: str, own: Phrase, other: Phrase, kind: Kind) -> Iterator[Claim]:
    at, group = Selection(word=label), f"{kind}/{label}"
    mine, theirs = Selection(word=own.label), Selection(word=other.label)
    here, there = _number(evidence, "lift", at, mine), _number(evidence, "lift", at, theirs)
    if here is not None and there is not None:
        if there > max(LEAKS, 1.1 * here):
            held = Beside("on its own thing", here, statistic="lift_on", selection=Selection(word=label))
            yield Claim(
                kind,
                group,
                "lift",
                at,
                there,
                RATIO,
                against=theirs,
                beside=held,
                surprise=min(1.0, 0.35 + 0.4 * (there / max(here, 0.1) - 1)),
                certainty=0.85,
                trouble=False,
            )
        return
    if evidence.world is not None or kind != "binding":
        return
    head, rival = Selection(word=own.head), Selection(word=other.head)
    like, unlike = _number(evidence, "similarity", at, head), _number(evidence, "similarity", at, rival)
    if like is not None and unlike is not None and unlike > like + ALIKE:
        yield Claim(
            kind,
            group,
            "similarity",
            at,
            unlike,
            CORRELATION,
            against=rival,
            beside=Beside("with its own noun", like, statistic="similarity_own", selection=at),
            surprise=min(1.0, 0.3 + unlike - like),
            certainty=0.5,
        )


def unusual(evidence: Evidence, reference: Reference | None) -> Iterator[Claim]:
    """Values of words that came true and that are far from the usual all the same: at which steps, at which site."""
    if reference is None or evidence.world is None:
        return
    found: list[Claim] = []
    for label in evidence.labels:
        if evidence.world.holds(label) is True:
            strange = list(_strange(evidence, reference, label, "unusual", f"unusual/{label}"))
            found += sorted(strange, key=lambda each: -each.rank)[:1]
    yield from sorted(found, key=lambda each: -each.rank)[:MOST_UNUSUAL]


def _strange(evidence: Evidence, reference: Reference, label: str, kind: Kind, group: str) -> Iterator[Claim]:
    """Stretches of steps and sites at which a word's attention is far from that of words of its role."""
    role = evidence.role(label)
    places = {
        name: Selection(steps.steps, word=label) for name, steps in reference.stretches(evidence.run).items()
    }
    places |= {site: Selection(sites=site, word=label) for site in evidence.sites}
    for name, at in places.items():
        usual = reference.usual("mass", role, name)
        value = _number(evidence, "mass", at)
        if usual is None or value is None or not usual.outlier(value):
            continue
        yield Claim(
            kind,
            group,
            "mass",
            at,
            value,
            PROBABILITY,
            beside=usual.beside(_of_role(role)),
            surprise=_how_strange(usual, value),
            certainty=0.8,
        )


def _how_strange(usual: Usual, value: float) -> float:
    """0 at the threshold, toward 1 far beyond it."""
    beyond = abs(usual.z(value)) / OUTLIER
    return 1 - 1 / beyond**1.5 if beyond > 1 else 0.0
