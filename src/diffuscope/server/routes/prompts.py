"""A prompt as a model reads it, before anything is drawn."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from diffuscope.analysis.timeline.word_kinds import FUNCTION_WORDS
from diffuscope.server import orders, shapes
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
