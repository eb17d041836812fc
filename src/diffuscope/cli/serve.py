"""`diffuscope serve`: the web page and its server."""

import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer

from diffuscope.cli import options
from diffuscope.cli.console import note, print_json
from diffuscope.errors import InputError, MissingExtraError, RunFolderError

EXAMPLES = """[bold]Examples[/bold]

diffuscope serve
diffuscope serve --runs path/to/runs --port 8000 --open
diffuscope serve --read-only
diffuscope serve --openapi openapi.json

Only this machine can reach it. For others: --host, which needs a token (DIFFUSCOPE_TOKEN)."""


def command(
    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Where to listen. Default: 127.0.0.1. Others need a token.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, max=65535, help="Default: 7860; 0: a free one.", show_default=False),
    ] = None,
    runs: Annotated[
        Path | None,
        typer.Option("--runs", metavar="DIR", help="Folder of runs. Default: runs.", show_default=False),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="SECRET",
            help="What clients must show. Better in DIFFUSCOPE_TOKEN: a command line is seen by others.",
            show_default=False,
        ),
    ] = None,
    read_only: Annotated[
        bool,
        typer.Option("--read-only", metavar="", help="Draw, change and remove nothing: for a public demo."),
    ] = False,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="M",
            help="A model that may be loaded: 'scenes', 'hub:OWNER/NAME', a folder. Again for more. Default: scenes.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="D", help="'cpu', 'cuda', 'mps'.", show_default=False)
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings as TOML.", show_default=False)
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open", metavar="", help="Open the page in the browser.")
    ] = False,
    openapi: Annotated[
        Path | None,
        typer.Option(
            "--openapi",
            metavar="FILE",
            help="Write the API's description and leave; '-' prints it.",
            show_default=False,
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Serve the page: see, ask and edit recordings in a browser.

    Settings come from --config, then the environment (DIFFUSCOPE_PORT=8000), then the options. Logs are lines of JSON
    on stderr. Ctrl-C ends it; a recording that is being drawn then stays readable up to its last whole step.
    """
    try:
        from diffuscope.server.app import create_app
        from diffuscope.server.app import openapi as described
        from diffuscope.server.serving import serve
        from diffuscope.server.settings import read_settings
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("fastapi", "uvicorn", "starlette"):
            raise MissingExtraError("diffuscope serve", "server") from error
        raise
    if openapi is not None:
        _write_description(described(), openapi)
        return
    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "runs": runs,
        "token": token,
        "read_only": read_only or None,
        "models": None if model is None else tuple(model),
        "device": device,
    }
    settings = read_settings(config, given=given)

    def ready(address: str) -> None:
        if as_json:
            print_json({"address": address, "runs": str(settings.runs), "read_only": settings.read_only})
        else:
            note(f"serving {settings.runs} at {address}  (Ctrl-C ends it)")
        if open_page:
            webbrowser.open(address)

    serve(create_app(settings), settings, ready)


def _write_description(found: dict[str, Any], path: Path) -> None:
    import json

    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    if str(path) == "-":
        typer.echo(text, nl=False)
        return
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file")
    try:
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise RunFolderError(f"cannot write {path}: {error.strerror or error}") from error
