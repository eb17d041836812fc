"""Puts a report's page together: one HTML file out of the template, its style sheets, modules and data.

Knows nothing about runs. The page needs no network and may not use it: a content security policy in the file
allows the one script and the one style sheet by their hashes, pictures from data addresses, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import lru_cache
from importlib.resources import files
from typing import Any

STYLES = ("base", "page", "timeline", "objects", "explanation")
MODULES = (
    "maps",
    "measures",
    "paint",
    "phrase",
    "selection",
    "store",
    "words",
    "stage",
    "timeline",
    "chart",
    "strips",
    "texts",
    "objects",
    "explanation",
    "main",
)
"""Files of templates/js, each after those that it imports from."""

_IMPORT = re.compile(r"^import [^;]+;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=const|function|class|async)", re.MULTILINE)
_SLOT = re.compile(r"\{\{(\w+)\}\}")


def render(data: dict[str, Any], generator: str) -> str:
    """The report of a run as text. `data` is what templates/js/main.js reads; it must be plain JSON (no NaN)."""
    return assemble("report.html", style_sheet(), bundle(), data, generator)


def assemble(template: str, style: str, script: str, data: dict[str, Any], generator: str) -> str:
    """A whole page as text: a template with its slots filled."""
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    slots = {
        "policy": policy,
        "generator": generator,
        "style": style,
        "script": script,
        "data": json_for_script(data),
    }
    # One pass over the template only: a slot's name inside the data is text like any other.
    return _SLOT.sub(lambda match: slots[match[1]], _template(template))


def json_for_script(data: Any) -> str:
    """JSON that may stand inside a script element whatever it says.

    "<", ">" and "&" are written as escapes, so neither `</script>` nor `<!--` can appear, and so are the two
    line separators that old JavaScript did not take in strings.
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


@lru_cache(maxsize=4)
def bundle(modules: tuple[str, ...] = tuple(f"js/{name}.js" for name in MODULES)) -> str:
    """The modules as one script. They share a scope, so their top-level names differ (a test holds it)."""
    return "\n" + "\n".join(_EXPORT.sub("", _IMPORT.sub("", _template(name))) for name in modules)


@lru_cache(maxsize=4)
def style_sheet(styles: tuple[str, ...] = tuple(f"css/{name}.css" for name in STYLES)) -> str:
    """The style sheets as one."""
    return "\n" + "\n".join(_template(name) for name in styles)


def _template(name: str) -> str:
    return files("diffuscope.figures").joinpath("templates", *name.split("/")).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Source expression of the policy for an inline element with this text (CSP level 3, section 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
