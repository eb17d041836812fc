"""A prompt before anything is drawn: as a model reads it, and how much its recording would take on disk."""

from __future__ import annotations

from typing import Any

import anyio.to_thread
from fastapi import APIRouter

from diffuscope.analysis.timeline.word_kinds import FUNCTION_WORDS
from diffuscope.errors import InputError
from diffuscope.server import orders, shapes
from diffuscope.server.problems import Refusal
from diffuscope.server.routes import problems
from diffuscope.server.state import TheServer

router = APIRouter(tags=["prompts"])


@router.post(
    "/api/prompts/check", summary="Read a prompt", responses=problems(400, 404, 409, 413, 415, 422, 503)
)
async def check(question: shapes.PromptQuestion, server: TheServer) -> shapes.CheckedPrompt:
    """Tokens and words of a prompt, what of it would be cut off, and words that the model does not know. The worker
    answers, between two steps while it draws."""
    server.refuse_changes()
    orders.check_text(server, question.prompt, "prompt")
    model = orders.check_model(server, question.model)
    found: dict[str, Any] = await server.queue.ask("prompt", model=model, prompt=question.prompt)
    words = [
        {
            **word,
            "index": index,
            "kind": "function" if word["text"].casefold() in FUNCTION_WORDS else "content",
        }
        for index, word in enumerate(found.pop("words"))
    ]
    return shapes.CheckedPrompt.model_validate({"prompt": question.prompt, "words": words, **found})


@router.post(
    "/api/prompts/size",
    summary="Size of a recording",
    responses=problems(404, 409, 413, 415, 422, 503),
)
async def size(question: shapes.SizeQuestion, server: TheServer) -> shapes.Sizes:
    """What a recording would take on disk, worked out while its form is filled in. The worker answers from the shapes
    that one call of the denoiser has shown; `known` is false where it draws now and has not seen a picture of this
    size. A form that is half filled in is no error: what is wrong with it is the answer."""
    asked = shapes.EstimateJob(kind="estimate", **question.model_dump())
    found: dict[str, Any] | None
    try:
        request = await anyio.to_thread.run_sync(orders.order, server, asked)
        found = await server.queue.ask("size", request=request)
    except InputError as error:
        return shapes.Sizes(known=False, problem=str(error))
    except Refusal as refused:
        if refused.status != 400:
            raise
        return shapes.Sizes(known=False, problem=str(refused))
    return shapes.Sizes(known=False) if found is None else shapes.Sizes(known=True, **found)
