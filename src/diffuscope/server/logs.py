"""Logs in lines of JSON, with no secret in them: no queries, headers or bodies are ever logged."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class JsonLines(logging.Formatter):
    """A record as one line: time, level, logger, message, what was given as `extra`, and a fault's traceback."""

    def __init__(self, secret: str | None = None) -> None:
        super().__init__()
        self._secret = secret

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        said |= {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        line = json.dumps(said, default=str, ensure_ascii=False)
        # A second line of defence: should the secret ever get here, it ends here.
        return line if self._secret is None else line.replace(self._secret, "[token]")


def set_up(level: str = "info", secret: str | None = None, stream: TextIO | None = None) -> None:
    """Log to stderr in lines of JSON, uvicorn's own messages included."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(secret))
    for name in ("diffuscope.server", "diffuscope.access", "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers = [handler] if name != "uvicorn.error" else []
        logger.propagate = name == "uvicorn.error"
        logger.setLevel(level.upper())
