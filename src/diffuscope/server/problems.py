"""The one form that every error has in HTTP, and which status each error of the package gets.

{"error": {"class": "UnknownWordError", "code": "unknown-word", "message": "…", "status": 400, "details": {…}}}
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from diffuscope.errors import (
    DiffuscopeError,
    InputError,
    MissingExtraError,
    ModelNotFoundError,
    NotKeptError,
    RecordingError,
    RunFolderError,
    RunNotFoundError,
    UnknownWordError,
)

log = logging.getLogger("diffuscope.server")

NAMES: dict[int, tuple[str, str]] = {
    400: ("BadRequest", "bad-request"),
    401: ("Unauthorised", "unauthorised"),
    403: ("Forbidden", "forbidden"),
    404: ("NotFound", "not-found"),
    405: ("MethodNotAllowed", "method-not-allowed"),
    408: ("TooSlow", "too-slow"),
    409: ("Conflict", "conflict"),
    413: ("TooLarge", "too-large"),
    415: ("NotJson", "not-json"),
    422: ("ValidationError", "validation"),
    429: ("TooMany", "too-many"),
    503: ("Unavailable", "unavailable"),
}
"""Class and code of the errors that are HTTP's and not the package's."""

# From the particular to the general.
_STATUS: tuple[tuple[type[DiffuscopeError], int], ...] = (
    (RunNotFoundError, 404),
    (ModelNotFoundError, 404),
    (NotKeptError, 409),
    (RunFolderError, 409),
    (MissingExtraError, 409),
    (RecordingError, 409),
    (InputError, 400),
    (DiffuscopeError, 409),
)


class Refusal(Exception):
    """A request that is not served.

    Attributes:
        status: of HTTP, one of `NAMES`.
        message: one line.
        details: further plain JSON values.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message = status, " ".join(message.splitlines())
        self.details, self.headers = dict(details or {}), dict(headers or {})

    def to_json(self) -> dict[str, Any]:
        name, code = NAMES[self.status]
        return _form(name, code, self.message, self.status, self.details)


def described(error: BaseException) -> dict[str, Any]:
    """Any error in the one form. Of a fault of ours nothing is said that could hold a path or a secret."""
    if isinstance(error, Refusal):
        return error.to_json()
    if isinstance(error, DiffuscopeError):
        details: dict[str, Any] = {}
        if isinstance(error, UnknownWordError):
            details = {"word": error.word, "words": list(error.words)}
        return _form(type(error).__name__, error.code, str(error), status_of(error), details)
    return _form("ServerError", "server", "something went wrong in the server; its log says what", 500, {})


def status_of(error: DiffuscopeError) -> int:
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def answer(error: BaseException) -> JSONResponse:
    """The answer that tells of an error."""
    said = described(error)
    headers = error.headers if isinstance(error, Refusal) else {}
    return JSONResponse({"error": said}, said["status"], headers={"Cache-Control": "no-store", **headers})


def of_http(error: HTTPException) -> Refusal:
    """An error of the framework's as one of ours."""
    if error.status_code not in NAMES:
        return Refusal(400, str(error.detail))
    said = {404: "there is nothing at this path", 405: "this path does not take that method"}
    message = said.get(error.status_code, str(error.detail))
    return Refusal(error.status_code, message, headers=error.headers)


def install(app: FastAPI) -> None:
    """Have every error of an application answered in the one form."""

    async def ours(request: Request, error: Exception) -> JSONResponse:
        return answer(error)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        fields = [
            {"at": ".".join(map(str, each["loc"])), "message": str(each["msg"])[:300]}
            for each in error.errors()[:20]
        ]
        first = fields[0] if fields else {"at": "body", "message": "is not of the form that is due"}
        return answer(Refusal(422, f"{first['at']}: {first['message']}", details={"fields": fields}))

    async def plain(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return answer(of_http(error))

    async def fault(request: Request, error: Exception) -> JSONResponse:
        log.error("fault", exc_info=error, extra={"path": request.url.path})
        return answer(error)

    app.add_exception_handler(Refusal, ours)
    app.add_exception_handler(DiffuscopeError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, plain)
    app.add_exception_handler(Exception, fault)


def _form(name: str, code: str, message: str, status: int, details: Mapping[str, Any]) -> dict[str, Any]:
    return {"class": name, "code": code, "message": message, "status": status, "details": dict(details)}
