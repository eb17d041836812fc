"""A dataset from prompts through the study's leader: every picture annotated, resumed, failures named."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from synthetic_run import make_run

import diffuscope as ds
from diffuscope.analysis.objects.chain import CHAINS, Chain
from diffuscope.datasets import Dataset
from diffuscope.errors import InputError
from diffuscope.recording.files import write_atomic
from diffuscope.studies.execution import Done, Event, Executor, Ready, WorkerSpec
from diffuscope.studies.object_dataset import draw_dataset
from diffuscope.studies.object_dataset.worker import ObjectsWorker, needs_of


class DrawnWithoutAModel(ObjectsWorker):
    """The worker as it is, with synthetic recordings in place of a model."""

    def __init__(self, *, folder: str, objects: Mapping[str, Any], keep: str, **_: Any) -> None:
        self.folder, self.keep, self.thumbnail, self.index, self.device = Path(folder), keep, 0, 0, "none"
        self.chain, self._work = Chain.of(objects), self.folder / "work"
        self.needs = needs_of(self.chain)
        self.drawn: list[str] = []

        class Nothing:
            previews = False

            def measure(self, *_: object) -> list[dict[str, Any]]:
                return []

        self.chosen = Nothing()  # type: ignore[assignment]

    def about(self) -> dict[str, Any]:
        return {"source": {"id": "synthetic", "revision": "1"}, "devices": ["none"]}

    def _batch(self, jobs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        rows = []
        for job in jobs:
            self.drawn.append(job["prompt"])
            if job["prompt"].startswith("broken"):
                raise InputError("this prompt cannot be drawn")
            path = make_run(
                self._work / f"{job['key'][:8]}-{len(self.drawn)}",
                steps=1,
                prompt=job["prompt"],
                seed=job["seed"],
            )
            run = ds.open(path)
            rows.append(self._row(job, run, run.image, 0.1, len(jobs)))
        return rows


class Here(Executor):
    """One worker, in this process; `stop_after` batches it is interrupted."""

    name = "here"

    def __init__(self, stop_after: int | None = None) -> None:
        self.worker: DrawnWithoutAModel | None = None
        self._events: list[Event] = []
        self._left = stop_after

    def start(self, spec: WorkerSpec) -> None:
        self.worker = DrawnWithoutAModel(**spec.options)
        self._events.append(Ready(0, self.worker.about()))

    @property
    def workers(self) -> int:
        return 1

    def free(self) -> int:
        return int(not self._events)

    def submit(self, ticket: int, jobs: Sequence[Mapping[str, Any]]) -> None:
        if self._left is not None:
            if not self._left:
                raise KeyboardInterrupt
            self._left -= 1
        assert self.worker is not None
        self._events.append(Done(ticket, self.worker.work(jobs)))

    def wait(self, seconds: float) -> list[Event]:
        events, self._events = self._events, []
        return events

    def stop(self) -> None:
        pass


PROMPTS = ["a red circle", "a zeppelin and a circle", "running fast"]


def draw(folder: Path, prompts: Any = PROMPTS, executor: Executor | None = None, **options: Any) -> Any:
    chosen: dict[str, Any] = {"chain": "default", "batch": 1, "reserve": 0, **options}
    return draw_dataset(prompts, folder, executor=executor or Here(), **chosen)


def test_every_prompt_and_seed_is_drawn_and_annotated(tmp_path: Path) -> None:
    done = draw(tmp_path / "coco", seeds=2)
    assert (done.outcome.committed, done.summary.pictures, done.summary.empty) == (6, 6, 2)
    told = json.loads((tmp_path / "coco" / "annotations.json").read_text())
    assert [each["prompt"] for each in told["images"]] == [prompt for prompt in PROMPTS for _ in range(2)]
    assert {each["seed"] for each in told["images"]} == {0, 1}
    assert all(
        len(each["unit"]) == 64 and each["selection"]
        for each in (told["images"][0] | told["annotations"][0],)
    )
    assert {each["name"] for each in told["categories"]} == {"circle", "zeppelin"}
    found = Path(done.outcome.folder) / "found"
    assert list(found.iterdir()) == [] and not (Path(done.outcome.folder) / "runs").exists()
    assert any("no object was found" in line for line in done.summary.warnings)


def test_a_session_that_was_interrupted_goes_on_where_it_was(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        draw(tmp_path / "coco", executor=Here(stop_after=1))
    assert len(Dataset.open(tmp_path / "coco")) == 0
    rest = Here()
    done = draw(tmp_path / "coco", executor=rest)
    assert rest.worker is not None and rest.worker.drawn == PROMPTS[1:]
    assert done.summary.pictures == 3 and len(Dataset.open(tmp_path / "coco")) == 3
    again = draw(tmp_path / "coco")
    assert (again.outcome.committed, again.summary.pictures, again.summary.known) == (0, 0, 3)


def test_another_list_of_prompts_adds_to_the_same_dataset(tmp_path: Path) -> None:
    draw(tmp_path / "coco")
    done = draw(tmp_path / "coco", ["a big zeppelin", "a red circle"])
    assert (
        done.summary.pictures == 1 and done.summary.known == 1 and len(Dataset.open(tmp_path / "coco")) == 4
    )


def test_what_fails_is_named_and_the_rest_stands(tmp_path: Path) -> None:
    done = draw(tmp_path / "coco", ["a circle", "broken circle"])
    assert done.summary.pictures == 1
    assert done.summary.failed == [("'broken circle', seed 0", "this prompt cannot be drawn")]


def test_kept_runs_are_linked_from_their_pictures(tmp_path: Path) -> None:
    draw(tmp_path / "coco", ["a circle"], keep="cross")
    image = json.loads((tmp_path / "coco" / "annotations.json").read_text())["images"][0]
    run = ds.open(tmp_path / "coco" / image["run"])
    assert run.prompt == "a circle"


def test_prompts_from_files(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("a circle\n\na zeppelin\na circle\n")
    assert draw(tmp_path / "a", tmp_path / "prompts.txt").repeated == 1
    (tmp_path / "prompts.csv").write_text('id,prompt\n1,"a circle, red"\n')
    assert draw(tmp_path / "b", tmp_path / "prompts.csv").summary.pictures == 1
    (tmp_path / "wrong.csv").write_text("id,text\n1,a circle\n")
    for path, said in (
        (tmp_path / "wrong.csv", "no column 'prompt'"),
        (tmp_path / "none.txt", "cannot be read"),
    ):
        with pytest.raises(InputError, match=said):
            draw(tmp_path / "c", path)
    write_atomic(tmp_path / "empty.txt", [b"\n\n"])
    with pytest.raises(InputError, match="no prompt"):
        draw(tmp_path / "c", tmp_path / "empty.txt")
    with pytest.raises(InputError, match="0 seeds"):
        draw(tmp_path / "c", seeds=0)
    assert not (tmp_path / "c").exists()


def test_what_a_chain_needs_recorded() -> None:
    assert needs_of(CHAINS["default"]) == "maps" == needs_of(CHAINS["scenes"])
    assert needs_of(CHAINS["titan"]) == "cross" and needs_of(Chain(heads="0")) == "cross"
    assert needs_of(CHAINS["guided"]) == "qk" == needs_of(Chain(refine="spread"))
