"""Claims about a run and an edited one: what the edit changed, what it left alone, whose attention it moved."""

from __future__ import annotations

from collections.abc import Iterator

from diffuscope.explain.claim import Beside, Claim, Kind
from diffuscope.explain.pair import Pair
from diffuscope.explain.statistic import COUNT, DELTA_E, SHARE, TEXT, TRUTH
from diffuscope.explain.statistics import computed
from diffuscope.selection import Selection

ALL = Selection()
LEFT_ALONE = 0.1
"""A thing was left alone where less than this share of its pixels changed noticeably."""
HARDLY = 0.01
"""Share of the picture that must change before the place of the change says anything."""
MOVED = 0.1
"""Relative change of attention that is worth telling."""


def _number(pair: Pair, name: str, at: Selection) -> float | None:
    found = computed(name, at, None, pair.before, pair)
    return found if isinstance(found, float) else None


def compared(pair: Pair) -> Iterator[Claim]:
    """Every claim of part ``comparison``."""
    yield from _edit(pair)
    whole = _number(pair, "noticed", ALL) or 0.0
    yield from _picture(pair, whole)
    yield from _came_true(pair)
    if whole > 0:
        yield from _things(pair)
    if whole > HARDLY:
        yield from _agrees(pair)
    yield from _moved(pair)


def _claim(
    kind: Kind,
    group: str,
    statistic: str,
    at: Selection,
    value: float | str | None,
    unit: str,
    surprise: float,
    certainty: float = 0.9,
    beside: Beside | None = None,
    trouble: bool = False,
) -> Claim:
    return Claim(
        kind,
        group,
        statistic,
        at,
        value,
        unit,
        beside=beside,
        surprise=surprise,
        certainty=certainty,
        part="comparison",
        trouble=trouble,
    )


def _edit(pair: Pair) -> Iterator[Claim]:
    window = pair.window
    yield _claim("setting", "edit", "edits_made", ALL, _number(pair, "edits_made", ALL), COUNT, 0.2)
    yield _claim("setting", "edit", "window_steps", window, _number(pair, "window_steps", window), COUNT, 0.2)


def _picture(pair: Pair, whole: float) -> Iterator[Claim]:
    kind: Kind = "unchanged" if whole < HARDLY else "change"
    surprise = 0.6 if whole < HARDLY or whole > 0.6 else 0.4
    control, held = _number(pair, "noticed_control", ALL), None
    if control is not None:
        held = Beside("a random change of equal size", control, statistic="noticed_control", selection=ALL)
    yield _claim(kind, "change", "noticed", ALL, whole, SHARE, surprise, 0.95, held)
    yield _claim(kind, "change", "change_mean", ALL, _number(pair, "change_mean", ALL), DELTA_E, surprise)
    yield _claim(
        kind, "change", "change_largest", ALL, _number(pair, "change_largest", ALL), DELTA_E, surprise * 0.8
    )


def _came_true(pair: Pair) -> Iterator[Claim]:
    """Words that the judge answers otherwise after the edit, and what it sees in both pictures."""
    if pair.before.reading is None or pair.after.reading is None:
        return
    seen = [computed(name, ALL, None, pair.before, pair) for name in ("seen_before", "seen_after")]
    surprise = 0.8 if seen[0] != seen[1] else 0.5
    yield _claim("change", "seen", "seen_before", ALL, seen[0], TEXT, surprise)
    yield _claim("change", "seen", "seen_after", ALL, seen[1], TEXT, surprise)
    for label in pair.before.labels:
        at = Selection(word=label)
        before, after = _number(pair, "judged", at), _number(pair, "judged_after", at)
        if before is None or after is None or before == after:
            continue
        lost = after == 0.0
        held = Beside("before the edit", before, statistic="judged", selection=at)
        surprise = 0.9 if label not in pair.edited else 0.7
        group = "lost" if lost else "won"
        yield _claim("change", group, "judged_after", at, after, TRUTH, surprise, 0.9, held, trouble=lost)


def _things(pair: Pair) -> Iterator[Claim]:
    """How much of each thing of the first picture changed, beside the background."""
    elsewhere = _number(pair, "noticed_elsewhere", ALL)
    for phrase in pair.before.objects:
        at = Selection(word=phrase.label)
        found = _number(pair, "noticed", at) if pair.before.region(phrase.label) is not None else None
        if found is None:
            continue
        held = None
        if elsewhere is not None:
            held = Beside("the background", elsewhere, statistic="noticed_elsewhere", selection=ALL)
        meant = phrase.head in pair.edited or any(each in pair.edited for each in phrase.attributes)
        alone = found < LEFT_ALONE
        surprise = 0.6 if alone == meant else 0.4
        kind: Kind = "unchanged" if alone else "change"
        missed = alone and meant
        yield _claim(kind, f"thing/{phrase.label}", "noticed", at, found, SHARE, surprise, 0.9, held, missed)


def _agrees(pair: Pair) -> Iterator[Claim]:
    """Whether the picture changed where the edited words' maps are bright: the map as a hypothesis, the edit its
    test."""
    heads = [phrase.head for phrase in pair.before.objects]
    named = [label for label in pair.edited if label in heads] or [
        label for label in pair.edited if label in pair.effects
    ]
    for label in named[:2]:
        at = Selection(word=label)
        found = _number(pair, "sf_iou", at)
        chance = _number(pair, "sf_chance", at)
        if found is None or chance is None:
            continue
        held = Beside("chance", chance, statistic="sf_chance", selection=at)
        surprise = 0.7 if found <= chance else 0.45
        yield _claim("cause", f"agrees/{label}", "sf_iou", at, found, SHARE, surprise, 0.75, held)


def _moved(pair: Pair) -> Iterator[Claim]:
    """Whose attention the edit moved, beside that of words it does not name."""
    rest = _number(pair, "acs_elsewhere", ALL)
    found = {label: effect.acs for label, effect in pair.effects.items() if effect.acs is not None}
    named = [label for label in pair.edited if label in found]
    if not named:
        known = [label for label in found if label in pair.before.content]
        named = sorted(known, key=lambda label: -abs(found[label] or 0.0))[:1]
    for label in named[:3]:
        value = found[label]
        if value is None or abs(value) < MOVED:
            continue
        held = None
        if rest is not None:
            held = Beside(
                "the words that the edit does not name", rest, statistic="acs_elsewhere", selection=ALL
            )
        at = Selection(pair.window.steps, word=label)
        yield _claim("shift", f"shift/{label}", "acs", at, value, SHARE, 0.5, 0.85, held)
