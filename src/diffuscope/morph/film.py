"""Frames written as films, picture sequences and posters that artists' tools open.

| suffix | what is in it |
|---|---|
| ``.mp4`` | H.264, 8 bit, 4:2:0, sRGB pictures tagged BT.709 |
| ``.webm`` | VP9; with alpha on a transparent ground |
| ``.mov`` | ProRes 4444, with alpha on a transparent ground: for compositing and editing |
| ``.gif`` | 256 colours a frame, for ever |
| a folder | ``frame-00000.png`` and so on, 8 bit sRGB, with alpha on a transparent ground |

Frames are made one after another and handed to the encoder at once: memory does not grow with the length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.errors import MissingExtraError, RunFolderError, SelectionError
from diffuscope.morph.camera import path as camera_path
from diffuscope.morph.field import Morph
from diffuscope.morph.render import BACKGROUNDS, Background, render

Frame = NDArray[np.uint8]
OnFrame = Callable[[int, int], None]
"""Called with (frames done, frames in all)."""

SUFFIXES = (".mp4", ".webm", ".mov", ".gif")
WITH_ALPHA = (".webm", ".mov")
_BT709 = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]
_TO_BT709 = "scale=out_color_matrix=bt709:out_range=tv"


@dataclass(frozen=True)
class Shot:
    """How a film is shot.

    Attributes:
        size: ``(width, height)`` of a frame in pixels.
        fps: frames a second.
        seconds: length of the film; it is a loop.
        background: ``night``, ``paper`` or ``transparent``.
        grain: radius of the particles; 1 closes the gaps of a picture at rest.
    """

    size: tuple[int, int] = (1280, 720)
    fps: float = 30.0
    seconds: float = 20.0
    background: Background = "night"
    grain: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.fps <= 240:
            raise SelectionError(f"fps is {self.fps:g}; a film shows between 1 and 240 frames a second")
        if not 0 < self.seconds <= 3600:
            raise SelectionError(f"a film of {self.seconds:g} seconds; it lasts more than 0 and at most 3600")
        if self.background not in BACKGROUNDS:
            raise SelectionError(
                f"there is no background {self.background!r}; choose one of {', '.join(BACKGROUNDS)}"
            )

    @property
    def count(self) -> int:
        """Number of frames, at least 1."""
        return max(1, round(self.fps * self.seconds))


def frame(morph: Morph, shot: Shot, time: float) -> Frame:
    """The frame at a place in the film, 0 to 1: see `diffuscope.morph.render.render`."""
    cloud = morph.at(time)
    camera = camera_path(cloud.moment, morph.score.aspect, shot.size[0] / shot.size[1])
    return render(cloud, camera, shot.size, shot.background, grain=shot.grain)


def frames(morph: Morph, shot: Shot) -> Iterator[Frame]:
    """All frames in order; after the last comes the first again."""
    return (frame(morph, shot, index / shot.count) for index in range(shot.count))


def write_film(
    morph: Morph, path: str | Path, shot: Shot | None = None, on_frame: OnFrame | None = None
) -> Path:
    """Write the film to a file by its suffix, and return its path. An unfinished file is taken away.

    Raises:
        SelectionError: another suffix, or a transparent ground in a format without alpha.
        SizeError: H.264 and VP9 want even sides; or a side out of range.
        MissingExtraError: imageio-ffmpeg is not installed (extra ``export``).
        RunFolderError: the file cannot be written.
    """
    path, shot = Path(path), shot or Shot()
    check_film(path, shot)
    try:
        import imageio_ffmpeg
    except ModuleNotFoundError as error:
        raise MissingExtraError("writing films", "export") from error
    alpha = shot.background == "transparent"
    part = path.with_name(f"{path.stem}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
        film = imageio_ffmpeg.write_frames(
            str(part),
            shot.size,
            pix_fmt_in="rgba" if alpha else "rgb24",
            fps=shot.fps,
            macro_block_size=1,
            ffmpeg_log_level="error",
            **_encoding(path.suffix.lower(), alpha),
        )
        film.send(None)
        try:
            for done, made in enumerate(frames(morph, shot), start=1):
                film.send(np.ascontiguousarray(made))
                if on_frame is not None:
                    on_frame(done, shot.count)
        finally:
            film.close()
        part.replace(path)
    except (OSError, RuntimeError) as error:
        raise RunFolderError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def check_film(path: Path, shot: Shot) -> None:
    """Whether such a file can hold such a film. Errors as of `write_film`."""
    from diffuscope.errors import SizeError

    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise SelectionError(f"{path.name!r}: a film is written as {', '.join(SUFFIXES)}")
    if shot.background == "transparent" and suffix not in WITH_ALPHA:
        raise SelectionError(
            f"{suffix} has no alpha; a transparent film is written as .mov, .webm or PNG frames"
        )
    if suffix in (".mp4", ".webm") and any(side % 2 for side in shot.size):
        raise SizeError(f"{shot.size[0]}x{shot.size[1]}: {suffix} wants even sides")


def write_frames(
    morph: Morph, folder: str | Path, shot: Shot | None = None, on_frame: OnFrame | None = None
) -> list[Path]:
    """Write every frame as a PNG into a folder, and return their paths.

    Raises:
        RunFolderError: a file cannot be written.
    """
    folder, shot = Path(folder), shot or Shot()
    written = []
    for index, made in enumerate(frames(morph, shot)):
        written.append(_write_picture(made, folder / f"frame-{index:05d}.png"))
        if on_frame is not None:
            on_frame(index + 1, shot.count)
    return written


def write_poster(morph: Morph, path: str | Path, shot: Shot | None = None, time: float = 0.5) -> Path:
    """Write one frame, at a place in the film from 0 to 1, as a picture.

    Raises:
        SelectionError: the file is no .png.
        RunFolderError: it cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise SelectionError(f"{path.name!r}: a poster is written as .png")
    return _write_picture(frame(morph, shot or Shot(), time), path)


def _write_picture(made: Frame, path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(made).save(path, "PNG", compress_level=4)
    except OSError as error:
        raise RunFolderError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _encoding(suffix: str, alpha: bool) -> dict[str, Any]:
    """Codec, pixel format and options of the encoder, for each suffix."""
    if suffix == ".mp4":
        options = ["-crf", "16", "-preset", "medium", "-movflags", "+faststart", "-vf", _TO_BT709, *_BT709]
        return {"codec": "libx264", "pix_fmt_out": "yuv420p", "quality": None, "output_params": options}
    if suffix == ".webm":
        options = ["-crf", "24", "-b:v", "0", "-row-mt", "1", "-cpu-used", "4", "-vf", _TO_BT709, *_BT709]
        return {
            "codec": "libvpx-vp9",
            "pix_fmt_out": "yuva420p" if alpha else "yuv420p",
            "quality": None,
            "output_params": options,
        }
    if suffix == ".mov":
        options = [
            "-profile:v",
            "4444",
            "-vendor",
            "apl0",
            "-alpha_bits",
            "16" if alpha else "0",
            "-vf",
            _TO_BT709,
            *_BT709,
        ]
        pixels = "yuva444p10le" if alpha else "yuv444p10le"
        return {"codec": "prores_ks", "pix_fmt_out": pixels, "quality": None, "output_params": options}
    each = "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1:dither=bayer:bayer_scale=4"
    return {
        "codec": "gif",
        "pix_fmt_out": "pal8",
        "quality": None,
        "output_params": ["-vf", each, "-loop", "0"],
    }
