"""Every method on every object, and what it comes to.

Half of the pictures choose (thresholds, single heads, how much is spread); all numbers are those of the other half.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.analysis.objects.segmentation_accuracy import (
    DAAM_SHARE,
    SHARES,
    Estimate,
    Objects,
    Outcome,
    best_share,
    outcome,
)
from diffuscope.errors import InputError
from diffuscope.maps.refinement import Refinement, model_of
from diffuscope.run import Run
from diffuscope.studies.map_accuracy.methods import CEILING, DAAM, Method, methods
from diffuscope.studies.map_accuracy.samples import Sample, Target
from diffuscope.studies.map_accuracy.tuning import Tuning

TUNED = "tuned preset, phrase"


@dataclass(frozen=True)
class Row:
    """One method's line of the table; numbers of the reported half.

    Attributes:
        group, name: of the method.
        iou: mean over classes of IoU at DAAM's threshold, 0.4 of the largest value.
        best: the same at the threshold that is best on the other half.
        threshold: that threshold.
        accuracy: pixel accuracy there.
        ap: average precision.
        share: `best` as a share of the ceiling's.
        ahead: `best` less that of the DAAM preset, object by object.
        none: objects that got no prediction.
    """

    group: str
    name: str
    iou: Estimate
    best: Estimate
    threshold: float
    accuracy: Estimate
    ap: Estimate
    share: float
    ahead: Estimate
    none: int


@dataclass
class Findings:
    """What an evaluation found.

    Attributes:
        rows: the table, in the order of `methods`, the tuned preset last.
        pictures, objects, classes: numbers in the reported half.
        tuned_on: pictures and objects that choices were made on.
        missing: things that were named and not found in the pictures.
        model: what drew them.
        preset: what was tuned.
        seconds: it took.
    """

    rows: list[Row] = field(default_factory=list)
    pictures: int = 0
    objects: int = 0
    classes: int = 0
    tuned_on: tuple[int, int] = (0, 0)
    missing: int = 0
    model: str = ""
    steps: int = 0
    preset: Refinement | None = None
    seconds: float = 0.0

    def row(self, name: str) -> Row:
        """The row of a method."""
        return next(row for row in self.rows if row.name == name)

    def as_json(self) -> dict[str, Any]:
        """Plain values, for ``--json``."""
        return asdict(self)


@dataclass(eq=False)
class Example:
    """Maps of one object, for the figure: name to ``[y, x]``."""

    image: Image.Image
    prompt: str
    target: Target
    maps: dict[str, NDArray[np.floating]]


class Study:
    """Collects outcomes, sample by sample, so that no run need stay on disk.

    Attributes:
        example: the first object with a phrase, in a reported picture of several objects; for the figure.
    """

    def __init__(self, *, tune: bool = True) -> None:
        """`tune`: whether single heads are scored and a preset is made of them."""
        self.example: Example | None = None
        self._methods: list[Method] = []
        self._scores: dict[str, list[Outcome]] = {}
        self._none: dict[str, list[bool]] = {}
        self._classes: list[str] = []
        self._pictures: list[int] = []
        self._sites: tuple[str, ...] = ()
        self._tuning = Tuning() if tune else None
        self._model, self._steps = "", 0

    def add(self, samples: Iterable[Sample]) -> None:
        """Score every object of some samples.

        Raises:
            InputError: the runs are not of one model, or differ in their steps or in what was kept.
        """
        for sample in samples:
            if sample.targets:
                self._begin(sample)
            for target in sample.targets:
                self._score(sample, target)

    def _begin(self, sample: Sample) -> None:
        manifest = sample.run.manifest
        shape = (
            model_of(sample.run.recording),
            str(len(manifest.steps)),
            manifest.keep.level,
            *sorted(manifest.keep.sites),
        )
        if not self._sites:
            self._sites = shape
            self._methods = methods(sample.run, concepts=sample.lens is not None)
            self._model, self._steps = manifest.model.id, len(manifest.steps)
        elif shape != self._sites:
            raise InputError(
                f"run {sample.run.id} is of another model, number of steps or keep level than those before it; "
                "evaluate them apart"
            )

    def _score(self, sample: Sample, target: Target) -> None:
        shown: dict[str, NDArray[np.floating]] = {}
        for method in self._methods:
            values = method(sample, target)
            self._scores.setdefault(method.name, []).append(outcome(values, target.mask))
            self._none.setdefault(method.name, []).append(values is None)
            if values is not None and method.group in ("words", "refined"):
                shown[method.name] = values
        self._classes.append(target.category)
        self._pictures.append(sample.picture)
        if self._tuning is not None:
            self._tuning.add(sample, target)
        reported = bool(len(dict.fromkeys(self._pictures)) % 2 == 0)
        if self.example is None and len(sample.targets) > 1 and reported and target.phrase != target.word:
            self.example = Example(_picture(sample.run), sample.run.prompt, target, shown)

    def findings(self, missing: int = 0, seconds: float = 0.0) -> Findings:
        """The table.

        Raises:
            InputError: there are fewer than two pictures with objects.
        """
        if len(set(self._pictures)) < 2:
            raise InputError(
                "fewer than two pictures show an object that was asked for, so nothing can be said; draw more"
            )
        objects = Objects(self._classes, self._pictures)
        scores = dict(self._scores)
        groups = {method.name: method.group for method in self._methods}
        preset = None
        if self._tuning is not None:
            preset, tuned = self._tuning.choose(objects, self._model_text)
            scores[TUNED], self._none[TUNED], groups[TUNED] = tuned, [False] * len(tuned), "refined"
        reported = ~objects.tuning
        tables = {
            name: _Scores(objects, found) for name, found in scores.items() if not all(self._none[name])
        }
        daam, ceiling = tables[DAAM], tables[CEILING]
        rows = [
            Row(
                groups[name],
                name,
                objects.estimate(table.at_daam),
                objects.estimate(table.at_best),
                SHARES[table.best],
                objects.estimate(table.accuracy),
                objects.estimate(table.ap),
                objects.mean(table.at_best, reported) / objects.mean(ceiling.at_best, reported),
                objects.estimate(table.at_best - daam.at_best),
                int(np.sum(np.array(self._none[name])[reported])),
            )
            for name, table in tables.items()
        ]
        return Findings(
            rows,
            len(set(objects.pictures[reported])),
            int(reported.sum()),
            len(set(objects.classes[reported])),
            (len(set(objects.pictures[~reported])), int((~reported).sum())),
            missing,
            self._model,
            self._steps,
            preset,
            seconds,
        )

    @property
    def _model_text(self) -> str:
        return self._sites[0]


class _Scores:
    """One method's outcomes as arrays over objects, with the threshold that its tuning half chose."""

    def __init__(self, objects: Objects, found: list[Outcome]) -> None:
        iou = np.stack([each.iou for each in found])
        self.best = best_share(objects, iou)
        self.at_daam = iou[:, SHARES.index(DAAM_SHARE)]
        self.at_best = iou[:, self.best]
        self.accuracy = np.array([each.accuracy[self.best] for each in found])
        self.ap = np.array([each.ap for each in found])


def _picture(run: Run) -> Image.Image:
    return run.image
