"""Claims about a run as a whole: what was asked, what came out, where the attention went and in which order."""

from __future__ import annotations

from collections.abc import Iterator

from diffuscope.errors import NotKeptError
from diffuscope.explain.claim import Beside, Claim, Kind, Part
from diffuscope.explain.evidence import Evidence
from diffuscope.explain.reference import Reference
from diffuscope.explain.statistic import COUNT, PLAIN, PROBABILITY, RATIO, SHARE, STEP, TEXT
from diffuscope.explain.statistics import computed
from diffuscope.ranges import Ranges
from diffuscope.scenes.scoring import asked_for
from diffuscope.selection import Selection

EARLY = 0.2
"""Part of the steps in which the model looks first: the plan's phase of noise."""
LEADS = 1.1
"""By which factor a word's share must exceed the next one's to lead."""
ALL = Selection()


def _number(evidence: Evidence, name: str, at: Selection, against: Selection | None = None) -> float | None:
    found = computed(name, at, against, evidence)
    return found if isinstance(found, float) else None


def _plain(
    evidence: Evidence,
    group: str,
    name: str,
    unit: str,
    *,
    part: Part = "setup",
    beside: Beside | None = None,
    surprise: float = 0.1,
    trouble: bool = False,
    at: Selection = ALL,
) -> Claim:
    """A claim of kind setting or outcome."""
    value = computed(name, at, None, evidence)
    kind: Kind = "setting" if group == "setting" else "outcome"
    return Claim(
        kind,
        group,
        name,
        at,
        value,
        unit,
        beside=beside,
        surprise=surprise,
        certainty=0.95,
        part=part,
        trouble=trouble,
    )


def setting(evidence: Evidence) -> Iterator[Claim]:
    """What the run was asked for."""
    yield _plain(evidence, "setting", "steps_drawn", COUNT)
    if not evidence.run.complete:
        yield _plain(evidence, "setting", "steps_asked", COUNT, surprise=0.9, trouble=True)
    if evidence.run.manifest.sampling.seed is not None:
        yield _plain(evidence, "setting", "seed", PLAIN)
    yield _plain(evidence, "setting", "guidance", PLAIN)
    yield _plain(evidence, "setting", "sites", COUNT)


def outcome(evidence: Evidence) -> Iterator[Claim]:
    """What a judge finds in the finished picture."""
    if evidence.world is None or evidence.reading is None:
        return
    named = float(len(evidence.world.meanings))
    right = _number(evidence, "parts_right", ALL) or 0.0
    held = Beside("the words that can be judged", named, statistic="parts_named", selection=ALL)
    short = right < named
    yield _plain(
        evidence, "outcome", "parts_right", COUNT, beside=held, surprise=0.9 if short else 0.3, trouble=short
    )
    yield _plain(evidence, "outcome", "seen", TEXT)
    things = float(asked_for(evidence.world.description))
    seen = _number(evidence, "things_seen", ALL)
    held = Beside("the things that the prompt asks for", things, statistic="things_named", selection=ALL)
    wrong = seen != things
    yield _plain(
        evidence, "outcome", "things_seen", COUNT, beside=held, surprise=0.8 if wrong else 0.1, trouble=wrong
    )


def attention(evidence: Evidence, reference: Reference | None) -> Iterator[Claim]:
    """How attention is shared between the words and the tokens that are none."""
    if not evidence.labels:
        return
    words, held, surprise = _number(evidence, "words_mass", ALL), None, 0.2
    if reference is not None and words is not None:
        usual = reference.usual("words_mass", "run")
        if usual is not None:
            held = usual.beside("the reference runs")
            outside = not usual.low <= words <= usual.high
            surprise = 0.5 if outside else 0.15
    yield Claim(
        "attention",
        "attention",
        "words_mass",
        ALL,
        words,
        PROBABILITY,
        beside=held,
        surprise=surprise,
        part="setup",
    )
    kinds = {token.kind for token in evidence.run.tokens}
    for kind in ("start", "padding"):
        at = Selection(word=f"<{kind}>")
        if kind not in kinds:
            continue
        try:
            value = _number(evidence, "mass", at)
        except NotKeptError:
            continue
        yield Claim(
            "attention",
            "attention",
            "mass",
            at,
            value,
            PROBABILITY,
            surprise=0.1,
            certainty=0.9,
            part="setup",
        )


def first_look(evidence: Evidence) -> Iterator[Claim]:
    """The word that had most of the words' attention in the first steps, and the one that had most in the last."""
    steps, words = evidence.steps, evidence.content
    count = max(1, round(EARLY * len(steps)))
    if len(words) < 2 or len(steps) < 5:
        return
    stretches = {
        "first": Selection.of(steps=list(steps[:count])),
        "last": Selection.of(steps=list(steps[-count:])),
    }
    leaders = []
    for name, where in stretches.items():
        shares = {
            label: _number(evidence, "share", Selection(where.steps, word=label)) or 0.0 for label in words
        }
        top, second = sorted(words, key=lambda label: -shares[label])[:2]
        if shares[top] < LEADS * shares[second]:
            continue
        next_at = Selection(where.steps, word=second)
        held = Beside(f"“{second}”, which came next", shares[second], statistic="share", selection=next_at)
        leaders.append(top)
        changed = name == "last" and len(leaders) == 2 and leaders[0] != leaders[1]
        yield Claim(
            "first look",
            "first look",
            "share",
            Selection(where.steps, word=top),
            shares[top],
            SHARE,
            beside=held,
            surprise=0.55 if changed else 0.3,
            certainty=min(0.95, 0.4 + 0.3 * (shares[top] / shares[second] - 1)),
        )


def order(evidence: Evidence) -> Iterator[Claim]:
    """When each word that can be judged was true of the predicted picture for good."""
    if evidence.world is None:
        return
    found: list[tuple[str, float]] = []
    for label in evidence.world.meanings:
        step = _number(evidence, "emergence_image", Selection(word=label))
        if step is not None:
            found.append((label, step))
    times = [step for _, step in found]
    if len(found) < 2:
        return
    span = (max(times) - min(times)) / max(1, len(evidence.steps))
    for label, step in found:
        yield Claim(
            "order",
            "order",
            "emergence_image",
            Selection(word=label),
            step,
            STEP,
            surprise=min(0.7, 0.2 + span),
            certainty=0.8,
        )


def timing(evidence: Evidence) -> Iterator[Claim]:
    """When words' attention peaks, and when their maps stop moving, where either says anything."""
    for label in evidence.content:
        line = evidence.timeline(label)
        peak, settled = line.peak, line.stabilisation
        if not peak.flat and not peak.boundary and _gapless(peak.near):
            yield Claim(
                "timing",
                "timing/peaks",
                "peak",
                Selection(word=label),
                float(peak.at.step),
                STEP,
                interval=(float(peak.near[0]), float(peak.near[-1])),
                surprise=0.25,
                certainty=0.6,
            )
        if settled.moved:
            yield Claim(
                "timing",
                "timing/settled",
                "settled",
                Selection(word=label),
                float(settled.at.step),
                STEP,
                surprise=0.3,
                certainty=0.7,
            )


def _gapless(steps: tuple[int, ...]) -> bool:
    return len(Ranges.of(steps, "steps").intervals) == 1


def _brightest(evidence: Evidence, at: Selection, group: str) -> Iterator[Claim]:
    """The site at which a phrase's map favours its thing most."""
    found: list[tuple[float, str]] = []
    for site in evidence.sites:
        lift = _number(evidence, "lift", Selection(sites=site, word=at.word))
        if lift is not None:
            found.append((lift, site))
    if len(found) > 1:
        lift, site = max(found)
        chosen = Selection(sites=site, word=at.word)
        yield Claim("where", group, "lift", chosen, lift, RATIO, surprise=0.2, certainty=0.8)


def where(evidence: Evidence, reference: Reference | None) -> Iterator[Claim]:
    """Where each thing's phrase looked: on the thing itself where its pixels are known, else in which ninth."""
    for phrase in evidence.objects:
        at, group = Selection(word=phrase.label), f"where/{phrase.label}"
        covered = _number(evidence, "area", at)
        found = _number(evidence, "inside", at)
        if covered and found is not None:
            lift = found / covered
            usual = None if reference is None else reference.usual("lift", "phrase")
            held = Beside("the share of the picture that it covers", covered, statistic="area", selection=at)
            low = lift < 1.0
            surprise = 0.6 if low else min(0.6, 0.15 + 0.1 * abs(lift - 1))
            if usual is not None:
                surprise = 0.12 if usual.low <= lift <= usual.high else 0.35
            yield Claim(
                "where", group, "inside", at, found, SHARE, beside=held, surprise=surprise, certainty=0.85
            )
            yield Claim(
                "where",
                group,
                "lift",
                at,
                lift,
                RATIO,
                beside=None if usual is None else usual.beside("phrases whose noun came true"),
                surprise=surprise,
                certainty=0.85,
            )
            yield from _brightest(evidence, at, group)
            continue
        if evidence.world is not None:
            continue  # A thing that is not there has its account among the ignored words.
        part = _number(evidence, "ninth_share", at)
        strong = part is not None and part > 0.2
        place = computed("ninth", at, None, evidence)
        yield Claim(
            "where", group, "ninth", at, place, TEXT, surprise=0.35 if strong else 0.15, certainty=0.6
        )
        yield Claim(
            "where",
            group,
            "ninth_share",
            at,
            part,
            SHARE,
            beside=Beside("an even spread", 1 / 9),
            surprise=0.35 if strong else 0.15,
            certainty=0.6,
        )
