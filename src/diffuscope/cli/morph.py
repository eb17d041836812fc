"""``diffuscope morph``: a run as a film of particles, as pictures, or as point clouds."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from diffuscope.cli import options
from diffuscope.cli.console import print_facts, print_json, progress_bar
from diffuscope.cli.question import open_run
from diffuscope.errors import SelectionError, SizeError

EXAMPLES = """[bold]Examples[/bold]

diffuscope morph RUN --word circle --out circle.mp4 --size 1920x1080 --fps 60
diffuscope morph RUN --word circle --word square --out both.webm --background transparent
diffuscope morph RUN --frames frames --size 1080x1080 --seconds 8
diffuscope morph RUN --word circle --points points --points-format ply
diffuscope morph RUN --word circle --poster circle.png --at 0.5
diffuscope morph RUN --word circle --textures set --textures-format exr
diffuscope morph RUN --word circle --osc 127.0.0.1:7000 --loops 0"""


class Ground(StrEnum):
    """What is behind the particles."""

    night = "night"
    paper = "paper"
    transparent = "transparent"


class PhasesOf(StrEnum):
    """Where structure and detail begin."""

    plan = "plan"
    run = "run"


class PointsFormat(StrEnum):
    """Files of point clouds."""

    ply = "ply"
    csv = "csv"
    npz = "npz"


class TexturesFormat(StrEnum):
    """Files of maps in a texture set."""

    png = "png"
    exr = "exr"


def command(
    run: options.RunArgument,
    word: Annotated[
        list[str] | None,
        typer.Option(
            "--word",
            "-w",
            metavar="W",
            help="A word or phrase to go into, again for more.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="F",
            help="Film: .mp4, .webm, .mov (ProRes 4444), .gif.",
            show_default=False,
        ),
    ] = None,
    frames: Annotated[
        Path | None,
        typer.Option("--frames", metavar="DIR", help="Folder for a PNG a frame.", show_default=False),
    ] = None,
    points: Annotated[
        Path | None,
        typer.Option("--points", metavar="DIR", help="Folder for a point cloud a step.", show_default=False),
    ] = None,
    points_format: Annotated[
        PointsFormat, typer.Option("--points-format", help="Files of the point clouds.")
    ] = PointsFormat.ply,
    textures: Annotated[
        Path | None,
        typer.Option(
            "--textures",
            metavar="DIR",
            help="Folder for maps, pictures, tables and recipes for other programs.",
            show_default=False,
        ),
    ] = None,
    textures_format: Annotated[
        TexturesFormat, typer.Option("--textures-format", help="16-bit PNG, or float32 EXR.")
    ] = TexturesFormat.png,
    osc: Annotated[
        str | None,
        typer.Option(
            "--osc",
            metavar="HOST:PORT",
            help="Play step, masses and centroids live to a listener, over OSC.",
            show_default=False,
        ),
    ] = None,
    loops: Annotated[
        int, typer.Option("--loops", help="How often --osc plays the film; 0 for ever.", min=0)
    ] = 1,
    poster: Annotated[
        Path | None,
        typer.Option("--poster", metavar="F.png", help="One frame as a picture.", show_default=False),
    ] = None,
    at: Annotated[
        float, typer.Option("--at", metavar="T", help="Place of the poster in the film, 0 to 1.")
    ] = 0.5,
    size: Annotated[str, typer.Option("--size", metavar="WxH", help="Of a frame, in pixels.")] = "1280x720",
    fps: Annotated[float, typer.Option("--fps", help="Frames a second.")] = 30.0,
    seconds: Annotated[float, typer.Option("--seconds", help="Length of the film, which is a loop.")] = 20.0,
    particles: Annotated[int, typer.Option("--particles", metavar="N", help="How many.")] = 65_536,
    seed: Annotated[int, typer.Option("--seed", help="Of the particles' chance; not of the run.")] = 0,
    background: Annotated[
        Ground, typer.Option("--background", help="What is behind the particles.")
    ] = Ground.night,
    palette: Annotated[
        str, typer.Option("--palette", metavar="NAME", help="'picture', or a colormap of the stability.")
    ] = "picture",
    phases: Annotated[
        PhasesOf,
        typer.Option("--phases", help="20, 40 and 40 per cent of the steps, or the run's change points."),
    ] = PhasesOf.plan,
    grain: Annotated[
        float, typer.Option("--grain", help="Radius of the particles; 1 closes a picture at rest.")
    ] = 1.0,
    as_json: options.AsJson = False,
) -> None:
    """Film how the picture comes to be: particles that flow from noise to the picture, into a word and back.

    The film is a loop. The same run, seed and time give the same frame, whatever came before. Several outputs may be
    asked for at once.
    """
    from diffuscope.morph.field import Morph
    from diffuscope.morph.film import Shot, check_film, write_film, write_frames, write_poster
    from diffuscope.morph.live import parsed_address, stream
    from diffuscope.morph.points import write_points
    from diffuscope.morph.streams import Streams, content_words
    from diffuscope.morph.textures import write_textures

    if all(each is None for each in (out, frames, points, poster, textures, osc)):
        raise SelectionError(
            "nothing to make: give --out F.mp4, --frames DIR, --points DIR, --poster F.png, --textures DIR or "
            "--osc HOST:PORT"
        )
    if not 0 <= at <= 1:
        raise SelectionError(f"--at is {at:g}; a place in the film lies between 0 and 1")
    if not 0.1 <= grain <= 10:
        raise SelectionError(f"--grain is {grain:g}; it lies between 0.1 and 10")
    shot = Shot(parsed_size(size), fps, seconds, background.value, grain)
    if out is not None:
        check_film(out, shot)
    listener = None if osc is None else parsed_address(osc)
    opened = open_run(run)
    morph = Morph.of(opened, word or [], particles=particles, seed=seed, phases=phases.value, colours=palette)
    written: dict[str, Any] = {}
    with progress_bar("filming", unit="frames") as on_frame:
        if poster is not None:
            written["poster"] = str(write_poster(morph, poster, shot, at))
        if out is not None:
            written["film"] = str(write_film(morph, out, shot, on_frame))
        if frames is not None:
            written["frames"] = [str(path) for path in write_frames(morph, frames, shot, on_frame)]
        if points is not None:
            written["points"] = [
                str(path) for path in write_points(morph, points, points_format.value, on_file=on_frame)
            ]
        if textures is not None:
            files = write_textures(
                opened, textures, word or [], textures_format.value, morph.score, on_file=on_frame
            )
            written["textures"] = [str(path) for path in files]
        if listener is not None:
            streams = Streams.of(opened, word or content_words(opened))
            sent = stream(
                opened,
                morph.score,
                streams,
                *listener,
                fps=fps,
                seconds=seconds,
                loops=loops,
                on_frame=on_frame,
            )
            written["osc"] = f"{sent} frames to {osc}"
    if as_json:
        about = {
            "run": str(opened.path),
            "words": list(morph.score.words),
            "steps": list(morph.score.steps),
            "phases": list(morph.score.phases),
            "particles": morph.count,
            "seed": morph.seed,
            "size": list(shot.size),
            "fps": shot.fps,
            "frames_in_all": shot.count,
        }
        print_json({**about, "written": written})
        return
    facts = [
        ("words", ", ".join(morph.score.words) or "none: the whole picture"),
        ("particles", f"{morph.count}, seed {morph.seed}"),
    ]
    for what, where in written.items():
        if isinstance(where, list):
            folder = textures if what == "textures" else Path(where[0]).parent
            facts.append((what, f"{len(where)} files in {folder}"))
        else:
            facts.append((what, where))
    print_facts(facts)


def parsed_size(text: str) -> tuple[int, int]:
    """``1920x1080`` as numbers.

    Raises:
        SizeError: it is not of this form, or a side is out of range.
    """
    from diffuscope.morph.render import LARGEST

    sides = text.lower().replace("×", "x").split("x")
    if len(sides) != 2 or not all(side.isascii() and side.isdigit() for side in sides):
        raise SizeError(f"--size is {text!r}; write width and height in pixels: 1920x1080")
    width, height = int(sides[0]), int(sides[1])
    if not all(16 <= side <= LARGEST for side in (width, height)):
        raise SizeError(f"--size is {text}; sides are between 16 and {LARGEST} pixels")
    return width, height
