"""Whether the server is well, what it is, and which models may draw."""

from __future__ import annotations

from fastapi import APIRouter

from diffuscope import __version__
from diffuscope.scenes import vocabulary
from diffuscope.server import shapes
from diffuscope.server.routes import problems
from diffuscope.server.state import TheServer

router = APIRouter(tags=["server"], responses=problems())


@router.get("/api/health", summary="Health")
async def health(server: TheServer) -> shapes.Health:
    """Worker, queue and listeners at a glance; cheap enough to be asked every second."""
    return shapes.Health.model_validate(
        {
            "status": "ok",
            "version": __version__,
            "read_only": server.settings.read_only,
            "worker": server.queue.worker_info(),
            "jobs": server.queue.counts(),
            "listeners": server.queue.listeners,
        }
    )


@router.get("/api/site.json", summary="What the page is opened on")
def site(server: TheServer) -> shapes.Site:
    """The page asks this first: it tells a server from a static export."""
    limits = server.settings.limits
    runs = server.shelf.every()
    example = server.settings.example
    if example is None or all(run.name != example for run in runs):
        example = next((run.name for run in runs if run.state == "complete"), None)
    return shapes.Site.model_validate(
        {
            "name": "diffuscope",
            "version": __version__,
            "static": False,
            "read_only": server.settings.read_only,
            "needs_token": server.settings.token is not None,
            "example": example,
            "heads": True,
            "atlas": True,
            "limits": {name: getattr(limits, name) for name in shapes.SiteLimits.model_fields},
        }
    )


@router.get("/api/models.json", summary="Models")
def models(server: TheServer) -> shapes.Models:
    """Models that may be asked to draw; no other is ever loaded."""
    return shapes.Models(
        models=[_model(name, index == 0) for index, name in enumerate(server.settings.models)]
    )


def _model(name: str, default: bool) -> shapes.Model:
    drawn = name == "scenes"
    return shapes.Model(
        id=name,
        default=default,
        name="the drawn world (shipped)" if drawn else name.removeprefix("hub:"),
        steps=25 if drawn else None,
        guidance_scale=None,
        width=128 if drawn else None,
        height=128 if drawn else None,
        vocabulary=_vocabulary() if drawn else None,
    )


def _vocabulary() -> list[str]:
    """Every word that captions of the drawn world are made of."""
    return [word for word in vocabulary.known_words() if word.isalpha()]
