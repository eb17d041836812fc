"""Sentences about single words: ignored, leaking, bound wrongly, unlike the usual, put to the test."""

from __future__ import annotations

from diffuscope.explain.causes import NO_EFFECT
from diffuscope.explain.claim import Claim
from diffuscope.explain.remedies import SHORT
from diffuscope.explain.saying import Line, Saying, capital, every, listed, of, steps
from diffuscope.scenes.vocabulary import LIGHTS, PLACES, STYLES

NOTHING = "nothing"

WHOLE = {**PLACES, **LIGHTS, **{name: words for name, (words, _) in STYLES.items()}}
"""How captions of the drawn world say what the judge reads of a whole picture."""


def ignored(claims: list[Claim], say: Saying) -> list[Line]:
    """The account of one word: what became of it, what attention it got, where that went, what was unlike the
    usual."""
    cut = of(claims, "words_cut")
    if cut is not None:
        number = "1 word" if cut.number == 1 else f"{say.value(cut)} words"
        return [
            Line(
                f"The last {number} of the prompt never reached the model: its text encoder was full.", (cut,)
            )
        ]
    lines = _verdict(claims, say)
    lines += _when(claims, say)
    lines += _share_of_attention(claims, say)
    lines += _went(claims, say)
    lines += _strange(claims, say)
    lines += _helps(claims, say)
    return lines


def unknown(claims: list[Claim], say: Saying) -> list[Line]:
    """Words that the model does not know, together."""
    if len(claims) > 1:
        words = listed(say.word(each.words[0]) for each in claims)
        return [
            Line(f"{words} are no words of the model's world: it reads them letter by letter.", tuple(claims))
        ]
    word = say.word(claims[0].words[0])
    text = say.pick(
        f"unknown {word}",
        f"{word} is no word of the model's world: it is read letter by letter and means nothing there.",
        f"The model does not know {word}; its letters are read one by one, and nothing is drawn for them.",
    )
    return [Line(text, tuple(claims))]


def _helps(claims: list[Claim], say: Saying) -> list[Line]:
    what, often = of(claims, "helps_most"), of(claims, "helped")
    if what is None or often is None:
        return []
    # Words of one role have one answer, which is said once.
    role = say.brief.roles.get(what.words[0], "other")
    if f"helps {role}" in say.introduced:
        return []
    say.introduced.add(f"helps {role}")
    if often.number == 0:
        text = (
            f"Nothing that was tried on such words in the reference runs helped, in {say.beside(often)} tries"
        )
        return [Line(f"{text}.", (what, often))]
    such = {"noun": "a noun that did not come true", "attribute": "an attribute that did not take"}.get(
        role, "such a word"
    )
    times = f"{say.value(often)} of {say.beside(often)} times"
    usual = f"What most often helped {such} in the reference runs was {what.value}, {times}"
    if what.value != SHORT["seed"]:
        return [Line(f"{usual}.", (what, often))]
    plain = f"In the reference runs nothing helped {such} more often than {what.value} ({times})"
    text = say.pick(f"helps {what.words[0]}", usual, plain)
    return [Line(f"{text}.", (what, often))]


def _verdict(claims: list[Claim], say: Saying) -> list[Line]:
    judged, seen = of(claims, "judged"), of(claims, "seen")
    if judged is None:
        return []
    label = judged.words[0]
    word, role = say.word(label), say.brief.roles.get(label, "other")
    if judged.number == 1:
        return [Line(f"{word} did come true: {say.judge()} finds it in the picture.", (judged,))]
    if role == "relation":
        return [Line(f"The things do not stand as {word} asks.", (judged,))]
    if seen is None or not isinstance(seen.value, str):
        return [Line(f"{word} did not come true.", (judged,))]
    if role in ("place", "look"):
        plain = "on plain paper" if role == "place" else "plain"
        there = plain if seen.value == "plain" else WHOLE.get(seen.value, f"in {seen.value}")
        return [Line(f"{word} did not come true: {say.judge()} finds the picture {there}.", (judged, seen))]
    if seen.value == NOTHING:
        text = say.pick(
            f"missing {label}",
            f"{word} is missing: {say.judge()} finds nothing that could stand for it.",
            f"Nothing in the picture could be {word}.",
        )
        return [Line(text, (judged, seen))]
    borrowed = of(claims, "colour_seen")
    if borrowed is not None:
        other = say.word(borrowed.words[-1])
        text = (
            f"{word} went wrong: the thing came out as {seen.value}, with the colour that {other} "
            "gives the other one"
        )
        return [Line(f"{text}.", (judged, seen, borrowed))]
    if role == "attribute":
        return [Line(f"{word} did not take: the thing came out as {seen.value}.", (judged, seen))]
    text = say.pick(
        f"instead {label}",
        f"{word} did not come true: in its place {say.judge()} sees {seen.value}.",
        f"Where {word} should be there is {seen.value}.",
    )
    return [Line(text, (judged, seen))]


def _when(claims: list[Claim], say: Saying) -> list[Line]:
    times, last = of(claims, "times_true"), of(claims, "last_true")
    if times is None:
        return []
    picture = say.once("predicted", "the picture that the model predicts as it goes", "the predicted picture")
    if last is None or times.number == 0:
        return [Line(f"{capital(picture)} had it at none of the {say.beside(times)} steps.", (times,))]
    often = "once" if times.number == 1 else f"at {say.value(times)} of {say.beside(times)} steps"
    text = say.pick(
        f"when {times.words[0]}",
        f"{capital(picture)} had it {often}, last at step {say.value(last)}",
        f"{capital(picture)} did have it {often}, and lost it after step {say.value(last)}",
    )
    return [Line(f"{text}.", (times, last))]


def _share_of_attention(claims: list[Claim], say: Saying) -> list[Line]:
    masses = [
        each for each in every(claims, "mass") if each.selection.sites == "all" and each.steps() is None
    ]
    mass, share, judged = masses[0] if masses else None, of(claims, "share"), of(claims, "judged")
    if mass is not None and mass.beside is not None and mass.beside.low is not None:
        held, usual = mass.beside, say.usual(mass)
        low, high = held.low or 0.0, held.high or 0.0
        got = f"{say.value(mass)} of all attention"
        if judged is None:
            word, few = say.word(mass.words[0]), mass.number < low
            text = f"{word} may have been passed over: it got only" if few else f"{word} got"
            return [Line(f"{text} {got}, where {held.what} get {usual}.", (mass,))]
        if mass.number < 0.9 * low:
            text = f"It got little to begin with: {got}, where {held.what} get {usual}"
        elif mass.number > 1.1 * high:
            text = f"It was not overlooked: it got {got}, more than the {usual} of {held.what}"
        elif judged is not None and judged.number == 1:
            text = f"It got {got}, as {held.what} do ({usual})"
        else:
            text = say.pick(
                f"usual {mass.words[0]}",
                f"It was not short of attention: it got {say.value(mass)} of all there is, and "
                f"{held.what} get {usual}",
                f"Its attention is not what went wrong, for it got {got}, within the {usual} of {held.what}",
            )
        return [Line(f"{text}.", (mass,))]
    if share is not None and share.beside is not None:
        word, low = say.word(share.words[0]), share.number < 0.5 * share.beside.value
        text = (
            f"{say.value(share)} of the attention to words, and {share.beside.what} has {say.beside(share)}"
        )
        if low:
            return [Line(f"{word} may have been passed over: it got only {text}.", (share,))]
        start = "It" if judged is not None else word
        return [Line(f"{start} got {text}.", (share,))]
    return []


def _went(claims: list[Claim], say: Saying) -> list[Line]:
    inside = of(claims, "inside")
    if inside is not None and inside.against is not None:
        other = say.word(inside.against.word or "")
        text = (
            f"Its attention went to {other} instead, which covers {say.beside(inside)} of the picture and has "
            f"{say.value(inside)} of the map"
        )
        return [Line(f"{text}.", (inside,))]
    place, part = of(claims, "ninth"), of(claims, "ninth_share")
    if place is None or part is None or part.number <= 1.3 * say.held(part).value:
        return []
    text = (
        f"Its map is strongest in the {place.value}: that ninth of the picture has {say.value(part)} of it, against "
        f"{say.beside(part)} of an even one"
    )
    return [Line(f"{text}.", (place, part))]


def _strange(claims: list[Claim], say: Saying) -> list[Line]:
    strange = [
        each for each in every(claims, "mass") if each.selection.sites != "all" or each.steps() is not None
    ]
    lines: list[Line] = []
    for claim in strange[:2]:
        more, what, usual = _more(claim), say.held(claim).what, say.usual(claim)
        if lines and more == _more(strange[0]):
            text = f"The same holds {_at(claim)}: {say.value(claim)}, where {usual} is usual"
        else:
            text = (
                f"{capital(_at(claim))} it got {'more' if more else 'less'} than is usual there: "
                f"{say.value(claim)}, where"
            )
            text += f" {what} get {usual}"
        lines.append(Line(f"{text}.", (claim,)))
    return lines


def _more(claim: Claim) -> bool:
    return claim.beside is not None and claim.number > claim.beside.value


def _at(claim: Claim) -> str:
    site = claim.selection.sites
    return f"at {site}" if site != "all" else f"in {steps(claim)}"


def leak(claims: list[Claim], say: Saying) -> list[Line]:
    lines = []
    for claim in claims:
        word, other = say.word(claim.words[0]), say.word(claim.words[-1])
        if claim.statistic == "lift":
            text = say.pick(
                f"leak {word}",
                f"Attention to {word} lies on {other} rather than on its own thing: the map is "
                f"{say.value(claim)} times as "
                f"bright there as on average, and {say.beside(claim)} times on its own",
                f"{word} leaks onto {other}: its map is {say.value(claim)} times as bright there "
                "as on average, and on its "
                f"own thing {say.beside(claim)} times",
            )
        else:
            text = (
                f"The map of {word} is more like that of {other} (correlation {say.value(claim)}) "
                "than like that of its "
                f"own noun ({say.beside(claim)})"
            )
        lines.append(Line(f"{text}.", (claim,)))
    return lines


def unusual(groups: list[list[Claim]], say: Saying) -> list[Line]:
    """At most two values far from the usual, in one sentence where both go the same way."""
    first = groups[0][0]
    more, word = _more(first), say.word(first.words[0])
    text = say.pick(
        "unusual",
        f"{capital(_at(first))} {word} got {'more' if more else 'less'} attention than is usual, "
        f"{say.value(first)}, where "
        f"{say.held(first).what} get {say.usual(first)}",
        f"Unlike the usual is the attention to {word} {_at(first)}: {say.value(first)}, and "
        f"{say.held(first).what} get "
        f"{say.usual(first)}",
        f"{word} stands out {_at(first)}, with {say.value(first)} of the attention; {say.held(first).what} get "
        f"{say.usual(first)} there",
    )
    cited = [first]
    if len(groups) > 1 and _more(groups[1][0]) == more:
        second = groups[1][0]
        text += (
            f"; so does {say.word(second.words[0])} {_at(second)}, with {say.value(second)} (usually "
            f"{say.usual(second)})"
        )
        text = text.replace("; so does", "; so did") if not text.startswith("“") else text
        cited.append(second)
    return [Line(f"{text}.", tuple(cited))]


def cause(claims: list[Claim], say: Saying) -> list[Line]:
    verdict, noticed = of(claims, "cause_verdict"), of(claims, "cause_noticed")
    overlap, without = of(claims, "cause_overlap"), of(claims, "cause_without")
    assert verdict is not None and noticed is not None
    word = say.word(verdict.words[0])
    lines = []
    if verdict.value == NO_EFFECT:
        text = (
            f"Put to the test, silencing {word} changes {say.value(noticed)} of the picture: what its "
            "map shows, it does not do"
        )
        lines.append(Line(f"{text} through its own tokens.", (verdict, noticed)))
    else:
        size = f"{say.value(noticed)} of the picture (a random change of equal size: {say.beside(noticed)})"
        holds = {"supported": "holds", "in part": "holds in part"}.get(str(verdict.value), "does not hold")
        text = f"Put to the test, the map of {word} {holds}: silencing the word changes {size}"
        if overlap is not None:
            text += f", and the map overlaps with that change by {say.value(overlap)} (chance: {say.beside(overlap)})"
        cited = tuple(each for each in (verdict, noticed, overlap) if each is not None)
        lines.append(Line(f"{text}.", cited))
    if without is not None and without.number > 3 * max(noticed.number, 0.01):
        text = (
            f"Leaving {word} out of the prompt changes {say.value(without)}: the rest of it works "
            "through other tokens"
        )
        lines.append(Line(f"{text}.", (without,)))
    return lines
