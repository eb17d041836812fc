"""Jobs that ask of a recording what only its model can say: concepts, causes, heads, output projections."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffuscope.server.tensors import plain

if TYPE_CHECKING:
    from diffuscope.server.worker.desk import Desk


def concept(desk: Desk, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The map of a phrase that the prompt need not have."""
    from diffuscope.run import Run

    run = Run.open(desk.runs / request["run"])
    found = desk.models.of(run.manifest).concept(run, request["text"])
    desk.poll()
    return {"concept": found.label, "selection": str(found.map().selection)}


def faithfulness(desk: Desk, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Whether a word's map is where the picture changes."""
    from diffuscope.run import Run

    run = Run.open(desk.runs / request["run"])
    found = desk.models.of(run.manifest).faithfulness(run, request["word"], progress=desk.work)
    return {**found.to_json(), "sentence": found.sentence()}


def windows(desk: Desk, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """In which steps a word counts."""
    from diffuscope import edits as values
    from diffuscope.run import Run

    run = Run.open(desk.runs / request["run"])
    what = request["word"] if request["edit"] is None else values.from_json([request["edit"]])[0]
    lens = desk.models.of(run.manifest)
    found = lens.windows(run, what, parts=request["parts"], seeds=request["seeds"], progress=desk.work)
    return found.to_json()


def heads(desk: Desk, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Which heads draw a word."""
    from diffuscope.run import Run

    run = Run.open(desk.runs / request["run"])
    lens = desk.models.of(run.manifest)

    def on_effect(site: str, head: int, seed: int, inside: float, outside: float) -> None:
        desk.event("effect", site=site, head=head, seed=seed, inside=inside, outside=outside)
        desk.poll()

    found = lens.heads(
        run,
        request["word"],
        region=request["region"],
        sites=request["sites"],
        window=request["window"],
        factor=request["factor"],
        seeds=request["seeds"] or (12 if request["region"] is None else 1),
        top=request["top"],
        progress=desk.work,
        on_effect=on_effect,
        on_ranking=lambda ranking: desk.event("ranking", **plain(ranking.to_json())),
    )
    return found.to_json()


def projections(desk: Desk, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Keep the output projections of the model beside the run: what heads write is read with them."""
    from diffuscope.analysis.atlas.survey import keep_projections
    from diffuscope.run import Run

    run = Run.open(desk.runs / request["run"])
    found = desk.models.of(run.manifest).output_projections(run)
    desk.poll()
    return {"sites": len(found), "bytes": keep_projections(run.recording, found)}
