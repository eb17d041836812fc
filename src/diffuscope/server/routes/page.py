"""The web page: the built client where it is there, otherwise a page that says how to build it."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from fastapi import APIRouter, Response

from diffuscope.server.problems import Refusal

router = APIRouter(include_in_schema=False)

STATIC = Path(__file__).parent.parent / "static"
"""Where the built client lies; not in version control."""

# What a system's own tables often lack or have otherwise.
_TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".html": "text/html",
    ".json": "application/json",
    ".map": "application/json",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".wasm": "application/wasm",
    ".safetensors": "application/vnd.safetensors",
}

WITHOUT_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>diffuscope</title>
<style>
body { font: 16px/1.6 system-ui, sans-serif; max-width: 40em; margin: 3em auto; padding: 0 1em }
:root { color-scheme: light dark }
code { font-size: 0.95em }
</style>
<h1>diffuscope</h1>
<p>The server runs. Its web page is not built in this checkout; build it with <code>make ui</code> and reload.</p>
<p>Everything is there without it: <a href="api/runs">the runs</a>, <a href="api/openapi.json">the API</a>,
<a href="api/health">the server's state</a>.</p>
</html>
"""


@router.get("/{path:path}")
def page(path: str) -> Response:
    """A file of the built client; any other path is a view of the page, which reads it by itself."""
    if path == "api" or path.startswith("api/"):
        raise Refusal(404, "there is nothing at this path")
    file = _inside(path)
    if file is not None:
        # Vite puts a hash of the content into these names.
        kept = "public, max-age=31536000, immutable" if path.startswith("assets/") else "no-cache"
        kind = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        return Response(file.read_bytes(), media_type=kind, headers={"Cache-Control": kept})
    if "." in path.rpartition("/")[2]:
        raise Refusal(404, "there is nothing at this path")
    index = STATIC / "index.html"
    body = index.read_bytes() if index.is_file() else WITHOUT_PAGE.encode()
    return Response(body, media_type="text/html", headers={"Cache-Control": "no-cache"})


def _inside(path: str) -> Path | None:
    """A file of the built client by its path, if it is one and lies inside."""
    parts = path.split("/")
    if not path or any(
        part in ("", ".", "..") or "\\" in part or ":" in part or "\0" in part for part in parts
    ):
        return None
    file = STATIC.joinpath(*parts)
    try:
        inside = file.is_file() and file.resolve().is_relative_to(STATIC.resolve())
    except OSError:
        return None
    return file if inside else None
