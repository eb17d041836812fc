"""Several maps against each other: each patch goes to the one that holds most of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.errors import RunFolderError, SelectionError, SizeError
from diffuscope.maps.heatmap import Heatmap
from diffuscope.maps.picture import Panel
from diffuscope.maps.resize import resize
from diffuscope.maps.swatches import swatches

Background = float | str | None
"""What is given to none: see `segment`."""

COLOURS = (
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (213, 94, 0),
    (86, 180, 233),
    (240, 228, 66),
)
"""One for each name, told apart by colour-blind eyes too (Okabe and Ito, 2008); the background stays grey."""

NONE = "background"


@dataclass(frozen=True, eq=False)
class Segments:
    """A picture parted among names.

    Attributes:
        labels: uint8 ``[y, x]``, the place of each patch's name in `names`.
        names: ``background`` first (there may be none of it), then what was asked for, in order.
        maps: the maps that were held against each other, without the background.
        rule: one sentence: how the patches were given away.
    """

    labels: NDArray[np.uint8]
    names: tuple[str, ...]
    maps: tuple[Heatmap, ...]
    rule: str

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Patches of one name, ``[y, x]``.

        Raises:
            SelectionError: it is not among the names.
        """
        if name not in self.names:
            raise SelectionError(f"there is no segment {name!r}; there are: {', '.join(self.names)}")
        return np.equal(self.labels, self.names.index(name))

    @property
    def areas(self) -> dict[str, float]:
        """Name to its share of the picture."""
        return {name: float((self.labels == at).mean()) for at, name in enumerate(self.names)}

    def figure(self, image: Image.Image | None = None, alpha: float = 0.55) -> Image.Image:
        """The parts in colours, over the picture in grey where there is one, with their names and areas. RGB."""
        palette = np.array([(150, 150, 150), *_colours(len(self.names) - 1)], np.uint8)
        size = (
            (512, round(512 * self.labels.shape[1] / self.labels.shape[0]))
            if image is None
            else (image.height, image.width)
        )
        factor = max(1, -(-448 // max(size)))
        height, width = size[0] * factor, size[1] * factor
        shown = Image.fromarray(
            palette[resize(self.labels.astype(np.float64), (height, width), "nearest").astype(int)]
        )
        if image is not None:
            grey = image.convert("L").resize((width, height), Image.Resampling.BICUBIC).convert("RGB")
            shown = Image.blend(grey, shown, alpha)
        said = [
            (tuple(palette[at]), f"{name} {100 * area:.0f}%")
            for at, (name, area) in enumerate(self.areas.items())
            if area or at
        ]
        chosen = replace(self.maps[0].selection, word=None, concept=None)
        return swatches(Panel(shown), " against ".join(self.names[1:]), str(chosen), said, self.rule)

    def save(self, path: str | Path, image: Image.Image | None = None) -> Path:
        """Write ``.png`` (`figure`) or ``.npy`` (`labels`).

        Raises:
            SelectionError: another suffix.
            RunFolderError: the file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() not in (".png", ".npy"):
            raise SelectionError(
                f"{path.name!r}: segments are saved as .png (a picture) or .npy (their labels)"
            )
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

    def __repr__(self) -> str:
        return f"<Segments {', '.join(f'{name} {100 * area:.0f}%' for name, area in self.areas.items())}>"


def segment(maps: Sequence[Heatmap], background: Background = None) -> Segments:
    """Give each patch to the map that is largest there.

    Args:
        maps: of one size and unit. Where two are equal, the earlier one has the patch.
        background: who else may have it.
            None: nobody.
            A number between 0 and 1: a patch is background where its winner stays below this share of the winner's
            own largest value (0.4 is DAAM's threshold).
            A name: the map of that label competes and stands for the background ("background", "sky", …).

    Raises:
        SelectionError: fewer than two maps (one, with a background), a background that is none of these.
        SizeError: maps of different sizes.
    """
    if len({each.size for each in maps}) > 1:
        raise SizeError("maps of different sizes cannot be held against each other; give them one size")
    labels = [each.label for each in maps]
    if len(set(labels)) < len(labels):
        raise SelectionError(f"a name stands twice among {', '.join(labels)}")
    if isinstance(background, str):
        if background not in labels:
            raise SelectionError(f"background={background!r} is none of the names: {', '.join(labels)}")
        behind = [each for each in maps if each.label == background]
        maps = [each for each in maps if each.label != background]
    else:
        behind = []
        if background is not None and (isinstance(background, bool) or not 0 < background < 1):
            raise SelectionError(f"background={background!r}: give a share between 0 and 1, a name, or None")
    if len(maps) + (background is not None) < 2:
        raise SelectionError(
            "name at least two, or one and a background: there is nothing to hold against each other"
        )
    values = np.stack([each.array for each in [*behind, *maps]])
    winner = values.argmax(axis=0)
    found = winner + (0 if behind else 1)
    rule = "Each patch to the largest map."
    if behind:
        rule += f" {background!r} stands for the background."
    elif isinstance(background, float | int):
        low = np.take_along_axis(values, winner[None], 0)[0] < background * values.max(axis=(1, 2))[winner]
        found = np.where(low, 0, found)
        rule += f" Background where it is below {background:g} of that map's own maximum."
    return Segments(found.astype(np.uint8), (NONE, *(each.label for each in maps)), tuple(maps), rule)


def _colours(count: int) -> list[tuple[int, int, int]]:
    return [COLOURS[at % len(COLOURS)] for at in range(count)]
