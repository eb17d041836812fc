"""`diffuscope export`: runs as a static web site."""

from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal

from diffuscope.cli import options
from diffuscope.cli.console import print_facts, print_json, progress_bar, show_warnings
from diffuscope.cli.question import run_folder
from diffuscope.errors import MissingExtraError

EXAMPLES = """[bold]Examples[/bold]

diffuscope export RUN --site site
diffuscope export RUN EDITED_RUN --site site --heads
diffuscope export RUN --site site --atlas
python -m http.server --directory site"""


def command(
    run: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN…", help="Folders of recordings, or their names in ./runs.", show_default=False
        ),
    ],
    site: Annotated[
        Path, typer.Option("--site", "-s", metavar="DIR", help="Folder of the site.", show_default=False)
    ],
    heads: Annotated[
        bool, typer.Option("--heads", metavar="", help="Maps of single heads too: many times as large.")
    ] = False,
    atlas: Annotated[
        bool, typer.Option("--atlas", metavar="", help="The head atlas too: every head in few bytes.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Write runs as a web site of plain files: it opens from any static host, and needs no server and no install.

    The site has what the page shows of a run: pictures, words, maps at every step, timelines, and the self-attention of
    every patch. A run and one that was made of it by edits are compared. Typing new words and drawing need a server:
    diffuscope serve.
    """
    try:
        from diffuscope.server.export_site import export_site
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("fastapi", "starlette"):
            raise MissingExtraError("diffuscope export", "server") from error
        raise
    with progress_bar("writing", unit="files") as on_file:
        made = export_site(
            [run_folder(each) for each in run], site, heads=heads, atlas=atlas, progress=on_file
        )
    if not made.has_page:
        show_warnings(["the page is not built here, so the site is data alone; build it with: make ui"])
    if as_json:
        print_json(
            {
                "site": str(made.folder),
                "runs": list(made.runs),
                "files": made.files,
                "bytes": made.bytes,
                "page": made.has_page,
            }
        )
        return
    print_facts(
        [
            ("site", str(made.folder)),
            ("runs", ", ".join(made.runs)),
            ("files", f"{made.files}, {decimal(made.bytes)}"),
            ("next", f"python -m http.server --directory {made.folder}"),
        ]
    )
