"""The picture in parts, from its self-attention alone: no words are needed.

Patches that look at the same things belong together. As in DiffSeg (Tian et al., "Diffuse, Attend, and Segment", CVPR
2024, section 3.3), each patch has its attention as a probability distribution over the picture, and what is alike is
merged; alike means a small symmetric Kullback-Leibler divergence, ``D(p, q) = (KL(p || q) + KL(q || p)) / 2``. DiffSeg
starts from a grid of anchors and merges by a threshold, in the order in which anchors stand. Here every patch starts as
a part of its own, and always the two parts with the smallest divergence are merged, a part's distribution being the
mean over its patches: that has no anchors, no order and, when the number of parts is given, no threshold.

Where the number is not given, it is the one at which merging further would cost the most, relative to the merge before:
the largest ratio of two divergences that follow each other, among 2 to 12 parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.errors import RunFolderError, SelectionError
from diffuscope.maps.picture import Panel
from diffuscope.maps.region_view import ask
from diffuscope.maps.resize import Size, resize
from diffuscope.maps.segments import COLOURS
from diffuscope.maps.self_matrix import self_matrices
from diffuscope.maps.swatches import swatches
from diffuscope.selection import Choice, Selection, SiteChoice

if TYPE_CHECKING:
    from diffuscope.run import Run

MOST_PATCHES = 32 * 32
"""The grid that is parted has at most so many patches; finer ones are brought down to it."""
FEWEST, MOST = 2, 12
"""Range of a number of parts that is not given."""
TINY = 1e-9
"""Added to probabilities: a patch that nothing looks at has a divergence all the same."""

Wide = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Parts:
    """A picture in parts.

    Attributes:
        labels: int16 ``[y, x]``, the number of each patch's part; 0 is the largest.
        divergence: float64: at ``k`` the divergence of the two parts that were (or would next be) merged at ``k``
            parts; entries 0 and 1 are 0.
        selection: the steps, sites and heads of self-attention.
        rule: one sentence: how the parts came about.
    """

    labels: NDArray[np.int16]
    divergence: Wide
    selection: Selection
    rule: str

    @property
    def number(self) -> int:
        """How many parts there are."""
        return int(self.labels.max()) + 1

    @property
    def areas(self) -> list[float]:
        """Each part's share of the picture, the largest first."""
        return [float((self.labels == part).mean()) for part in range(self.number)]

    def mask(self, part: int) -> NDArray[np.bool_]:
        """Patches of a part, ``[y, x]``.

        Raises:
            SelectionError: there is no such part.
        """
        if not 0 <= part < self.number:
            raise SelectionError(
                f"there is no part {part}; parts are 0 to {self.number - 1}, the largest first"
            )
        return np.asarray(self.labels == part)

    def figure(self, image: Image.Image | None = None, alpha: float = 0.55) -> Image.Image:
        """The parts in colours, over the picture in grey where there is one, with their areas. RGB."""
        palette = np.array([COLOURS[part % len(COLOURS)] for part in range(self.number)], np.uint8)
        # The palette comes round again, darker each time, so that no two parts look the same.
        palette = np.array(
            [colour * 0.6 ** (part // len(COLOURS)) for part, colour in enumerate(palette)], np.uint8
        )
        size = self.labels.shape if image is None else (image.height, image.width)
        factor = max(1, -(-448 // max(size)))
        height, width = size[0] * factor, size[1] * factor
        shown = Image.fromarray(
            palette[resize(self.labels.astype(float), (height, width), "nearest").astype(int)]
        )
        if image is not None:
            grey = image.convert("L").resize((width, height), Image.Resampling.BICUBIC).convert("RGB")
            shown = Image.blend(grey, shown, alpha)
        said = [
            ((int(r), int(g), int(b)), f"part {part} {100 * area:.0f}%")
            for part, ((r, g, b), area) in enumerate(zip(palette, self.areas, strict=True))
        ]
        return swatches(
            Panel(shown), f"{self.number} parts by self-attention", str(self.selection), said, self.rule
        )

    def save(self, path: str | Path, image: Image.Image | None = None) -> Path:
        """Write ``.png`` (`figure`) or ``.npy`` (`labels`).

        Raises:
            SelectionError: another suffix.
            RunFolderError: the file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() not in (".png", ".npy"):
            raise SelectionError(f"{path.name!r}: parts are saved as .png (a picture) or .npy (their labels)")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix.lower() == ".png":
                self.figure(image).save(path, "PNG")
            else:
                with path.open("wb") as file:
                    np.save(file, self.labels, allow_pickle=False)
        except OSError as error:
            raise RunFolderError(f"cannot write {path}: {error.strerror or error}") from error
        return path

    def _repr_png_(self) -> bytes:
        from io import BytesIO

        file = BytesIO()
        self.figure().save(file, "PNG")
        return file.getvalue()

    def __repr__(self) -> str:
        return f"<Parts {', '.join(f'{100 * area:.0f}%' for area in self.areas)}, {self.selection}>"


def parts(
    run: Run, number: int | None = None, steps: Choice = None, sites: SiteChoice = None, heads: Choice = None
) -> Parts:
    """The picture in parts, from the mean of self-attention over heads, sites and steps.

    Args:
        run: recorded at level ``qk``.
        number: of parts; chosen when None, see above.
        steps, sites, heads: of self-attention.

    Raises:
        SelectionError: a number below 1 or above that of patches, or a step, site or head that is not there.
        NotKeptError, RecordingError, SizeError: as of `self_matrices`.
    """
    asked = ask(run.recording, None, steps, sites, heads, "native")
    grid = _work_grid(asked.size)
    count = grid[0] * grid[1]
    if number is not None and (
        isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= count
    ):
        raise SelectionError(f"number={number!r}: give a whole number of parts from 1 to {count}, or None")
    table = self_matrices(run._self_attention, asked).on(grid)
    found, merged = merge(table, number)
    order = np.argsort(-np.bincount(found), kind="stable")
    labels = np.empty(len(order), np.int16)
    labels[order] = np.arange(len(order))
    rule = (
        f"Patches of {grid[0]}x{grid[1]} merged by the divergence of their self-attention (mean over "
        f"{len(asked.steps)} steps and {len(asked.sites)} sites); number of parts "
        f"{'chosen' if number is None else 'given'}."
    )
    return Parts(labels[found].reshape(grid), merged, asked.selection, rule)


def merge(table: Wide, number: int | None = None) -> tuple[NDArray[np.intp], Wide]:
    """Merge rows of a matrix of probabilities.

    Args:
        table: ``[patch, cell]``, one distribution a row.
        number: of parts that are left; chosen when None.

    Returns:
        Part of each patch, numbered from 0; and at ``k`` the smallest divergence among ``k`` parts.
    """
    count = len(table)
    means = table + TINY
    means /= means.sum(axis=1, keepdims=True)
    logs = np.log(means)
    own = (means * logs).sum(axis=1)
    cross = means @ logs.T
    apart = (own[:, None] - cross + own[None] - cross.T) / 2
    np.fill_diagonal(apart, np.inf)
    sizes, history = np.ones(count), []
    divergence = np.zeros(count + 1)
    for left in range(count, 1, -1):
        first, second = divmod(int(apart.argmin()), count)
        divergence[left] = apart[first, second]
        history.append((first, second))
        total = sizes[first] + sizes[second]
        means[first] = (means[first] * sizes[first] + means[second] * sizes[second]) / total
        logs[first], sizes[first] = np.log(means[first]), total
        own[first] = means[first] @ logs[first]
        alive = np.isfinite(apart[first])
        alive[second] = False
        apart[second, :] = apart[:, second] = np.inf
        new = (own[first] - logs[alive] @ means[first] + own[alive] - means[alive] @ logs[first]) / 2
        apart[first, alive] = apart[alive, first] = np.maximum(new, 0.0)
    if number is None:
        number = _chosen(divergence)
    labels = np.arange(count)
    for first, second in history[: count - number]:
        labels[labels == second] = first
    return np.unique(labels, return_inverse=True)[1], divergence


def _chosen(divergence: Wide) -> int:
    """The number of parts at which the next merge is dearest beside the one before it."""
    last = min(MOST, len(divergence) - 2)
    if last < FEWEST:
        return max(1, len(divergence) - 1)
    candidates = np.arange(FEWEST, last + 1)
    ratios = divergence[candidates] / np.maximum(divergence[candidates + 1], TINY)
    return int(candidates[ratios.argmax()])


def _work_grid(grid: Size) -> Size:
    """The grid, or one of its proportions with no more than `MOST_PATCHES` patches."""
    factor = 1
    while -(-grid[0] // factor) * -(-grid[1] // factor) > MOST_PATCHES:
        factor += 1
    return max(1, grid[0] // factor), max(1, grid[1] // factor)
