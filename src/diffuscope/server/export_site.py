"""A static site of runs: every file that a server gives of them, under the same paths, beside the built page.

It opens from any static host, in a subfolder too, and from a folder of this machine behind
``python -m http.server``; nothing in it is computed when it is looked at.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from diffuscope import __version__
from diffuscope.errors import InputError, RunFolderError
from diffuscope.recording.files import write_atomic
from diffuscope.recording.shelf import look, writing
from diffuscope.run import Run
from diffuscope.server import comparing, describing, resources
from diffuscope.server.routes.page import STATIC
from diffuscope.server.shelf import is_name, version_of
from diffuscope.server.tensors import as_json

Progress = Callable[[int, int], None]

MARK = "api/site.json"
"""What a folder has that holds such a site."""


@dataclass(frozen=True)
class Site:
    """A site that was written.

    Attributes:
        folder: of the site.
        runs: ids of its runs.
        files: how many it has.
        bytes: of all of them.
        has_page: whether the built page lies in it; without one it is the data alone.
    """

    folder: Path
    runs: tuple[str, ...]
    files: int
    bytes: int
    has_page: bool


def export_site(
    runs: Sequence[str | Path],
    folder: str | Path,
    *,
    heads: bool = False,
    atlas: bool = False,
    progress: Progress | None = None,
) -> Site:
    """Write a static site.

    Args:
        runs: folders of runs. Of a run and one that was made of it by edits the comparison is written too.
        folder: of the site: a new one, an empty one, or one that holds such a site, which it replaces.
        heads: write the maps of single heads too: many times as large.
        atlas: write the head atlas too: every head in few bytes, for what the run kept and what jobs have found.
        progress: called with files written, and files in all.

    Raises:
        InputError: no run, two of one name, or a folder that holds something else.
        RunNotFoundError, RecordingError: a run cannot be read.
        RunFolderError: the folder cannot be written.
    """
    folder = Path(folder)
    opened: dict[str, Run] = {}
    for path in map(Path, runs):
        run = Run.open(path)
        if run.path.resolve().name in opened:
            raise InputError(f"two runs are called {run.path.resolve().name}; a site has each once")
        opened[run.path.resolve().name] = run
    if not opened:
        raise InputError("name at least one run")
    for name in opened:
        if not is_name(name):
            raise InputError(f"the folder {name!r} has a name that no address takes; rename it")
    _claim(folder)
    pairs = [
        (one, other)
        for one, run in opened.items()
        for other, made in opened.items()
        if made.manifest.parent == run.id
    ]
    by_id = {run.id: run for run in opened.values()}
    manifests = [run.manifest for run in opened.values()]
    controls = {
        (one, other): by_id[found]
        for one, other in pairs
        if (found := comparing.control_of(opened[one].manifest, opened[other].manifest, manifests))
        is not None
    }
    work = [
        (name, file)
        for name, run in opened.items()
        for file in resources.names(run, heads=heads, atlases=atlas)
    ]
    total, done, size = len(work) + len(comparing.NAMES) * len(pairs) + len(opened) + 2, 0, 0

    def write(path: str, body: bytes) -> None:
        nonlocal done, size
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(place, [body])
        done, size = done + 1, size + len(body)
        if progress is not None:
            progress(done, total)

    with writing(folder):
        lines = []
        for name, run in opened.items():
            line = describing.summary(look(run.path), version_of(run.path))
            children = [other for one, other in pairs if one == name]
            lines.append(line)
            write(f"api/runs/{name}/run.json", as_json(describing.whole(run, line, children)))
        for name, file in work:
            write(f"api/runs/{name}/{file}", resources.read(opened[name], file).body)
        for one, other in pairs:
            for file in comparing.NAMES:
                body = comparing.read_pair(opened[one], opened[other], file, controls.get((one, other))).body
                write(f"api/compare/{one}/{other}/{file}", body)
        lines.sort(key=lambda line: (str(line["created"]), str(line["id"])), reverse=True)
        write("api/runs/index.json", as_json({"runs": lines, "trash": []}))
        has_page = (STATIC / "index.html").is_file()
        if has_page:
            shutil.copytree(
                STATIC, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("api", "example", ".*")
            )
        about = {
            "name": "diffuscope",
            "version": __version__,
            "static": True,
            "read_only": True,
            "needs_token": False,
            "example": next(iter(opened)),
            "heads": heads,
            "atlas": atlas,
            "limits": None,
        }
        write(MARK, as_json(about))
    every = [path for path in folder.rglob("*") if path.is_file()]
    return Site(folder, tuple(opened), len(every), sum(path.stat().st_size for path in every), has_page)


def _claim(folder: Path) -> None:
    """An empty folder, or one that holds an earlier site, whose data is taken away.

    Raises:
        InputError: it holds something else.
        RunFolderError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            if not (folder / MARK).is_file():
                raise InputError(f"{folder} holds something that is no site; name a new or an empty folder")
            shutil.rmtree(folder / "api")
            shutil.rmtree(folder / "assets", ignore_errors=True)
    except OSError as error:
        if isinstance(error, InputError):
            raise
        raise RunFolderError(f"cannot write a site to {folder}: {error.strerror or error}") from error
