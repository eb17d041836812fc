"""When things came, run by run: the rows that orders and survival curves are made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from diffuscope.analysis.timeline.timeline import Timeline
from diffuscope.errors import SelectionError

if TYPE_CHECKING:
    from diffuscope.analysis.timeline.timelines import Timelines

Which = Literal["emergence_attention", "emergence_image"]
Scale = Literal["step", "share", "log_snr"]
"""Units of time: step index, share of the run (0 first, 1 last step), or log-SNR (comparable between schedulers)."""


@dataclass(frozen=True)
class Event:
    """When one thing was first there in one run.

    Attributes:
        unit: what pairs are matched by: the run's seed or id. The same for all things of a run.
        name: the thing, or the group that it belongs to: ``object``.
        time: when it came, or the last that was seen where it never did.
        censored: it never came.
        cluster: its prompt: runs that are alike. The same for all where there is but one.
    """

    unit: str
    name: str
    time: float
    censored: bool
    cluster: str = ""


def events(
    runs: Iterable[Timelines],
    names: Mapping[str, Sequence[str]] | None = None,
    *,
    which: Which = "emergence_image",
    scale: Scale = "step",
    unit: Literal["seed", "id"] = "seed",
) -> list[Event]:
    """One event for each run and name.

    Args:
        runs: timelines of runs, such as one prompt's over many seeds.
        names: name to the labels of the words that it stands for, ``{"object": ["circle", "house"], "background":
            ["snow"]}``; a run's event is the median of those words that it has (a censored one counts as later than
            all).
            None: every content word by its own label.
        which: by attention, or by image. Words to which the judge has no answer have no event.
        scale: in what unit.
        unit: pair runs by their seed, or not at all (each run by its id).

    Raises:
        SelectionError: two runs of one unit, or log-SNR that a run does not have.
    """
    if which not in ("emergence_attention", "emergence_image") or scale not in ("step", "share", "log_snr"):
        raise SelectionError(
            f"which={which!r}, scale={scale!r}: which is emergence_attention or emergence_image, scale step, share "
            "or log_snr"
        )
    found: list[Event] = []
    units: set[str] = set()
    for timelines in runs:
        seed = timelines.run.manifest.sampling.seed
        own = timelines.run.id if unit == "id" or seed is None else str(seed)
        if own in units:
            raise SelectionError(
                f"two runs are of {'seed' if unit == 'seed' else 'id'} {own}; give one prompt's runs at a time"
            )
        units.add(own)
        groups = {label: [label] for label in timelines.words} if names is None else names
        for name, labels in groups.items():
            times = [_time(timelines[label], which, scale) for label in labels if label in timelines]
            known = [each for each in times if each is not None]
            if known:
                found.append(replace(middle_event(own, name, known), cluster=timelines.run.prompt))
    return found


def _time(timeline: Timeline, which: Which, scale: Scale) -> tuple[float, bool] | None:
    """When a word came and whether it is censored; None where the judge has no answer."""
    found = timeline.emergence_attention if which == "emergence_attention" else timeline.emergence_image
    if found is None:
        return None
    at = found.at or found.seen_to
    if scale == "step":
        return float(at.step), found.censored
    if scale == "share":
        first, last = timeline.steps[0], timeline.steps[-1]
        return (at.step - first) / max(last - first, 1), found.censored
    if at.log_snr is None:
        raise SelectionError(
            f"step {at.step} of run {timeline.run} has no log-SNR; compare by step or share instead"
        )
    return at.log_snr, found.censored


def middle_event(unit: str, name: str, times: list[tuple[float, bool]]) -> Event:
    """One event of a group: the lower median of its (time, censored), censored ones last."""
    order = sorted(times, key=lambda each: (each[1], each[0]))
    time, censored = order[(len(order) - 1) // 2]
    return Event(unit, name, time, censored)
