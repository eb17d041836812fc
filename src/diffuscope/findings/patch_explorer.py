"""Finding: which heads, patches and steps draw a part, and whether another text in them adds it or takes it out."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from diffuscope import scenes
from diffuscope.errors import InputError
from diffuscope.figures.canvas import Canvas, ThemeName, theme_of
from diffuscope.figures.cause_rates import Bar, interval_chart
from diffuscope.findings.evidence import Evidence, Unit
from diffuscope.findings.page import Page
from diffuscope.findings.wording import begin, end

MIDDLE, RANDOM = "other encoded in the middle", "other encoded in random patches"
EVERYWHERE = "other encoded everywhere"
BEST, OTHERS = "other encoded by the best five heads", "other encoded by five other heads"
BEST_OUT, OTHERS_OUT = "best five heads out", "five other heads out"
STEPS = "other encoded, steps "
SHOWN = ("as worded", MIDDLE, RANDOM, EVERYWHERE, BEST, OTHERS, BEST_OUT, OTHERS_OUT)
SEEDS, TILE = 8, 64


@dataclass(frozen=True)
class Rate:
    """Of `n` pictures in which the judge finds the unedited one right, how many show the other thing, and how many
    still their own."""

    thing: str
    other: str
    condition: str
    n: int
    seen: int
    own: int

    @property
    def share(self) -> float:
        return self.seen / self.n if self.n else float("nan")

    def said(self, own: bool = False) -> str:
        """A count with its Wilson 95% interval."""
        right = self.own if own else self.seen
        low, high = scenes.wilson(right, self.n)
        return f"{right} of {self.n}, {right / max(self.n, 1):.0%} ({low:.0%} to {high:.0%})"

    def ends(self) -> tuple[float, float]:
        low, high = scenes.wilson(self.seen, self.n)
        return low, high


def rates(evidence: Evidence) -> dict[tuple[str, str], Rate]:
    """Of each thing and condition."""
    found = {}
    factors = evidence.factors()
    right = {unit for unit, value in evidence.numbers("judge_all").items() if value}
    for prompt, of in sorted(factors.items()):
        thing, other = of["thing"], of["other"]
        for name in evidence.study.plan.conditions:
            seen = evidence.numbers(f"sees_{other}", condition=name)
            own = evidence.numbers(f"sees_{thing}", condition=name)
            units = [unit for unit in seen if unit[0] == prompt and unit in right]
            found[thing, name] = Rate(
                thing,
                other,
                name,
                len(units),
                sum(bool(seen[unit]) for unit in units),
                sum(bool(own[unit]) for unit in units),
            )
    return found


def patch_explorer(evidence: Evidence, *, pictures: bool = True) -> Page:
    """A ring is a circle with a hole: where, when and by which heads the hole is drawn."""
    page = begin(
        "patch-explorer",
        "Which heads draw a part, and can another text add it?",
        evidence,
        "Patch Explorer shows heads that draw a unicorn's horn, adds a horn to a horse by encoding *unicorn* into "
        "some patches, and takes a pegasus's wings by scaling heads down, in pictures chosen by hand. Here the same "
        "is asked with success rates, of the simplest pair of things that differ by one part: circle and ring. The "
        "part is the hole.",
    )
    found = rates(evidence)
    pairs = {
        of["thing"]: of["other"]
        for of in evidence.factors().values()
        if any(found[of["thing"], name].n for name in (MIDDLE, EVERYWHERE))
    }
    if not pairs:
        raise InputError("no picture with another thing encoded was drawn yet; go on with the study")
    drawn = ", ".join(f"{found[thing, evidence.baseline].n} {thing}s" for thing in pairs)
    page.say(
        f"Only seeds count whose unedited picture the judge finds right in every part: {drawn}. It then says whether "
        "the other thing is seen. Wilson's 95% intervals over seeds. *In the middle*: in a disc of 0.6 of the thing's "
        "radius, where the judge sees it in the unedited picture; *in random patches*: in a disc of that size that "
        "stays clear of the thing."
    )
    page.short(*_short(found, pairs))
    page.head("How often the other thing is seen")
    for thing, other in pairs.items():
        page.say(f"**{thing}, {other} encoded** (or heads taken out):")
        page.table(
            ("what is done", f"{other} seen", f"{thing} still seen"),
            [
                [name, found[thing, name].said(), found[thing, name].said(own=True)]
                for name in evidence.study.plan.conditions
                if found[thing, name].n
            ],
        )
    page.figure(
        "rates",
        "Shares of pictures in which the other thing is seen, by what was done",
        lambda theme: interval_chart(
            "Seen: the other thing",
            "cross-attention of some patches, steps or heads is told the other text; 10 steps",
            [bar for thing, other in pairs.items() for bar in _bars(found, thing, other, evidence)],
            notes="Bars: Wilson's 95% over seeds. Quiet: random patches, random heads.",
            extent=(0.0, 1.0),
            theme=theme,
        ),
    )
    page.head("What can be said")
    page.points(_findings(found, pairs))
    if pictures:
        strip = _strip(evidence, next(iter(pairs)))
        if strip is not None:
            tiles, seeds = strip
            page.figure(
                "seeds",
                f"Pictures of {len(seeds)} seeds under {len(tiles)} conditions",
                lambda theme: _sheet(tiles, seeds, theme),
            )
    return end(
        page,
        evidence,
        [
            "One pair of things, one wording: what holds of a hole need not hold of a horn.",
            (
                "The best five heads were searched on a few seeds ([where a part is "
                "carried](where-a-part-is-carried.md)) and are an order of estimates; that they matter is what the "
                "rates above show."
            ),
            "Five other heads are one random draw, not all of them.",
        ],
    )


def _both(found: dict[tuple[str, str], Rate], thing: str, one: str, other: str) -> tuple[Rate, Rate] | None:
    """Two conditions of a thing, where both were drawn."""
    rates = found[thing, one], found[thing, other]
    return rates if rates[0].n and rates[1].n else None


def _short(found: dict[tuple[str, str], Rate], pairs: dict[str, str]) -> list[str]:
    thing, other = next(iter(pairs.items()))
    said = []
    if patches := _both(found, thing, MIDDLE, RANDOM):
        said.append(
            f"*{other}* encoded in the middle of a {thing} makes a {other} in {patches[0].share:.0%} of {patches[0].n} "
            f"seeds, in random patches of that size in {patches[1].share:.0%}."
        )
    if heads := _both(found, thing, BEST, OTHERS):
        said.append(
            f"Five heads, of all cross-attention heads, do it in {heads[0].share:.0%}; five others in "
            f"{heads[1].share:.0%}."
        )
    return said


def _apart(one: Rate, other: Rate) -> bool:
    """Whether intervals of two rates do not touch."""
    return one.ends()[0] > other.ends()[1] or one.ends()[1] < other.ends()[0]


def _findings(found: dict[tuple[str, str], Rate], pairs: dict[str, str]) -> list[str]:
    said = []
    for thing, other in pairs.items():
        if patches := _both(found, thing, MIDDLE, RANDOM):
            said.append(
                f"{thing} to {other}, patches: in the middle {patches[0].said()}, in random patches "
                f"{patches[1].said()}: "
                + (
                    "the place matters."
                    if _apart(*patches)
                    else "the place makes no difference that is seen."
                )
            )
        windows = [
            (rate.condition.removeprefix(STEPS), rate)
            for (name, condition), rate in found.items()
            if name == thing and condition.startswith(STEPS) and rate.n
        ]
        if windows:
            best = max(windows, key=lambda each: each[1].share)
            little = [name for name, rate in windows if rate.share < 0.1]
            said.append(
                f"{thing} to {other}, steps: most at steps {best[0]} ({best[1].said()})"
                + (f"; in less than a tenth at {', '.join(little)}." if little else ".")
            )
        if heads := _both(found, thing, BEST, OTHERS):
            few = _apart(*heads) and heads[0].share > heads[1].share
            said.append(
                f"{thing} to {other}, heads: the best five {heads[0].said()}, five others {heads[1].said()}: "
                + ("few heads carry it." if few else "no difference is seen.")
            )
        if out := _both(found, thing, BEST_OUT, OTHERS_OUT):
            said.append(
                f"{thing}, heads taken out: with the best five out a {thing} is still seen in {out[0].said(own=True)} "
                f"and a {other} in {out[0].said()}; with five others out a {thing} in {out[1].said(own=True)}."
            )
    return said


def _bars(found: dict[tuple[str, str], Rate], thing: str, other: str, evidence: Evidence) -> list[Bar]:
    bars = [Bar(f"{thing}: {other} seen")]
    for name in evidence.study.plan.conditions:
        rate = found[thing, name]
        if rate.n and name != evidence.baseline:
            low, high = rate.ends()
            control = evidence.study.plan.conditions[name].control_of is not None
            bars.append(
                Bar(
                    name.replace("other encoded", other),
                    rate.share,
                    low,
                    high,
                    f"{rate.seen} of {rate.n}",
                    control,
                )
            )
    return bars


def _strip(evidence: Evidence, thing: str) -> tuple[dict[str, list[Image.Image]], list[int]] | None:
    """Small pictures of the first seeds whose unedited one is right: condition to one picture a seed."""
    (prompt,) = [index for index, of in evidence.factors().items() if of["thing"] == thing][:1]
    right: list[Unit] = sorted(
        unit for unit, value in evidence.numbers("judge_all").items() if value and unit[0] == prompt
    )
    seeds = [seed for _, seed in right[:SEEDS]]
    found: dict[tuple[str, int], Image.Image] = {}
    for row in evidence.study.runs().to_pylist():
        if (
            row["status"] == "ok"
            and row["prompt_index"] == prompt
            and row["seed"] in seeds
            and row["thumbnail"]
        ):
            found[row["condition"], row["seed"]] = Image.open(io.BytesIO(row["thumbnail"])).convert("RGB")
    tiles = {
        name: [found[name, seed] for seed in seeds]
        for name in SHOWN
        if all((name, seed) in found for seed in seeds)
    }
    return (tiles, seeds) if tiles and seeds else None


def _sheet(tiles: dict[str, list[Image.Image]], seeds: Sequence[int], theme: ThemeName) -> Image.Image:
    look, left, top, gap = theme_of(theme), 260.0, 40.0, 4.0
    canvas = Canvas(left + (TILE + gap) * len(seeds) + 16, top + (TILE + gap) * len(tiles) + 16, look)
    for column, seed in enumerate(seeds):
        canvas.text((left + (TILE + gap) * column + TILE / 2, 16), f"seed {seed}", 11, look.quiet, "middle")
    for row, (name, images) in enumerate(tiles.items()):
        y = top + (TILE + gap) * row
        canvas.text((left - 12, y + TILE / 2 - 8), name, 12, look.ink, "right")
        for column, image in enumerate(images):
            canvas.picture(image, (left + (TILE + gap) * column, y), (TILE, TILE))
    return canvas.finished()
