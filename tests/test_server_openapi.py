"""The API holds what its OpenAPI says, whatever is asked of it: no fault of ours, no answer of another form."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from synthetic_run import Layout, layouts, make_run

from diffuscope.server import queue
from diffuscope.server.app import create_app, openapi
from diffuscope.server.settings import Limits, Settings

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


class NoWorker:
    """A worker that takes jobs and never begins, and answers every question."""

    def __init__(self, options: Any, heard: Callable[[dict[str, Any]], None], died: Any) -> None:
        self.state, self.model, self.pid, self._heard = "idle", None, None, heard

    def send(self, message: dict[str, Any]) -> None:
        if message["do"] == "ask":
            words: dict[str, Any] = {"cut": None, "warnings": [], "tokens": [], "words": []}
            # Of no picture it has seen the size: what such a worker says of a recording's bytes is None.
            value = None if message["what"] == "size" else words
            told = {"tell": "answer", "ask": message["ask"], "value": value}
            asyncio.get_running_loop().call_soon(self._heard, told)

    def stop(self) -> None: ...
    def kill(self) -> None: ...


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    runs = tmp_path_factory.mktemp("runs")
    make_run(runs / "one", steps=2)
    sites = [*layouts(self_sites=True), Layout("self:up.0.0", (16, 16), 3, 16, kind="self")]
    make_run(runs / "two", steps=2, level="qk", sites=sites)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue, "WorkerProcess", NoWorker)
        settings = Settings(runs=runs, studies=runs / "studies", limits=Limits(jobs=5, products=1e6))
        app = create_app(settings)
        # An event stream of a job that never ends would be listened to for ever.
        patch.setattr(queue.Queue, "events", _nothing)
        yield app


async def _nothing(self: Any, job: Any, after: int) -> Any:
    yield b"retry: 2000\n\n"


def test_the_description_is_complete() -> None:
    found = openapi()
    assert len(found["paths"]) >= 35
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"] and operation["description"], (method, path)
            assert operation["tags"] and operation["operationId"], (method, path)
            assert {"401", "403"} <= set(operation["responses"]), (method, path)
            form = operation["responses"]["401"]["content"]["application/json"]["schema"]
            assert form == {"$ref": "#/components/schemas/ProblemAnswer"}
    examples = [
        name
        for name, schema in found["components"]["schemas"].items()
        if any("examples" in field for field in schema.get("properties", {}).values())
    ]
    assert {"RecordJob", "MapQuestion", "RegionQuestion", "PromptQuestion", "EditsQuestion"} <= set(examples)
    ids = [operation["operationId"] for methods in found["paths"].values() for operation in methods.values()]
    assert len(set(ids)) == len(ids)


def test_whatever_is_asked_the_answer_is_of_the_form_that_is_described(api: Any) -> None:
    """Schemathesis over every operation, eight requests each."""
    config = SchemathesisConfig.from_dict({"phases": {"coverage": {"enabled": False}}})
    schema = schemathesis.openapi.from_asgi(
        "/api/openapi.json", api, config=config, headers={"Host": "localhost"}
    )
    asked: dict[str, int] = {}

    def answers(case: Any) -> None:
        label = case.operation.label
        # Names that are there, or nearly every answer would be that there is no such run.
        for name, value in (("run", "one"), ("other", "two")):
            if name in (case.path_parameters or {}) and asked.get(label, 0) % 4:
                case.path_parameters[name] = value if label.startswith("GET") else "two"
        if label.startswith("DELETE /api/runs"):
            case.path_parameters["run"] = "nobody"
        case.headers = {**(case.headers or {}), "Host": "localhost"}
        asked[label] = asked.get(label, 0) + 1
        case.call_and_validate(checks=CHECKS)

    for found in schema.get_all_operations():
        hypothesis.settings(
            max_examples=8,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
        )(hypothesis.given(case=found.ok().as_strategy())(answers))()
    assert len(asked) >= 38 and sum(asked.values()) >= 150
