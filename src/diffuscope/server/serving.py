"""Running the application: one process, its address said when it listens."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI
from filelock import FileLock, Timeout

from diffuscope.errors import InputError, RunFolderError
from diffuscope.server import logs
from diffuscope.server.settings import Settings

KEEP_ALIVE = 30
"""Seconds that a connection without requests stays open."""


def serve(app: FastAPI, settings: Settings, ready: Callable[[str], None] | None = None) -> None:
    """Listen until Ctrl-C or SIGTERM.

    Args:
        app: from `create_app`.
        settings: its own.
        ready: called with the address once clients can connect.

    Raises:
        InputError: the address is taken or is none of this machine's, or another server draws into these runs.
    """
    logs.set_up(secret=settings.secret)
    with alone(settings):
        _serve(app, settings, ready)


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Hold the folder of runs for one server that draws: two would take each other's jobs for abandoned ones.

    Raises:
        InputError: another has it. RunFolderError: the lock cannot be made.
    """
    if settings.read_only:
        yield
        return
    folder = settings.runs / ".server"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"another server draws into {settings.runs}; use that one, another folder (--runs), or --read-only"
        ) from None
    except OSError as error:
        raise RunFolderError(f"cannot write to {settings.runs}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def _serve(app: FastAPI, settings: Settings, ready: Callable[[str], None] | None) -> None:
    listener = _listen(settings)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    config = uvicorn.Config(
        app,
        log_config=None,
        # Our own has no queries in it, which may hold the token.
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=64 * 2**10,
        ws="none",
    )
    server = _Told(config, lambda: ready(f"http://{shown}:{port}/") if ready else None)
    try:
        server.run(sockets=[listener])
    finally:
        listener.close()


class _Told(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


def _listen(settings: Settings) -> socket.socket:
    host = settings.host.strip("[]")
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, settings.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, number)
    except OSError as error:
        raise InputError(
            f"{settings.host} is no address of this machine: {error.strerror or error}"
        ) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise InputError(
            f"cannot listen at {settings.host}:{settings.port}: {error.strerror or error}; choose another with --port"
        ) from error
    listener.set_inheritable(False)
    return listener
