"""Edits as values: their schema, and whether some are well-formed for a run. Drawing with them is a job."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from fastapi import APIRouter

from diffuscope.edits.json_schema import SCHEMA
from diffuscope.server import shapes
from diffuscope.server.orders import check_edits
from diffuscope.server.routes import problems
from diffuscope.server.state import TheServer

router = APIRouter(tags=["edits"], responses=problems())


@router.get("/api/edits/schema.json", summary="JSON Schema of edits")
def schema() -> dict[str, Any]:
    """Every kind of edit with its fields."""
    return _schema()


@router.post("/api/edits/check", summary="Check edits", responses=problems(400, 404, 409, 413, 415, 422))
def check(question: shapes.EditsQuestion, server: TheServer) -> shapes.CheckedEdits:
    """Whether edits are well-formed and name steps and donors that are there; each in a line of English. What a model
    cannot do is known when it is tried."""
    opened = server.shelf.open(question.run)
    checked = check_edits(server, question.edits, opened.run)
    steps = len(opened.run.manifest.steps)
    acts = [list(each.resolve_steps(steps)) for each in checked]
    found = [
        {"json": each.to_json(), "says": each.describe(), "steps": at}
        for each, at in zip(checked, acts, strict=True)
    ]
    first = min((step for at in acts for step in at), default=None)
    return shapes.CheckedEdits.model_validate({"edits": found, "first_step": first, "steps": steps})


@cache
def _schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(SCHEMA.read_text("utf-8"))
    return found
