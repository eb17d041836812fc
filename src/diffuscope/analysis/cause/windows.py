"""Windows: in which steps does an edit of a word count, and in which has it stopped to matter?

The recommended intervention window is the shortest run of steps in which the edit changes the final picture by at
least half of what it does throughout, with an interval over seeds. Windows are looked for between cuts of the run, so
it is known to the width of a cut.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import InputError, NotKeptError
from diffuscope.maps.cache import RunCache

if TYPE_CHECKING:
    from diffuscope.recording import Recording

Floats = NDArray[np.float64]

ENOUGH = 0.5
"""Share of the whole effect that a window must reach."""
LITTLE = 0.1
"""Share of the whole effect under which an edit no longer matters."""
CACHE_NAME = "windows"
RESAMPLES = 2000


@dataclass(frozen=True)
class Windows:
    """Effects of one edit in every window between cuts.

    Attributes:
        edit: what was done, one line of English; `word`: of which word, if of one.
        steps: of the run.
        cuts: first steps of the windows, and the number of steps: ascending, from 0 to `steps`.
        seeds: of the pictures.
        effects: ``[seed, window]`` mean CIE76 delta-E, windows as in `windows`.
    """

    edit: str
    word: str | None
    steps: int
    cuts: tuple[int, ...]
    seeds: tuple[int, ...]
    effects: tuple[tuple[float, ...], ...]

    @property
    def windows(self) -> tuple[tuple[int, int], ...]:
        """All windows ``(start, stop)``, `stop` excluded; the whole run comes first."""
        return windows_between(self.cuts)

    def share(self, start: int, stop: int) -> float:
        """Mean effect of a window as a share of the whole run's.

        Raises:
            InputError: it does not lie between two cuts.
        """
        if (start, stop) not in self.windows:
            raise InputError(f"steps {start}:{stop} lie between no two of the cuts {list(self.cuts)}")
        table = np.asarray(self.effects)
        whole = table[:, 0].mean()
        return float(table[:, self.windows.index((start, stop))].mean() / whole) if whole else 0.0

    @property
    def recommended(self) -> Recommended | None:
        """The recommended intervention window; None where the edit changes nothing at all."""
        table = np.asarray(self.effects, np.float64)
        best = shortest(table.mean(axis=0), self.windows)
        if best is None:
            return None
        random = np.random.default_rng(0)
        again = [
            found
            for _ in range(RESAMPLES)
            if (
                found := shortest(
                    table[random.integers(len(table), size=len(table))].mean(axis=0), self.windows
                )
            )
        ]
        ends = np.quantile(np.array(again), [0.025, 0.975], axis=0, method="inverted_cdf").astype(int)
        return Recommended(
            *best,
            share=self.share(*best),
            starts=(int(ends[0, 0]), int(ends[1, 0])),
            stops=(int(ends[0, 1]), int(ends[1, 1])),
            agreement=float(np.mean([each == best for each in again])),
        )

    @property
    def matters_until(self) -> int | None:
        """First cut from which on the edit, made only there and later, does less than a tenth of what it does
        throughout; None where it matters to the end."""
        for cut in self.cuts[1:-1]:
            if self.share(cut, self.steps) < LITTLE:
                return cut
        return None

    def sentence(self) -> str:
        """The result in words."""
        best, until = self.recommended, self.matters_until
        if best is None:
            return f"{self.edit}: the picture stays as it is."
        late = (
            "it matters to the end"
            if until is None
            else f"begun at step {until} or later it does less than {LITTLE:.0%} of it"
        )
        seeds = "1 seed" if len(self.seeds) == 1 else f"{len(self.seeds)} seeds"
        return f"{self.edit}: half of the effect comes from {best}; {late}; {seeds}."

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        best = self.recommended
        return {
            **asdict(self),
            "recommended": None if best is None else asdict(best),
            "matters_until": self.matters_until,
        }

    @classmethod
    def of_json(cls, given: dict[str, Any]) -> Windows:
        """What `to_json` made these values of."""
        return cls(
            given["edit"],
            given["word"],
            int(given["steps"]),
            tuple(given["cuts"]),
            tuple(given["seeds"]),
            tuple(tuple(row) for row in given["effects"]),
        )


@dataclass(frozen=True)
class Recommended:
    """A recommended intervention window, steps `start` to `stop`, `stop` excluded.

    Attributes:
        share: of the whole effect.
        starts, stops: 95% of the windows that resampled seeds recommend start, and stop, within these.
        agreement: share of resamples that recommend exactly this window.
    """

    start: int
    stop: int
    share: float
    starts: tuple[int, int]
    stops: tuple[int, int]
    agreement: float

    def __str__(self) -> str:
        spread = (
            ""
            if self.starts[0] == self.starts[1] and self.stops[0] == self.stops[1]
            else f"; over seeds it starts at {self.starts[0]} to {self.starts[1]} and stops at {self.stops[0]} to "
            f"{self.stops[1]}"
        )
        return f"steps {self.start}:{self.stop} ({self.share:.0%} of the whole effect{spread})"


def windows_between(cuts: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Every window between two cuts, the longest first, then by start."""
    every = [(start, stop) for at, start in enumerate(cuts) for stop in cuts[at + 1 :]]
    return tuple(sorted(every, key=lambda each: (each[0] - each[1], each[0])))


def cuts_of(steps: int, parts: int) -> tuple[int, ...]:
    """A run cut into parts as equal as can be.

    Raises:
        InputError: fewer than two parts, or more than steps.
    """
    if not 2 <= parts <= steps:
        raise InputError(f"parts={parts}: a run of {steps} steps is cut into 2 to {steps} parts")
    return tuple(round(part * steps / parts) for part in range(parts + 1))


def shortest(effects: Floats, windows: tuple[tuple[int, int], ...]) -> tuple[int, int] | None:
    """The shortest window whose effect is at least half of the first one's, which is the whole run's; of several, the
    one with the largest effect. None where the whole run has no effect.

    Args:
        effects: ``[window]``.
    """
    if not effects[0] > 0:
        return None
    fitting = [at for at in range(len(windows)) if effects[at] >= ENOUGH * effects[0]]
    best = min(fitting, key=lambda at: (windows[at][1] - windows[at][0], -effects[at]))
    return windows[best]


def keep(recording: Recording, found: Windows) -> None:
    """Put a word's result into the run's cache."""
    said = np.frombuffer(json.dumps(found.to_json(), sort_keys=True).encode(), np.uint8)
    RunCache(recording).write(CACHE_NAME, {"word": found.word or "", "edit": found.edit}, {"json": said})


def kept(recording: Recording, word: str) -> Windows:
    """The result of silencing a word, or of another edit of it, that was made last.

    Raises:
        NotKeptError: none was made of this recording.
    """
    found = [tensors for key, tensors in RunCache(recording).entries(CACHE_NAME) if key["word"] == word]
    if not found:
        raise NotKeptError(
            f"no windows of {word!r} were drawn for this run; lens.windows(run, {word!r}) does it"
        )
    return Windows.of_json(json.loads(found[-1]["json"].tobytes().decode()))


def all_kept(recording: Recording) -> dict[str, Windows]:
    """Every word's result that the run's cache holds, by word; of several, the one that was made last."""
    found = {}
    for key, tensors in RunCache(recording).entries(CACHE_NAME):
        if key["word"]:
            found[key["word"]] = Windows.of_json(json.loads(tensors["json"].tobytes().decode()))
    return found
