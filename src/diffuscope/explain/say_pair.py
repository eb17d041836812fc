"""Sentences about a run and an edited one: what was edited, what that changed, what it left alone."""

from __future__ import annotations

from diffuscope.explain.claim import Claim
from diffuscope.explain.saying import Line, Saying, capital, listed, of, steps

CLEARLY = 1.5
"""Times chance from which map and change agree, and as many times below it from which they do not."""
ALL_OF_IT = 0.9
"""A thing changed altogether where this share of its pixels did."""


def edit(claims: list[Claim], say: Saying) -> list[Line]:
    made, window = of(claims, "edits_made"), of(claims, "window_steps")
    assert made is not None and window is not None
    if not say.brief.edits:
        return [Line("The second run has no edit that the first has not.", (made,))]
    what = "; ".join(say.brief.edits)
    number = "The edit" if made.number == 1 else f"The {say.value(made)} edits:"
    lines = [Line(f"{number} {what}.", (made,))]
    if "step" in what or window.steps() is None:
        return lines
    drawn = next((each for each in say.brief.claims if each.statistic == "steps_drawn"), None)
    acts = "it acts" if made.number == 1 else "they act"
    when = "at every step" if drawn is not None and drawn.value == window.value else f"in {steps(window)}"
    return [Line(f"{number} {what}; {acts} {when}.", (made, window))]


def picture(claims: list[Claim], say: Saying) -> list[Line]:
    noticed, mean, largest = of(claims, "noticed"), of(claims, "change_mean"), of(claims, "change_largest")
    assert noticed is not None and mean is not None and largest is not None
    if largest.number == 0:
        return [Line("It did not change the picture by a single bit.", (largest,))]
    if noticed.number == 0:
        return [
            Line(
                f"No eye would see it: the largest change of a pixel is {say.value(largest)} delta-E.",
                (largest,),
            )
        ]
    change = f"{say.value(noticed)} of the pixels changed noticeably"
    if noticed.beside is not None:
        change += f" (a random change of equal size: {say.beside(noticed)})"
    if noticed.kind == "unchanged":
        text = f"It hardly changed the picture: {change}"
    elif noticed.number > 0.6:
        text = f"It made another picture: {change}, by {say.value(mean)} delta-E in the mean"
    else:
        text = f"{capital(change)}; over the whole picture the mean change is {say.value(mean)} delta-E"
    return [Line(f"{text}.", (noticed, mean) if "mean" in text else (noticed,))]


def seen(claims: list[Claim], say: Saying) -> list[Line]:
    before, after = of(claims, "seen_before"), of(claims, "seen_after")
    assert before is not None and after is not None
    if before.value == after.value:
        return [Line(f"{capital(say.judge())} sees the same as before: {after.value}.", (before, after))]
    return [
        Line(f"Where {say.judge()} saw {before.value}, it now sees {after.value}.", (before, after)),
    ]


def outcomes(won: list[Claim], lost: list[Claim], say: Saying) -> list[Line]:
    """Words that came true by the edit, and words that it lost."""
    names = [listed(say.word(each.words[0]) for each in group) for group in (won, lost)]
    if won and lost:
        text = f"By it {names[0]} came true; {names[1]} {'was' if len(lost) == 1 else 'were'} lost"
    elif won:
        text = f"By it {names[0]} came true, and no word was lost"
    elif lost:
        text = f"{names[1]} {'is' if len(lost) == 1 else 'are'} no longer true of it"
    else:
        return []
    return [Line(f"{text}.", (*won, *lost))]


def things(claims: list[Claim], say: Saying) -> list[Line]:
    """How much of each thing changed, the most changed first."""
    by_change = sorted(claims, key=lambda each: -each.number)
    most, least = by_change[0], by_change[-1]
    rest = f", and of the background {say.beside(most)}" if most.beside is not None else ""
    if len(by_change) == 1:
        if most.kind == "unchanged":
            return [
                Line(
                    f"{say.word(most.words[0])} was left alone: {say.value(most)} of it changed{rest}.",
                    (most,),
                )
            ]
        return [
            Line(
                f"{say.word(most.words[0])} changed {_how_much(most)}: {say.value(most)} of its pixels{rest}.",
                (most,),
            )
        ]
    if least.trouble and most.kind == "change":
        text = (
            f"The edit reached the wrong thing: {say.word(most.words[0])} changed {_how_much(most)} "
            f"({say.value(most)} of its pixels), and {say.word(least.words[0])} was left alone ({say.value(least)})"
        )
        return [Line(f"{text}.", (most, least))]
    if least.kind == "unchanged" and most.kind == "change":
        text = (
            f"{say.word(most.words[0])} changed, in {say.value(most)} of its pixels, and "
            f"{say.word(least.words[0])} was "
            f"left alone ({say.value(least)}); of the background {say.beside(most)} changed"
        )
        return [Line(f"{text}.", (most, least))]
    if most.kind == "unchanged":
        text = (
            f"Both things were left alone: {say.value(most)} of {say.word(most.words[0])} changed and "
            f"{say.value(least)} of"
        )
        return [Line(f"{text} {say.word(least.words[0])}{rest}.", (most, least))]
    text = (
        f"{say.word(most.words[0])} changed {_how_much(most)} ({say.value(most)} of its pixels), "
        f"{say.word(least.words[0])} {_how_much(least)} ({say.value(least)})"
    )
    return [Line(f"{text}{rest}.", (most, least))]


def _how_much(claim: Claim) -> str:
    return (
        "altogether" if claim.number > ALL_OF_IT else "for the most part" if claim.number > 0.5 else "in part"
    )


def agrees(claims: list[Claim], say: Saying) -> list[Line]:
    claim = claims[0]
    word, found, chance = say.word(claim.words[0]), say.value(claim), say.beside(claim)
    if claim.number > CLEARLY * say.held(claim).value:
        text = (
            f"The change lies where the map of {word} was bright: they overlap by {found}, and chance "
            f"would give {chance}"
        )
    elif claim.number < say.held(claim).value / CLEARLY:
        text = (
            f"The change does not lie where the map of {word} was bright: they overlap by {found}, "
            f"less than the {chance}"
        )
        text += " of chance"
    else:
        text = (
            f"The map of {word} does not tell where the change lies: they overlap by {found}, not clearly "
            f"more than the {chance} of chance"
        )
    return [Line(f"{text}.", (claim,))]


def shift(groups: list[list[Claim]], say: Saying) -> list[Line]:
    lines: list[Line] = []
    for claims in groups:
        claim = claims[0]
        moved = "rose" if claim.number > 0 else "fell"
        gone = claim.number <= -0.999
        how = f"{moved} by {say.value(claim)}" if not gone else f"fell by {say.value(claim)}, to nothing"
        text = f"Attention to {say.word(claim.words[0])} {how}"
        if not lines and claim.beside is not None:
            rest = "rose" if claim.beside.value > 0 else "fell"
            text += (
                f" in {steps(claim)}; the words that the edit does not name {rest} by "
                f"{say.beside(claim)} (median)"
            )
        lines.append(Line(f"{text}.", (claim,)))
    return lines
