"""Which heads matter: a ranking by effect, with a stop that comes as early as the ranking's guarantee allows.

Each head is an arm; each seed gives one number for it, the effect of taking the head out. Rounds of seeds are drawn.
After each, a head whose lower bound lies above the upper bounds of all but the best `top` is settled as one of them,
and one whose upper bound lies below `top` lower bounds is settled as none; both are drawn no more. All bounds of all
rounds hold together with probability ``1 - error`` (each is given ``error / (heads x rounds)`` of it), and then nothing
is settled wrongly. (Races: Maron and Moore 1994, Hoeffding races; for the best few: Heidrich-Meisner and Igel 2009.)
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from diffuscope.analysis.cause.chance import bernstein_bound, mean_interval, students_bound
from diffuscope.errors import InputError, NotKeptError
from diffuscope.maps.cache import RunCache
from diffuscope.plain_json import finite

if TYPE_CHECKING:
    from diffuscope.recording import Recording

Head = tuple[str, int]
"""A site's name and the head's number there."""
Bound = Literal["student", "bernstein"]
State = Literal["top", "rest", "open"]

EFFECT_UNIT = "mean CIE76 delta-E inside the target"
CACHE_NAME = "heads"

LARGEST = 100.0
"""Range of a mean delta-E that the distribution-free bound is told: black to white."""


@dataclass
class Race:
    """A search for the `top` heads of largest mean effect.

    Attributes:
        heads: all of them.
        top: how many are sought.
        rounds: after how many rounds of seeds it is settled what can be, at most.
        error: probability that anything at all is settled wrongly.
        bound: ``student`` takes a head's effects over seeds for normal; ``bernstein`` takes nothing for granted but
            their range, and needs far more seeds.
        samples: head to its effects, in the order in which they came.
        state: what each is settled as.
    """

    heads: tuple[Head, ...]
    top: int
    rounds: int
    error: float = 0.05
    bound: Bound = "student"
    samples: dict[Head, list[float]] = field(init=False)
    state: dict[Head, State] = field(init=False)

    def __post_init__(self) -> None:
        if not 1 <= self.top <= len(self.heads):
            raise InputError(f"top={self.top}: it is 1 to {len(self.heads)}, the number of heads searched")
        if not 0 < self.error < 1 or self.rounds < 1:
            raise InputError(
                f"error={self.error:g} lies between 0 and 1, and rounds={self.rounds} is at least 1"
            )
        if self.bound not in ("student", "bernstein"):
            raise InputError(f"bound={self.bound!r}; it is student or bernstein")
        self.samples = {head: [] for head in self.heads}
        self.state = dict.fromkeys(self.heads, "open")

    @property
    def open(self) -> tuple[Head, ...]:
        """Heads that are not settled, in the order of the model."""
        return tuple(head for head in self.heads if self.state[head] == "open")

    def add(self, effects: Mapping[Head, float]) -> None:
        """One seed's effects of some heads."""
        for head, effect in effects.items():
            self.samples[head].append(float(effect))

    def settle(self) -> None:
        """Settle what the samples allow; call it once after each round."""
        error = self.error / (len(self.heads) * self.rounds)
        mean = np.array([np.mean(self.samples[head]) if self.samples[head] else 0.0 for head in self.heads])
        miss = np.array([self._miss(head, error) for head in self.heads])
        low, high = mean - miss, mean + miss
        for at, head in enumerate(self.heads):
            if self.state[head] != "open":
                continue
            others = np.arange(len(self.heads)) != at
            if (high[others] < low[at]).sum() >= len(self.heads) - self.top:
                self.state[head] = "top"
            elif (low[others] > high[at]).sum() >= self.top:
                self.state[head] = "rest"

    def _miss(self, head: Head, error: float) -> float:
        found = self.samples[head]
        return (
            students_bound(found, error)
            if self.bound == "student"
            else bernstein_bound(found, error, LARGEST)
        )


@dataclass(frozen=True)
class HeadEffect:
    """What taking one head out does.

    Attributes:
        site, head: which.
        effect: mean over seeds of the mean CIE76 delta-E inside the region; `low`, `high`: its bootstrap 95% interval,
            NaN of one seed.
        outside: the same outside the region.
        control: mean effect inside of the other heads of its site, on the same seeds: what a random head there does.
            None where there is none.
        seeds: how many it rests on.
        state: ``top`` or ``rest`` where the race has settled it, else ``open``.
    """

    site: str
    head: int
    effect: float
    low: float
    high: float
    outside: float
    control: float | None
    seeds: int
    state: State


@dataclass(frozen=True)
class HeadRanking:
    """Heads by the effect of taking them out, the largest first.

    Attributes:
        prompt, target: what was drawn, and the word, object or region in question.
        region: how the region was found: ``judge``, ``given``, or ``change`` (where silencing the word acts).
        seeds: those that were drawn; `skipped`: those whose unedited picture did not show the target.
        top: how many were sought, `error`, `bound`: the race's.
        heads: all, ranked.
        drawn, full: pictures with a head taken out that were drawn, and that a sweep without a stop would have drawn.
        word: the target, where it is a word or phrase of the prompt; `where`: where it is a part of the picture.
        window, factor: steps at which a head was taken out, and what its output was multiplied with.
    """

    prompt: str
    target: str
    region: str
    seeds: tuple[int, ...]
    skipped: tuple[int, ...]
    top: int
    error: float
    bound: str
    heads: tuple[HeadEffect, ...]
    drawn: int
    full: int
    word: str | None = None
    where: str | None = None
    window: str = "all"
    factor: float = 0.0

    @property
    def settled(self) -> bool:
        """Whether the best `top` are known with the race's guarantee."""
        return sum(each.state == "top" for each in self.heads) == self.top

    @property
    def ranks(self) -> tuple[tuple[int, int], ...]:
        """Best and worst place that each head may have by its own 95% interval, in the order of `heads`: 1 and the
        number of heads whose whole interval lies above, and all but those whose whole interval lies below. A head
        without an interval (of one seed) may have any place."""
        low = np.array([each.low for each in self.heads], float)
        high = np.array([each.high for each in self.heads], float)
        # Comparisons with NaN are false: such a head lies neither above nor below.
        return tuple(
            (1 + int((low > one.high).sum()), len(self.heads) - int((high < one.low).sum()))
            for one in self.heads
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; NaN where one seed gives no interval."""
        heads = [
            {"rank": place, "rank_best": best, "rank_worst": worst, **asdict(each)}
            for place, (each, (best, worst)) in enumerate(zip(self.heads, self.ranks, strict=True), start=1)
        ]
        return {**asdict(self), "heads": heads, "unit": EFFECT_UNIT, "settled": self.settled}

    @classmethod
    def of_json(cls, given: Mapping[str, Any]) -> HeadRanking:
        """What `to_json` made these values of; None where it had NaN."""
        values = {name: given[name] for name in cls.__dataclass_fields__}
        fields = HeadEffect.__dataclass_fields__
        heads = []
        for row in given["heads"]:
            one = {name: row[name] for name in fields}
            for name in ("effect", "low", "high", "outside"):
                one[name] = float("nan") if one[name] is None else one[name]
            heads.append(HeadEffect(**one))
        lists = {"heads": tuple(heads), "seeds": tuple(given["seeds"]), "skipped": tuple(given["skipped"])}
        return cls(**{**values, **lists})

    def save_csv(self, path: str | Path) -> Path:
        """The table as CSV, a row a head in the order of the ranking."""
        names = ("site", "head", "effect", "low", "high", "outside", "control", "seeds", "state")
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("rank", *names))
            for rank, each in enumerate(self.heads, start=1):
                values = (getattr(each, name) for name in names)
                writer.writerow((rank, *("" if value is None else value for value in values)))
        return Path(path)


def ranked(race: Race, outside: Mapping[Head, Sequence[float]]) -> tuple[HeadEffect, ...]:
    """The race's heads with their numbers, the largest effect first.

    Args:
        outside: head to its effects outside the region, seed by seed as the race's samples.
    """
    found = []
    for head in race.heads:
        mine = race.samples[head]
        mates = [other for other in race.heads if other[0] == head[0] and other != head]
        # Seeds come in one order for all, and a settled head has the first of them.
        control = [
            float(np.mean(race.samples[mate][: len(mine)])) for mate in mates if race.samples[mate] and mine
        ]
        mean, low, high = mean_interval(mine) if mine else (float("nan"),) * 3
        found.append(
            HeadEffect(
                site=head[0],
                head=head[1],
                effect=mean,
                low=low,
                high=high,
                outside=float(np.mean(outside[head])) if outside[head] else float("nan"),
                control=float(np.mean(control)) if control else None,
                seeds=len(mine),
                state=race.state[head],
            )
        )
    return tuple(
        sorted(found, key=lambda each: (-np.nan_to_num(each.effect, nan=-1.0), each.site, each.head))
    )


def heads_in(sites: Iterable[tuple[str, int]]) -> tuple[Head, ...]:
    """Every head of some sites, given as (name, number of heads)."""
    return tuple((name, head) for name, count in sites for head in range(count))


def keep_ranking(recording: Recording, found: HeadRanking, *, whole: bool = True) -> None:
    """Put a ranking into the run's cache, where `kept_ranking` and the page find it. One that is not `whole` yet never
    takes the place of another that rests on more seeds."""
    said = np.frombuffer(json.dumps(finite(found.to_json()), sort_keys=True).encode(), np.uint8)
    key = {
        "target": found.target,
        "where": found.where or "",
        "window": found.window,
        "factor": f"{found.factor:g}",
        "sites": ",".join(sorted({each.site for each in found.heads})),
    }
    cache = RunCache(recording)
    before = None if whole else cache.read(CACHE_NAME, key)
    if before is not None and any(len(each.seeds) > len(found.seeds) for each in _read(before)):
        return
    cache.write(CACHE_NAME, key, {"json": said})


def kept_rankings(recording: Recording) -> list[HeadRanking]:
    """Every ranking that the run's cache holds, the newest first."""
    entries = RunCache(recording).entries(CACHE_NAME)
    return [ranking for _, each in reversed(entries) for ranking in _read(each)]


def _read(entry: Mapping[str, NDArray[Any]]) -> list[HeadRanking]:
    """The ranking of an entry of the cache; none where it was tampered with."""
    try:
        return [HeadRanking.of_json(json.loads(entry["json"].tobytes().decode()))]
    except (KeyError, TypeError, ValueError):
        return []


def kept_ranking(recording: Recording, target: str) -> HeadRanking:
    """The ranking that was made last for a word, phrase or part of the picture.

    Raises:
        NotKeptError: none was made of this recording.
    """
    for found in kept_rankings(recording):
        if target.casefold() in (found.target.casefold(), (found.where or "").casefold()):
            return found
    raise NotKeptError(
        f"heads were not ranked by their effect on {target!r} in this run yet; lens.heads(run, {target!r}) or "
        f"`diffuscope heads RUN --word {target}` does it"
    )
