"""The timelines of a run: its words side by side, the controls beside them, and what is true of the run as a
whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffuscope.analysis.measures import find_measure, measures
from diffuscope.analysis.measures.evidence import Course, RunEvidence
from diffuscope.analysis.measures.moments import BreakSteps, Phases
from diffuscope.analysis.timeline.tables import Table, joined, stacked, to_arrow, write_table
from diffuscope.analysis.timeline.timeline import Part, Timeline, Wide, definitions
from diffuscope.errors import SelectionError

if TYPE_CHECKING:
    from diffuscope.run import Run

WHOLE = "<picture>"
"""What tables call the picture as a whole, where words have their labels."""


@dataclass(frozen=True, eq=False)
class Timelines(Mapping[str, Timeline]):
    """Timelines of several words of a run, by label, and measures of the run.

    Attributes:
        run: the run.
        words: label to timeline of what was asked for (by default the prompt's content words), in the prompt's order.
        controls: the same of words that name nothing (``a``, ``of``), of the start and of the end token: what a
            timing of content words is held against.
        evidence: what measures of the run are computed from.
    """

    run: Run
    words: dict[str, Timeline]
    controls: Mapping[str, Timeline]
    evidence: RunEvidence
    _known: dict[str, Any] = field(default_factory=dict, repr=False)

    def __getitem__(self, label: str) -> Timeline:
        """The timeline of a word or control.

        Raises:
            SelectionError: it is not among them.
        """
        for among in (self.words, self.controls):
            if label in among:
                return among[label]
        raise SelectionError(f"there is no timeline of {label!r} here; there are: {', '.join(self)}")

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self.words, *self.controls]))

    def __len__(self) -> int:
        return len({*self.words, *self.controls})

    def __contains__(self, label: object) -> bool:
        return label in self.words or label in self.controls

    @property
    def course(self) -> Course:
        """Index, timestep and log-SNR of the steps."""
        return self.evidence.course

    @property
    def steps(self) -> tuple[int, ...]:
        """Index of each step."""
        return self.course.steps

    # Measures of the run.

    def measure(self, name: str) -> Any:
        """The value of a measure of the run as a whole.

        Raises:
            SelectionError: there is no such measure of runs.
            NotKeptError: received attention of a run without self-attention (keep level ``qk``).
        """
        measure = find_measure(name, "run")
        if measure.name not in self._known:
            self._known[measure.name] = measure.compute(self.evidence)
        return self._known[measure.name]

    @property
    def run_phases(self) -> Phases:
        found: Phases = self.measure("run_phases")
        return found

    @property
    def run_change_points(self) -> BreakSteps:
        found: BreakSteps = self.measure("run_change_points")
        return found

    @property
    def received(self) -> Wide:
        """``[step, y, x]``."""
        found: Wide = self.measure("received")
        return found

    @property
    def received_contrast(self) -> Wide:
        """``[step, (rho, chance, p)]``."""
        found: Wide = self.measure("received_contrast")
        return found

    # Parts.

    def parts(self, label: str, part: Part) -> Timelines:
        """A word's sites, grids or heads side by side, each as a timeline that bears the part's name: charts and tables
        take them as they take words.

        Args:
            label: the word.
            part: ``site``, ``grid`` or ``head``.

        Raises:
            SelectionError: there is no such word or part.
            NotKeptError: heads of a run that kept word maps alone.
        """
        own = {name: replace(each, label=name) for name, each in self[label].by(part).items()}
        return Timelines(self.run, own, {}, self.evidence)

    # Tables.

    def run_table(self) -> Table:
        """What is measured of the picture as a whole: a row a step, received attention against contrast.

        Raises:
            NotKeptError: the run has no self-attention (keep level ``qk``).
        """
        count, measure = len(self.steps), find_measure("received_contrast", "run")
        values = self.received_contrast
        return {
            "run": [self.run.id] * count,
            "word": [WHOLE] * count,
            "kind": ["picture"] * count,
            "step": list(self.steps),
            "timestep": self.course.timesteps.tolist(),
            "log_snr": self.course.log_snr.tolist(),
            **{name: values[:, at].tolist() for at, name in enumerate(measure.columns)},
        }

    def table(self, *, controls: bool = True) -> Table:
        """All curves below one another: a row a word and step; see `Timeline.table`."""
        chosen = [*self.words.values(), *(self.controls.values() if controls else ())]
        return joined([each.table() for each in chosen])

    def summary(self, *, controls: bool = True) -> Table:
        """A row a word: peak, stabilisation, both emergences, with log-SNR and what is to be said beside each."""
        chosen = [*self.words.values(), *(self.controls.values() if controls else ())]
        return stacked([_row(each) for each in chosen])

    def facts(self, *, received: bool = False) -> dict[str, Any]:
        """Everything as plain values: what ``--json`` prints. With `received`, received attention against contrast too
        (NotKeptError for a run without self-attention)."""
        whole = {"received_contrast": self.run_table()} if received else {}
        return {
            **whole,
            "run": str(self.run.path),
            "prompt": self.run.prompt,
            "steps": list(self.steps),
            "timesteps": self.course.timesteps.tolist(),
            "log_snr": self.course.log_snr.tolist(),
            "words": [each.facts() for each in self.words.values()],
            "controls": [each.facts() for each in self.controls.values()],
            "run_moments": {name: self.measure(name).facts() for name in ("run_phases", "run_change_points")},
            "measures": [each.described() for each in measures()],
        }

    def to_arrow(self) -> Any:
        """`table` as a `pyarrow.Table`. Raises MissingExtraError without pyarrow (extra ``analysis``)."""
        return to_arrow(self.table(), definitions())

    def save(self, path: str | Path) -> Path:
        """Write `table` as ``.csv`` or ``.parquet``; see `diffuscope.analysis.timeline.tables.write_table`."""
        return write_table(self.table(), path, definitions())

    def __repr__(self) -> str:
        return (
            f"<Timelines of run {self.run.id}: {', '.join(self.words)}; controls {', '.join(self.controls)}>"
        )


def _row(timeline: Timeline) -> dict[str, Any]:
    """One word's moments in a line."""
    peak, settled, seen = timeline.peak, timeline.stabilisation, timeline.emergence_attention
    out: dict[str, Any] = {
        "run": timeline.run,
        "word": timeline.label,
        "kind": timeline.kind,
        "mass": float(np.mean(timeline.mass)),
        "share": float(np.mean(timeline.share)),
        "peak": peak.at.step,
        "peak_log_snr": peak.at.log_snr,
        "peak_first": peak.near[0],
        "peak_last": peak.near[-1],
        "peak_flat": peak.flat,
        "peak_boundary": peak.boundary,
        "stabilisation": settled.at.step,
        "stabilisation_log_snr": settled.at.log_snr,
        "stabilisation_moved": settled.moved,
        "emergence_attention": seen.at.step if seen.at else None,
        "emergence_attention_log_snr": seen.at.log_snr if seen.at else None,
        "emergence_attention_against": seen.against,
    }
    image = timeline.emergence_image
    drawn = image.at if image else None
    out |= {
        "emergence_image": drawn.step if drawn else None,
        "emergence_image_log_snr": drawn.log_snr if drawn else None,
        "emergence_image_judged": image is not None,
        "seen_to": seen.seen_to.step,
    }
    return out
