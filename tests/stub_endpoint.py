"""An OpenAI-compatible server on a free port, which says what a test wants it to say."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[dict[str, Any]], Any]
"""From what was asked (the JSON in the user's message) to the sentences of the reply, a text in their place, or a
status."""


@dataclass
class Stub:
    """A running server.

    Attributes:
        answer: what it answers.
        asked: bodies of the requests that came.
        url: its address, as clients take it.
        finish: the reason it gives for ending a reply.
        knows_schema: whether it takes a JSON schema; else such requests are refused with 400.
        delay: an event to wait for before it answers, or None.
    """

    answer: Answer
    asked: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""
    finish: str = "stop"
    knows_schema: bool = True
    delay: threading.Event | None = None


@contextmanager
def serving(answer: Answer, **options: Any) -> Iterator[Stub]:
    """A stub that answers so; it is gone when the block ends."""
    stub = Stub(answer, **options)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            stub.asked.append(body)
            if stub.delay is not None:
                stub.delay.wait(5)
            if body["response_format"]["type"] == "json_schema" and not stub.knows_schema:
                self._send(400, {"error": {"message": "response_format is not known here"}})
                return
            found = stub.answer(json.loads(body["messages"][-1]["content"]))
            if isinstance(found, int):
                self._send(found, {"error": {"message": "no"}})
                return
            text = found if isinstance(found, str) else json.dumps({"sentences": found})
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "message": message, "finish_reason": stub.finish}
            usage = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
            self._send(
                200,
                {
                    "id": "stub",
                    "object": "chat.completion",
                    "created": 0,
                    "model": body["model"],
                    "choices": [choice],
                    "usage": usage,
                },
            )

        def _send(self, status: int, value: Any) -> None:
            said = json.dumps(value).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)
            except (BrokenPipeError, ConnectionResetError):
                pass  # The client has given up.

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield stub
    finally:
        if stub.delay is not None:
            stub.delay.set()
        server.shutdown()
        server.server_close()
        thread.join()


def honest(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """A sentence for every claim that has a number or a word, made of what was given and nothing else."""
    found = []
    for claim in asked["claims"]:
        words = " and ".join(claim.get("words", [])) or "The run"
        steps = f" in {claim['steps']}" if "steps" in claim else ""
        text = f"{words}: {claim['is']} {claim['value']}{steps}."
        found.append({"part": claim["part"], "text": text, "cites": [claim["id"]]})
    return found
