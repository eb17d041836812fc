"""Job requests, checked before they wait: against the limits, and for whatever could reach beyond the runs.

Names in a request are ids of runs and of allowed models, never paths; the worker gets nothing that was not checked
here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diffuscope import edits as values
from diffuscope.edits import Edit, donor_names
from diffuscope.errors import EditError, InputError, PromptError, SizeError
from diffuscope.maps.words import find
from diffuscope.recording import Manifest
from diffuscope.run import Run
from diffuscope.selection import Selection
from diffuscope.server import shapes
from diffuscope.server.masks import region_of_mask
from diffuscope.server.problems import Refusal
from diffuscope.server.state import Server

STUDY_UNITS = 10_000
"""Runs that a study started from the page may draw."""


def order(server: Server, asked: shapes.JobRequest) -> dict[str, Any]:
    """A checked request as plain JSON, complete: the worker reads every field.

    Raises:
        Refusal: read-only (403), a model that is not allowed (403), over a limit (413).
        InputError: what is asked for cannot be.
    """
    server.refuse_changes()
    if isinstance(asked, shapes.RecordJob | shapes.EstimateJob):
        return _drawing(server, asked)
    if isinstance(asked, shapes.EditJob):
        opened = server.shelf.open(asked.run)
        check_edits(server, asked.edits, opened.run)
        check_model_of(server, opened.run.manifest)
        return asked.model_dump()
    if isinstance(asked, shapes.ConceptJob):
        opened = server.shelf.open(asked.run)
        check_model_of(server, opened.run.manifest)
        check_text(server, asked.text, "concept")
        if asked.text.strip().endswith(".safetensors"):
            # The engine reads such a text as the path of a learned concept.
            raise InputError("a concept is words, and no file; learned concepts are for the Python API")
        return asked.model_dump()
    if isinstance(asked, shapes.StudyJob):
        return _study(server, asked)
    return _tested(server, asked)


def check_model(server: Server, model: str | None) -> str:
    """The id of an allowed model; the default where none is named. Raises Refusal (403)."""
    allowed = server.settings.models
    if model is None:
        return allowed[0]
    if model not in allowed:
        raise Refusal(
            403,
            f"this server does not load {model[:80]!r}; it has: {', '.join(allowed)}",
            details={"models": list(allowed)},
        )
    return model


def check_model_of(server: Server, manifest: Manifest) -> None:
    """Whether the model that a run names may be loaded: a manifest may come from anywhere. Raises Refusal (403)."""
    model = manifest.model
    name = "scenes" if model.source.startswith("shipped") else model.id
    if name not in {each.removeprefix("hub:") for each in server.settings.models}:
        raise Refusal(403, f"the run was drawn with {model.id[:80]!r}, which this server does not load")


def check_text(server: Server, text: str, what: str) -> None:
    """Whether a text is of a length that is read. Raises Refusal (413), PromptError."""
    most = server.settings.limits.prompt_characters
    if len(text) > most:
        raise Refusal(413, f"the {what} has {len(text)} characters; {most} are read here")
    if not text.strip():
        raise PromptError(f"the {what} is empty; say what")


def check_edits(server: Server, given: Sequence[Any], run: Run) -> list[Edit]:
    """Edits as values.

    Raises:
        Refusal: too many (413), or a donor that is no run here (404).
        EditError, SelectionError, RegionError: one is ill-formed, or names a step that the run does not have.
    """
    most = server.settings.limits.edits
    if len(given) > most:
        raise Refusal(413, f"{len(given)} edits at once; {most} are applied here")
    for donor in donor_names(given):
        server.shelf.path(donor)
    try:
        found: list[Edit] = values.from_json(list(given))
    except (TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise EditError(f"an edit is not of the form that is due: {str(error)[:200]}") from error
    steps = len(run.manifest.steps)
    for each in found:
        each.resolve_steps(steps)
    return found


def _drawing(server: Server, asked: shapes.RecordJob | shapes.EstimateJob) -> dict[str, Any]:
    limits = server.settings.limits
    check_text(server, asked.prompt, "prompt")
    if asked.negative_prompt:
        check_text(server, asked.negative_prompt, "negative prompt")
    for name, value, most in (
        ("steps", asked.steps, limits.steps),
        ("width", asked.width, limits.side),
        ("height", asked.height, limits.side),
        ("images", asked.images, limits.images),
    ):
        if value is not None and value > most:
            raise SizeError(f"{name}={value} is more than this server draws; at most {most}")
    return {**asked.model_dump(), "model": check_model(server, asked.model)}


def _tested(
    server: Server,
    asked: shapes.FaithfulnessJob
    | shapes.WindowsJob
    | shapes.HeadsJob
    | shapes.SweepJob
    | shapes.ProjectionsJob
    | shapes.StripJob,
) -> dict[str, Any]:
    opened = server.shelf.open(asked.run)
    check_model_of(server, opened.run.manifest)
    if isinstance(asked, shapes.ProjectionsJob):
        return asked.model_dump()
    if isinstance(asked, shapes.StripJob):
        if (asked.strengths is None) == (asked.seeds is None):
            raise InputError(
                "a strip is drawn at several strengths, or over several seeds: give one of the two"
            )
        for edit in check_edits(server, asked.edits, opened.run):
            if asked.strengths is not None:
                values.at_strength(edit, asked.strengths[0])
        return asked.model_dump()
    if isinstance(asked, shapes.HeadsJob):
        return _searched(server, asked, opened.run)
    if isinstance(asked, shapes.SweepJob):
        most = server.settings.limits.variations
        if len(asked.variations) > most:
            raise Refusal(413, f"{len(asked.variations)} variations at once; {most} are drawn here")
        for each in asked.variations:
            check_edits(server, each, opened.run)
        return asked.model_dump()
    if isinstance(asked, shapes.WindowsJob):
        if (asked.word is None) == (asked.edit is None):
            raise InputError("say whose windows are sought: a word, which is silenced, or an edit")
        if asked.edit is not None:
            check_edits(server, [asked.edit], opened.run)
    if asked.word is not None:
        find(opened.run.manifest.text, asked.word)
    return asked.model_dump()


def _searched(server: Server, asked: shapes.HeadsJob, run: Run) -> dict[str, Any]:
    """A search for heads: a painted mask becomes a region that the run's folder keeps."""
    if sum(each is not None for each in (asked.word, asked.region, asked.mask_png)) != 1:
        raise InputError("say what the heads should draw: one of word, region and mask_png")
    region = None
    if asked.word is not None:
        find(run.manifest.text, asked.word)
    elif asked.region is not None:
        region = run.region(asked.region).region.text
    else:
        region = region_of_mask(run, asked.mask_png or "", read_only=False).region.text
    values.Scale(asked.factor, steps=asked.window).resolve_steps(len(run.manifest.steps))
    Selection.of(sites=asked.sites).resolve_sites([site.name for site in run.sites])
    return {**asked.model_dump(), "region": region, "mask_png": None}


def _study(server: Server, asked: shapes.StudyJob) -> dict[str, Any]:
    from diffuscope.studies.leading import prepare

    try:
        plan = prepare(asked.plan)
    except (TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"the plan is not of the form that is due: {str(error)[:200]}") from error
    check_model(server, plan.model.id)
    if plan.model.config is not None or plan.model.revision is not None:
        raise Refusal(403, "a study from the page draws with a model of this server as it is")
    if plan.prompts.file is not None or plan.prompts.coco is not None:
        raise Refusal(
            403, "a study from the page has its prompts in the plan: prompts.list or prompts.template"
        )
    limits = server.settings.limits
    settings = [plan.settings, *(each.settings for each in plan.conditions.values())]
    for each in settings:
        if each.options:
            raise Refusal(403, "further options of the pipeline are for the command line")
        if (each.steps or 0) > limits.steps or max(each.width or 0, each.height or 0) > limits.side:
            raise SizeError(f"a study draws with at most {limits.steps} steps and {limits.side} pixels here")
    if len(plan.seeds) * len(plan.conditions) > STUDY_UNITS:
        raise SizeError(f"a study from the page draws at most {STUDY_UNITS} pictures")
    for condition in plan.conditions.values():
        if donor_names(condition.edits):
            raise Refusal(403, "a study from the page takes no donor runs")
    return {"kind": "study", "plan": plan.plain()}
