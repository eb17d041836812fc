"""Drawing and scoring pictures, here or in worker processes, in an order that can be left and taken up again.

Each picture's scores are a file of their own in a folder, written when it is done; what has a file is not drawn again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from diffuscope.errors import DiffuscopeError, InputError, RunFolderError
from diffuscope.studies.execution import Broken, Done, Executor, Lost, WorkerSpec
from diffuscope.studies.map_accuracy.samples import OnPicture, Order, Sample, scenes
from diffuscope.studies.map_accuracy.scores import PictureScores, Scoring, file_of

WORKER = "diffuscope.studies.map_accuracy.evaluating:MapWorker"
BATCH = 6
"""Pictures that are drawn together."""
LOSSES = 3
"""Workers that may end in a row, with nothing coming back between, before it is the machine's fault."""


class MapWorker:
    """Draws pictures and scores maps in them. Made in the worker's own process."""

    def __init__(
        self, *, folder: str, model: str, steps: int | None = None, device: str | None = None, index: int = 0
    ) -> None:
        """Load the model. Arguments as of `evaluate`; `index` is the worker's number."""
        from diffuscope.engine.lens import Lens
        from diffuscope.engine.many import devices
        from diffuscope.engine.quiet import quiet_libraries

        quiet_libraries()
        self.devices = devices()
        self.lens = Lens.load(model, device=device or self.devices[index % len(self.devices)])
        self.folder, self.steps, self.scoring = Path(folder), steps, Scoring()

    def about(self) -> dict[str, Any]:
        """How many workers this machine has devices for."""
        return {"devices": self.devices}

    def work(self, jobs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Draw pictures together and write the scores of each."""
        asked = [Order(**job) for job in jobs]
        for sample in scenes(self.lens, asked, self.steps, batch=len(asked)):
            self.scoring.score(sample).save(self.folder)
        return [{"picture": each.picture} for each in asked]


def evaluate(
    asked: Sequence[Order],
    folder: Path,
    *,
    model: str,
    steps: int | None = None,
    device: str | None = None,
    executor: Executor | None = None,
    on_picture: OnPicture | None = None,
) -> Iterator[PictureScores]:
    """The scores of drawn pictures, in their order. Those that the folder has are read; the others are drawn.

    Args:
        asked: the pictures.
        folder: of the scores; made if it is missing.
        model, steps, device: what draws, in how many steps, and where.
        executor: who draws; this process where None.
        on_picture: called as ``on_picture(done, all)``.

    Raises:
        as `Lens.load`; InputError: the folder holds another evaluation; RunFolderError: it cannot be written.
    """
    _made(folder)
    there = {each.picture for each in asked if _is_there(folder, each, steps)}
    left = [each for each in asked if each.picture not in there]
    done = len(there)
    if on_picture is not None:
        on_picture(done, len(asked))
    worker = {"folder": str(folder.resolve()), "model": model, "steps": steps, "device": device}
    batches = deque(left[begin : begin + BATCH] for begin in range(0, len(left), BATCH))
    for count in _led(executor, worker, batches) if executor else _alone(worker, batches):
        done += count
        if on_picture is not None:
            on_picture(done, len(asked))
    for each in asked:
        yield PictureScores.load(folder / file_of(each.picture))


def _alone(worker: Mapping[str, Any], batches: deque[list[Order]]) -> Iterator[int]:
    """Draw in this process; how many pictures are done, batch by batch."""
    if not batches:
        return
    made = MapWorker(**worker)
    for batch in batches:
        yield len(made.work([asdict(each) for each in batch]))


def _led(executor: Executor, worker: Mapping[str, Any], batches: deque[list[Order]]) -> Iterator[int]:
    """The same by workers. A batch whose worker ended is given out again.

    Raises:
        InputError: a worker cannot be made. DiffuscopeError: workers end again and again.
    """
    if not batches:
        return
    in_hand: dict[int, list[Order]] = {}
    ticket = losses = 0
    with executor:
        executor.start(WorkerSpec(WORKER, dict(worker)))
        while batches or in_hand:
            while batches and executor.free():
                ticket += 1
                in_hand[ticket] = batches.popleft()
                executor.submit(ticket, [asdict(each) for each in in_hand[ticket]])
            for event in executor.wait(1.0):
                if isinstance(event, Done):
                    losses = 0
                    yield len(in_hand.pop(event.ticket))
                elif isinstance(event, Lost):
                    losses += 1
                    if losses > LOSSES:
                        raise DiffuscopeError(
                            f"workers end before any picture is done, the last: {event.reason}"
                        )
                    batches.append(in_hand.pop(event.ticket))
                elif isinstance(event, Broken):
                    raise InputError(f"no worker can draw: {event.message}")


def scored(samples: Iterable[Sample], folder: Path | None = None) -> Iterator[PictureScores]:
    """The scores of recorded pictures; those that the folder has are read, and the others written there.

    Raises:
        InputError, RunFolderError: as `evaluate`.
    """
    if folder is not None:
        _made(folder)
    scoring = Scoring()
    for sample in samples:
        path = None if folder is None else folder / file_of(sample.picture)
        if path is not None and path.is_file():
            kept = PictureScores.load(path)
            if kept.prompt != sample.run.prompt:
                raise InputError(_other(path))
            yield kept
            continue
        scores = scoring.score(sample)
        if path is not None:
            scores.save(path.parent)
        yield scores


def _is_there(folder: Path, order: Order, steps: int | None) -> bool:
    """Whether a picture's scores are there, and are its own."""
    path = folder / file_of(order.picture)
    if not path.is_file():
        return False
    found = PictureScores.load(path)
    if (found.prompt, found.group) != (order.prompt, order.group):
        raise InputError(_other(path))
    if steps not in (None, found.steps):
        raise InputError(f"{path} was drawn in {found.steps} steps and not in {steps}; name another folder")
    return True


def _other(path: Path) -> str:
    return f"{path} holds scores of another picture than this evaluation has under that number; name another folder"


def _made(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"cannot write {folder}: {error.strerror or error}") from error
