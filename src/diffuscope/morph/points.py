"""Particles as files: a point cloud a recorded step, for Blender, TouchDesigner, Houdini and programs of one's own.

| kind | what is in it |
|---|---|
| ``ply`` | binary little-endian PLY: x y z, red green blue alpha (bytes, sRGB), stability |
| ``csv`` | one line a particle: id, x, y, z, red, green, blue (linear, 0 to 1), weight, stability |
| ``npz`` | arrays ``position``, ``colour`` (linear), ``weight``, ``stability``, and ``step`` |

Right-handed, y up, z towards the viewer, the picture's height is 2: as in glTF and three.js. Blender's importer asks
for "up: Y, forward: -Z". A particle has the same number in every file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from diffuscope.errors import RunFolderError, SelectionError
from diffuscope.morph.field import Cloud, Morph

Kind = Literal["ply", "csv", "npz"]

_VERTEX = np.dtype(
    [(axis, "<f4") for axis in "xyz"]
    + [(channel, "u1") for channel in ("red", "green", "blue", "alpha")]
    + [("stability", "<f4")]
)


def write_points(
    morph: Morph,
    folder: str | Path,
    kind: Kind = "ply",
    steps: Sequence[int] | None = None,
    on_file: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write ``step-0000.ply`` and so on, one a recorded step, and return their paths.

    Args:
        morph: the film.
        folder: where to; made if it is not there.
        kind: ``ply``, ``csv`` or ``npz``.
        steps: indices of the steps; None for all.
        on_file: called with (files done, files in all).

    Raises:
        SelectionError: no such kind or step.
        RunFolderError: a file cannot be written.
    """
    if kind not in get_args(Kind):
        raise SelectionError(f"points are written as {', '.join(get_args(Kind))}, not {kind!r}")
    there = morph.score.steps
    chosen = there if steps is None else tuple(steps)
    missing = [step for step in chosen if step not in there]
    if missing:
        raise SelectionError(f"the run has no step {missing[0]}; its steps are {there[0]} to {there[-1]}")
    folder, written = Path(folder), []
    for done, step in enumerate(chosen, start=1):
        path = folder / f"step-{step:04d}.{kind}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write(morph.of_step(there.index(step)), path, step)
        except OSError as error:
            raise RunFolderError(f"cannot write {path}: {error.strerror or error}") from error
        written.append(path)
        if on_file is not None:
            on_file(done, len(chosen))
    return written


def _write(cloud: Cloud, path: Path, step: int) -> None:
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        if path.suffix == ".ply":
            vertices = ply_vertices(cloud)
            file.write(_ply_header(vertices, step))
            file.write(vertices.tobytes())
        elif path.suffix == ".csv":
            ids = np.arange(len(cloud))[:, None]
            table = np.hstack(
                [ids, cloud.position, cloud.colour, cloud.weight[:, None], cloud.stability[:, None]]
            )
            names = "id,x,y,z,red,green,blue,weight,stability"
            np.savetxt(file, table, fmt=["%d", *["%.6g"] * 8], delimiter=",", header=names, comments="")
        else:
            np.savez(
                file,
                position=cloud.position,
                colour=cloud.colour,
                weight=cloud.weight,
                stability=cloud.stability,
                step=step,
            )
    part.replace(path)


def ply_vertices(cloud: Cloud) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """The particles as records of a PLY file."""
    out = np.empty(len(cloud), _VERTEX)
    for axis, name in enumerate("xyz"):
        out[name] = cloud.position[:, axis]
    light = np.clip(cloud.colour, 0, 1)
    coded = np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)
    for channel, name in enumerate(("red", "green", "blue")):
        out[name] = np.rint(coded[:, channel] * 255)
    out["alpha"] = np.rint(np.clip(cloud.weight, 0, 1) * 255)
    out["stability"] = cloud.stability
    return out


def _ply_header(vertices: np.ndarray[tuple[int], np.dtype[np.void]], step: int) -> bytes:
    types = {"<f4": "float", "|u1": "uchar"}
    properties = [f"property {types[_VERTEX[name].str]} {name}" for name in _VERTEX.names or ()]
    lines = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment diffuscope, step {step}; y up, z towards the viewer",
        f"element vertex {len(vertices)}",
        *properties,
        "end_header",
    ]
    return ("\n".join(lines) + "\n").encode("ascii")
