"""The worker's process: models, one job at a time, quick questions between two steps.

The one part of the server that imports the engine, and only when the first job comes. It hears and says JSON:

    heard   {"do": "job", "job", "request", "folder"}   {"do": "ask", "ask", "what", …}
            {"do": "cancel"}   {"do": "stop"}
    said    {"tell": "state", …}   {"tell": "event", "job", "event", "data"}   {"tell": "end", "job", "state", …}
            {"tell": "answer", "ask", "value" or "error"}
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffuscope.errors import DiffuscopeError
from diffuscope.server.job import DRAWN, PICTURES
from diffuscope.server.tensors import plain

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffuscope.analysis.sweeps import Swept
    from diffuscope.engine.estimate import Shapes
    from diffuscope.engine.lens import Lens
    from diffuscope.recording import Manifest, Recording
    from diffuscope.run import Run


class Cancelled(Exception):
    """The job is not wanted any more."""

    def __str__(self) -> str:
        return "the job was cancelled"


class Gone(Exception):
    """The server is not there any more."""


def main(connection: Connection, options: dict[str, Any]) -> None:
    """Serve until told to stop, or until the server is gone.

    Args:
        connection: to the server.
        options: ``runs``, ``studies``: folders; ``models``: those that may be loaded; ``device``.
    """
    # Ctrl-C reaches every process of a terminal; when to leave is for the server to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    try:
        Worker(connection, options).serve()
    except (Gone, EOFError, OSError):
        pass
    finally:
        # Threads of libraries must not keep the process.
        sys.stderr.flush()
        os._exit(0)


class Worker:
    """See the module.

    Attributes:
        runs, studies: folders.
        models: ids that may be loaded.
        device: where models run; None for the best there is.
    """

    def __init__(self, connection: Connection, options: dict[str, Any]) -> None:
        self._connection = connection
        self.runs, self.studies = Path(options["runs"]), Path(options["studies"])
        self.models: Sequence[str] = options["models"]
        self.device: str | None = options["device"]
        self._lens: Lens | None = None
        self._model: str | None = None
        self._job: str | None = None
        self._cancelled = False
        self._later: deque[dict[str, Any]] = deque()
        self._shapes: tuple[Lens, Shapes] | None = None

    def serve(self) -> None:
        self._state("idle")
        while True:
            message = self._later.popleft() if self._later else self._receive()
            if message["do"] == "stop":
                return
            if message["do"] == "ask":
                self._answer(message)
            elif message["do"] == "job":
                self._do(message)
                self._state("idle")

    # What jobs do.

    def _do(self, message: dict[str, Any]) -> None:
        from diffuscope.server.problems import described

        request, folder = message["request"], Path(message["folder"])
        self._job, self._cancelled = message["job"], False
        acts: dict[str, Callable[[dict[str, Any], Path], dict[str, Any]]] = {
            "record": self._record,
            "estimate": self._estimate,
            "edit": self._edit,
            "concept": self._concept,
            "study": self._study,
            "faithfulness": self._faithfulness,
            "windows": self._windows,
            "heads": self._heads,
            "sweep": self._sweep,
            "projections": self._projections,
            "strip": self._strip,
        }
        try:
            self._state("busy")
            result = acts[request["kind"]](request, folder)
            self._say(tell="end", job=self._job, state="done", result=plain(result))
        except Cancelled:
            self._say(tell="end", job=self._job, state="cancelled")
        except (Gone, EOFError):
            raise
        except Exception as error:
            if not isinstance(error, DiffuscopeError):
                traceback.print_exc()
            told = described(error)
            if not isinstance(error, DiffuscopeError):
                told |= {"message": f"the job stopped on a fault of the program: {type(error).__name__}"}
            self._say(tell="end", job=self._job, state="failed", error=told)
        finally:
            self._job = None

    def _record(self, request: dict[str, Any], folder: Path) -> dict[str, Any]:
        from diffuscope.server.worker_views import Watcher

        lens = self._of_model(request["model"])
        watcher = Watcher(self.event, self.poll, lens, folder)
        made = lens.record(
            request["prompt"],
            **_settings(request),
            out=folder / DRAWN,
            progress=watcher.step,
            on_estimate=watcher.estimate,
        )
        self._warn(lens)
        return {"runs": self._keep(folder, made if isinstance(made, list) else [made])}

    def _estimate(self, request: dict[str, Any], folder: Path) -> dict[str, Any]:
        lens = self._of_model(request["model"])
        found: dict[str, Any] = lens.estimate(request["prompt"], **_settings(request)).to_json()
        self._warn(lens)
        return found

    def _edit(self, request: dict[str, Any], folder: Path) -> dict[str, Any]:
        from diffuscope import edits as values
        from diffuscope.run import Run
        from diffuscope.server.worker_views import Watcher

        run = Run.open(self.runs / request["run"])
        lens = self._of_manifest(run.manifest)
        chosen = values.from_json(request["edits"])
        sets = [chosen, [values.control(each) for each in chosen]] if request["control"] else [chosen]
        donors = self._donors(run, request["edits"])
        ids = []
        for number, each in enumerate(sets):
            watcher = Watcher(self.event, self.poll, lens, folder, opened=number == 0)
            made = lens.edit(
                run,
                *each,
                out=folder / DRAWN,
                donors=donors,
                full=request["full"],
                progress=watcher.step,
            )
            ids += self._keep(folder, [made])
        self._warn(lens)
        return {"runs": ids[:1], "control": ids[1] if len(ids) > 1 else None}

    def _concept(self, request: dict[str, Any], folder: Path) -> dict[str, Any]:
        from diffuscope.run import Run

        run = Run.open(self.runs / request["run"])
        found = self._of_manifest(run.manifest).concept(run, request["text"])
        self.poll()
        return {"concept": found.label, "selection": str(found.map().selection)}

    def _study(self, request: dict[str, Any], folder: Path) -> dict[str, Any]:
        from diffuscope.studies.leading import run as run_study
        from diffuscope.studies.plan_file import read_plan

        def progress(done: int, failed: int, total: int) -> None:
            self.event("work", done=done, of=total, failed=failed)
            self.poll()

        plan = read_plan(request["plan"])
        run_study(
            plan,
            self.studies,
            workers=1,
            on_progress=progress,
            on_note=lambda said: self.event("note", message=said),
        )
        return {"study": plan.study}

    def _faithfulness(self, request: dict[str, Any], folder: Path) -> dict[str, Any]:
        from diffuscope.run import Run

        run = Run.open(self.runs / request["run"])
        found = self._of_manifest(run.manifest).faithfulness(run, request["word"], progress=self._work)
        return {**found.to_json(), "sentence": found.sentence()}

    def _windows(self, request: dict[str, Any], folder: Path) -> dict[str, Any]:
        from diffuscope import edits as values
        from diffuscope.run import Run

        run = Run.open(self.runs / request["run"])
        what = request["word"] if request["edit"] is None else values.from_json([request["edit"]])[0]
        lens = self._of_manifest(run.manifest)
        found = lens.windows(run, what, parts=request["parts"], seeds=request["seeds"], progress=self._work)
        return found.to_json()

    def _heads(self, request: dict[str, Any], folder: Path) -> dict[str, Any]:
        from diffuscope.run import Run

        run = Run.open(self.runs / request["run"])
        lens = self._of_manifest(run.manifest)

        def on_effect(site: str, head: int, seed: int, inside: float, outside: float) -> None:
            self.event("effect", site=site, head=head, seed=seed, inside=inside, outside=outside)
            self.poll()

        found = lens.heads(
            run,
            request["word"],
            region=request["region"],
            sites=request["sites"],
            window=request["window"],
            factor=request["factor"],
            seeds=request["seeds"] or (12 if request["region"] is None else 1),
            top=request["top"],
            progress=self._work,
            on_effect=on_effect,
            on_ranking=lambda ranking: self.event("ranking", **plain(ranking.to_json())),
        )
        return found.to_json()

    def _projections(self, request: dict[str, Any], folder: Path) -> dict[str, Any]:
        from diffuscope.analysis.atlas.survey import keep_projections
        from diffuscope.run import Run

        run = Run.open(self.runs / request["run"])
        found = self._of_manifest(run.manifest).output_projections(run)
        self.poll()
        return {"sites": len(found), "bytes": keep_projections(run.recording, found)}

    def _strip(self, request: dict[str, Any], folder: Path) -> dict[str, Any]:
        from diffuscope import edits as values
        from diffuscope.engine.cause.baselines import baseline
        from diffuscope.run import Run

        run = Run.open(self.runs / request["run"])
        chosen = values.from_json(request["edits"])
        donors = self._donors(run, request["edits"])
        lens, rows = self._of_manifest(run.manifest), []

        def draw(start: Run, items: Sequence[Any], names: list[dict[str, Any]], done: int) -> None:
            for made in lens.sweep(start, items, donors=donors):
                at = done + made.index
                row = self._shown(made, folder, at, 2 * at + 1)
                row |= {"base": self._picture(folder, 2 * at, made.unedited), **names[made.index]}
                rows.append(row)
                self.event("drawn", **row)
                self._work(len(rows), of)

        if request["strengths"] is not None:
            of = len(request["strengths"])
            items = [[values.at_strength(each, share) for each in chosen] for share in request["strengths"]]
            draw(run, items, [{"strength": share, "seed": None} for share in request["strengths"]], 0)
        else:
            of = len(request["seeds"])
            for done, seed in enumerate(request["seeds"]):
                with baseline(lens, run, seed) as start:
                    draw(start, [chosen], [{"strength": None, "seed": seed}], done)
        return {"strip": sorted(rows, key=lambda row: int(row["index"]))}

    def _sweep(self, request: dict[str, Any], folder: Path) -> dict[str, Any]:
        from diffuscope import edits as values
        from diffuscope.run import Run

        run = Run.open(self.runs / request["run"])
        items = [values.from_json(each) for each in request["variations"]]
        donors = self._donors(run, [edit for each in request["variations"] for edit in each])
        rows = []
        lens = self._of_manifest(run.manifest)
        for made in lens.sweep(run, items, donors=donors, progress=self._work):
            rows.append(self._shown(made, folder, made.index, made.index))
            self.event("drawn", **rows[-1])
        return {"variations": sorted(rows, key=lambda row: int(row["index"]))}

    def _donors(self, run: Run, edits: Sequence[Any]) -> dict[str, Recording]:
        """The runs that edits take something from, those of the run's own edits included, by id."""
        from diffuscope.recording import Recording
        from diffuscope.server.shelf import is_name

        names = [name for name in donors_of([*edits, *run.manifest.edits]) if is_name(name)]
        return {name: Recording.open(self.runs / name) for name in names if (self.runs / name).is_dir()}

    def _shown(self, made: Swept, folder: Path, index: int, picture: int) -> dict[str, Any]:
        """A variation as plain JSON, its picture put beside the job."""
        row = {
            key: value
            for key, value in plain(made.to_json()).items()
            if key not in ("run", "baseline", "made")
        }
        address = self._picture(folder, picture, made.image)
        return {**row, "index": index, "says": made.describe(), "picture": address}

    def _picture(self, folder: Path, number: int, image: Image) -> str:
        """Put a picture beside the job; its address."""
        from diffuscope.server.resources import as_webp

        pictures = folder / PICTURES
        pictures.mkdir(exist_ok=True)
        (pictures / f"{number:04d}.webp").write_bytes(as_webp(image))
        return f"api/jobs/{folder.name}/pictures/{number:04d}.webp"

    def _work(self, done: int, of: int) -> None:
        """Progress of what draws many pictures."""
        self.event("work", done=done, of=of)
        self.poll()

    def _keep(self, folder: Path, made: Sequence[Any]) -> list[str]:
        """Move whole recordings to the runs."""
        ids = []
        for run in made:
            name = Path(run.path).name
            os.rename(folder / DRAWN / name, self.runs / name)
            ids.append(name)
        return ids

    # Models.

    def _of_model(self, model: str) -> Lens:
        """The model that a request names, loaded once."""
        if self._lens is not None and self._model == model:
            return self._lens
        from diffuscope import Lens

        return self._load(model, lambda: Lens.load(model, device=self.device))

    def _of_manifest(self, manifest: Manifest) -> Lens:
        """The model that a run was drawn with, as it was then."""
        from diffuscope import Lens
        from diffuscope.engine.models.reopening import reopen

        lens = self._lens
        if lens is not None and lens.loaded.id == manifest.model.id:
            device, dtype = str(lens.pipe.device), str(lens.pipe.dtype).removeprefix("torch.")
            if (device, dtype) == (manifest.software.get("device"), manifest.model.dtype):
                return lens

        def load() -> Lens:
            loaded = reopen(manifest)
            return Lens(loaded.pipe, loaded=loaded)

        return self._load(manifest.model.id, load)

    def _load(self, model: str, load: Callable[[], Lens]) -> Lens:
        from diffuscope.engine.quiet import quiet_libraries

        quiet_libraries()
        self._state("loading")
        if self._job is not None:
            self.event("loading", model=model)
        # Two models at once may not fit.
        self._lens = self._model = None
        self._lens = load()
        self._model = model
        self._state("busy" if self._job is not None else "idle")
        return self._lens

    def _warn(self, lens: Lens) -> None:
        for warning in lens.warnings:
            self.event("note", message=warning)
        lens.warnings.clear()

    # Quick questions.

    def _answer(self, message: dict[str, Any]) -> None:
        from diffuscope.server.problems import described

        try:
            value: dict[str, Any] | None
            if message["what"] == "prompt":
                value = self._prompt(message["model"], message["prompt"])
            elif message["what"] == "size":
                value = self._size(message["request"])
            else:
                raise ValueError(f"no such question: {message['what']}")
            self._say(tell="answer", ask=message["ask"], value=value)
        except Exception as error:
            if not isinstance(error, DiffuscopeError):
                traceback.print_exc()
            self._say(tell="answer", ask=message["ask"], error=described(error))

    def _prompt(self, model: str, prompt: str) -> dict[str, Any]:
        """A prompt as a model reads it: its tokens, words, and what is to be said about it."""
        from diffuscope.engine.order import read_text
        from diffuscope.errors import InputError

        if self._job is not None and self._model != model:
            raise InputError(f"the worker draws with another model now, so {model!r} cannot read the prompt")
        lens = self._of_model(model)
        text, warnings = read_text(lens.pipe, lens.family, lens.loaded.id, prompt, {})
        return {
            "cut": text.cut,
            "warnings": warnings,
            "tokens": [token.model_dump() for token in text.tokens if token.kind != "padding"],
            "words": [word.model_dump() for word in text.words],
        }

    def _size(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """What a recording would take on disk; None where it can be said only when the model draws nothing."""
        from diffuscope.engine.estimate import NotSeenError, Shapes

        if self._job is not None and self._model != request["model"]:
            return None
        lens = self._of_model(request["model"])
        if self._shapes is None or self._shapes[0] is not lens:
            self._shapes = (lens, Shapes())
        shapes = self._shapes[1]
        shapes.may_look = self._job is None
        warnings = list(lens.warnings)
        try:
            found: dict[str, Any] = lens.estimate(
                request["prompt"], shapes=shapes, **_settings(request)
            ).to_json()
        except NotSeenError:
            return None
        finally:
            lens.warnings[:] = warnings  # They are those of the job that is being drawn.
        return found

    # Talking.

    def event(self, event: str, **data: Any) -> None:
        """Say what happens to the job."""
        self._say(tell="event", job=self._job, event=event, data=data)

    def poll(self) -> None:
        """Between two steps: answer questions, and stop where the job is not wanted any more.

        Raises:
            Cancelled: it is not.
            Gone: nor is the server there.
        """
        try:
            while self._connection.poll(0):
                message = self._receive()
                if message["do"] == "ask":
                    self._answer(message)
                elif message["do"] == "cancel":
                    self._cancelled = True
                elif message["do"] == "stop":
                    raise Gone
                else:
                    self._later.append(message)
        except (EOFError, OSError) as error:
            raise Gone from error
        if self._cancelled:
            raise Cancelled

    def _state(self, state: str) -> None:
        self._say(tell="state", state=state, model=self._model)

    def _say(self, **message: Any) -> None:
        self._connection.send_bytes(json.dumps(message, default=str).encode())

    def _receive(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._connection.recv_bytes())
        return found


def donors_of(edits: Sequence[Any]) -> list[str]:
    """Names of the donor runs of edits in their JSON form, controls' included."""
    found: list[str] = []
    for each in edits:
        if isinstance(each, dict):
            donor = each.get("donor")
            if donor is not None:
                found.append(str(donor))
            found += donors_of([each.get("of")])
    return list(dict.fromkeys(found))


def _settings(request: dict[str, Any]) -> dict[str, Any]:
    names = ("negative_prompt", "seed", "steps", "guidance_scale", "width", "height", "keep")
    return {**{name: request[name] for name in names}, "images_per_prompt": request["images"]}
