"""Routes, a file for each concept."""

from typing import Any

from diffuscope.server.shapes import ProblemAnswer

SAID = {
    400: "What was asked is wrong; the message says what would be right.",
    401: "The token is missing or wrong.",
    403: "Not allowed here.",
    404: "There is no such thing.",
    408: "The body took too long.",
    409: "It cannot be done as things stand: not kept, damaged, or taken.",
    413: "Too large.",
    415: "The body is no JSON.",
    422: "The body or a parameter is not of the form that is due.",
    429: "Too many.",
    503: "No worker has time for it.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route may answer instead, for OpenAPI. 401 and 403 may come from every route."""
    return {
        status: {"model": ProblemAnswer, "description": SAID[status]}
        for status in sorted({401, 403, *statuses})
    }
