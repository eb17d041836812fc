"""The statistics of one run that claims are made of, each declared once with what computes it."""

from __future__ import annotations

import numpy as np

from diffuscope.analysis.measures import spatial
from diffuscope.analysis.measures.moments import EmergenceStep
from diffuscope.errors import SelectionError, near_first
from diffuscope.explain.causes import CAUSAL
from diffuscope.explain.claim import Claim, Value
from diffuscope.explain.evidence import Evidence, Floats
from diffuscope.explain.pair import PAIRED, Pair
from diffuscope.explain.remedies import SHORT, most_helpful
from diffuscope.explain.statistic import (
    CORRELATION,
    COUNT,
    PLAIN,
    PROBABILITY,
    RATIO,
    SHARE,
    STEP,
    TEXT,
    TRUTH,
    Statistic,
)
from diffuscope.maps.resize import resize
from diffuscope.scenes.scoring import asked_for
from diffuscope.selection import Selection

PLACES = (
    ("upper left", "upper middle", "upper right"),
    ("middle left", "middle", "middle right"),
    ("lower left", "lower middle", "lower right"),
)
"""The ninths of a picture, in reading order."""


def _word(selection: Selection) -> str:
    if selection.word is None:
        raise SelectionError(f"the statistic is of a word, and {str(selection)!r} names none; add word=…")
    return selection.word


def mass(of: Evidence, at: Selection, _: Selection | None) -> Value:
    return float(of.map(at).mean())


def share(of: Evidence, at: Selection, _: Selection | None) -> Value:
    total = float(of.every_word(at).mean())
    return float(of.map(at).mean()) / total if total > 0 else 0.0


def words_mass(of: Evidence, at: Selection, _: Selection | None) -> Value:
    return float(of.every_word(at).mean())


def focus(of: Evidence, at: Selection, _: Selection | None) -> Value:
    return float(spatial.focus(of.map(at)[None])[0])


def inside(of: Evidence, at: Selection, region: Selection | None) -> Value:
    found = of.map(at)
    cover = of.cover(_word(region or at), found.shape)
    total = float(found.sum())
    return None if cover is None or not total > 0 else float((found * cover).sum()) / total


def area(of: Evidence, at: Selection, _: Selection | None) -> Value:
    mask = of.region(_word(at))
    return None if mask is None else float(mask.mean())


def lift(of: Evidence, at: Selection, region: Selection | None) -> Value:
    found, covered = inside(of, at, region), area(of, region or at, None)
    if not isinstance(found, float) or not isinstance(covered, float) or not covered > 0:
        return None
    return found / covered


def lift_on(of: Evidence, at: Selection, _: Selection | None) -> Value:
    own = of.phrase_of(_word(at))
    return None if own is None else lift(of, at, Selection(word=own.label))


def similarity(of: Evidence, at: Selection, other: Selection | None) -> Value:
    one, two = of.map(at).ravel(), of.map(other or at).ravel()
    one, two = one - one.mean(), two - two.mean()
    norm = float(np.sqrt((one * one).sum() * (two * two).sum()))
    return float((one * two).sum() / norm) if norm > 0 else None


def similarity_own(of: Evidence, at: Selection, _: Selection | None) -> Value:
    own = of.phrase_of(_word(at))
    return None if own is None else similarity(of, at, Selection(word=own.head))


def _ninths(found: Floats) -> Floats:
    """Share of a map's mass in each ninth of the picture, ``[y, x]``."""
    ninths = resize(found, (3, 3), "area")
    return np.asarray(ninths / ninths.sum(), np.float64)


def ninth(of: Evidence, at: Selection, _: Selection | None) -> Value:
    found = _ninths(of.map(at))
    y, x = np.unravel_index(int(found.argmax()), found.shape)
    return PLACES[int(y)][int(x)]


def ninth_share(of: Evidence, at: Selection, _: Selection | None) -> Value:
    return float(_ninths(of.map(at)).max())


def peak(of: Evidence, at: Selection, _: Selection | None) -> Value:
    return float(of.timeline(_word(at)).peak.at.step)


def settled(of: Evidence, at: Selection, _: Selection | None) -> Value:
    return float(of.timeline(_word(at)).stabilisation.at.step)


def _emerged(found: EmergenceStep | None) -> Value:
    return None if found is None or found.at is None else float(found.at.step)


def emergence_image(of: Evidence, at: Selection, _: Selection | None) -> Value:
    return _emerged(of.timeline(_word(at)).emergence_image)


def emergence_attention(of: Evidence, at: Selection, _: Selection | None) -> Value:
    return _emerged(of.timeline(_word(at)).emergence_attention)


def judged(of: Evidence, at: Selection, _: Selection | None) -> Value:
    holds = None if of.world is None else of.world.holds(_word(at))
    return None if holds is None else float(holds)


def seen(of: Evidence, at: Selection, _: Selection | None) -> Value:
    return of.seen(at.word)


def times_true(of: Evidence, at: Selection, _: Selection | None) -> Value:
    scores = of.timeline(_word(at)).score
    return None if np.isnan(scores).any() else float((scores > 0).sum())


def last_true(of: Evidence, at: Selection, _: Selection | None) -> Value:
    line = of.timeline(_word(at))
    there = np.flatnonzero(line.score > 0)
    return float(line.steps[int(there[-1])]) if len(there) else None


def colour_seen(of: Evidence, at: Selection, _: Selection | None) -> Value:
    found = of.found(_word(at))
    return None if found is None else found.colour


def parts_right(of: Evidence, at: Selection, _: Selection | None) -> Value:
    return (
        None if of.world is None else float(sum(of.world.holds(each) is True for each in of.world.meanings))
    )


def parts_named(of: Evidence, at: Selection, _: Selection | None) -> Value:
    return None if of.world is None else float(len(of.world.meanings))


def things_seen(of: Evidence, at: Selection, _: Selection | None) -> Value:
    return None if of.reading is None else float(len(of.reading.objects))


def things_named(of: Evidence, at: Selection, _: Selection | None) -> Value:
    return None if of.world is None else float(asked_for(of.world.description))


def known(of: Evidence, at: Selection, _: Selection | None) -> Value:
    return float(_word(at) not in of.unknown)


def helps_most(of: Evidence, at: Selection, _: Selection | None) -> Value:
    best = most_helpful(of, _word(at))
    return None if best is None else SHORT[best.what]


def helped(of: Evidence, at: Selection, _: Selection | None) -> Value:
    best = most_helpful(of, _word(at))
    return None if best is None or best.tried is None else float(best.tried[1])


def tried(of: Evidence, at: Selection, _: Selection | None) -> Value:
    best = most_helpful(of, _word(at))
    return None if best is None or best.tried is None else float(best.tried[0])


def steps_drawn(of: Evidence, at: Selection, _: Selection | None) -> Value:
    return float(len(of.run.steps))


def steps_asked(of: Evidence, at: Selection, _: Selection | None) -> Value:
    return float(of.run.manifest.sampling.steps)


def seed(of: Evidence, at: Selection, _: Selection | None) -> Value:
    found = of.run.manifest.sampling.seed
    return None if found is None else float(found)


def guidance(of: Evidence, at: Selection, _: Selection | None) -> Value:
    return float(of.run.manifest.sampling.guidance_scale)


def sites(of: Evidence, at: Selection, _: Selection | None) -> Value:
    return float(len(of.sites))


def words_cut(of: Evidence, at: Selection, _: Selection | None) -> Value:
    return float(len((of.run.manifest.text.cut or "").split()))


OF_RUNS: tuple[Statistic, ...] = (
    Statistic(
        "mass",
        "attention mass",
        PROBABILITY,
        "Mean over patches of the word's map: its part of all attention.",
        mass,
    ),
    Statistic(
        "share",
        "share of attention",
        SHARE,
        "The word's attention mass over that of all words of the prompt together.",
        share,
    ),
    Statistic(
        "words_mass",
        "attention to words",
        PROBABILITY,
        "Attention mass of all words of the prompt together; start, end and padding hold the rest.",
        words_mass,
    ),
    Statistic(
        "focus", "focus", PLAIN, "1 - H(q) / ln n of the word's map: 0 even, 1 on one patch alone.", focus
    ),
    Statistic(
        "inside",
        "attention on a thing",
        SHARE,
        "Share of the word's map that lies on the true pixels of a thing: its own, or another word's.",
        inside,
    ),
    Statistic(
        "area", "area of a thing", SHARE, "Share of the picture that a thing's true pixels cover.", area
    ),
    Statistic(
        "lift",
        "concentration on a thing",
        RATIO,
        "Share of the word's map on a thing over the share of the picture that the thing covers; an even map has 1.",
        lift,
    ),
    Statistic(
        "lift_on",
        "concentration on its own thing",
        RATIO,
        "The concentration of a word on the thing that its own phrase names.",
        lift_on,
    ),
    Statistic(
        "similarity",
        "likeness of two maps",
        CORRELATION,
        "Pearson correlation over patches of the maps of two words.",
        similarity,
    ),
    Statistic(
        "similarity_own",
        "likeness to its own noun",
        CORRELATION,
        "Pearson correlation over patches of an attribute's map with its noun's.",
        similarity_own,
    ),
    Statistic(
        "ninth", "where a map is strongest", TEXT, "The ninth of the picture that has most of the map.", ninth
    ),
    Statistic(
        "ninth_share",
        "attention in one ninth of the picture",
        SHARE,
        "Share of the word's map that lies in the ninth of the picture which has most; an even map has 1/9.",
        ninth_share,
    ),
    Statistic("peak", "peak step", STEP, "See the measure `peak`.", peak),
    Statistic("settled", "stabilisation step", STEP, "See the measure `stabilisation`.", settled),
    Statistic(
        "emergence_image",
        "emergence in the picture",
        STEP,
        "See the measure `emergence_image`.",
        emergence_image,
    ),
    Statistic(
        "emergence_attention",
        "emergence by attention",
        STEP,
        "See the measure `emergence_attention`.",
        emergence_attention,
    ),
    Statistic(
        "judged",
        "true of the picture",
        TRUTH,
        "1 where the drawn world's judge finds what the word says in the finished picture, else 0.",
        judged,
    ),
    Statistic(
        "seen",
        "what the judge sees",
        TEXT,
        "What the drawn world's judge sees for a word's thing, place, light or style, or in the whole picture.",
        seen,
    ),
    Statistic(
        "times_true",
        "steps at which it was true",
        COUNT,
        "At how many steps the judge finds what the word says in the predicted picture.",
        times_true,
    ),
    Statistic(
        "last_true",
        "last step at which it was true",
        STEP,
        "The last step whose predicted picture has what the word says.",
        last_true,
    ),
    Statistic(
        "colour_seen",
        "the colour that it took",
        TEXT,
        "The colour that the judge sees on a word's thing.",
        colour_seen,
    ),
    Statistic(
        "parts_right",
        "words that came true",
        COUNT,
        "How many words the judge finds true of the picture.",
        parts_right,
    ),
    Statistic(
        "parts_named",
        "words that can be judged",
        COUNT,
        "How many words the judge can answer to.",
        parts_named,
    ),
    Statistic("things_seen", "things in the picture", COUNT, "How many things the judge sees.", things_seen),
    Statistic(
        "things_named",
        "things in the prompt",
        COUNT,
        "Things that the prompt asks for, a plural as two.",
        things_named,
    ),
    Statistic(
        "known", "known to the model", TRUTH, "1 where the shipped model's world has the word, else 0.", known
    ),
    Statistic(
        "helps_most",
        "what helps most often",
        TEXT,
        "Of what can be tried for the word, what made a word of its role come true most often in the reference runs.",
        helps_most,
    ),
    Statistic(
        "helped", "how often it helped", COUNT, "In how many reference runs the word then came true.", helped
    ),
    Statistic("tried", "how often it was tried", COUNT, "In how many reference runs it was tried.", tried),
    Statistic("steps_drawn", "steps drawn", COUNT, "Whole steps of the recording.", steps_drawn),
    Statistic("steps_asked", "steps asked for", COUNT, "Scheduler steps asked for.", steps_asked),
    Statistic("seed", "seed", PLAIN, "Seed of the first noise.", seed),
    Statistic("guidance", "guidance scale", PLAIN, "Weight of classifier-free guidance.", guidance),
    Statistic("sites", "sites", COUNT, "Kept attention sites that have text among their keys.", sites),
    Statistic(
        "words_cut",
        "words cut off",
        COUNT,
        "Words of the prompt that the text encoder did not read.",
        words_cut,
    ),
)

STATISTICS: dict[str, Statistic] = {each.name: each for each in (*OF_RUNS, *CAUSAL, *PAIRED)}
"""Every statistic by its name."""


def find_statistic(name: str) -> Statistic:
    """A statistic by its name.

    Raises:
        SelectionError: there is none of that name.
    """
    if name not in STATISTICS:
        raise SelectionError(
            f"there is no statistic {name!r}; there are: {', '.join(near_first(name, list(STATISTICS)))}"
        )
    return STATISTICS[name]


def recompute(claim: Claim, evidence: Evidence, pair: Pair | None = None) -> Value:
    """A claim's value, computed again from its selections.

    Raises:
        SelectionError: no such statistic, or it is of two runs and `pair` is None.
    """
    return computed(claim.statistic, claim.selection, claim.against, evidence, pair)


def recompute_beside(claim: Claim, evidence: Evidence, pair: Pair | None = None) -> Value:
    """What a claim's value is held against, computed again; None where that is not of the run."""
    held = claim.beside
    if held is None or not held.statistic:
        return None
    return computed(held.statistic, held.selection or claim.selection, None, evidence, pair)


def computed(
    name: str, at: Selection, against: Selection | None, evidence: Evidence, pair: Pair | None = None
) -> Value:
    """The value of a statistic, by its name."""
    statistic = find_statistic(name)
    if not statistic.pair:
        return statistic.compute(evidence, at, against)
    if pair is None:
        raise SelectionError(f"{name} is of a run beside an edited one; give both")
    return statistic.compute(pair, at, against)
