"""What stands between the network and the recordings: who is let in, what may be sent, and what never leaves."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from synthetic_run import make_run

from diffuscope.errors import InputError
from diffuscope.server import logs
from diffuscope.server.app import create_app
from diffuscope.server.routes import page
from diffuscope.server.serving import alone
from diffuscope.server.settings import Limits, Settings, read_settings

LOCAL = "http://localhost"
TOKEN = "a-token-of-this-very-test"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("served") / "runs"
    make_run(runs / "one", steps=2, prompt='a <script>alert("red")</script> circle')
    (runs.parent / "secret").mkdir()
    make_run(runs.parent / "outside", steps=2)
    (runs / "link").symlink_to(runs.parent / "outside", target_is_directory=True)
    return runs


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(runs=folder)), base_url=LOCAL) as made:
        yield made


@pytest.fixture
def guarded(folder: Path) -> Iterator[TestClient]:
    settings = Settings(runs=folder, token=TOKEN, read_only=True)
    with TestClient(create_app(settings), base_url=LOCAL, follow_redirects=False) as made:
        yield made


def refused(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["status"] == status
    return str(error["message"])


# Who is let in.


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7860", ""]
)
def test_a_name_pointed_at_this_address_reaches_nothing(client: TestClient, host: str) -> None:
    refused(client.get("/api/runs", headers={"Host": host}), 403)


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1", "[::1]:7860", "LOCALHOST"])
def test_this_machines_own_names_do(client: TestClient, host: str) -> None:
    assert client.get("/api/health", headers={"Host": host}).status_code == 200


def test_further_names_are_set(folder: Path) -> None:
    settings = Settings(runs=folder, names=("demo.example.org",), read_only=True)
    with TestClient(create_app(settings), base_url="http://demo.example.org") as named:
        assert named.get("/api/health").status_code == 200
        refused(named.get("/api/health", headers={"Host": "other.example.org"}), 403)


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_a_foreign_page_changes_nothing(client: TestClient, headers: dict[str, str]) -> None:
    body = {"kind": "record", "prompt": "a circle"}
    assert "another site" in refused(client.post("/api/jobs", json=body, headers=headers), 403)
    refused(client.delete("/api/runs/one", headers=headers), 403)
    assert client.get("/api/runs/one").status_code == 200


def test_no_cors_header_is_ever_sent(client: TestClient) -> None:
    answers = [
        client.get("/api/runs", headers={"Origin": "https://evil.example"}),
        client.options(
            "/api/jobs", headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        ),
    ]
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answers[1].status_code == 405


def test_forms_and_plain_text_which_any_page_can_send_are_no_requests(client: TestClient) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        body = json.dumps({"kind": "record", "prompt": "a circle"})
        refused(client.post("/api/jobs", content=body, headers={"Content-Type": kind}), 415)


def test_with_a_token_nothing_is_given_without_it(guarded: TestClient) -> None:
    for path in ("/", "/api/runs", "/api/health", "/api/openapi.json", "/api/runs/one/image.png"):
        assert TOKEN not in refused(guarded.get(path), 401)
    wrong = [
        {"Authorization": "Bearer no"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Cookie": "diffuscope_token=no"},
    ]
    for headers in wrong:
        refused(guarded.get("/api/runs", headers=headers), 401)
    refused(guarded.get("/api/runs?token=no"), 401)
    assert guarded.get("/api/runs", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_the_token_goes_from_the_address_into_a_cookie(guarded: TestClient) -> None:
    answer = guarded.get(f"/gallery?token={TOKEN}&run=one")
    assert (answer.status_code, answer.headers["location"]) == (303, "/gallery?run=one")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert guarded.get("/api/runs").status_code == 200  # The client has the cookie now.
    for path in ("/api/site.json", "/api/health", "/", "/api/openapi.json"):
        assert TOKEN not in guarded.get(path).text
    elsewhere = guarded.get(f"{LOCAL}//evil.example/?token={TOKEN}")
    assert elsewhere.headers["location"].startswith("/") and not elsewhere.headers["location"].startswith(
        "//"
    )


def test_logs_hold_no_secret(folder: Path) -> None:
    stream = io.StringIO()
    before = {name: logging.getLogger(name).handlers for name in ("diffuscope.access", "diffuscope.server")}
    logs.set_up(secret=TOKEN, stream=stream)
    try:
        settings = Settings(runs=folder, token=TOKEN, read_only=True)
        with TestClient(create_app(settings), base_url=LOCAL, follow_redirects=False) as made:
            made.get(f"/?token={TOKEN}")
            made.get("/api/runs", headers={"Authorization": f"Bearer {TOKEN}"})
        logging.getLogger("diffuscope.server").error("somebody wrote %s", TOKEN)
    finally:
        for name, handlers in before.items():
            logging.getLogger(name).handlers = handlers
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    asked = [(line["path"], line["status"]) for line in lines if line["logger"] == "diffuscope.access"]
    assert asked == [("/", 303), ("/api/runs", 200)]
    assert TOKEN not in stream.getvalue() and TOKEN not in repr(settings) + str(settings.model_dump())


# What may be sent.


@pytest.mark.parametrize(
    "path",
    [
        "/api/runs/..",
        "/api/runs/%2e%2e",
        "/api/runs/..%2foutside",
        "/api/runs/%2e%2e%2foutside/image.png",
        "/api/runs/..%5coutside",
        "/api/runs/link",
        "/api/runs/link/image.png",
        "/api/runs/.server",
        "/api/runs/one%00",
        "/api/runs/" + "a" * 5000,
        "/api/runs/one/../../outside/image.png",
        "/api/studies/..%2fsecret/study.json",
        "/api/studies/%2e%2e/report.html",
        "/%2e%2e/%2e%2e/settings.py",
        "/..%2fsettings.py",
        "/assets/..%2f..%2fsettings.py",
        "/api/jobs/..%2f..",
    ],
)
def test_ids_and_paths_lead_nowhere_else(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (404, 422) and "error" in answer.json()


def test_the_page_gives_its_own_files_and_no_others(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    static = tmp_path / "static"
    (static / "assets").mkdir(parents=True)
    (static / "index.html").write_text("<!doctype html>the page")
    (static / "assets" / "index-abc.js").write_text("1")
    (tmp_path / "other.js").write_text("secret")
    (static / "assets" / "link.js").symlink_to(tmp_path / "other.js")
    monkeypatch.setattr(page, "STATIC", static)
    assert client.get("/").text == client.get("/runs/one").text == "<!doctype html>the page"
    script = client.get("/assets/index-abc.js")
    assert (
        script.headers["content-type"].startswith("text/javascript")
        and "immutable" in script.headers["cache-control"]
    )
    for path in ("/assets/link.js", "/assets/nothing.js", "/other.js", "/..%2fother.js"):
        assert client.get(path).status_code == 404
    monkeypatch.setattr(page, "STATIC", tmp_path / "nothing")
    assert "make ui" in client.get("/").text


def test_large_bodies_are_refused_whether_announced_or_not(folder: Path) -> None:
    settings = Settings(runs=folder, limits=Limits(body_bytes=2000))
    with TestClient(create_app(settings), base_url=LOCAL) as small:
        large = json.dumps({"selection": "word=circle" + " " * 5000}).encode()
        refused(
            small.post("/api/runs/one/map", content=large, headers={"Content-Type": "application/json"}), 413
        )

        def pieces() -> Iterator[bytes]:
            for start in range(0, len(large), 500):
                yield large[start : start + 500]

        answer = small.post(
            "/api/runs/one/map", content=pieces(), headers={"Content-Type": "application/json"}
        )
        refused(answer, 413)
        packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        refused(small.post("/api/runs/one/map", content=b"x", headers=packed), 415)


def test_a_body_that_never_comes_is_not_waited_for(folder: Path) -> None:
    app = create_app(Settings(runs=folder, limits=Limits(body_seconds=0.05)))
    sent: list[dict[str, Any]] = []

    async def ask() -> None:
        async def receive() -> dict[str, Any]:
            await asyncio.sleep(30)
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/api/runs/one/map",
            "raw_path": b"/api/runs/one/map",
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "http_version": "1.1",
            "headers": [
                (b"host", b"localhost"),
                (b"content-type", b"application/json"),
                (b"content-length", b"10"),
            ],
        }
        async with asyncio.timeout(10):
            await app(scope, receive, send)

    asyncio.run(ask())
    assert sent[0]["status"] == 408 and json.loads(sent[1]["body"])["error"]["class"] == "TooSlow"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"kind": "record", "prompt": "a" * 3000}, 413),
        ({"kind": "record", "prompt": "  "}, 400),
        ({"kind": "record", "prompt": "a", "steps": 5000}, 400),
        ({"kind": "record", "prompt": "a", "width": 100000}, 400),
        ({"kind": "record", "prompt": "a", "images": 99}, 400),
        ({"kind": "record", "prompt": "a", "steps": 0}, 422),
        ({"kind": "record", "prompt": "a\x00"}, 422),
        ({"kind": "record", "prompt": "a", "out": "/tmp"}, 422),
        ({"kind": "record", "prompt": "a", "model": "someone/elses"}, 403),
        ({"kind": "record", "prompt": "a", "model": "/etc"}, 403),
        ({"kind": "edit", "run": "../outside", "edits": [{"edit": "silence", "word": "a"}]}, 404),
        (
            {
                "kind": "edit",
                "run": "one",
                "edits": [{"edit": "patch", "donor": "/etc", "sites": "cross:mid"}],
            },
            404,
        ),
        ({"kind": "edit", "run": "one", "edits": [{"edit": "silence", "word": "a"}] * 65}, 413),
        ({"kind": "edit", "run": "one", "edits": [{"edit": "custom", "name": "os.system"}]}, 400),
        ({"kind": "concept", "run": "one", "text": "/etc/learned.safetensors"}, 403),
        (
            {
                "kind": "study",
                "plan": {"study": "s", "prompts": {"file": "/etc/passwd"}, "measures": ["mass"]},
            },
            403,
        ),
        (
            {"kind": "study", "plan": {"study": "s", "model": "x/y", "prompts": ["a"], "measures": ["mass"]}},
            403,
        ),
        ({"kind": "study", "plan": {"study": "../s", "prompts": ["a"], "measures": ["mass"]}}, 400),
        ({"kind": "nothing"}, 422),
        ([], 422),
    ],
)
def test_orders_that_reach_too_far_never_get_to_the_worker(
    client: TestClient, body: Any, status: int
) -> None:
    refused(client.post("/api/jobs", json=body), status)
    assert client.get("/api/jobs").json() == {"jobs": []}
    assert client.get("/api/health").json()["worker"]["state"] == "stopped"


def test_json_that_is_none_is_refused(client: TestClient) -> None:
    for text in (
        "{",
        '{"selection": NaN}',
        "[" * 100_000,
        '{"selection": "\ud800"}'.encode("utf-8", "surrogatepass"),
    ):
        answer = client.post("/api/runs/one/map", content=text, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422) and "error" in answer.json()


def test_a_read_only_server_changes_nothing(folder: Path) -> None:
    before = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    with TestClient(create_app(Settings(runs=folder, read_only=True)), base_url=LOCAL) as demo:
        assert demo.get("/api/runs/one/maps/1.safetensors").status_code == 200
        edits = [{"edit": "silence", "word": "circle"}]
        refused(demo.post("/api/jobs", json={"kind": "edit", "run": "one", "edits": edits}), 403)
        refused(demo.post("/api/prompts/check", json={"prompt": "a circle"}), 403)
        refused(demo.delete("/api/runs/one"), 403)
        refused(demo.post("/api/trash/anything/restore"), 403)
        assert demo.get("/api/site.json").json()["read_only"]
    assert before == sorted(path.relative_to(folder) for path in folder.rglob("*"))


# What a browser is told.


def test_every_answer_has_the_headers_that_protect_a_browser(client: TestClient) -> None:
    for path in ("/", "/api/runs", "/api/runs/one/image.webp", "/api/nothing", "/nothing.js"):
        headers = client.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe-eval" not in headers["content-security-policy"]
        assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")
        assert headers["referrer-policy"] == "no-referrer"


def test_markup_in_a_prompt_is_data(client: TestClient) -> None:
    for path in ("/api/runs", "/api/runs/one", "/api/runs/one/words.json"):
        answer = client.get(path)
        assert answer.headers["content-type"] == "application/json"
        assert "<script>" in json.dumps(answer.json())
    error = client.get("/api/runs/one/map?selection=word%3D%3Cb%3Ehi%3C/b%3E")
    assert error.headers["content-type"] == "application/json"


def test_a_fault_of_ours_says_nothing_of_the_machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = create_app(Settings(runs=folder))
    monkeypatch.setattr(app.state.server.shelf, "every", lambda: 1 / 0)
    with TestClient(app, base_url=LOCAL, raise_server_exceptions=False) as broken:
        answer = broken.get("/api/runs")
    assert answer.status_code == 500 and answer.json()["error"]["class"] == "ServerError"
    assert "ZeroDivision" not in answer.text and str(folder) not in answer.text


# Settings.


def test_settings_come_from_file_environment_and_command_line(tmp_path: Path) -> None:
    file = tmp_path / "diffuscope.toml"
    file.write_text(
        'port = 1000\nruns = "a"\nmodels = ["scenes", "hub:a/b"]\n[limits]\nsteps = 7\nside = 64\n'
    )
    environment = {"DIFFUSCOPE_PORT": "2000", "DIFFUSCOPE_LIMITS_STEPS": "9", "DIFFUSCOPE_READ_ONLY": "1"}
    found = read_settings(file, environment, {"port": 3000, "host": None})
    assert (found.port, found.runs, found.limits.steps, found.limits.side) == (3000, Path("a"), 9, 64)
    assert found.read_only and found.models == ("scenes", "hub:a/b")
    assert read_settings(None, {"DIFFUSCOPE_CONFIG": str(file)}).port == 1000
    assert read_settings(None, {"DIFFUSCOPE_MODELS": "scenes, hub:x/y"}).models == ("scenes", "hub:x/y")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"host": "0.0.0.0"}, "needs a token"),
        ({"host": "192.168.1.5"}, "needs a token"),
        ({"token": "short"}, "16 or more"),
        ({"port": 99999}, "port"),
        ({"models": ()}, "at least one model"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_a_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        read_settings(None, {}, given)
    assert said in str(error.value) and "short" not in str(error.value)


def test_another_host_with_a_token_is_let_listen() -> None:
    found = read_settings(None, {"DIFFUSCOPE_TOKEN": TOKEN}, {"host": "0.0.0.0"})
    assert found.secret == TOKEN and TOKEN not in repr(found)


def test_two_servers_do_not_draw_into_one_folder(tmp_path: Path) -> None:
    settings = Settings(runs=tmp_path)
    with alone(settings):
        with pytest.raises(InputError, match="another server"), alone(settings):
            pass
        with alone(Settings(runs=tmp_path, read_only=True)):
            pass
    with alone(settings):
        pass
