"""Every method on every object, and what it comes to.

Half of the prompts choose (thresholds, single heads, how much is spread); all numbers are those of the other half.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from diffuscope.maps.refinement import Refinement
from diffuscope.studies.map_accuracy.methods import CEILING, DAAM, DAAM_PHRASE
from diffuscope.studies.map_accuracy.scores import PictureScores
from diffuscope.studies.map_accuracy.tuning import choose

TUNED, BARE = "tuned preset, phrase", "tuned preset without the picture's edges, phrase"


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
        ahead: `best` less that of the DAAM preset's word, object by object.
        ahead_phrase: `best` less that of the DAAM preset's phrase.
        coloured: `best` of the objects that have a phrase, and not a noun alone; NaN where there is none.
        tuning: `best` on the half that choices are made on: what methods may be chosen by.
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
    ahead_phrase: Estimate
    coloured: Estimate
    tuning: float
    none: int


@dataclass(frozen=True)
class Control:
    """Whether the best general map is that of its thing, and not of any thing: in reported pictures of several things,
    the first one's map against its own mask and against the next one's, at the threshold of the table.

    Attributes:
        pictures: so many.
        own, other: mean IoU with either mask.
        right: pictures in which its own is the larger.
    """

    pictures: int
    own: Estimate
    other: Estimate
    right: int


@dataclass
class Findings:
    """What an evaluation found.

    Attributes:
        rows: the table, in the order of `methods`, the tuned preset last.
        prompts, pictures, objects, classes: numbers in the reported half; pictures are those with objects.
        coloured: objects of the reported half that have a phrase, and not a noun alone.
        tuned_on: prompts, pictures and objects that choices were made on.
        missing: things that were named and not found in the pictures, or stand twice.
        looked_at: pictures in all.
        model: what drew them, by its id and the SHA-256 of its denoiser's weights.
        general: name of the refinement of phrases, with the same numbers for every model, that is best on the half that
            choices are made on. Its row is of the other half.
        control: of that refinement; None where no reported picture shows several things.
        preset: what was tuned.
        seconds: it took.
    """

    rows: list[Row] = field(default_factory=list)
    prompts: int = 0
    pictures: int = 0
    objects: int = 0
    coloured: int = 0
    classes: int = 0
    tuned_on: tuple[int, int, int] = (0, 0, 0)
    missing: int = 0
    looked_at: int = 0
    model: str = ""
    steps: int = 0
    general: str = ""
    control: Control | None = None
    preset: Refinement | None = None
    seconds: float = 0.0

    def row(self, name: str) -> Row:
        """The row of a method."""
        return next(row for row in self.rows if row.name == name)

    def as_json(self) -> dict[str, Any]:
        """Plain values, for ``--json``."""
        return asdict(self)


class Study:
    """Collects pictures' scores."""

    def __init__(self) -> None:
        self._pictures: list[PictureScores] = []
        self._seen: list[PictureScores] = []

    def add(self, scores: Iterable[PictureScores]) -> None:
        """Take the scores of some pictures.

        Raises:
            InputError: they are not of one model, or differ in their steps or in what was kept.
        """
        for each in scores:
            self._seen.append(each)
            if not each.objects:
                continue
            first = self._pictures[0] if self._pictures else each
            if (each.model, each.steps, each.kept) != (first.model, first.steps, first.kept):
                raise InputError(
                    f"picture {each.picture} is of another model, number of steps or keep level than those before it; "
                    "evaluate them apart"
                )
            if each.methods != first.methods:
                raise InputError(
                    f"picture {each.picture} was scored with other methods, by another release or without the model; "
                    "name another folder"
                )
            self._pictures.append(each)

    @property
    def examples(self) -> list[PictureScores]:
        """Reported pictures whose first object has a phrase, those of several objects first: for the figure."""
        fit = [
            each
            for each in self._pictures
            if each.group % 2 and each.objects[0].phrase != each.objects[0].word
        ]
        return sorted(fit, key=lambda each: (len(each.objects) < 2, each.picture))

    def findings(self, seconds: float = 0.0) -> Findings:
        """The table.

        Raises:
            InputError: one of the halves shows nothing that was asked for.
        """
        pictures = sorted(self._pictures, key=lambda each: each.picture)
        seen = [(each, at) for each in pictures for at in range(len(each.objects))]
        objects = Objects(
            [each.objects[at].category for each, at in seen],
            [each.picture for each, _ in seen],
            groups=[each.group for each, _ in seen],
        )
        if objects.tuning.all() or not objects.tuning.any():
            raise InputError(
                "one half of the pictures shows no object that was asked for, so nothing can be said; draw more"
            )
        names = [name for name, _ in pictures[0].methods]
        groups = dict(pictures[0].methods)
        tables = {name: _Scores.of(objects, pictures, index) for index, name in enumerate(names)}
        preset = None
        material = [each.material for each in pictures]
        if None not in material:
            tuned, bare = choose([each for each in material if each], objects, pictures[0].model)
            preset = tuned.preset
            for name, chosen in ((TUNED, tuned), (BARE, bare)):
                tables[name] = _Scores.made(objects, chosen.outcomes)
                groups[name] = "tuned"
        reported = ~objects.tuning
        ceiling = objects.mean(tables[CEILING].at_best, reported)
        coloured = np.array([each.objects[at].phrase != each.objects[at].word for each, at in seen])
        rows = [
            self._row(objects, groups[name], name, table, tables, ceiling, coloured)
            for name, table in tables.items()
            if not table.none.all()
        ]
        alone = [name for name in names if name.endswith(", word")]
        general = max(
            (row for row in rows if row.group == "refined" and row.name not in alone),
            key=lambda row: row.tuning,
        )
        return Findings(
            rows,
            len(set(objects.groups[reported])),
            len(set(objects.pictures[reported])),
            int(reported.sum()),
            int(coloured[reported].sum()),
            len(set(objects.classes[reported])),
            (
                len(set(objects.groups[~reported])),
                len(set(objects.pictures[~reported])),
                int((~reported).sum()),
            ),
            sum(each.missing for each in self._seen),
            len(self._seen),
            pictures[0].model,
            pictures[0].steps,
            general.name,
            _control(pictures, general),
            preset,
            seconds,
        )

    @staticmethod
    def _row(
        objects: Objects,
        group: str,
        name: str,
        table: _Scores,
        tables: dict[str, _Scores],
        ceiling: float,
        coloured: NDArray[np.bool_],
    ) -> Row:
        reported = ~objects.tuning
        ahead = [objects.estimate(table.at_best - tables[other].at_best) for other in (DAAM, DAAM_PHRASE)]
        return Row(
            group,
            name,
            objects.estimate(table.at_daam),
            objects.estimate(table.at_best),
            SHARES[table.best],
            objects.estimate(table.accuracy),
            objects.estimate(table.ap),
            objects.mean(table.at_best, reported) / ceiling,
            ahead[0],
            ahead[1],
            objects.estimate(table.at_best, reported & coloured),
            objects.mean(table.at_best, objects.tuning),
            int(table.none[reported].sum()),
        )


def _control(pictures: list[PictureScores], row: Row) -> Control | None:
    at = SHARES.index(row.threshold)
    several = [
        (each, each.material, each.shown[row.name])
        for each in pictures
        if each.group % 2 and len(each.objects) > 1 and each.material is not None and row.name in each.shown
    ]
    if not several:
        return None
    own = np.array([outcome(values, material.masks[0]).iou[at] for _, material, values in several])
    other = np.array([outcome(values, material.masks[1]).iou[at] for _, material, values in several])
    numbers = [each.picture for each, _, _ in several]
    together = Objects([""] * len(several), numbers, groups=[each.group for each, _, _ in several])
    every = np.ones(len(several), bool)
    means = [together.estimate(values, every) for values in (own, other)]
    return Control(len(several), means[0], means[1], int((own > other).sum()))


class _Scores:
    """One method's outcomes as arrays over objects, with the threshold that its tuning half chose."""

    def __init__(
        self,
        objects: Objects,
        iou: NDArray[np.float64],
        accuracy: NDArray[np.float64],
        ap: NDArray[np.float64],
        none: NDArray[np.bool_],
    ) -> None:
        self.best = best_share(objects, iou)
        self.at_daam = iou[:, SHARES.index(DAAM_SHARE)]
        self.at_best = iou[:, self.best]
        self.accuracy = accuracy[:, self.best]
        self.ap, self.none = ap, none

    @classmethod
    def made(cls, objects: Objects, found: list[Outcome]) -> _Scores:
        """Those of outcomes."""
        iou, accuracy = np.stack([each.iou for each in found]), np.stack([each.accuracy for each in found])
        return cls(objects, iou, accuracy, np.array([each.ap for each in found]), np.zeros(len(found), bool))

    @classmethod
    def of(cls, objects: Objects, pictures: list[PictureScores], method: int) -> _Scores:
        """Those of one method, by its place."""
        together = [
            np.concatenate([getattr(each, name)[method] for each in pictures])
            for name in ("iou", "accuracy", "ap", "none")
        ]
        return cls(objects, together[0], together[1], together[2], together[3])
