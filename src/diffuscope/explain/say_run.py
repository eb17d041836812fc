"""Sentences about a run as a whole: what was asked, what came out, who was looked at first, and where."""

from __future__ import annotations

from diffuscope.explain.claim import Claim
from diffuscope.explain.saying import Line, Saying, capital, every, listed, of, steps

FAVOURS, SHUNS = 1.25, 0.9
"""A map favours a thing from this concentration on, and shuns it below the second."""
STRONG = 1.3
"""Times an even map's share from which a ninth of the picture is where a map is."""
APART = 6
"""Steps between two peaks that are worth telling."""
CLOSE = 1
"""Steps within which two moments are told as one."""


def setting(claims: list[Claim], say: Saying) -> list[Line]:
    drawn, seed, guidance = of(claims, "steps_drawn"), of(claims, "seed"), of(claims, "guidance")
    asked = of(claims, "steps_asked")
    assert drawn is not None and guidance is not None
    model = "The shipped model" if say.brief.model == "scenes" else f"“{say.brief.model}”"
    what = f"“{say.brief.shown}”" if say.brief.shown else "an empty prompt"
    cited = [each for each in (drawn, seed, guidance) if each is not None]
    if asked is not None:
        text = f"{model} was to draw {what} in {say.value(asked)} steps"
        lines = [Line(f"{text} and was stopped after {say.value(drawn)}.", (asked, drawn))]
        return lines
    from_seed = f" from seed {say.value(seed)}" if seed is not None else ""
    strength = f", guidance {say.value(guidance)}" if guidance.number > 1 else ", without guidance"
    if guidance.number <= 1:
        cited.remove(guidance)
    return [Line(f"{model} drew {what} in {say.value(drawn)} steps{from_seed}{strength}.", tuple(cited))]


def outcome(claims: list[Claim], say: Saying) -> list[Line]:
    right, seen, things = of(claims, "parts_right"), of(claims, "seen"), of(claims, "things_seen")
    assert right is not None and seen is not None and things is not None
    short = right.number < say.held(right).value
    count = things.number != say.held(things).value
    if not short and not count:
        text = say.pick(
            "right",
            f"All of it is there: {say.judge()} sees {seen.value}.",
            f"{capital(say.judge())} sees {seen.value}, all that was asked for.",
            f"The picture is right in every word that can be checked: {say.judge()} sees {seen.value}.",
        )
        return [Line(text, (right, seen))]
    lines = []
    if short and right.number == 0:
        text = f"{capital(say.judge())} sees {seen.value}; no word that can be checked came true."
        lines.append(Line(text, (right, seen)))
    elif short:
        text = (
            f"{capital(say.judge())} sees {seen.value}; of the {say.beside(right)} words that can be checked, "
            f"{say.value(right)} came true."
        )
        lines.append(Line(text, (right, seen)))
    if count:
        named = "one thing" if say.held(things).value == 1 else f"{say.beside(things)} things"
        found = "one" if things.number == 1 else "none" if things.number == 0 else say.value(things)
        if short:
            lines.append(Line(f"The prompt names {named}, the picture has {found}.", (things,)))
        else:
            lines.append(
                Line(
                    f"Every word came true, but the count did not: the prompt names {named}, and {say.judge()} sees "
                    f"{found}, {seen.value}.",
                    (things, seen, right),
                )
            )
    return lines


def attention(claims: list[Claim], say: Saying) -> list[Line]:
    words = of(claims, "words_mass")
    if words is not None and words.beside is not None and _within(words, 1.05):
        return []  # As it always is.
    rest = {each.selection.word: each for each in every(claims, "mass")}
    assert words is not None
    names = {"<start>": "the start token", "<padding>": "the padding behind the prompt"}
    parts = [f"{say.value(rest[label])} to {name}" for label, name in names.items() if label in rest]
    also = f", {listed(parts)}" if parts else ""
    text = say.pick(
        "attention",
        f"{say.value(words)} of all attention went to the prompt's words{also}",
        f"The prompt's words drew {say.value(words)} of all attention{_rest(parts)}",
        f"Of all attention {say.value(words)} went to words{also}",
    )
    cited = (words, *(rest[label] for label in names if label in rest))
    if words.beside is not None and words.beside.low is not None and words.beside.high is not None:
        if words.number < 0.95 * words.beside.low:
            text += f"; little for the words, which usually get {say.usual(words)}"
        elif words.number > 1.05 * words.beside.high:
            text += f"; much for the words, which usually get {say.usual(words)}"
    return [Line(f"{text}.", cited)]


def _within(claim: Claim, margin: float) -> bool:
    """Whether a value lies in the usual interval, or beyond it by less than a factor."""
    held = claim.beside
    assert held is not None
    return (held.low or 0.0) / margin <= claim.number <= (held.high or 0.0) * margin


def _rest(parts: list[str]) -> str:
    return f"; of the rest {listed(each.replace(' to ', ' went to ', 1) for each in parts)}" if parts else ""


def first_look(claims: list[Claim], say: Saying) -> list[Line]:
    first = min(claims, key=lambda each: (each.steps() or (0, 0))[0])
    last = max(claims, key=lambda each: (each.steps() or (0, 0))[0])
    word, next_word = say.word(first.words[0]), _next(first, say)
    share = f"{say.value(first)} of the attention to words in {steps(first)}"
    if first is last:
        if first.steps() and (first.steps() or (0, 0))[0] > 0:
            text = (
                f"No word led at first; in {steps(first)} {word} did, with {say.value(first)} of the "
                "attention to words."
            )
        else:
            text = say.pick(
                "first",
                f"The model looked at {word} first: {share}, against {say.beside(first)} for {next_word}.",
                f"At first {word} drew most: {share}; {next_word} came next with {say.beside(first)}.",
            )
        return [Line(text, (first,))]
    if first.words == last.words:
        text = say.pick(
            "led",
            f"{word} led throughout, with {share} and {say.value(last)} in {steps(last)}.",
            f"From first to last {word} drew most attention: {say.value(first)} of that to words in {steps(first)}, "
            f"{say.value(last)} in {steps(last)}.",
        )
    else:
        text = say.pick(
            "changed",
            f"The model looked at {word} first ({share}); by {steps(last)} it was at {say.word(last.words[0])} "
            f"({say.value(last)}).",
            f"Early on {word} led, with {share}; in {steps(last)} {say.word(last.words[0])} did, "
            f"with {say.value(last)}.",
        )
    return [Line(text, (first, last))]


def _next(claim: Claim, say: Saying) -> str:
    held = say.held(claim)
    return say.word(held.selection.word) if held.selection is not None and held.selection.word else held.what


def order(claims: list[Claim], say: Saying) -> list[Line]:
    by_step = sorted(claims, key=lambda each: each.number)
    first = [each for each in by_step if each.number <= by_step[0].number + CLOSE]
    last = [each for each in by_step if each.number >= by_step[-1].number - CLOSE and each not in first]
    picture = say.once("predicted", "the picture that the model predicts as it goes", "the predicted picture")
    if not last:
        text = f"In {picture} all that came true did so together, by step {by_step[-1].number:.0f}."
        return [Line(text, tuple(by_step))]
    cited = (*first, *last)
    names = [listed(say.word(each.words[0]) for each in group) for group in (first, last)]
    start = max(each.number for each in first)
    text = (
        f"In {picture}, {names[0]} {'was' if len(first) == 1 else 'were'} right for good from step {start:.0f} on; "
        f"{names[1]} came last, at step {by_step[-1].number:.0f}."
    )
    return [Line(text, cited)]


def peaks(claims: list[Claim], say: Saying) -> list[Line]:
    by_step = sorted(claims, key=lambda each: each.number)
    first, last = by_step[0], by_step[-1]
    if last.number - first.number < APART:
        return []
    text = (
        f"Attention to {say.word(first.words[0])} was highest at step {say.value(first)}, to "
        f"{say.word(last.words[0])} only at step {say.value(last)}."
    )
    return [Line(text, (first, last))]


def settled(claims: list[Claim], say: Saying) -> list[Line]:
    by_step = sorted(claims, key=lambda each: each.number)
    last = by_step[-1]
    text = f"The map of {say.word(last.words[0])} moved until step {say.value(last)} and then stayed."
    return [Line(text, (last,))]


def where(groups: list[list[Claim]], say: Saying) -> list[Line]:
    """All things together: whose map points at its thing, and how much better or worse than is usual."""
    lines: list[Line] = []
    usual: list[tuple[Claim, Claim, Claim | None]] = []
    ninths: list[tuple[Claim, Claim]] = []
    for claims in groups:
        inside, lifts = of(claims, "inside"), every(claims, "lift")
        lift = next((each for each in lifts if each.selection.sites == "all"), None)
        best = next((each for each in lifts if each.selection.sites != "all"), None)
        if inside is None or lift is None:
            place, part = of(claims, "ninth"), of(claims, "ninth_share")
            if place is not None and part is not None:
                ninths.append((place, part))
        elif lift.beside is None:
            lines.append(_on_its_thing(inside, lift, say))
        elif _outside(lift):
            lines.append(_unusually(inside, lift, best, say))
        else:
            usual.append((inside, lift, best))
    return lines + (_as_usual(usual, say) if usual else []) + _in_the_picture(ninths, say)


def _outside(claim: Claim) -> bool:
    """Whether a value lies outside the usual by more than its last digit."""
    held = claim.beside
    return held is not None and not (held.low or 0.0) - 0.05 <= claim.number <= (held.high or 0.0) + 0.05


def _as_usual(found: list[tuple[Claim, Claim, Claim | None]], say: Saying) -> list[Line]:
    """Things whose map favours them as much as is usual, in one sentence, with the site where each is sharpest."""
    inside, lift, best = found[0]
    word, held = say.word(lift.words[0]), say.usual(lift)
    if len(found) == 1:
        text = say.pick(
            "usual where",
            f"The map of {word} leans on its thing no more than is usual: {say.value(inside)} of it lies there, on "
            f"{say.beside(inside)} of the picture",
            f"{say.value(inside)} of the map of {word} lies on the thing itself, which covers "
            f"{say.beside(inside)} of the "
            f"picture: {say.value(lift)} times an even map's share, and {held} is usual",
        )
        cited = [inside, lift]
        if best is not None:
            text += (
                f"; it is sharpest at {best.selection.sites}, where the thing is {say.value(best)} "
                "times as bright as the mean"
            )
            cited.append(best)
        return [Line(f"{text}.", tuple(cited))]
    names = listed(say.word(each.words[0]) for _, each, _ in found)
    times = listed(say.value(each) for _, each, _ in found)
    text = say.pick(
        "usual where",
        f"Over all sites the maps of {names} lean on their things as is usual, with {times} times "
        "an even map's share",
        f"The maps of {names} have {times} times an even map's share on their own things, where {held} is usual",
    )
    cited = [each for _, each, _ in found]
    sharp = [each for _, _, each in found if each is not None]
    if len(sharp) == len(found):
        sites = {each.selection.sites for each in sharp}
        if len(sites) == 1:
            text += f"; both are sharpest at {sites.pop()}, with {listed(say.value(each) for each in sharp)} times"
        else:
            text += "; they are sharpest at " + listed(
                f"{each.selection.sites} ({say.value(each)} times)" for each in sharp
            )
        cited += sharp
    return [Line(f"{text}.", tuple(cited))]


def _unusually(inside: Claim, lift: Claim, best: Claim | None, say: Saying) -> Line:
    word, high = say.word(lift.words[0]), lift.number > say.held(lift).value
    share = f"{say.value(inside)} of it lies there, on {say.beside(inside)} of the picture"
    if high:
        text = (
            f"The map of {word} points at its thing better than most: {share}, {say.value(lift)} "
            "times an even map's share"
        )
        return Line(f"{text} (usually {say.usual(lift)}).", (inside, lift))
    text = f"The map of {word} says less than most about where its thing is: {share}"
    if best is None:
        return Line(f"{text}.", (inside, lift))
    return Line(
        f"{text}; even its sharpest site, {best.selection.sites}, has {say.value(best)} times.",
        (inside, lift, best),
    )


def _on_its_thing(inside: Claim, lift: Claim, say: Saying) -> Line:
    word, part, covers = say.word(inside.words[0]), say.value(inside), say.beside(inside)
    if lift.number >= FAVOURS:
        text = (
            f"The map of {word} favours the thing itself, with {part} of it on {covers} of the picture, "
            f"{say.value(lift)} times what an even map would have there"
        )
        return Line(f"{text}.", (inside, lift))
    if lift.number < SHUNS:
        text = (
            f"The map of {word} keeps off its thing, which covers {covers} of the picture and has "
            f"{part} of the map"
        )
    else:
        text = f"The map of {word} does not point at its thing: {part} of it lies there, on {covers} of the picture"
    return Line(f"{text}.", (inside,))


def _in_the_picture(found: list[tuple[Claim, Claim]], say: Saying) -> list[Line]:
    """Maps of things whose pixels are not known: in which ninth each is strongest, those without a place together."""
    lines: list[Line] = []
    placed = [each for each in found if each[1].number > STRONG * say.held(each[1]).value]
    for place, part in placed:
        word, share = say.word(place.words[0]), f"{say.value(part)} of its map"
        if not lines:
            text = (
                f"{word} was looked for in the {place.value}: {share} lies in that ninth of the "
                "picture, where an even map"
            )
            text += f" would have {say.beside(part)}"
        else:
            text = f"{word} was looked for in the {place.value}, with {share} there"
        lines.append(Line(f"{text}.", (place, part)))
    spread = [each for each in found if each not in placed]
    if spread:
        words = listed(say.word(place.words[0]) for place, _ in spread)
        most = max((part for _, part in spread), key=lambda each: each.number)
        cited = (most, *(place for place, _ in spread))
        if len(spread) == 1:
            text = (
                f"The map of {words} is spread over the picture: its strongest ninth holds {say.value(most)}"
            )
        else:
            text = (
                f"The maps of {words} are spread over the picture: no ninth of it holds more than "
                f"{say.value(most)} of one"
            )
        lines.append(Line(f"{text}, and of an even map {say.beside(most)}.", cited))
    return lines
