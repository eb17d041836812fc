"""What is in a dataset, by category: how many, how large, how sure, and what stands beside what."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from diffuscope.datasets.dataset import Dataset


@dataclass(frozen=True)
class CategoryCounts:
    """One category.

    Attributes:
        objects, pictures: annotations, and pictures that have any.
        area: median share of its picture that an object takes, and the quartiles about it.
        score: median, and quartiles.
    """

    name: str
    objects: int
    pictures: int
    area: tuple[float, float, float]
    score: tuple[float, float, float]


@dataclass(frozen=True)
class Counts:
    """A dataset in numbers.

    Attributes:
        pictures, annotations, empty: `empty` are pictures without annotations.
        categories: most frequent first.
        together: pairs of categories to the number of pictures that have both.
        per_picture: number of annotations to the number of pictures that have so many.
    """

    pictures: int
    annotations: int
    empty: int
    categories: tuple[CategoryCounts, ...]
    together: dict[tuple[str, str], int] = field(default_factory=dict)
    per_picture: dict[int, int] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """Plain values, for ``--json``."""
        return {
            "pictures": self.pictures,
            "annotations": self.annotations,
            "empty": self.empty,
            "categories": [vars(each) for each in self.categories],
            "together": [
                {"categories": list(pair), "pictures": count} for pair, count in self.together.items()
            ],
            "per_picture": {str(number): count for number, count in sorted(self.per_picture.items())},
        }


def counts(dataset: Dataset) -> Counts:
    """Count a dataset in one pass; numbers of each annotation are kept, masks are not."""
    shares: dict[str, list[float]] = {}
    scores: dict[str, list[float]] = {}
    shown: Counter[str] = Counter()
    together: Counter[tuple[str, str]] = Counter()
    per_picture: Counter[int] = Counter()
    for picture in dataset:
        per_picture[len(picture.annotations)] += 1
        for each in picture.annotations:
            shares.setdefault(each.category, []).append(each.area / (picture.width * picture.height))
            scores.setdefault(each.category, []).append(each.score)
        names = sorted({each.category for each in picture.annotations})
        shown.update(names)
        together.update(combinations(names, 2))
    rows = [
        CategoryCounts(name, len(values), shown[name], _quartiles(values), _quartiles(scores[name]))
        for name, values in shares.items()
    ]
    rows.sort(key=lambda row: (-row.objects, row.name))
    return Counts(
        sum(per_picture.values()),
        sum(row.objects for row in rows),
        per_picture[0],
        tuple(rows),
        dict(together.most_common()),
        dict(per_picture),
    )


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    low, middle, high = np.quantile(np.array(values), (0.25, 0.5, 0.75))
    return float(low), float(middle), float(high)
