"""A word's map over the steps as a moving picture, GIF or MP4: beside it, the picture as the model predicted it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from diffuscope.errors import MissingExtraError, RunFolderError, SelectionError
from diffuscope.figures.strip import (
    Behind,
    SeriesScale,
    backdrops,
    legend,
    over,
    panel_size,
    preview,
    scales_of,
)
from diffuscope.maps.colormap import NAMES
from diffuscope.maps.picture import Panel, figure

if TYPE_CHECKING:
    from diffuscope.run import WordView

HOLD = 1500
"""Milliseconds that the last frame stays before the animation begins again."""


def frames(
    view: WordView,
    *,
    steps: Any = None,
    sites: Any = None,
    heads: Any = None,
    behind: Behind = "step",
    alpha: float = 0.6,
    colormap: str = NAMES[0],
    smooth: bool = False,
    side: int = 256,
    scale: SeriesScale = "shared",
    **options: Any,
) -> list[Image.Image]:
    """One figure a step, all of one size and in one colour range, RGB.

    Left the predicted picture of the step (where the run kept them), right the map over it; below, the colour
    scale. Arguments and errors as in `diffuscope.figures.strip.strip`.
    """
    series = view.steps(steps, sites, heads, **options)
    shown, scales = scales_of(series, scale)
    size = panel_size(view.run, side)
    said = legend(series, shown, colormap, behind, smooth=smooth)
    predicted = [preview(view.run, step) for step in series.steps]
    beside = all(picture is not None for picture in predicted)
    out = []
    for step, values, own, under, picture in zip(
        series.steps, series.array, scales, backdrops(view.run, series, behind), predicted, strict=True
    ):
        panels = [Panel(over(values, under, size, own, colormap, alpha=alpha, smooth=smooth), f"step {step}")]
        if beside and picture is not None:
            fitted = picture.convert("RGB").resize((size[1], size[0]), Image.Resampling.BICUBIC)
            panels.insert(0, Panel(fitted, "predicted picture"))
        out.append(figure(panels, said, columns=len(panels)))
    return out


def write_animation(view: WordView, path: str | Path, *, fps: float = 6.0, **options: Any) -> Path:
    """Write `frames` (which takes the options) as a GIF that plays for ever, or as an MP4, and return its path.

    Args:
        view: `Run.word`, `Run.phrase` or `Lens.concept` of a run.
        path: the file, ``.gif``, or ``.mp4`` (H.264; needs the extra ``export``).
        fps: steps shown in a second, 1 to 50; the last one stays for a moment.

    Raises:
        SelectionError: another suffix, another speed, or what `frames` raises.
        MissingExtraError: an MP4 without imageio-ffmpeg.
        RunFolderError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in (".gif", ".mp4"):
        raise SelectionError(f"{path.name!r}: an animation is written as .gif or .mp4.")
    if not 1 <= fps <= 50:
        raise SelectionError(f"fps is {fps:g}; an animation shows between 1 and 50 frames a second.")
    if path.suffix.lower() == ".mp4":
        return _write_film(frames(view, **options), path, fps)
    # 256 colours a frame, chosen for it: the format holds no more. Undithered: flat patches stay flat.
    pictures = [
        frame.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        for frame in frames(view, **options)
    ]
    durations = [round(1000 / fps)] * len(pictures)
    durations[-1] = max(HOLD, durations[-1])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures[0].save(
            path, "GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0, disposal=1
        )
    except OSError as error:
        raise RunFolderError(f"Cannot write {path}: {error.strerror or error}.") from error
    return path


def _write_film(pictures: list[Image.Image], path: Path, fps: float) -> Path:
    """An MP4 of these frames, the last of them held."""
    try:
        import imageio_ffmpeg
    except ModuleNotFoundError as error:
        raise MissingExtraError("writing MP4 films", "export") from error
    # H.264 in its widest-spread form has even sides.
    width, height = (side + side % 2 for side in pictures[0].size)
    held = max(1, round(HOLD / 1000 * fps))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        film = imageio_ffmpeg.write_frames(
            str(path),
            (width, height),
            fps=fps,
            codec="libx264",
            quality=8,
            macro_block_size=2,
            ffmpeg_log_level="error",
        )
        film.send(None)
        for picture in [*pictures, *[pictures[-1]] * (held - 1)]:
            sheet = Image.new("RGB", (width, height), "white")
            sheet.paste(picture, (0, 0))
            film.send(sheet.tobytes())
        film.close()
    except (OSError, RuntimeError) as error:
        raise RunFolderError(f"Cannot write {path}: {getattr(error, 'strerror', None) or error}.") from error
    return path
