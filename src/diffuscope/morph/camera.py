"""A camera on a path around the picture, and where it sees the particles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffuscope.morph.motion import Moment

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Camera:
    """Looks at a point from around it.

    Attributes:
        yaw, pitch: radians around the vertical axis and above the horizontal.
        distance: from the point, in half heights of the picture.
        target: the point ``(x, y, z)``.
        view: vertical angle of view, radians.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    distance: float = 4.2
    target: tuple[float, float, float] = (0.0, 0.0, 0.0)
    view: float = 0.60

    def project(self, position: Floats, width: int, height: int) -> tuple[Floats, Floats, Floats]:
        """Pixels (right, down) from the top left corner of the frame, and the distance along the line of sight."""
        cos_y, sin_y, cos_p, sin_p = (
            np.cos(self.yaw),
            np.sin(self.yaw),
            np.cos(self.pitch),
            np.sin(self.pitch),
        )
        # Rows: right, up and towards the viewer, in the picture's own axes.
        axes = np.array(
            [
                [cos_y, 0, -sin_y],
                [-sin_y * sin_p, cos_p, -cos_y * sin_p],
                [sin_y * cos_p, sin_p, cos_y * cos_p],
            ],
            np.float32,
        )
        seen = (position - np.array(self.target, np.float32)) @ axes.T
        away = np.float32(self.distance) - seen[:, 2]
        scale = np.float32(height / (2 * np.tan(self.view / 2))) / np.maximum(away, np.float32(1e-3))
        return seen[:, 0] * scale + np.float32(width / 2), np.float32(height / 2) - seen[:, 1] * scale, away

    def pixels_per_unit(self, away: float, height: int) -> float:
        """Pixels that a half height of the picture takes, `away` from the camera."""
        return height / (2 * float(np.tan(self.view / 2))) / away


def path(now: Moment, aspect: float, frame: float) -> Camera:
    """The camera that follows the film: swings once around in a film, and goes nearer to the words.

    Args:
        now: when.
        aspect: width over height of the picture; a wide one in a narrow frame is seen from further away.
        frame: width over height of the frame.
    """
    turn = 2 * np.pi * now.time
    still = 1 - 0.82 * max(0.0, (now.progress - 0.86) / 0.14) * (1 - now.focus)
    wide = max(1.0, aspect / frame)
    return Camera(
        yaw=float((0.46 * np.sin(turn) + 0.22 * now.focus * np.sin(2 * turn)) * still),
        pitch=float((0.11 * np.sin(turn + 1.1) + 0.12 * now.focus) * still),
        distance=float((4.15 - 0.15 * now.focus) * wide),
        target=(0.0, 0.0, 0.10),
    )
