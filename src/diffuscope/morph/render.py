"""Particles painted into a frame: soft discs, mixed by weight in linear light, with a glow. No graphics card needed.

Discs that lie over each other are mixed, not stacked, so no particle has to be sorted and the same frame comes out on
every machine: colour = sum(w c) / sum(w), cover = 1 - exp(-sum w), nearer ones counting more (weighted blended
order-independent transparency, McGuire & Bavoil 2013, JCGT 2:2).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.errors import SizeError
from diffuscope.morph.camera import Camera
from diffuscope.morph.field import Cloud

Floats = NDArray[np.float32]
Background = Literal["night", "paper", "transparent"]
BACKGROUNDS: tuple[Background, ...] = ("night", "paper", "transparent")

LARGEST = 8192
_NIGHT = np.array([0.0035, 0.0040, 0.0065], np.float32)
_PAPER = np.array([0.863, 0.847, 0.807], np.float32)
_AT_ONCE = 2_000_000
"""Pixels of discs that are worked out at once: bounds the memory."""
_SIZES = 6
"""Kinds of discs, from sharp to blurred: a particle gets the nearest."""


def render(
    cloud: Cloud,
    camera: Camera,
    size: tuple[int, int],
    background: Background = "night",
    *,
    grain: float = 1.0,
) -> NDArray[np.uint8]:
    """One frame, sRGB bytes ``[y, x, 3]``; on a ``transparent`` ground ``[y, x, 4]``, alpha not multiplied in.

    Args:
        cloud: the particles.
        camera: from where.
        size: ``(width, height)`` in pixels.
        background: what is behind them.
        grain: radius of the particles; 1 closes the gaps of a picture at rest.

    Raises:
        SizeError: a side is not between 16 and 8192 pixels.
    """
    width, height = size
    if not all(16 <= side <= LARGEST for side in size):
        raise SizeError(f"a frame of {width}x{height}: sides are between 16 and {LARGEST} pixels")
    gathered = splat(cloud, camera, size, grain)
    weight = gathered[..., 3:]
    colour = gathered[..., :3] / np.maximum(weight, np.float32(1e-6))
    cover = 1 - np.exp(-np.float32(1.15) * weight)
    light = colour * cover
    if background == "paper":
        return _bytes(_srgb(light + _PAPER * (1 - cover)))
    glow = _glow(light)
    if background == "night":
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None, None]
        x = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None]
        ground = _NIGHT * (1 - np.float32(0.42) * (x * x + y * y))
        return _bytes(_srgb(light + np.float32(0.20) * glow + ground * (1 - cover)))
    strength = np.clip(cover + np.float32(0.20) * glow.max(axis=2, keepdims=True) * (1 - cover), 0, 1)
    straight = (light + np.float32(0.20) * glow) / np.maximum(strength, np.float32(1e-4))
    return _bytes(np.concatenate([_srgb(straight), strength], axis=2))


def splat(cloud: Cloud, camera: Camera, size: tuple[int, int], grain: float = 1.0) -> Floats:
    """Sums over the discs: weight times linear colour, and weight, float32 ``[y, x, 4]``."""
    width, height = size
    x, y, away = camera.project(cloud.position, width, height)
    # At rest, a disc's spread is a fraction of the distance to its neighbours, in pixels.
    spacing = np.sqrt(4.0 / len(cloud))
    spread = (
        np.float32(grain * 0.62 * spacing)
        * np.float32(camera.pixels_per_unit(1.0, height))
        / np.maximum(away, 0.1)
    )
    # Out of the plane of focus discs widen, as in a lens with a large opening.
    focus = np.float32(camera.distance - 0.30)
    blur = np.float32(0.0042 * height) * np.abs(away - focus) / np.maximum(away, 0.5) * np.float32(1.0)
    sigma = np.sqrt(spread * spread + blur * blur)
    kinds = np.geomspace(max(0.45, float(sigma.min())), max(0.5, float(np.percentile(sigma, 99))), _SIZES)
    kind = np.clip(np.searchsorted(np.sqrt(kinds[1:] * kinds[:-1]), sigma), 0, _SIZES - 1)
    # A disc spreads one amount of paint, in units of what closes the picture at rest.
    paint = (cloud.weight * (spread * spread) * np.float32(2 * np.pi)).astype(np.float32)
    nearer = np.clip((np.float32(camera.distance) / np.maximum(away, np.float32(0.1))) ** 3, 0, 12)
    paint = np.asarray(paint * nearer * (away > 0.2), np.float32)
    out = np.zeros((4, height, width), np.float64)
    for which, radius in enumerate(kinds):
        mine = np.flatnonzero((kind == which) & (paint > 1e-4))
        if len(mine):
            _stamp(out, x[mine], y[mine], paint[mine], cloud.colour[mine], float(radius), width, height)
    return np.ascontiguousarray(np.moveaxis(out, 0, 2), np.float32)


def _stamp(
    out: NDArray[np.float64],
    x: Floats,
    y: Floats,
    paint: Floats,
    colour: Floats,
    sigma: float,
    width: int,
    height: int,
) -> None:
    """Add Gaussian discs of one spread at their exact places, cut off at 2.2 spreads."""
    reach = max(1, int(np.ceil(2.2 * sigma)))
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    inside = (left >= -reach) & (left < width + reach) & (top >= -reach) & (top < height + reach)
    offsets = np.arange(-reach, reach + 1)
    # A margin as wide as the widest disc that is still seen: no disc has to be cut at the edge.
    margin = 2 * reach
    rows, columns = height + 2 * margin, width + 2 * margin
    steps = (offsets[:, None] * columns + offsets[None, :]).ravel()
    chosen = np.flatnonzero(inside)
    sheet = np.zeros((4, rows * columns))
    for some in np.split(chosen, range(_AT_ONCE // len(steps), len(chosen), _AT_ONCE // len(steps))):
        across = np.exp(-0.5 * ((left[some] + 0.5 - x[some])[:, None] + offsets) ** 2 / sigma**2)
        along = np.exp(-0.5 * ((top[some] + 0.5 - y[some])[:, None] + offsets) ** 2 / sigma**2)
        # What a disc spreads in all is the same wherever its centre lies between the pixels.
        across /= across.sum(axis=1, keepdims=True)
        along *= (paint[some] / along.sum(axis=1))[:, None]
        disc = (along[:, :, None] * across[:, None, :]).reshape(len(some), -1)
        cells = (((top[some] + margin) * columns + left[some] + margin)[:, None] + steps).ravel()
        low, high = (int(cells.min()), int(cells.max()) + 1) if len(cells) else (0, 0)
        cells -= low
        for channel in range(3):
            sheet[channel, low:high] += np.bincount(
                cells, (disc * colour[some, channel, None]).ravel(), high - low
            )
        sheet[3, low:high] += np.bincount(cells, disc.ravel(), high - low)
    out += sheet.reshape(4, rows, columns)[:, margin : margin + height, margin : margin + width]


def _glow(light: Floats) -> Floats:
    """Bright parts, blurred wide: a sixth of the frame's height, from an eighth of its size."""
    height, width = light.shape[:2]
    small = (max(2, width // 8), max(2, height // 8))
    reach = max(1, small[1] // 26)
    out = []
    for channel in range(3):
        image = Image.fromarray(np.ascontiguousarray(light[..., channel])).resize(small, Image.Resampling.BOX)
        values = np.asarray(image, np.float32)
        for _ in range(3):  # three boxes are nearly a Gaussian
            values = _box(_box(values, reach).T, reach).T
        blurred = Image.fromarray(np.ascontiguousarray(values)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        out.append(np.asarray(blurred, np.float32))
    return np.maximum(np.stack(out, axis=2), 0)


def _box(values: Floats, reach: int) -> Floats:
    """Mean over ``2 reach + 1`` columns; beyond the edge lies the edge."""
    padded = np.pad(values, ((0, 0), (reach + 1, reach)), mode="edge").cumsum(axis=1, dtype=np.float64)
    means = (padded[:, 2 * reach + 1 :] - padded[:, : -2 * reach - 1]) / (2 * reach + 1)
    return np.asarray(means, np.float32)


def _srgb(light: Floats) -> Floats:
    """Linear light as sRGB, 0 to 1 (IEC 61966-2-1); what is too bright bends towards white and is not cut."""
    held = np.where(light > 0.8, 0.8 + 0.2 * np.tanh((light - 0.8) / 0.2), np.maximum(light, 0))
    return np.asarray(
        np.where(held <= 0.0031308, held * 12.92, 1.055 * np.maximum(held, 1e-9) ** (1 / 2.4) - 0.055),
        np.float32,
    )


def _bytes(values: Floats) -> NDArray[np.uint8]:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
