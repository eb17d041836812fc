"""The application: settings in, ASGI out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from diffuscope import __version__
from diffuscope.errors import RunFolderError
from diffuscope.server import problems
from diffuscope.server.routes import (
    atlas,
    comparisons,
    edits,
    files,
    health,
    jobs,
    page,
    prompts,
    questions,
    runs,
    studies,
)
from diffuscope.server.safety import Guard
from diffuscope.server.settings import Settings
from diffuscope.server.state import Server

ABOUT = """Recordings of text-to-image models: what every attention head looked at, at every denoising step.

What can be read of a run has a path like a file's and never changes while the run's `version` stays. What takes a model
is a job. Errors have one form, `{"error": {"class", "code", "message", "status", "details"}}`.
"""

# runs after files: /api/runs/index.json is no run of that name.
ROUTERS = (
    health.router,
    runs.router,
    files.router,
    atlas.router,
    questions.router,
    comparisons.router,
    edits.router,
    prompts.router,
    jobs.router,
    studies.router,
    page.router,
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The server's application.

    Args:
        settings: see `Settings`; the defaults serve ``runs`` on loopback.

    Raises:
        RunFolderError: the folder of runs cannot be made.
    """
    settings = settings or Settings()
    if not settings.read_only:
        try:
            settings.runs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(
                f"cannot make the folder {settings.runs}: {error.strerror or error}"
            ) from error
    server = Server(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        server.queue.start()
        try:
            yield
        finally:
            await server.queue.stop()

    app = FastAPI(
        title="diffuscope",
        version=__version__,
        description=ABOUT,
        openapi_url="/api/openapi.json",
        # Their pages load scripts from elsewhere, which the policy forbids.
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        generate_unique_id_function=_name,
        redirect_slashes=False,
    )
    app.state.server = server
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    app.add_middleware(Guard, settings=settings)
    return app


def _name(route: APIRoute) -> str:
    """Names of operations for generated clients: ``runs_index``."""
    module = route.endpoint.__module__.rpartition(".")[2]
    suffix = (
        "_alias" if route.path in ("/api/runs", "/api/runs/{run}") and "GET" in (route.methods or ()) else ""
    )
    return f"{module}_{route.endpoint.__name__}{suffix}"


def openapi() -> dict[str, Any]:
    """The description of the API, without a server."""
    found: dict[str, Any] = create_app(Settings(read_only=True)).openapi()
    return found
