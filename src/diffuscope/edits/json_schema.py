"""The JSON Schema of edits, made from their fields."""

from __future__ import annotations

import types
import typing
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from diffuscope.edits.base import Edit
from diffuscope.edits.custom import Control, Custom
from diffuscope.edits.files import KINDS
from diffuscope.edits.patches import PatchChoice

SCHEMA = Path(__file__).parent / "schema" / "edit-1.json"
"""Where it lies in the package."""


def json_schema() -> dict[str, Any]:
    """JSON Schema of a file of edits: one edit, or a list of them."""
    kinds = [kind for name, kind in KINDS.items() if kind is not Custom]
    either = [{"$ref": f"#/$defs/{kind.kind}"} for kind in kinds]
    defs = {kind.kind: _edit(kind, either) for kind in kinds}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "diffuscope edits, version 1",
        "anyOf": [*either, {"type": "array", "items": {"anyOf": either}}],
        "$defs": {**defs, "patches": _PATCHES},
    }


_PATCHES: dict[str, Any] = {
    "type": "object",
    "properties": {
        "region": {
            "type": "string",
            "description": "box:x0,y0,x1,y1 and the other forms of Selection.region",
        },
        "grid": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 2, "maxItems": 2},
        "png": {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"},
        "rle": {
            "type": "object",
            "description": "a mask by COCO's uncompressed run lengths, in place of region and png",
            "properties": {
                "size": {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 1},
                    "minItems": 2,
                    "maxItems": 2,
                },
                "counts": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            },
            "required": ["size", "counts"],
            "additionalProperties": False,
        },
    },
    "oneOf": [{"required": ["region"]}, {"required": ["rle"]}],
    "additionalProperties": False,
}


def _edit(kind: type[Edit], either: list[dict[str, str]]) -> dict[str, Any]:
    properties: dict[str, Any] = {"edit": {"const": kind.kind}}
    if kind is Control:
        properties |= {"of": {"anyOf": either}, "seed": {"type": "integer", "minimum": 0}}
        required = ["edit", "of"]
    else:
        hints = typing.get_type_hints(kind)
        for each in fields(kind):
            properties[each.name] = _value(hints[each.name])
            if each.default is not MISSING and each.default is not None:
                properties[each.name]["default"] = each.default
        required = ["edit", *(each.name for each in fields(kind) if each.default is MISSING)]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _value(hint: Any) -> dict[str, Any]:
    if get_origin(hint) is Literal:
        return {"enum": list(get_args(hint))}
    if get_origin(hint) in (typing.Union, types.UnionType):
        (inner,) = (each for each in get_args(hint) if each is not type(None))
        return {"anyOf": [_value(inner), {"type": "null"}]}
    if hint is PatchChoice:
        return {"$ref": "#/$defs/patches"}
    return {"type": {str: "string", float: "number", int: "integer"}[hint]}
