"""Chains held against true masks: IoU per object and class, COCO's average precision, curves over thresholds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.analysis.objects.chain import Chain
from diffuscope.analysis.objects.segmentation_accuracy import SHARES, Estimate
from diffuscope.analysis.objects.segmentation_accuracy import Objects as Scored
from diffuscope.errors import InputError
from diffuscope.studies.object_accuracy.precision import Precision, average_precision
from diffuscope.studies.object_accuracy.scores import Note, PictureScores, score
from diffuscope.studies.object_accuracy.truth import Truth

KINDS = ("segm", "bbox")


@dataclass(frozen=True)
class ClassRow:
    """One class under one chain: objects, mean IoU, AP50 of masks and of boxes (None where COCO has none)."""

    name: str
    objects: int
    iou: float
    ap50_segm: float | None
    ap50_bbox: float | None


@dataclass(frozen=True)
class ChainRow:
    """One chain's line of the table.

    Attributes:
        name, chain: of the chain.
        iou: mean over classes of the mean IoU of their objects, 0 where nothing was found; 95% interval over prompts.
            The prediction is all that was found of the class in the picture.
        share: of the ceiling's; None where there is no ceiling.
        ap50_segm, ap50_bbox: AP50 of masks and of boxes with its 95% interval over prompts.
        segm, bbox: COCO's AP (mean over IoU 0.5 to 0.95), AP50, AP75, from pycocotools, of categories that have a
            true mask in the picture.
        segm_all, bbox_all: the same where annotations of any category that some picture has a true mask of count, so
            that one of a thing that was not drawn is an error.
        classes: per class.
        curve: mean IoU at each fixed threshold of `SHARES`, of the map alone (no later stage); empty without maps.
        missed: objects of which nothing was found.
        seconds: for a picture, annotation alone.
        summary: all that pycocotools sums up, of masks and of boxes.
        said: the same as pycocotools prints it.
    """

    name: str
    chain: dict[str, Any]
    iou: Estimate
    share: float | None
    ap50_segm: Estimate
    ap50_bbox: Estimate
    segm: dict[str, float]
    bbox: dict[str, float]
    segm_all: dict[str, float]
    bbox_all: dict[str, float]
    classes: tuple[ClassRow, ...]
    curve: tuple[float, ...]
    missed: int
    seconds: float
    summary: dict[str, dict[str, float]]
    said: dict[str, str]


@dataclass
class Findings:
    """What an evaluation found.

    Attributes:
        rows: of the chains.
        ceiling, ceiling_threshold: the true mask averaged over the finest grid's cells, at its best threshold; None
            where no grid is known.
        pictures, prompts, objects: how many were looked at; objects are those with a true mask.
        missing: things that were named and not found in their picture, or named or found twice.
        unscored: annotations a chain of categories of which no picture has a true mask, or of which nobody could say
            which object is meant.
        unmarked: annotations a chain of categories that others of the pictures have a true mask of, and theirs not.
        model, reader: what drew, what read the prompts.
        seconds: it took.
    """

    rows: list[ChainRow]
    ceiling: Estimate | None
    ceiling_threshold: float
    pictures: int
    prompts: int
    objects: int
    missing: int
    unscored: int
    unmarked: int
    model: str
    reader: str
    seconds: float = 0.0
    thresholds: tuple[float, ...] = SHARES

    def row(self, name: str) -> ChainRow:
        """The row of a chain."""
        return next(each for each in self.rows if each.name == name)

    def as_json(self) -> dict[str, Any]:
        """Plain values, for ``--json``."""
        return asdict(self)


@dataclass
class _Taken:
    """What is collected of one chain."""

    iou: list[float] = field(default_factory=list)
    curve: list[NDArray[np.float64]] = field(default_factory=list)
    results: list[Note] = field(default_factory=list)
    seconds: float = 0.0
    missed: int = 0


class Evaluation:
    """Puts pictures' scores together."""

    def __init__(self, chains: Mapping[str, Chain]) -> None:
        """
        Args:
            chains: name to chain.

        Raises:
            InputError: there is none.
        """
        if not chains:
            raise InputError("name at least one chain")
        self.chains = dict(chains)
        self._taken = {name: _Taken() for name in chains}
        self._ceiling: list[NDArray[np.float64]] = []
        self._classes: list[str] = []
        self._prompts: list[int] = []
        self._images: list[dict[str, Any]] = []
        self._groups: list[int] = []
        self._truths: list[dict[str, Any]] = []
        self._numbers: dict[str, int] = {}
        self._missing = 0
        self._model = self._reader = ""

    def add(self, truths: Iterable[Truth]) -> None:
        """Score pictures, and take them."""
        for truth in truths:
            self.take(score(truth, self.chains))

    def take(self, scores: PictureScores) -> None:
        """Take a picture's scores, made by the same chains."""
        image = len(self._images) + 1
        self._images.append({"id": image, "height": scores.size[0], "width": scores.size[1]})
        self._model, self._reader = scores.model, scores.reader
        self._missing += scores.missing
        self._groups.append(scores.prompt)
        for each in scores.truths:
            number = self._numbers.setdefault(each["category"], len(self._numbers) + 1)
            own = {name: value for name, value in each.items() if name != "category"}
            added = {"id": len(self._truths) + 1, "image_id": image, "category_id": number, "iscrowd": 0}
            self._truths.append({**own, **added})
        self._classes += scores.classes
        self._prompts += [scores.prompt] * len(scores.classes)
        self._ceiling += [np.array(values) for values in scores.ceiling]
        for name, taken in self._taken.items():
            found = scores.chains[name]
            taken.iou += found.iou
            taken.curve += [np.array(values) for values in found.curve]
            taken.results += [{**each, "image_id": image} for each in found.results]
            taken.seconds += found.seconds
            taken.missed += found.missed

    def findings(self, seconds: float = 0.0) -> Findings:
        """The table.

        Raises:
            InputError: no picture has a true object.
        """
        if not self._classes:
            raise InputError(
                "no picture shows an object that was asked for, so nothing can be said; draw more"
            )
        scored = Scored(self._classes, self._prompts)
        every = np.ones(len(self._classes), bool)
        ceiling, threshold = None, 0.0
        if len(self._ceiling) == len(self._classes):
            ceilings = np.stack(self._ceiling)
            best = int(np.argmax([scored.mean(ceilings[:, at], every) for at in range(len(SHARES))]))
            ceiling, threshold = scored.estimate(ceilings[:, best], every), SHARES[best]
        rows = [self._row(name, scored, every, ceiling) for name in self.chains]
        of_known = [
            each["marked"] if each["category"] in self._numbers else None
            for taken in self._taken.values()
            for each in taken.results
        ]
        return Findings(
            rows,
            ceiling,
            threshold,
            len(self._images),
            len(set(self._groups)),
            len(self._truths),
            self._missing,
            of_known.count(None) // len(self.chains),
            of_known.count(False) // len(self.chains),
            self._model,
            self._reader,
            seconds,
        )

    def _row(self, name: str, scored: Scored, every: NDArray[np.bool_], ceiling: Estimate | None) -> ChainRow:
        taken = self._taken[name]
        iou = np.array(taken.iou)
        drawn = {kind: self._precision(taken, kind, all_of_them=False) for kind in KINDS}
        known = {kind: self._precision(taken, kind, all_of_them=True) for kind in KINDS}
        names = scored.classes
        classes = tuple(
            ClassRow(
                category,
                int((names == category).sum()),
                float(iou[names == category].mean()),
                drawn["segm"].by_class.get(category),
                drawn["bbox"].by_class.get(category),
            )
            for category in sorted(set(self._classes))
        )
        estimate = scored.estimate(iou, every)
        curves = np.stack(taken.curve) if len(taken.curve) == len(iou) else None
        return ChainRow(
            name,
            self.chains[name].plain(),
            estimate,
            None if ceiling is None else estimate.value / ceiling.value,
            drawn["segm"].ap50,
            drawn["bbox"].ap50,
            drawn["segm"].metrics,
            drawn["bbox"].metrics,
            known["segm"].metrics,
            known["bbox"].metrics,
            classes,
            () if curves is None else tuple(scored.mean(curves[:, at], every) for at in range(len(SHARES))),
            taken.missed,
            taken.seconds / max(1, len(self._images)),
            {kind: drawn[kind].summary for kind in KINDS},
            {kind: drawn[kind].text for kind in KINDS},
        )

    def _precision(self, taken: _Taken, kind: str, *, all_of_them: bool) -> Precision:
        counted = [
            each for each in taken.results if each["marked"] or (all_of_them and each["marked"] is False)
        ]
        return average_precision(self._images, self._truths, counted, self._numbers, kind, self._groups)
