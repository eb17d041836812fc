"""The particles: where each is, how bright and in which colour, at any moment of the film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import SelectionError
from diffuscope.morph.motion import Moment, chance, homes, moment, smoothstep, wind
from diffuscope.morph.score import PICTURE, PhaseRule, Score, palette

if TYPE_CHECKING:
    from diffuscope.run import Run, WordView

Floats = NDArray[np.float32]

PARTICLES = 65_536
"""As many as the page shows on a laptop."""
MOST = 4_194_304
"""More are refused: a mistyped number should not fill the memory."""

RELIEF = 0.42
"""How far full attention lifts a particle towards the viewer, in half heights of the picture."""
GOLDEN = 2.399963
"""Golden angle in radians: words' winds are turned by multiples of it, so no two blow alike."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """Particles at one moment, right-handed, y up, z towards the viewer; the picture's height is 2, its middle 0.

    Attributes:
        position: float32 ``[particle, 3]``.
        colour: float32 ``[particle, 3]``, linear light, 0 to 1.
        weight: float32 ``[particle]``, 0 to 1: how much of a particle there is, its opacity.
        stability: float32 ``[particle]``, 0 to 1: the stability mask where the particle lives.
        moment: when.
    """

    position: Floats
    colour: Floats
    weight: Floats
    stability: Floats
    moment: Moment

    def __len__(self) -> int:
        return len(self.position)


class Morph:
    """A run as a film of particles.

    A particle's place is a function of its number, the seed, the run's maps and the moment, and of nothing before.

    Attributes:
        score: the run's textures.
        count: number of particles.
        seed: what chance begins from.
        colours: ``picture`` or the name of a colormap, see `diffuscope.morph.score.PALETTES`.
    """

    def __init__(self, score: Score, count: int = PARTICLES, seed: int = 0, colours: str = PICTURE) -> None:
        if not 1 <= count <= MOST:
            raise SelectionError(f"{count} particles; a film has between 1 and {MOST}")
        self.score, self.count, self.seed, self.colours = score, count, int(seed), colours
        self._table = None if colours == PICTURE else palette(colours)
        ids = np.arange(count, dtype=np.uint32)
        self._home = homes(count)
        self._luck = np.stack([chance(ids, self.seed, stream) for stream in range(3)], axis=1)
        self._delay = chance(ids, self.seed, 3)
        self._free = self._scattered(ids)
        self._taps: dict[tuple[int, int], tuple[NDArray[np.intp], Floats]] = {}
        self._owner, self._character = self._owners()

    @classmethod
    def of(
        cls,
        run: Run,
        words: Sequence[str | WordView] = (),
        *,
        particles: int = PARTICLES,
        seed: int = 0,
        phases: PhaseRule = "plan",
        colours: str = PICTURE,
    ) -> Morph:
        """A run's film. Arguments as of `Score.of`; errors too.

        Raises:
            SelectionError: too many particles or none, or no such palette.
        """
        return cls(Score.of(run, words, phases=phases), particles, seed, colours)

    def at(self, time: float) -> Cloud:
        """The particles at a place in the film, 0 to 1; other times count modulo 1."""
        return self.place(moment(time, words=bool(self.score.words)))

    def of_step(self, position: int) -> Cloud:
        """The particles of a recorded step, by its position among the steps, in the words where there are some."""
        share = position / (len(self.score.steps) - 1)
        return self.place(Moment(share, 1.0 if self.score.words else 0.0, share))

    def place(self, now: Moment) -> Cloud:
        """The particles at any moment. Two levels, blended by `Moment.focus`:

        - the whole picture: three fields, noise, structure and detail, that flow into one another. Particles of patches
          that hold more attention come to rest earlier and stand nearer to the viewer;
        - the words: ``place = home + wind * chaos + attraction * stability``, chaos = 1 - stability, where the
          attraction leads out of the picture's plane into the word's own relief, and grows over the phases as the
          wind calms.
        """
        depth, stabilities, picture = self.score.at(now.progress)
        lift = self._sampled(depth[..., None])[:, 0]
        colour = self._sampled(picture)
        stable = lift
        if self.score.words:
            sampled = self._sampled(np.moveaxis(stabilities, 0, -1))
            stable = sampled[np.arange(self.count), self._owner]
        calm = np.tile(np.array([0, 1], np.float32), (self.count, 1))
        whole = self._whole(now, lift, calm)
        position, weight = whole, self._weight_of_whole(now)
        if now.focus > 0:
            focus = np.float32(now.focus)
            inside = self._words(now, stable)
            position = whole + (inside - whole) * focus
            # Chaos is dust: it stays there and lets the word shine.
            light = np.float32(0.03) + np.float32(0.97) * smoothstep(0.16, 0.72, stable)
            weight = weight + (light - weight) * focus
            colour = colour * (1 + focus * (np.float32(0.25) + np.float32(0.85) * stable - 1))[:, None]
        if self._table is not None:
            colour = self._table[np.rint(stable * 255).astype(np.intp)]
        return Cloud(position.astype(np.float32), colour, weight.astype(np.float32), stable, now)

    def _phases(self, progress: float | Floats) -> tuple[Floats, Floats]:
        """How far structure and detail have come, 0 to 1; each phase flows in over the one before."""
        structure, detail = self.score.phases
        return (
            smoothstep(structure - 0.16, structure + 0.22, progress),
            smoothstep(detail - 0.16, detail + 0.26, progress),
        )

    def _whole(self, now: Moment, lift: Floats, calm: Floats) -> Floats:
        # What holds attention comes first: the others follow by up to a tenth of the run.
        lead = 0.07 * (lift - 0.5) + 0.05 * (self._delay - 0.5)
        own = np.float32(now.progress) + lead * smoothstep(0.0, 0.12, now.progress)
        at_end = smoothstep(0.90, 1.0, now.progress)
        structure, detail = self._phases(own + (1 - own) * at_end)
        home = self._at_home(lift * RELIEF * (1 - np.float32(0.45) * detail))
        blown = wind(home, self._luck, now.time, calm)
        noise = self._free + np.float32(0.16) * wind(self._free, self._luck, now.time, calm)
        loose = home + blown * (np.float32(0.13) * (1 - lift) + np.float32(0.035))[:, None]
        settled = home + blown * np.float32(0.006)
        middle = noise + (loose - noise) * structure[:, None]
        return np.asarray(middle + (settled - middle) * detail[:, None], np.float32)

    def _words(self, now: Moment, stable: Floats) -> Floats:
        structure, detail = (float(each) for each in self._phases(now.progress))
        chaos = 1 - stable
        storm = np.float32(0.62 - 0.10 * structure - 0.06 * detail)
        pull = np.float32(0.25 + 0.45 * structure + 0.30 * detail)
        home = self._at_home(np.zeros_like(stable))
        blown = wind(home, self._luck, now.time, self._character)
        blown[:, 2] = blown[:, 2] * np.float32(1.25) - np.float32(0.55)
        # Dust forgets its place in the picture: it is drawn to where noise had it.
        home += (self._free * np.float32(1.35) - home) * (
            np.float32(0.42) * chaos * (1 - smoothstep(0.12, 0.5, stable))
        )[:, None]
        held = np.float32(0.55) * smoothstep(0.10, 0.85, stable) * pull
        out = home + blown * (storm * chaos * (1 - smoothstep(0.25, 0.85, stable) * pull))[:, None]
        out[:, 2] += held
        return np.asarray(out, np.float32)

    def _weight_of_whole(self, now: Moment) -> Floats:
        structure, _ = self._phases(now.progress)
        # Dust is of all sizes: a few bright grains, many faint ones. They are alike once they are a picture.
        grain = np.float32(0.06) + np.float32(0.94) * self._delay**6
        return np.asarray(grain + (1 - grain) * structure, np.float32)

    def _at_home(self, z: Floats) -> Floats:
        x = (self._home[:, 0] * 2 - 1) * np.float32(self.score.aspect)
        return np.stack([x, 1 - 2 * self._home[:, 1], z], axis=1)

    def _scattered(self, ids: NDArray[np.uint32]) -> Floats:
        """Noise: a lens of dust around the middle, thinner to its edge."""
        u, v, w = (chance(ids, self.seed, stream) for stream in (4, 5, 6))
        radius = np.sqrt(-2 * np.log(1 - np.float32(0.985) * u)) * np.float32(0.62)
        angle = np.float32(2 * np.pi) * v
        across = np.float32((1 + self.score.aspect) / 2)
        return np.stack(
            [
                radius * np.cos(angle) * across,
                radius * np.sin(angle),
                (w - np.float32(0.5)) * np.float32(1.5),
            ],
            axis=1,
        ).astype(np.float32)

    def _owners(self) -> tuple[NDArray[np.intp], Floats]:
        """Which word each particle belongs to, that with the most stability at its home on the last step, and that
        word's character: the angle of its wind and how fine it is."""
        count = len(self.score.words)
        if count == 0:
            return np.zeros(self.count, np.intp), np.tile(np.array([0, 1], np.float32), (self.count, 1))
        owner = self._sampled(np.moveaxis(self.score.stability[:, -1], 0, -1)).argmax(axis=1)
        characters = np.array(
            [[GOLDEN * (word + 1), 1.0 + 0.45 * (word % 3)] for word in range(count)], np.float32
        )
        return owner, characters[owner]

    def _sampled(self, texture: Floats) -> Floats:
        """A texture ``[y, x, channel]`` at every particle's home, bilinear, edges held: ``[particle, channel]``."""
        height, width, channels = texture.shape
        if (height, width) not in self._taps:
            self._taps[height, width] = self._tap(height, width)
        cells, parts = self._taps[height, width]
        flat = texture.reshape(-1, channels)
        out = flat[cells[0]] * parts[0][:, None]
        for cell, part in zip(cells[1:], parts[1:], strict=True):
            out += flat[cell] * part[:, None]
        return np.asarray(out, np.float32)

    def _tap(self, height: int, width: int) -> tuple[NDArray[np.intp], Floats]:
        """The four cells around every home, and their parts: ``[4, particle]`` each."""
        x = self._home[:, 0] * np.float32(width) - np.float32(0.5)
        y = self._home[:, 1] * np.float32(height) - np.float32(0.5)
        left, top = np.floor(x), np.floor(y)
        right_part, down_part = x - left, y - top
        columns = [np.clip(left + offset, 0, width - 1).astype(np.intp) for offset in (0, 1)]
        rows = [np.clip(top + offset, 0, height - 1).astype(np.intp) for offset in (0, 1)]
        cells = np.stack([rows[dy] * width + columns[dx] for dy in (0, 1) for dx in (0, 1)])
        across, along = (1 - right_part, right_part), (1 - down_part, down_part)
        return cells, np.stack([along[dy] * across[dx] for dy in (0, 1) for dx in (0, 1)])
